"""Hand-outs cut from the chapters: with solutions, with stubs, for recall, as slides.

The solution is the source; the exercise is cut from it.
"""

from __future__ import annotations

import copy
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avlib.publish import chapters, kernel, prose
from avlib.publish.chapters import Cell, Chapter, Notebook, tags

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
BLANK = 'raise NotImplementedError("your turn: write this")'
QUIET = ["--log-level=40"]


class ExerciseError(ValueError):
    """An exercise that cannot be cut; ``cell`` is its position, from 0."""

    def __init__(self, message: str, cell: int):
        super().__init__(message)
        self.cell = cell


def stub(source: str) -> str:
    """The code with each solution replaced by one line that raises; what stands outside the markers stays.

    Raises:
        ValueError: markers that are missing, or do not pair.

    Examples:
        >>> print(stub("def double(x):\\n    ### BEGIN SOLUTION\\n    return 2 * x\\n    ### END SOLUTION"))
        def double(x):
            raise NotImplementedError("your turn: write this")
    """
    kept: list[str] = []
    inside = found = False
    for line in source.split("\n"):
        if line.strip() in (BEGIN, END):
            if inside == (line.strip() == BEGIN):
                raise ValueError(f"{line.strip()!r} without its partner")
            inside, found = not inside, True
            if inside:
                kept.append(line[: len(line) - len(line.lstrip())] + BLANK)
        elif not inside:
            kept.append(line)
    if inside or not found:
        raise ValueError(f"no {END!r}" if inside else f"no lines {BEGIN!r} and {END!r}")
    return "\n".join(kept)


def solution_pairs(notebook: Notebook) -> list[tuple[int, list[int]]]:
    """Positions of each ``solution`` cell and of the ``check`` cells that follow before the next solution.

    Raises:
        ExerciseError: a solution without markers or without a check, a check without a solution.
    """
    pairs: list[tuple[int, list[int]]] = []
    for index, cell in chapters.code_cells(notebook):
        if "solution" in tags(cell):
            try:
                stub(cell["source"])
            except ValueError as error:
                raise ExerciseError(f"the solution has {error}", index) from error
            pairs.append((index, []))
        elif "check" in tags(cell):
            if not pairs:
                raise ExerciseError("a check stands before any solution", index)
            pairs[-1][1].append(index)
    for index, checks in pairs:
        if not checks:
            raise ExerciseError("no cell tagged 'check' follows the solution", index)
    return pairs


def _gives_away(cell: Cell) -> bool:
    return cell["cell_type"] == "markdown" and "answer" in tags(cell)


def without_answers(text: str) -> str:
    """Markdown without its ``{solution}`` directives."""
    return prose.FENCE.sub(lambda m: "" if re.match(r"\{solution(-start|-end)?\}", m["info"]) else m[0], text).strip()


def student(notebook: Notebook) -> Notebook:
    """The chapter to be worked on: stubs for solutions, visible checks without their outputs, no answers in prose.

    Raises:
        ExerciseError: see :func:`solution_pairs`.
    """
    pairs = solution_pairs(notebook)
    empty = {index for at, checks in pairs for index in (at, *checks)}
    stubs = {at for at, _ in pairs}
    cells: list[Cell] = []
    for index, cell in enumerate(copy.deepcopy(notebook["cells"])):
        if _gives_away(cell):
            continue
        if cell["cell_type"] == "markdown":
            text = without_answers(cell["source"])
            if not text and cell["source"].strip():
                continue
            cell["source"] = text if text != cell["source"].strip() else cell["source"]
        if index in stubs:
            cell["source"] = stub(cell["source"])
            cell["metadata"]["tags"] = [
                tag for tag in tags(cell) if tag not in ("solution", "hide-input", "hide-output")
            ] + ["stub"]
        cells.append(chapters.cleared(cell) if index in empty else cell)
    return {**notebook, "cells": cells}


def recall(notebook: Notebook) -> Notebook:
    """The chapter to be told from memory: headings and code, without prose and without outputs."""
    cells = []
    for cell in copy.deepcopy(notebook["cells"]):
        if cell["cell_type"] == "code":
            cells.append(chapters.cleared(cell))
            continue
        heads = [f"{m[0]}" for m in prose.HEADING.finditer(prose.FENCE.sub("", cell["source"]))]
        if heads:
            cells.append({**cell, "source": "\n\n".join(heads)})
    return {**notebook, "cells": cells}


def edition(name: str) -> Callable[[Notebook], Notebook]:
    """What makes the edition ``name`` of a chapter.

    Raises:
        ValueError: an unknown edition; the right ones are listed.
    """
    from avlib.errors import unknown

    made: dict[str, Callable[[Notebook], Notebook]] = {
        "instructor": copy.deepcopy,
        "student": student,
        "recall": recall,
    }
    if name not in made:
        raise unknown("edition", name, made)
    return made[name]


def release(
    root: Path,
    name: str,
    out: Path,
    names: Sequence[str] = (),
    *,
    site: bool = True,
    slides: bool = False,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Write the edition ``name`` to ``out``: ``notebooks/``, ``site/``, ``slides/``; returns what was written.

    Every chapter is cut before anything is written, so that a bad one leaves ``out`` as it was.

    Raises:
        ExerciseError, ValueError: an unknown edition, or a chapter that cannot be cut; the message names it.
        FileExistsError: ``out`` holds something else than an earlier release.
    """
    make = edition(name)
    picked = chapters.find(root, names)
    cut: list[tuple[Chapter, Notebook]] = []
    for chapter in picked:
        try:
            cut.append((chapter, make(chapters.read(chapter.path))))
        except ExerciseError as error:
            raise ExerciseError(f"{chapter.where}, cell {error.cell + 1}: {error}", error.cell) from error
    _claim(out, name)
    written = []
    for chapter, notebook in cut:
        written.append(out / "notebooks" / chapter.part / chapter.path.name)
        chapters.write(written[-1], notebook)
    if slides:
        written += _decks(cut, out / "slides", say)
    if site and name != "recall":
        from avlib.publish.build import build

        written.append(build(root, edition=name, out=out / "site", say=say))
    return written


def _decks(cut: list[tuple[Chapter, Notebook]], folder: Path, say: Callable[[str], None]) -> list[Path]:
    from avlib.publish.slides import deck

    written = []
    folder.mkdir(exist_ok=True)
    for chapter, notebook in cut:
        page = deck(notebook)
        if page is None:
            say(f"{chapter.name}: no cell is tagged 'slide', so it has no deck")
            continue
        written.append(folder / f"{chapter.name}.html")
        written[-1].write_text(page, encoding="utf-8")
    return written


def _claim(out: Path, name: str) -> None:
    """Empty ``out`` where it holds an earlier release, and leave a note that this one does."""
    mark = out / "EDITION"
    if out.exists() and any(out.iterdir()) and not mark.exists():
        raise FileExistsError(f"{out} is not empty and holds no earlier release; give an empty folder")
    for folder in ("notebooks", "slides", "site"):
        shutil.rmtree(out / folder, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"{name}\n", encoding="utf-8")


@dataclass(frozen=True)
class Exercise:
    """One exercise, tried: the stub must fail its checks, the solution must pass them."""

    cell: int
    id: str
    stub_error: str
    solution_error: str

    @property
    def problem(self) -> str:
        """What is wrong, or nothing."""
        if self.solution_error:
            return f"cell {self.cell + 1} ({self.id}): the solution fails: {self.solution_error}"
        return (
            ""
            if self.stub_error
            else f"cell {self.cell + 1} ({self.id}): the stub passes every check, so the checks test nothing"
        )


def exercise_report(
    notebook: Notebook, root: Path, *, profile: str = "smoke", seed: int = 0, timeout: int = 600
) -> list[Exercise]:
    """Run a chapter in one kernel; at each exercise try first the stub, then the solution, against the visible checks.

    Raises:
        ExerciseError: see :func:`solution_pairs`.
        RuntimeError: a cell that belongs to no exercise fails.
    """
    checks = dict(solution_pairs(notebook))
    skip = {index for indices in checks.values() for index in indices}
    given = {
        key: value for key, value in {"profile": profile, "seed": seed}.items() if key in chapters.parameters(notebook)
    }
    fresh = chapters.normalise(chapters.with_parameters(notebook, given))
    found: list[Exercise] = []
    with _kernel(fresh, root, timeout) as client:
        for index, cell in chapters.code_cells(fresh):
            if index in checks:
                found.append(_try(client, fresh, index, checks[index]))
            elif index not in skip and (error := _run(client, cell["source"])) and "raises-exception" not in tags(cell):
                raise RuntimeError(f"cell {index + 1} ({cell['id']}): {error}")
    return found


@contextmanager
def _kernel(notebook: Notebook, root: Path, timeout: int) -> Iterator[Any]:
    """A client with a fresh kernel for ``notebook``."""
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
            "allow_errors": True,
            "extra_arguments": QUIET,
        }
        client = NotebookClient(from_dict(empty), **options)
        try:
            with client.setup_kernel():
                yield client
        finally:
            os.environ.clear()
            os.environ.update(before)


def _try(client: Any, notebook: Notebook, at: int, checks: list[int]) -> Exercise:
    cell = notebook["cells"][at]

    def attempt(source: str) -> str:
        errors = (_run(client, text) for text in (source, *(notebook["cells"][i]["source"] for i in checks)))
        return next((error for error in errors if error), "")

    return Exercise(at, cell["id"], attempt(stub(cell["source"])), attempt(cell["source"]))


def _run(client: Any, source: str) -> str:
    """Run one piece of code in the client's kernel; returns its error, or nothing."""
    from nbformat.v4 import new_code_cell

    if not source.strip():
        return ""
    cell = new_code_cell(source)
    client.nb.cells.append(cell)
    client.execute_cell(cell, len(client.nb.cells) - 1)
    errors = [f"{o.ename}: {o.evalue}" for o in cell.outputs if o.output_type == "error"]
    return errors[0] if errors else ""
