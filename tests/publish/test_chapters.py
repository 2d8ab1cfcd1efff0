"""The chapters of the book keep the rules.

Whether they are current is for ``avlib book check``, whether they run for ``avlib book test``: see ``make test``.
"""

from pathlib import Path

import pytest

from avlib.publish import chapters, check

REPO = Path(__file__).resolve().parents[2]
CHAPTERS = [chapter.name for chapter in chapters.find(REPO)]


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_chapter_keeps_every_rule(repo, name):
    report = check.check(repo, [name])
    assert not [p for p in report.failures if p.rule != "stale"], f"\n{report.text()}"
