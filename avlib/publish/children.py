"""Processes that end with the one that started them, however that one ends.

A child watches a pipe that only its parent holds: its standard input, or what `multiprocessing` gives it. When the
parent is killed the pipe closes, and the child takes its own children (the kernels) with it. Children stay in the
parent's process group, so that what is sent to the group reaches them too.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import parent_process
from pathlib import Path
from typing import IO, Any

RUN = "from avlib.publish.children import follow; follow(); import pkgutil, sys; "
RUN += "sys.exit(pkgutil.resolve_name(sys.argv.pop(1))())"
"""Calls the function that the first argument names, and follows the parent."""


@contextmanager
def child(
    function: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stderr: int | IO[str] = subprocess.STDOUT,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a Python as a follower, its standard output in a pipe; however the block is left, it has ended then.

    Args:
        function: ``module:name`` of what it calls, without arguments of its own.
        arguments: of the command line, as ``sys.argv[1:]``.
        stderr: as `subprocess.Popen` takes it; together with the output where left out.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, function, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        cwd=cwd,
        encoding="utf-8",
        errors="replace",
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait()


def follow() -> None:
    """Watch standard input from now on, and end when it closes; SIGTERM ends this process in the same way.

    Ctrl-C is the parent's to answer: it comes to the whole group.
    """
    handle = os.dup(0)  # pytest puts another file in its place
    _watch(lambda: os.read(handle, 1))
    signal.signal(signal.SIGTERM, lambda *_: end())
    signal.signal(signal.SIGINT, lambda *_: None)  # not SIG_IGN, which kernels would inherit


def follow_pool() -> None:
    """The same in a worker of `multiprocessing`."""
    parent = parent_process()
    if parent is not None:
        _watch(parent.join)


def _watch(wait: Any) -> None:
    def until() -> None:
        wait()
        end()

    threading.Thread(target=until, daemon=True).start()


def end() -> None:
    """End every process below this one, and it."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        process.kill()
    os._exit(1)
