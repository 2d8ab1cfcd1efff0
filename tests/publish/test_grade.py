"""Grading: the book's own checks decide, whatever became of those in the notebook."""

import pytest

from avlib.publish import chapters, editions, grade
from tests.publish.sample import SOLUTION, chapter, code, markdown, notebook, small, tree
from tests.publish.test_commands import call

ASKED = ":::{exercise}\n:label: ex-%s\n*%s.* Write a function.\n:::"


@pytest.fixture
def book(tmp_path):
    """A book of one chapter with two exercises."""
    cells = [markdown(ASKED % ("double", "Easy"), "exercise"), code(SOLUTION, "solution")]
    cells += [code("assert double(2) == 4, 'not twice'", "check"), markdown(ASKED % ("triple", "Hard"), "exercise")]
    triple = SOLUTION.replace("double", "triple").replace("2 * x", "3 * x")
    cells += [code(triple, "solution"), code("assert triple(2) == 6", "check")]
    return tree(tmp_path / "book", one=small(*cells))


def handed_in(book, **sources):
    """The path of a student's notebook, in which the cells named have another source, or are gone."""
    made = editions.student(chapters.read(chapter(book, "one").path))
    for cell in made["cells"]:
        cell["source"] = sources.get(cell["id"], cell["source"])
    made["cells"] = [cell for cell in made["cells"] if cell["source"] is not None]
    path = book.parent / "anna" / "one.ipynb"
    path.parent.mkdir(exist_ok=True)
    chapters.write(path, made)
    return path


def test_exercises_have_names_and_points(book):
    found = grade.tasks(chapters.read(chapter(book, "one").path))
    assert [(t.name, t.points, t.at, t.checks) for t in found] == [("ex-double", 1, 3, (4,)), ("ex-triple", 3, 6, (7,))]
    bare = grade.tasks(notebook(code(SOLUTION, "solution"), code("double", "check")))
    assert [(t.name, t.points) for t in bare] == [("c1", 1)]


@pytest.mark.slow
def test_a_table_says_what_passes_and_a_changed_check_helps_nobody(book, capsys):
    path = handed_in(
        book, c4="def double(x):\n    return x + 1", c5="assert True", c7="def triple(x):\n    return 3 * x"
    )
    before = path.read_bytes()
    code_, out, _ = call(capsys, "grade", path, "--root", book)
    assert code_ == 1 and path.read_bytes() == before
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[1:4] == ["exercise points result", "ex-double 0/1 failed AssertionError: not twice",
                          "ex-triple 3/3 passed"]  # fmt: skip
    assert lines[4:] == ["3 of 4 points: 1 of 2 exercises pass",
                         "note: 1 checks were changed or removed; the book's own were run"]  # fmt: skip


@pytest.mark.slow
def test_what_is_open_or_gone_is_told_and_code_that_ends_the_kernel_stops_nothing_else(book):
    path = handed_in(book, c7=None, c5=None)
    sheet = grade.grade(book, path)
    assert [mark.outcome for mark in sheet.marks] == ["open", "missing"] and not sheet.passed
    path = handed_in(book, c4="def double(x):\n    return 2 * x", c7="import os\nos._exit(1)")
    sheet = grade.grade(book, path)
    assert [mark.outcome for mark in sheet.marks] == ["passed", "failed"] and "the kernel died" in sheet.notes[0]


def test_the_wrong_notebook_is_named(book, capsys):
    path = handed_in(book)
    other = path.rename(path.with_name("anna.ipynb"))
    code_, _, err = call(capsys, "grade", other, "--root", book)
    assert code_ == 2 and "unknown chapter 'anna'" in err and "--chapter NAME" in err
    chapters.write(other, notebook(markdown("# Other")))
    code_, _, err = call(capsys, "grade", other, "--chapter", "one", "--root", book)
    assert code_ == 2 and "no cell that answers an exercise of one" in err
