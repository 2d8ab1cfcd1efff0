"""The chapters of the book: they keep the rules, run at ``smoke``, and say the same twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from avlib.publish import chapters, check, suite

REPO = Path(__file__).resolve().parents[2]
CHAPTERS = [chapter.name for chapter in chapters.find(REPO)] if (REPO / "notebooks").is_dir() else []


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_chapter_keeps_every_rule_and_is_not_stale(repo, name):
    report = check.check(repo, [name])
    assert not report.failures, f"\n{report.text()}"


@pytest.mark.slow
@pytest.mark.notebooks
@pytest.mark.parametrize("name", CHAPTERS)
def test_the_chapter_runs_its_exercises_hold_and_it_says_the_same_twice(repo, tmp_path, name):
    problems = suite.test(repo, [name], out=tmp_path, jobs=1, say=lambda line: None)
    assert not problems, "\n".join(["", *problems])


@pytest.mark.slow
@pytest.mark.notebooks
def test_marked_outputs_of_stale_chapters_still_come_out(repo):
    problems = suite.verify(repo, stale=True, jobs=1, say=lambda line: None)
    assert not problems, "\n".join(["", *problems])
