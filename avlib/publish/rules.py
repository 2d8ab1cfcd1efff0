"""The rules of a chapter: each is a function of one ``Page`` that yields what breaks it. ``RULES`` names them."""

from __future__ import annotations

import ast
import base64
import binascii
import json
import re
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from html.parser import HTMLParser
from typing import Any

from avlib import provenance
from avlib.publish import chapters, prose, record, trying, writing
from avlib.publish.chapters import Cell, Chapter, Notebook, tags
from avlib.publish.writing import Book

CODE_LINES = 15
"""Lines that a code cell may have, blank ones not counted."""
CODE_COLUMNS = 100
"""Width of a line of code that a page shows without scrolling."""
CODE_MEDIAN = 8
"""What half of a chapter's code cells must not exceed, lines."""
PROSE_WORDS = 160
"""Words that a Markdown cell may have; code, mathematics and tables are not counted."""
DESCRIPTION = (30, 300)
"""Least and greatest length of a chapter's description, characters."""
ALT_LENGTH = 15
"""Least length of an alternative text, characters."""
EXERCISES = 3
"""Exercises that a chapter has at least."""
PLAYER_BYTES = 300_000
"""Size of a playable figure beyond which it is noted."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        chapter: the chapter's name, or the path of a file that is none.
        path: the file, from the root.
        rule, message: which rule is broken, and how.
        cell, id: the cell, counted from 1 (0: the whole chapter), and its id.
        line: the line of a page, counted from 1 (0: the whole page).
        level: "fail" or "note".
    """

    chapter: str
    rule: str
    message: str
    cell: int = 0
    id: str = ""
    level: str = "fail"
    path: str = ""
    line: int = 0

    @property
    def place(self) -> str:
        """Where in the file, with a colon and a space; nothing where it is the whole file."""
        if self.cell:
            return f"cell {self.cell} ({self.id}): "
        return f"line {self.line}: " if self.line else ""

    def __str__(self) -> str:
        return f"{self.path or self.chapter}: {self.rule}: {self.place}{self.message}"


@dataclass(frozen=True)
class Page:
    """A chapter under inspection."""

    chapter: Chapter
    notebook: Notebook
    book: Book

    @cached_property
    def cells(self) -> list[tuple[int, Cell]]:
        """All cells, counted from 1."""
        return list(enumerate(self.notebook["cells"], 1))

    @cached_property
    def code(self) -> list[tuple[int, Cell]]:
        """Code cells, with their places among all cells."""
        return [(i, c) for i, c in self.cells if c["cell_type"] == "code"]

    @cached_property
    def markdown(self) -> list[tuple[int, Cell]]:
        """Markdown cells, with their places among all cells."""
        return [(i, c) for i, c in self.cells if c["cell_type"] == "markdown"]

    @property
    def ran(self) -> bool:
        """Was any cell executed?"""
        return any(cell.get("execution_count") is not None for _, cell in self.code)

    def outputs(self) -> Iterator[tuple[int, Cell, dict[str, Any]]]:
        """Each output with its cell."""
        return ((i, cell, output) for i, cell in self.code for output in cell.get("outputs", []))

    def problem(self, rule: str, message: str, at: int = 0, level: str = "fail") -> Problem:
        """A problem of this page; ``at`` is the cell, counted from 1."""
        name = str(self.notebook["cells"][at - 1].get("id", "")) if at else ""
        return Problem(self.chapter.name, rule, message, at, name, level, self.chapter.where)


def parameters(page: Page) -> Iterator[Problem]:
    """One parameters cell of literals, with ``profile`` and ``seed``."""
    try:
        found = chapters.parameters(page.notebook, "the chapter")
    except chapters.ChapterError as error:
        yield page.problem("parameters", str(error))
        return
    for name in {"profile", "seed"} - found.keys():
        yield page.problem("parameters", f"the parameters cell has no {name!r}")


def kernel(page: Page) -> Iterator[Problem]:
    """The notebook asks for the kernel that every chapter has."""
    due, found = chapters.KERNEL["name"], page.notebook["metadata"].get("kernelspec", {})
    if (found.get("name"), found.get("language", "python")) != (due, "python"):
        shown = f"{found.get('name')!r} ({found.get('language')})" if found else "missing"
        yield page.problem("kernel", f"the notebook's kernel is {shown}; it must be {due!r} (python)")


def opening(page: Page) -> Iterator[Problem]:
    """Title and description in the first cell."""
    title, description = chapters.opening(page.notebook)
    shortest, longest = DESCRIPTION
    if not title:
        yield page.problem("opening", "the first cell does not begin with '# Title'")
    elif not shortest <= len(description) <= longest:
        found = f"is {len(description)} characters" if description else "is missing"
        yield page.problem(
            "opening", f"the paragraph under the title {found}; it is the page's description, {shortest} to {longest}"
        )


def counts(page: Page) -> Iterator[Problem]:
    """Every code cell ran, once, from top to bottom."""
    if page.code and not page.ran:
        yield page.problem("counts", f"none of its {len(page.code)} code cells was executed")
        return
    expected = 0
    for i, cell in page.code:
        if not cell["source"].strip():
            yield page.problem("counts", "the code cell is empty", i)
            continue
        expected += 1
        count = cell.get("execution_count")
        if count is None:
            yield page.problem("counts", "was not executed (its count is null)", i)
        elif count != expected:
            yield page.problem("counts", f"ran as [{count}] where [{expected}] is due", i)


def outputs(page: Page) -> Iterator[Problem]:
    """No error that is not meant, nothing on stderr, no path or address of one machine."""
    for i, cell, output in page.outputs():
        if output["output_type"] == "error" and "raises-exception" not in tags(cell):
            yield page.problem("outputs", f"holds an error: {output.get('ename')}: {output.get('evalue')}", i)
        if output["output_type"] == "stream" and output.get("name") == "stderr":
            yield page.problem("outputs", f"wrote to stderr: {output['text'].strip().split(chr(10))[-1][:90]!r}", i)
        texts = [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
        for text in texts:
            trace = re.search(r"(?<![\w/])/(?:home|Users|root|tmp|var|work)/[\w./-]+|\bat 0x[0-9a-f]{6,}", text)
            if trace:
                yield page.problem("outputs", f"prints something of one machine: {trace[0]!r}", i)


def edited(page: Page) -> Iterator[Problem]:
    """Outputs and marks are those that the chapter's run left."""
    for at, message in record.edits(page.notebook) if page.ran else ():
        yield page.problem("edited", message, at + 1 if at is not None else 0)


def length(page: Page) -> Iterator[Problem]:
    """Short cells: code by its lines (and their median) and their width, Markdown by its words."""
    sizes = []
    for i, cell in page.code:
        rows = cell["source"].split("\n")
        lines = sum(1 for row in rows if row.strip())
        if "quiz" in tags(cell):
            continue
        sizes.append(lines)
        if lines > CODE_LINES:
            yield page.problem("length", f"{lines} lines of code; at most {CODE_LINES}", i)
        widest = max(map(len, rows))
        if widest > CODE_COLUMNS:
            yield page.problem("length", f"a line of {widest} columns; at most {CODE_COLUMNS}", i)
    if sizes and statistics.median(sizes) > CODE_MEDIAN:
        yield page.problem(
            "length", f"half of the code cells have more than {CODE_MEDIAN} lines (median {statistics.median(sizes):g})"
        )
    for i, cell in page.markdown:
        if (count := prose.words(cell["source"])) > PROSE_WORDS:
            yield page.problem("length", f"{count} words; at most {PROSE_WORDS}", i)


def imports(page: Page) -> Iterator[Problem]:
    """No star imports."""
    for i, cell in page.code:
        if re.search(r"^\s*from\s+\S+\s+import\s+\*", cell["source"], re.M):
            yield page.problem("imports", "imports with a star; name what the chapter uses", i)


class _Page(HTMLParser):
    """The elements of an HTML output that can be dead or lack a description."""

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], bool]] = []
        self.texts: list[tuple[dict[str, str | None], str]] = []
        self._labelled: list[str] = []
        self._script: dict[str, str | None] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, found, bool(self._labelled)))
        self._script = found if tag == "script" else None
        if tag in ("figure", "div", "section") and (self._labelled or (found.get("aria-label") or "").strip()):
            self._labelled.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._script = None
        if self._labelled and self._labelled[-1] == tag:
            self._labelled.pop()

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.texts.append((self._script, data))


def _html(page: Page) -> Iterator[tuple[int, Cell, str]]:
    for i, cell, output in page.outputs():
        html = output.get("data", {}).get("text/html")
        if isinstance(html, str):
            yield i, cell, html


def alt(page: Page) -> Iterator[Problem]:
    """Every picture says in words what it shows."""
    for i, cell, output in page.outputs():
        data = output.get("data", {})
        picture = any(mime.startswith("image/") for mime in data) and "text/html" not in data
        words = str(cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")).strip()
        if picture and len(words) < ALT_LENGTH:
            found = f"only {words!r}" if words else "none"
            yield page.problem(
                "alt", f"the figure's alternative text (cell metadata mystnb.image.alt) is missing: {found}", i
            )
    for i, _, html in _html(page):
        for tag, attributes, inside in _Page(html).elements:
            words = (attributes.get("alt") or "").strip()
            if tag == "img" and not words and not (inside and "alt" in attributes):
                yield page.problem("alt", "a picture in the HTML output has no alternative text", i)
            if "av" in (attributes.get("class") or "").split() and not (attributes.get("aria-label") or "").strip():
                yield page.problem("alt", "a player has no alternative text (aria-label)", i)
    for i, cell in page.markdown:
        for target, words, image in prose.links(cell["source"]):
            if image and not words.strip():
                yield page.problem("alt", f"the picture {target} has no alternative text", i)
        for target, described in prose.figures(cell["source"]):
            if not described:
                yield page.problem("alt", f"the figure {target} has no :alt:", i)


def _dead(source: str) -> str | None:
    """Why an embedded source shows nothing, or None."""
    if not source.strip():
        return "an empty source"
    match = re.match(r"data:([\w/+.-]+)?((?:;[\w=.+-]+)*),(.*)", source, re.S)
    if match is None:
        return f"a source outside of the page ({source[:60]})"
    if ";base64" in (match[2] or ""):
        try:
            size = len(base64.b64decode("".join(match[3].split()), validate=True))
        except (binascii.Error, ValueError):
            return "broken base64"
    else:
        size = len(match[3])
    return None if size >= 24 else f"only {size} bytes of {match[1]}"


def players(page: Page) -> Iterator[Problem]:
    """What can be played carries its sound and pictures with it, and they can be read."""
    for i, _, html in _html(page):
        if len(html) > PLAYER_BYTES * 2:
            yield page.problem("players", f"{len(html) / 1e3:.0f} kB of HTML in one output", i, "note")
        parsed = _Page(html)
        for tag, attributes, _ in parsed.elements:
            if tag in ("img", "audio", "video", "source", "embed"):
                nested = tag in ("audio", "video") and "src" not in attributes and "<source" in html
                reason = None if nested else _dead(attributes.get("src") or "")
                if reason:
                    yield page.problem("players", f"<{tag}> has {reason}", i)
            kinds = (attributes.get("class") or "").split()
            if "av-player" in kinds and not any(t in ("audio", "video") for t, _, _ in parsed.elements):
                yield page.problem("players", "a player holds no sound", i)
        for attributes, text in parsed.texts:
            if attributes.get("type") == "application/json" and not _loads(text):
                yield page.problem("players", "a player's data is empty or not JSON", i)


def _loads(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def typed_numbers(page: Page) -> Iterator[Problem]:
    """No result is typed into prose; in a cell tagged ``typed-number`` it may be quoted with its source."""
    for i, cell in page.markdown:
        quoting = "typed-number" in tags(cell)
        for found, cited in writing.typed(cell["source"]):
            if not (quoting and cited):
                why = (
                    "its sentence cites no source"
                    if quoting
                    else "read it from results, or quote it (tag typed-number) with its source"
                )
                yield page.problem("typed-number", f"{found!r}: {why}", i)


def links(page: Page) -> Iterator[Problem]:
    """Links within the book lead somewhere, anchors included."""
    for i, cell in page.markdown:
        for _, reason in writing.broken_links(page.book, page.chapter.path, cell["source"]):
            yield page.problem("links", reason, i)


def citations(page: Page) -> Iterator[Problem]:
    """Every cited key is in the bibliography."""
    for i, cell in page.markdown:
        for key in writing.unknown_citations(page.book, cell["source"]):
            yield page.problem("citations", f"{key!r} is not in the bibliography", i)


def conflicts(page: Page) -> Iterator[Problem]:
    """No cell holds the marks of a merge that somebody left unfinished."""
    for i, cell in page.cells:
        for mark in writing.conflict_marks(cell["source"]):
            yield page.problem("conflict", f"holds a mark of an unfinished merge: {mark!r}", i)


def exercises(page: Page) -> Iterator[Problem]:
    """Enough exercises; each solution is marked, cut cleanly and checked."""
    from avlib.publish.editions import ExerciseError, solution_pairs, stub

    text = "\n".join(cell["source"] for _, cell in page.markdown)
    count = len(re.findall(r"^[`:]{3,}\{exercise(?:-start)?\}", text, re.M))
    if count < EXERCISES:
        yield page.problem("exercises", f"{count} exercises; at least {EXERCISES}")
    try:
        pairs = solution_pairs(page.notebook)
    except ExerciseError as error:
        yield page.problem("exercises", str(error), error.cell + 1)
        return
    if not pairs and count:
        yield page.problem("exercises", "no cell is tagged 'solution'")
    for at, _ in pairs:
        source = stub(page.notebook["cells"][at]["source"])
        try:
            ast.parse(provenance.python_of(source)[0])
        except SyntaxError as error:
            yield page.problem(
                "exercises", f"what is left of the solution in the student edition is not Python: {error.msg}", at + 1
            )


def other_values(page: Page) -> Iterator[Problem]:
    """What a cell says that readers may change stands there."""
    for i, cell in page.code:
        for fault in trying.faults(cell):
            yield page.problem("try", fault, i)


def check_messages(page: Page) -> Iterator[Problem]:
    """Whoever solves an exercise is told what is wrong: each assertion of a check has a message, with a first hint."""
    for i, cell in page.code:
        if "check" not in tags(cell):
            continue
        try:
            tree = ast.parse(provenance.python_of(cell["source"])[0])
        except SyntaxError:
            continue  # said of the chapter's code
        bare = [ast.unparse(node).split("\n")[0] for node in ast.walk(tree) if _is_mute(node)]
        if bare:
            said = f"a failure says nothing of what is wrong, nor a first hint: {bare[0][:60]!r}"
            yield page.problem("check-message", said, i)


def _is_mute(node: ast.AST) -> bool:
    """Is it an assertion without a message, a plain one or a call of ``assert_close`` and its kin?"""
    if isinstance(node, ast.Assert):
        return node.msg is None
    name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
    given = {word.arg for word in node.keywords} if isinstance(node, ast.Call) else set()
    return name.startswith("assert_") and not given & {"msg", "err_msg"}


def quiz(page: Page) -> Iterator[Problem]:
    """One quiz a chapter."""
    found = sum("quiz" in tags(cell) for _, cell in page.code)
    if found != 1:
        yield page.problem("quiz", f"{found or 'no'} cells are tagged 'quiz'; one is due")


def install(page: Page) -> Iterator[Problem]:
    """The chapter can be opened on Colab, from the address in ``_config.yml``."""
    from avlib.publish import launch

    due = launch.source(page.book.root)
    reason = launch.missing(page.notebook, due) if due else None
    if reason:
        yield page.problem("install", f"{reason}: 'avlib book address' writes it")


def hidden(page: Page) -> Iterator[Problem]:
    """Nothing that teaches is removed from the page."""
    for i, cell in page.code:
        if {"install", "quiz"} & set(tags(cell)):
            continue
        for tag in ("remove-cell", "remove-input", "hide-cell"):
            if tag in tags(cell):
                yield page.problem(
                    "hidden", f"is tagged {tag!r}: a reader of the site does not see what runs", i, "note"
                )


def nbval(page: Page) -> Iterator[Problem]:
    """Marked cells are ones that nbval really compares."""
    from avlib.publish.nbcheck import traps

    for at, message in traps(page.notebook):
        if at is not None and not page.ran:
            continue  # said once, by ``counts``
        yield page.problem("nbval", message, at + 1 if at is not None else 0)


Rule = Callable[[Page], Iterator[Problem]]
RULES: dict[str, Rule] = {
    "parameters": parameters,
    "kernel": kernel,
    "opening": opening,
    "counts": counts,
    "outputs": outputs,
    "edited": edited,
    "length": length,
    "imports": imports,
    "alt": alt,
    "players": players,
    "typed-number": typed_numbers,
    "links": links,
    "citations": citations,
    "conflict": conflicts,
    "exercises": exercises,
    "check-message": check_messages,
    "try": other_values,
    "quiz": quiz,
    "install": install,
    "hidden": hidden,
    "nbval": nbval,
}
