"""What a handed-in notebook is worth: its code, with the checks of the book in place of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avlib.publish import chapters, prose
from avlib.publish.chapters import Cell, Chapter, ChapterError, Notebook, tags
from avlib.publish.editions import solution_pairs
from avlib.publish.session import run, session

POINTS = {"easy": 1, "medium": 2, "hard": 3}
"""What an exercise is worth, by the first word of its text; one point where that says nothing."""


@dataclass(frozen=True)
class Task:
    """One exercise of a chapter: where its answer and its checks stand, from 0, and the most it can bring."""

    name: str
    points: int
    at: int
    checks: tuple[int, ...]


@dataclass(frozen=True)
class Mark:
    """How one exercise was solved: ``outcome`` is "passed", "failed", "open" (not begun) or "missing"."""

    name: str
    points: int
    outcome: str
    why: str = ""

    @property
    def got(self) -> int:
        """The points it brings."""
        return self.points if self.outcome == "passed" else 0


@dataclass(frozen=True)
class Sheet:
    """The marks of one handed-in notebook, and what its other cells met with."""

    path: Path
    chapter: str
    marks: tuple[Mark, ...]
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Did every exercise pass?"""
        return all(mark.outcome == "passed" for mark in self.marks)

    def text(self) -> str:
        """For people: a row an exercise, then the sum and the notes."""
        rows = [("exercise", "points", "result", ""), *(_row(mark) for mark in self.marks)]
        widths = [max(len(row[n]) for row in rows) for n in range(3)]
        table = ["  ".join([*(w.ljust(n) for w, n in zip(row, widths, strict=False)), row[3]]).rstrip() for row in rows]
        got, most = sum(mark.got for mark in self.marks), sum(mark.points for mark in self.marks)
        solved = sum(mark.outcome == "passed" for mark in self.marks)
        total = f"{got} of {most} points: {solved} of {len(self.marks)} exercises pass"
        return "\n".join([f"{self.path} ({self.chapter})", *table, total, *(f"note: {note}" for note in self.notes)])


def _row(mark: Mark) -> tuple[str, str, str, str]:
    return mark.name, f"{mark.got}/{mark.points}", mark.outcome, mark.why


def tasks(notebook: Notebook) -> list[Task]:
    """The exercises of a chapter that have a solution to write, named by the labels of their directives.

    Raises:
        ExerciseError: see :func:`avlib.publish.editions.solution_pairs`.
    """
    found, last = [], 0
    for at, checks in solution_pairs(notebook):
        text = "\n".join(c["source"] for c in notebook["cells"][last:at] if c["cell_type"] == "markdown")
        asked = [m for m in prose.FENCE.finditer(text) if m["info"].lstrip().startswith("{exercise")]
        label = re.search(r"^\s*:label:\s*(\S+)", asked[-1]["body"], re.M) if asked else None
        word = re.search(r"^\*(\w+)\.\*", asked[-1]["body"], re.M) if asked else None
        name = label[1] if label else notebook["cells"][at]["id"]
        found.append(Task(name, POINTS.get(word[1].lower() if word else "", 1), at, tuple(checks)))
        last = at
    return found


def grade(
    root: Path, path: Path, chapter: str | None = None, *, profile: str = "smoke", seed: int = 0, timeout: int = 600
) -> Sheet:
    """Run a handed-in notebook in a fresh kernel, small, and each exercise's checks as the book has them.

    Cells are known by their ids, which Jupyter keeps. Checks that somebody changed or removed count as the book has
    them. The notebook is not changed. Its code can do whatever its author could: grade strangers' in a container.

    Args:
        root: the folder that holds the book.
        path: the notebook.
        chapter: the chapter it was made from; the one of the same file name where it is not given.
        profile: for both, a size at which every chapter takes seconds.
        seed: likewise.
        timeout: s that a cell may take.

    Raises:
        ValueError: no such chapter, not a notebook, or one in which no cell of the chapter is left.
    """
    source = _source(root, path, chapter)
    original, handed = chapters.read(source.path), chapters.read(path)
    asked = tasks(original)
    known = {cell.get("id") for cell in handed["cells"]}
    if not asked:
        raise ValueError(f"{source.name} has no exercise with a solution to write, so there is nothing to grade")
    if not known & {original["cells"][task.at]["id"] for task in asked}:
        raise ChapterError(f"{path}: holds no cell that answers an exercise of {source.name}; is it that chapter?")
    given = {"profile": profile, "seed": seed}
    errors, notes = _run_all(_sized(handed, given), original, asked, root, timeout)
    marks = tuple(_mark(task, original, known, errors) for task in asked)
    return Sheet(path, source.name, marks, tuple(notes))


def _source(root: Path, path: Path, name: str | None) -> Chapter:
    try:
        return chapters.find(root, [name or path.stem])[0]
    except ValueError as error:
        raise ValueError(f"{path}: {error}" + ("" if name else "; --chapter NAME says which one it is")) from error


def _sized(notebook: Notebook, given: dict[str, Any]) -> Notebook:
    """The notebook at that size, where its parameters are as they were."""
    try:
        have = chapters.parameters(notebook)
        return chapters.with_parameters(notebook, {key: value for key, value in given.items() if key in have})
    except ChapterError:
        return notebook


def _run_all(
    handed: Notebook, original: Notebook, asked: Sequence[Task], root: Path, timeout: int
) -> tuple[dict[str, str], list[str]]:
    """The error of each cell by its id, empty where there was none, and what to say of the others."""
    from nbclient.exceptions import DeadKernelError

    answers = {original["cells"][task.at]["id"] for task in asked}
    checks = {original["cells"][i]["id"]: original["cells"][i]["source"] for task in asked for i in task.checks}
    own = {cell["id"]: cell["source"] for _, cell in chapters.code_cells(handed) if cell.get("id") in checks}
    changed = [name for name, source in checks.items() if own.get(name, "").strip() != source.strip()]
    notes = [f"{len(changed)} checks were changed or removed; the book's own were run"] if changed else []
    left = [{"id": name, "source": source, "metadata": {}} for name, source in checks.items() if name not in own]
    errors: dict[str, str] = {}
    with session(chapters.normalise(handed), root, timeout) as client:
        for cell in [*(cell for _, cell in chapters.code_cells(handed)), *left]:
            name = cell.get("id", "")
            try:
                error = run(client, checks.get(name, cell["source"]))
            except DeadKernelError:
                return errors, [*notes, f"the kernel died in cell {name!r}; nothing after it was run"]
            errors[name] = error
            if error and name not in answers | set(checks) and "raises-exception" not in tags(cell):
                notes.append(f"cell {name!r}, which is no exercise, fails: {error}")
    return errors, notes


def _mark(task: Task, original: Notebook, known: set[str | None], errors: dict[str, str]) -> Mark:
    def outcome(cell: Cell) -> str:
        return errors.get(cell["id"], "it was not run")

    answer = original["cells"][task.at]
    if answer["id"] not in known:
        return Mark(task.name, task.points, "missing", "its cell is gone")
    found = [outcome(answer), *(outcome(original["cells"][i]) for i in task.checks)]
    error = next((each for each in found if each), "")
    if "NotImplementedError: your turn" in error:
        return Mark(task.name, task.points, "open")
    return Mark(task.name, task.points, "failed" if error else "passed", " ".join(error.split())[:200])
