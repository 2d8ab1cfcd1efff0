"""A fresh kernel to which code is handed piece by piece."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avlib.publish import chapters, kernel
from avlib.publish.chapters import Cell, Notebook

QUIET = ["--log-level=40"]


def sized(notebook: Notebook, profile: str, seed: int) -> Notebook:
    """A copy fit to be run, with those of these two parameters that it has."""
    known = chapters.parameters(notebook)
    given = {name: value for name, value in {"profile": profile, "seed": seed}.items() if name in known}
    return chapters.normalise(chapters.with_parameters(notebook, given))


@contextmanager
def session(notebook: Notebook, root: Path, timeout: int) -> Iterator[Any]:
    """A client with a fresh kernel for ``notebook``; code that takes longer than ``timeout`` s is interrupted."""
    from nbclient import NotebookClient
    from nbformat import from_dict

    empty = {**notebook, "cells": [chapters.cleared(cell) for cell in notebook["cells"]]}
    with kernel.environment(root) as environment:
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(environment)
        options: dict[str, Any] = {
            "kernel_name": kernel.NAME,
            "timeout": timeout,
            "interrupt_on_timeout": True,
            "allow_errors": True,
            "extra_arguments": QUIET,
            "kernel_manager_class": kernel.MANAGER,
        }
        client = NotebookClient(from_dict(empty), **options)
        try:
            with client.setup_kernel():
                yield client
        finally:
            os.environ.clear()
            os.environ.update(before)


def run_cell(client: Any, cell: Cell) -> str:
    """Run a cell; returns its error, or nothing where there is none or the cell is tagged to raise one."""
    error = run(client, cell["source"])
    return "" if "raises-exception" in chapters.tags(cell) else error


def run(client: Any, source: str) -> str:
    """Run one piece of code in the client's kernel; returns its error, or nothing.

    Raises:
        nbclient.exceptions.DeadKernelError: the code ended the kernel.
    """
    from nbformat.v4 import new_code_cell

    if not source.strip():
        return ""
    cell = new_code_cell(source)
    client.nb.cells.append(cell)
    client.execute_cell(cell, len(client.nb.cells) - 1)
    errors = [f"{o.ename}: {o.evalue}" for o in cell.outputs if o.output_type == "error"]
    return errors[0] if errors else ""
