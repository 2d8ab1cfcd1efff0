"""Is the book as it should be? Every rule on every chapter, and which outputs are out of date. Nothing is executed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from avlib.publish import chapters, record
from avlib.publish.chapters import Chapter, ChapterError
from avlib.publish.rules import RULES, Book, Page, Problem


@dataclass(frozen=True)
class Report:
    """What a check found: chapters looked at, and their problems."""

    chapters: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def failures(self) -> list[Problem]:
        """The problems that fail the check; the others are notes."""
        return [problem for problem in self.problems if problem.level == "fail"]

    def text(self) -> str:
        """For people: the problems by chapter, then a line that sums up."""
        lines = []
        for name in self.chapters:
            mine = [p for p in self.problems if p.chapter == name]
            lines += [name] if mine else []
            for p in mine:
                place = f"cell {p.cell} ({p.id}): " if p.cell else ""
                lines.append(f"  {'note  ' if p.level == 'note' else ''}{p.rule}: {place}{p.message}")
        notes = len(self.problems) - len(self.failures)
        counted = (len(self.chapters), "chapter"), (len(self.failures), "problem"), (notes, "note")
        chapters_, *rest = (_plural(count, noun) for count, noun in counted)
        lines.append(f"{chapters_}: {', '.join(rest)}")
        return "\n".join(lines)

    def json(self) -> str:
        """For programs."""
        found = {"ok": not self.failures, "chapters": self.chapters, "problems": [asdict(p) for p in self.problems]}
        return json.dumps(found, indent=1, ensure_ascii=False)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def check(root: Path, names: Sequence[str] = (), *, strict: bool = False) -> Report:
    """Check chapters (all when ``names`` is empty). With ``strict``, a stale record of claims fails too.

    Raises:
        ValueError: an unknown chapter.
    """
    picked = chapters.find(root, names)
    book = Book.of(root)
    problems = [problem for chapter in picked for problem in _problems(chapter, book, strict)]
    return Report(tuple(chapter.name for chapter in picked), tuple(problems))


def _problems(chapter: Chapter, book: Book, strict: bool) -> list[Problem]:
    try:
        page = Page(chapter, chapters.read(chapter.path), book)
    except ChapterError as error:
        return [Problem(chapter.name, "format", str(error))]
    found = [page.problem("stale", reason) for reason in record.reasons(page.notebook, book.root)]
    level = "fail" if strict else "note"
    found += [page.problem("claims", line, level=level) for line in record.stale_claims(page.notebook, book.root)]
    for rule in RULES.values():
        found += rule(page)
    return found
