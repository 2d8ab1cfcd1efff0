"""The rules of prose, the same for a chapter's Markdown cells and for the other pages of the book."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from avlib import provenance
from avlib.publish import chapters, prose

NUMBER = r"[-−+]?(?:\d[\d,]*\.?\d*|\.\d+)"
METRIC = (
    r"(?:accurac(?:y|ies)|precision|purity|[cC]?IoU|mIoU|AUC|mAP|AP|NMI|ARI|NSA|nDCG|F1|PSNR|SNR|SI-SDR|SDR|SIR|SAR|LocAP"
    r"|(?:recall|precision|R|P)@\d+|top-\d|median rank|pointing(?: game)?|IoU@\.?\d[.\d]*)"
)
LINK_WORDS = "of|is|was|are|at|to|by|about|around|roughly|nearly|over|above|below|under|only|reach(?:es|ed)?|score of"
JOIN = rf"(?:\s*(?:{LINK_WORDS}|[:=≈≥≤<>→|~(])){{0,3}}\s*"
PERCENT = re.compile(rf"{NUMBER}\s*(?:\\?%|per ?cent\b|percent\w*\b|(?:percentage )?points\b)", re.I)
METRIC_NUMBER = re.compile(
    rf"(?<![\w@-])(?:{METRIC}(?![\w@]|\.\d){JOIN}{NUMBER}(?![\w@]|\s+[a-z]{{3,}}s\b)|(?<![\w@.-]){NUMBER}\s+(?:of\s+)?{METRIC}(?![\w]))"
)
CONFLICT = re.compile(r"^(?:<{7}|>{7}|\|{7})(?: .*)?$", re.M)
OUTWARD = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//|mailto:|data:|attachment:|tel:")


@dataclass(frozen=True)
class Book:
    """What the rules need to know of the rest of the tree."""

    root: Path
    bibliography: frozenset[str] = frozenset()
    _anchors: dict[Path, set[str] | None] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path) -> Book:
        """Read the bibliography of ``root``."""
        keys: set[str] = set()
        for path in sorted((root / "book").glob("*.bib")):
            keys |= set(re.findall(r"^\s*@\w+\{\s*([^,\s]+)\s*,", path.read_text(encoding="utf-8"), re.M))
        return cls(root, frozenset(keys))

    def pages(self) -> list[Path]:
        """The Markdown pages below ``book/``, without what a build left there."""
        found = sorted((self.root / "book").rglob("*.md"))
        return [path for path in found if "_build" not in path.relative_to(self.root).parts]

    def anchors(self, path: Path) -> set[str] | None:
        """The anchors of a notebook or Markdown file; None for any other file."""
        if path not in self._anchors:
            text = _prose(path)
            self._anchors[path] = None if text is None else prose.anchors(text)
        return self._anchors[path]

    @cached_property
    def labels(self) -> set[str]:
        """Every label of the book, which any page may name, and those that a build gives the library's modules."""
        paths = [*self.pages(), *(chapter.path for chapter in chapters.find(self.root))]
        package = self.root / "avlib" if (self.root / "avlib").is_dir() else provenance.ROOT
        modules = (["avlib", *p.relative_to(package).with_suffix("").parts] for p in package.rglob("*.py"))
        names = ("-".join(part for part in parts if part != "__init__") for parts in modules)
        generated = {f"api-{name.replace('_', '-')}" for name in names}
        return generated.union(*(prose.labels(_prose(path) or "") for path in paths))


def _prose(path: Path) -> str | None:
    if path.suffix == ".ipynb":
        try:
            cells = chapters.read(path)["cells"]
        except chapters.ChapterError:
            return None  # which is said of that chapter
        return "\n\n".join(cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    return path.read_text(encoding="utf-8") if path.suffix == ".md" else None


def typed(text: str) -> Iterator[tuple[str, bool]]:
    """(number, does its sentence cite a source?) of each result that is typed into prose.

    Results are digits beside % or a metric's name. Free are code, mathematics (write a threshold as
    ``$\\mathrm{IoU} \\ge 0.5$`` or IoU@0.5), roles such as ``{glue:text}``, and block quotes that cite.
    """
    text = re.sub(r"(?:^>.*\n?)+", lambda m: "" if prose.CITE.search(m[0]) else m[0], text, flags=re.M)
    for sentence in prose.sentences(prose.without_code(text)):
        found = PERCENT.search(prose.plain(sentence)) or METRIC_NUMBER.search(prose.plain(sentence))
        if found:
            cited = prose.CITE.search(sentence) or re.search(r"\]\(https?://", sentence)
            yield " ".join(found[0].split()), bool(cited)


def conflict_marks(text: str) -> Iterator[str]:
    """Lines with which git marks what it could not merge."""
    yield from (match[0] for match in CONFLICT.finditer(text))


def unknown_citations(book: Book, text: str) -> Iterator[str]:
    """Cited keys that the bibliography lacks."""
    yield from (key for key in prose.citations(text) if key not in book.bibliography)


def broken_links(book: Book, path: Path, text: str) -> Iterator[tuple[str, str]]:
    """(target, what is wrong with it) of each link in ``text``, a part of the file ``path``, that leads nowhere."""
    found = [target for target, _, _ in prose.links(text)]
    for target in [*found, *(file for file, _ in prose.figures(text))]:
        if (reason := _broken(book, path, target)) is not None:
            yield re.sub(r"^(?:doc|ref):", "", target), reason


def _broken(book: Book, page: Path, target: str) -> str | None:
    if OUTWARD.match(target):
        return None
    if target.startswith("ref:"):
        return None if target[4:] in book.labels else f"there is no label {target[4:]!r}"
    document = target.startswith("doc:")
    name, _, anchor = target.removeprefix("doc:").partition("#")
    path = book.root / name[1:] if name.startswith("/") else page.parent / name
    if not name:
        path = page
    elif document:
        path = next((p for p in (path.with_name(path.name + end) for end in (".ipynb", ".md")) if p.exists()), path)
    if not path.exists() and "/" not in name and "." not in name and not anchor and not document:
        known = target in (book.anchors(page) or ()) or target in book.labels
        return None if known else f"{target!r} is neither a file nor a label"
    if not path.exists():
        return f"{target!r} does not exist"
    anchors = book.anchors(path.resolve()) if anchor else None
    if anchors is None or anchor in anchors or (not name and anchor in book.labels):
        return None
    return f"{target!r}: no heading or label of that name"
