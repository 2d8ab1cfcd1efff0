"""What ``make test`` asks of the chapters."""

import pytest

from avlib.publish import chapters, nbcheck, record, suite
from tests.publish.sample import SOLUTION, chapter, code, small, tree

MARKED = code("print(seed)", "nbval-check-output")
EXERCISE = [code(SOLUTION, "solution"), code("assert double(2) == 4", "check")]


@pytest.mark.slow
def test_each_kind_of_fault_is_told(tmp_path):
    draws = "import random\nprint(random.random())"
    weak = code("callable(double)", "check")
    root = tree(
        tmp_path / "book",
        sound=small(MARKED, *EXERCISE),
        fails=small(MARKED, code("assert profile == 'cpu'")),
        draws=small(code(draws, "nbval-check-output"), EXERCISE[0], weak),
    )
    before = {path: path.read_bytes() for path in root.glob("notebooks/*/*.ipynb")}
    problems = suite.test(root, out=tmp_path / "out", say=lambda line: None)
    assert len(problems) == 3, problems
    assert problems[0].startswith("fails: ") and "AssertionError" in problems[0]
    assert problems[1].startswith("draws: nbval: ") and "Cell outputs differ" in problems[1]
    assert problems[2].startswith("draws: exercises: ") and "the checks test nothing" in problems[2]
    assert {path: path.read_bytes() for path in root.glob("notebooks/*/*.ipynb")} == before


def test_only_stale_chapters_are_verified_where_that_is_asked(tmp_path, monkeypatch):
    root = tree(tmp_path, fresh=small(MARKED), old=small(MARKED))
    path = chapter(root, "fresh").path
    made = chapters.read(path)
    made["metadata"]["avlib"] = record.make(record.now(made, root, "cpu", 0), root, "cpu", 0, 1.0, 10**9)
    chapters.write(path, made)

    def compare(root, paths, jobs):
        return [nbcheck.Verdict(path.stem, 1, ("differs",)) for path in paths]

    monkeypatch.setattr(nbcheck, "compare", compare)
    assert suite.verify(root, stale=True, say=lambda line: None) == ["old: nbval: differs"]
    assert suite.verify(root, say=lambda line: None) == ["fresh: nbval: differs", "old: nbval: differs"]
