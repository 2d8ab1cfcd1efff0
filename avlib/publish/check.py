"""Is the book as it should be? Every rule on every chapter and page, and which outputs are out of date.

Nothing is executed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from avlib.publish import chapters, pages, record
from avlib.publish.chapters import Chapter, ChapterError
from avlib.publish.rules import RULES, Page, Problem
from avlib.publish.writing import Book


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
        """For people: the problems by file, then a line that sums up."""
        lines = []
        for path in dict.fromkeys(p.path for p in self.problems):
            mine = [p for p in self.problems if p.path == path]
            lines.append(path)
            lines += [f"  {'note  ' if p.level == 'note' else ''}{p.rule}: {p.place}{p.message}" for p in mine]
        return "\n".join([*lines, self.sum()])

    def sum(self) -> str:
        """How many chapters, problems and notes there are."""
        notes = len(self.problems) - len(self.failures)
        counted = (len(self.chapters), "chapter"), (len(self.failures), "problem"), (notes, "note")
        chapters_, *rest = (_plural(count, noun) for count, noun in counted)
        return f"{chapters_}: {', '.join(rest)}"

    def github(self, root: Path) -> str:
        """For GitHub: an annotation for each problem, at its line of the file, then the line that sums up."""
        return "\n".join([*(_annotation(problem, root) for problem in self.problems), self.sum()])

    def json(self) -> str:
        """For programs."""
        found = {"ok": not self.failures, "chapters": self.chapters, "problems": [asdict(p) for p in self.problems]}
        return json.dumps(found, indent=1, ensure_ascii=False)


def _annotation(problem: Problem, root: Path) -> str:
    """One workflow command, escaped as GitHub reads it."""
    level = "error" if problem.level == "fail" else "notice"
    line = problem.line or _line_of_cell(root / problem.path, problem.id)
    place = {"file": problem.path, "line": str(line) if line else "", "title": problem.rule}
    about = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in place.items() if value)
    return f"::{level} {about}::{_escaped(problem.place + problem.message)}"


def _escaped(text: str, more: str = "") -> str:
    for letter in "%\r\n" + more:
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text


def _line_of_cell(path: Path, name: str) -> int:
    """Where a notebook's file names a cell; 0 where there is no such line."""
    if not name or not path.is_file():
        return 0
    lines = path.read_text(encoding="utf-8").split("\n")
    return next((n for n, line in enumerate(lines, 1) if f'"id": {json.dumps(name)}' in line), 0)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def check(root: Path, names: Sequence[str] = (), *, strict: bool = False) -> Report:
    """Check chapters, or when ``names`` is empty the whole book: all chapters, the other pages, the contents.

    With ``strict``, a stale record of claims fails too, and outputs that cannot be compared with those of their run.

    Raises:
        ValueError: an unknown chapter.
    """
    picked = chapters.find(root, names)
    book = Book.of(root)
    problems = [problem for chapter in picked for problem in _problems(chapter, book, strict)]
    problems += pages.contents(root, picked, whole=not names)
    if not names:
        problems += [*pages.check(book), *pages.addresses(root)]
    return Report(tuple(chapter.name for chapter in picked), tuple(problems))


def _problems(chapter: Chapter, book: Book, strict: bool) -> list[Problem]:
    try:
        page = Page(chapter, chapters.read(chapter.path), book)
    except ChapterError as error:
        return [Problem(chapter.name, "format", str(error), path=chapter.where)]
    found = [page.problem("stale", reason) for reason in record.reasons(page.notebook, book.root)]
    level = "fail" if strict else "note"
    found += [page.problem("claims", line, level=level) for line in record.stale_claims(page.notebook, book.root)]
    if page.notebook["metadata"].get(record.KEY) and not record.fingerprinted(page.notebook):
        why = f"executed before outputs were fingerprinted: 'avlib book execute {chapter.name}'"
        found.append(page.problem("edited", why, level=level))
    for rule in RULES.values():
        found += rule(page)
    return found
