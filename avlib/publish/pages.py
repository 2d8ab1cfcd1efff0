"""The pages of the book that are no chapters, and the table of contents that holds both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from avlib.publish import launch, writing
from avlib.publish.chapters import Chapter
from avlib.publish.rules import Problem
from avlib.publish.writing import Book

TOC = "_toc.yml"
ENDINGS = (".md", ".ipynb")


def check(book: Book) -> list[Problem]:
    """What breaks a rule of prose on a page below ``book/``."""
    return [problem for path in book.pages() for problem in _page(book, path)]


def _page(book: Book, path: Path) -> Iterator[Problem]:
    where, text = path.relative_to(book.root).as_posix(), path.read_text(encoding="utf-8")

    def problem(rule: str, message: str, words: str) -> Problem:
        return Problem(where, rule, message, path=where, line=_line(text, words))

    for mark in writing.conflict_marks(text):
        yield problem("conflict", f"holds a mark of an unfinished merge: {mark!r}", mark)
    for found, cited in writing.typed(text):
        if not cited:
            yield problem("typed-number", f"{found!r}: let a chapter show it, or cite its source beside it", found)
    for target, reason in writing.broken_links(book, path, text):
        yield problem("links", reason, target)
    for key in writing.unknown_citations(book, text):
        yield problem("citations", f"{key!r} is not in the bibliography", key)


def _line(text: str, words: str) -> int:
    """The first line that holds ``words``, or their beginning where they are broken over lines; 0 without one."""
    lines = text.split("\n")
    for wanted in (words, words.split(" ")[0]):
        if (at := next((n for n, line in enumerate(lines, 1) if wanted in line), 0)) > 0:
            return at
    return 0


def addresses(root: Path) -> list[Problem]:
    """Files that keep an address which ``_config.yml`` has no more."""
    why = "names an address that _config.yml does not: 'avlib book address' writes it"
    places = [path.relative_to(root).as_posix() for path in launch.outdated(root)]
    return [Problem(where, "install", why, path=where) for where in places]


def contents(root: Path, picked: Sequence[Chapter], whole: bool = True) -> list[Problem]:
    """What ``_toc.yml`` leaves out or names in vain; unless ``whole``, only which of the chapters it leaves out.

    A folder with neither ``_config.yml`` nor ``_toc.yml`` is no site, and has no contents.
    """
    import yaml

    path = root / TOC
    if not path.exists():
        missing = Problem(TOC, "contents", "does not exist: without it there is no site", path=TOC)
        return [missing] if (root / "_config.yml").exists() and whole else []
    text = path.read_text(encoding="utf-8")
    try:
        listed = list(_listed(yaml.safe_load(text)))
    except yaml.YAMLError as error:
        return [Problem(TOC, "contents", f"is not YAML: {' '.join(str(error).split())}", path=TOC)]
    found = []
    for place in _sources(root) if whole else [chapter.path for chapter in picked]:
        where = place.relative_to(root).as_posix()
        if not {where, where.removesuffix(place.suffix)} & set(listed):
            name = place.stem if place.suffix == ".ipynb" else where
            found.append(Problem(name, "contents", f"is in no table of contents: {TOC} does not list it", path=where))
    for name in listed if whole else ():
        if not any((root / f"{name}{ending}").is_file() for ending in ("", *ENDINGS)):
            message = f"lists {name!r}, and there is no such file"
            found.append(Problem(TOC, "contents", message, path=TOC, line=_line(text, name)))
    return found


def _listed(item: Any) -> Iterator[str]:
    """Every file that a table of contents names, however deep."""
    if isinstance(item, dict):
        for key, value in item.items():
            yield from [str(value)] if key in ("file", "root") else _listed(value)
    elif isinstance(item, list):
        for each in item:
            yield from _listed(each)


def _sources(root: Path) -> list[Path]:
    """Every page that a reader could be shown: notebooks, and Markdown below ``book/``."""
    found = [*(root / "notebooks").rglob("*.ipynb"), *(p for e in ENDINGS for p in (root / "book").rglob(f"*{e}"))]
    inner = {path: path.relative_to(root).parts for path in sorted(found)}
    return [path for path, parts in inner.items() if not any(p.startswith(".") or p == "_build" for p in parts)]
