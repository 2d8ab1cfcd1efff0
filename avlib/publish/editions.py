"""The editions of a chapter: with solutions, with stubs, for recall.

The solution is the source; the exercise is cut from it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

from avlib.errors import unknown
from avlib.publish import chapters, prose
from avlib.publish.chapters import Cell, Notebook, tags

BEGIN = "### BEGIN SOLUTION"
END = "### END SOLUTION"
BLANK = 'raise NotImplementedError("your turn: write this")'


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
        ExerciseError: a solution without markers or without a check that students see, a check without a solution.
    """
    pairs: list[tuple[int, list[int]]] = []
    for index, cell in chapters.code_cells(notebook):
        if "solution" in tags(cell):
            try:
                stub(cell["source"])
            except ValueError as error:
                raise ExerciseError(f"the solution has {error}", index) from error
            pairs.append((index, []))
        elif {"check", "hidden-check"} & set(tags(cell)):
            if not pairs:
                raise ExerciseError("a check stands before any solution", index)
            pairs[-1][1].append(index)
    for index, checks in pairs:
        if not any("check" in tags(notebook["cells"][n]) for n in checks):
            alone = ", only hidden ones, which students do not see" if checks else ""
            raise ExerciseError(f"no cell tagged 'check' follows the solution{alone}", index)
    return pairs


def _gives_away(cell: Cell) -> bool:
    return cell["cell_type"] == "markdown" and "answer" in tags(cell)


def without_answers(text: str) -> str:
    """Markdown without its ``{solution}`` directives."""
    return prose.FENCE.sub(lambda m: "" if re.match(r"\{solution(-start|-end)?\}", m["info"]) else m[0], text).strip()


def without_answer_cells(notebook: Notebook) -> Notebook:
    """A copy without answers in prose; the solutions that are code stay.

    Raises:
        ExerciseError: see :func:`solution_pairs`; asked here, while cells have the places that an error names.
    """
    solution_pairs(notebook)
    cells: list[Cell] = []
    for cell in copy.deepcopy(notebook["cells"]):
        if _gives_away(cell):
            continue
        if cell["cell_type"] == "markdown":
            text = without_answers(cell["source"])
            if not text and cell["source"].strip():
                continue
            cell["source"] = text if text != cell["source"].strip() else cell["source"]
        cells.append(cell)
    return {**notebook, "cells": cells}


def student(notebook: Notebook) -> Notebook:
    """The chapter to be worked on: stubs for solutions, visible checks without their outputs, no answers in prose.

    Raises:
        ExerciseError: see :func:`solution_pairs`.
    """
    made = without_answer_cells(notebook)
    for at, checks in solution_pairs(made):
        cell = made["cells"][at]
        cell["source"] = stub(cell["source"])
        kept = [tag for tag in tags(cell) if tag not in ("solution", "hide-input", "hide-output")]
        cell["metadata"]["tags"] = [*kept, "stub"]
        for index in (at, *checks):
            made["cells"][index] = chapters.cleared(made["cells"][index])
    made["cells"] = [cell for cell in made["cells"] if "hidden-check" not in tags(cell)]
    return made


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
    made: dict[str, Callable[[Notebook], Notebook]] = {
        "instructor": copy.deepcopy,
        "student": student,
        "recall": recall,
    }
    if name not in made:
        raise unknown("edition", name, made)
    return made[name]
