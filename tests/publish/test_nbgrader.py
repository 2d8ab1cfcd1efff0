"""nbgrader's assignments: its own schema of metadata, points, hidden tests; its own tool where it is installed."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from avlib.publish import chapters, editions, nbgrader, release
from tests.publish.sample import SOLUTION, code, markdown, notebook, small, tree
from tests.publish.test_commands import call

ASKED = ":::{exercise}\n:label: %s\n*%s.* Write a function.\n:::"
SCHEMA = {"schema_version": int, "grade": bool, "locked": bool, "solution": bool, "task": bool, "grade_id": str}
"""Of nbgrader's ``nbgraderformat/v3.json``; a graded cell has ``points`` (a number, not negative) besides."""


def cells():
    """A chapter with two exercises, of which one has a hidden check."""
    first = [markdown(ASKED % ("ex:one", "Medium")), code(SOLUTION, "solution")]
    first += [code("assert double(2) == 4\nassert double(3) == 6", "check"), markdown("It is twice.", "answer")]
    second = [markdown(ASKED % ("ex:two", "Hard")), code(SOLUTION.replace("double", "again"), "solution")]
    second += [code("assert again(2) == 4", "check"), code("assert again(7) == 14", "hidden-check")]
    return small(*first, *second)


def faults(cell):
    """What nbgrader's schema, version 3, has against a cell's metadata."""
    about = dict(cell["metadata"]["nbgrader"])
    points = about.pop("points", None)
    wrong = [key for key in SCHEMA if type(about.get(key)) is not SCHEMA[key]] + sorted(set(about) - set(SCHEMA))
    wrong += [] if about["schema_version"] == 3 else ["schema_version"]
    wrong += [] if re.fullmatch(r"[a-zA-Z0-9_\-]+", about["grade_id"]) else ["grade_id"]
    graded = isinstance(points, int | float) and points >= 0
    return wrong + ([] if about["grade"] == graded else ["points"])


def test_the_metadata_fit_the_schema_of_nbgrader():
    made = nbgrader.assignment(notebook(*cells()))
    marked = [cell for cell in made["cells"] if "nbgrader" in cell["metadata"]]
    assert [faults(cell) for cell in marked] == [[]] * 5
    about = [cell["metadata"]["nbgrader"] for cell in marked]
    assert [a["grade_id"] for a in about] == ["ex-one", "ex-one-check", "ex-two", "ex-two-check", "ex-two-check-2"]
    assert [a.get("points") for a in about] == [None, 2, None, 1.5, 1.5]
    assert [(a["solution"], a["locked"]) for a in about] == [(True, False), (False, True), (True, False)] + [
        (False, True)
    ] * 2
    assert "return 2 * x" in chapters.dumps(made) and "It is twice." not in chapters.dumps(made)


def test_what_students_do_not_see_is_marked():
    made = nbgrader.assignment(notebook(*cells()))
    visible = [re.sub(r"(?s)### BEGIN HIDDEN TESTS.*?### END HIDDEN TESTS", "", c["source"]) for c in made["cells"]]
    text = "\n".join(visible)
    assert "double(2)" in text and "double(3)" not in text and "again(2)" in text and "again(7)" not in text
    assert "again(7)" not in chapters.dumps(editions.student(notebook(*cells())))


def test_an_exercise_that_cannot_be_cut_is_named_by_its_place_in_the_chapter():
    made = notebook(*small(markdown("It is twice.", "answer"), code("x = 1", "solution"), code("assert x", "check")))
    at = next(n for n, cell in enumerate(made["cells"]) if "solution" in chapters.tags(cell))
    for make in (nbgrader.assignment, editions.student):
        with pytest.raises(editions.ExerciseError) as raised:
            make(made)
        assert raised.value.cell == at


@pytest.mark.parametrize("source", ["assert a", "assert a\nassert b\nprint(1)", "%time\nassert a\nassert b"])
def test_checks_of_which_nothing_can_be_hidden_stay(source):
    assert nbgrader.with_hidden(source) == source


def test_the_command_writes_a_course_folder(tmp_path, capsys):
    root, out = tree(tmp_path / "book", one=cells()), tmp_path / "course"
    done, said, _ = call(capsys, "release", "--nbgrader", "--out", out, "--root", root)
    assert done == 0 and "1 assignments" in said and (out / "source" / "one" / "one.ipynb").is_file()
    compile((out / "nbgrader_config.py").read_text(), "nbgrader_config.py", "exec")
    for words in ([], ["--nbgrader", "--edition", "student"]):
        done, _, err = call(capsys, "release", *words, "--out", tmp_path / "x", "--root", root)
        assert done == 2 and "one of --edition E, --nbgrader" in err


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nbgrader") is None, reason="nbgrader is no part of the locked packages")
def test_nbgrader_makes_the_assignment(tmp_path):
    out = tmp_path / "course"
    release.assignments(tree(tmp_path / "book", one=cells()), out)
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", "one"]
    beside = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    ran = subprocess.run(command, cwd=out, env=beside, capture_output=True, text=True)  # it calls alembic by name
    assert ran.returncode == 0, ran.stderr
    text = json.dumps(json.loads((out / "release" / "one" / "one.ipynb").read_text()))
    assert "your turn" in text and "return 2 * x" not in text and "again(7)" not in text and "double(3)" not in text
