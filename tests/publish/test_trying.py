"""Other values that a reader may try."""

import copy

import pytest

from avlib.publish import chapters, trying
from tests.publish.sample import SOLUTION, code, notebook, small, tree


def cell(source, *pairs):
    """A code cell and other values to try in it."""
    made = code(source)
    made["metadata"]["try"] = [list(pair) for pair in pairs]
    return made


def test_each_value_is_tried_once_together_with_those_of_other_cells():
    whole = notebook(*small(cell("x = 1", ("1", "2"), ("1", "3")), cell("y = 4", ("y = 4", "y = 5"))))
    before = copy.deepcopy(whole)
    tried = list(trying.variants(whole))
    assert [[c["source"] for c in made["cells"][-2:]] for _, made in tried] == [["x = 2", "y = 5"], ["x = 3", "y = 4"]]
    assert tried[0][0].startswith("2 in ") and ", y = 5 in " in tried[0][0] and whole == before
    assert list(trying.variants(notebook(*small()))) == []


@pytest.mark.parametrize("pair", [("2", "3"), ("x", "y")])
def test_a_value_that_does_not_stand_there_once_is_named(pair):
    with pytest.raises(chapters.ChapterError, match=f"'{pair[0]}', to be tried otherwise, stands [02] times"):
        list(trying.variants(notebook(*small(cell("x = x_1 = 1", pair)))))


@pytest.mark.slow
def test_what_fails_with_another_value_is_told_and_exercises_are_no_part_of_it(tmp_path):
    checked = [code(SOLUTION, "solution"), code("assert x == 1", "check")]
    first = cell("x = 1", ("1", "2"), ("1", "0"))
    root = tree(tmp_path, one=small(first, *checked, code("print(1 / x)"), code("print(nowhere)", "raises-exception")))
    whole = chapters.read(chapters.find(root)[0].path)
    found = trying.report(whole, root)
    assert len(found) == 1 and found[0].startswith("with 0 in ")
    assert found[0].endswith("fails: ZeroDivisionError: division by zero")
