"""Chapters as assignments of nbgrader: its metadata, points, and tests that students do not see.

nbgrader and the book mark solutions alike (``### BEGIN SOLUTION``), so that its ``generate_assignment`` cuts the
students' version by itself. What is hidden from students is a cell tagged ``hidden-check`` after the checks of an
exercise; where there is none, the last assert of an exercise that has at least two.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from avlib.publish import chapters
from avlib.publish.chapters import Notebook
from avlib.publish.editions import BLANK, without_answer_cells
from avlib.publish.grade import Task, tasks

HIDDEN = ("### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS")

CONFIG = f'''\
"""nbgrader's settings for this course: "nbgrader generate_assignment NAME" makes what students get."""

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "avlib"
c.ClearSolutions.code_stub = {{"python": {BLANK!r}}}
c.ExecutePreprocessor.timeout = 600
'''


def assignment(notebook: Notebook) -> Notebook:
    """The chapter as nbgrader's source: solutions marked, checks worth points, answers in prose left out.

    Raises:
        ExerciseError: see :func:`avlib.publish.editions.solution_pairs`.
    """
    made = without_answer_cells(notebook)
    names: set[str] = set()
    for task in tasks(made):
        name = _name(task.name, names)
        answer, checks = made["cells"][task.at], [made["cells"][i] for i in task.checks]
        answer["metadata"]["nbgrader"] = _about(name, solution=True)
        if not any("hidden-check" in chapters.tags(cell) for cell in checks):
            checks[-1]["source"] = with_hidden(checks[-1]["source"])
        for number, cell in enumerate(checks):
            if "hidden-check" in chapters.tags(cell):
                cell["source"] = "\n".join([HIDDEN[0], cell["source"], HIDDEN[1]])
            own = name + "-check" + (f"-{number + 1}" if number else "")
            cell["metadata"]["nbgrader"] = {**_about(own, locked=True), "grade": True, "points": _share(task)}
    return made


def _share(task: Task) -> float:
    """Points of one of the exercise's checks."""
    return round(task.points / len(task.checks), 2)


def _name(label: str, taken: set[str]) -> str:
    """A name that nbgrader takes, and that no other exercise has."""
    name = stem = re.sub(r"[^a-zA-Z0-9_-]+", "-", label)
    while name in taken:
        name = f"{stem}-{len(taken) + 1}"
    taken.add(name)
    return name


def _about(name: str, *, solution: bool = False, locked: bool = False) -> dict[str, Any]:
    """nbgrader's metadata, version 3 of its schema."""
    return {
        "schema_version": 3, "grade_id": name, "grade": False, "solution": solution, "locked": locked, "task": False,
    }  # fmt: skip


def with_hidden(source: str) -> str:
    """Checks with their last assert hidden, where it ends the cell and another one stays to be seen.

    Examples:
        >>> print(with_hidden("assert f(1) == 2\\nassert f(2) == 4"))
        assert f(1) == 2
        ### BEGIN HIDDEN TESTS
        assert f(2) == 4
        ### END HIDDEN TESTS
    """
    try:
        body = ast.parse(source).body
    except SyntaxError:  # lines of magic
        return source
    asserts = [node for node in body if isinstance(node, ast.Assert)]
    if len(asserts) < 2 or asserts[-1] is not body[-1]:
        return source
    lines = source.split("\n")
    first = asserts[-1].lineno - 1
    return "\n".join([*lines[:first], HIDDEN[0], *lines[first:], HIDDEN[1]])
