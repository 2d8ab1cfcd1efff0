"""Pages of the book that are no chapters, and the table of contents: what a check catches before a build does."""

import pytest

from avlib.publish import pages
from avlib.publish.check import check
from avlib.publish.writing import Book
from tests.publish.sample import good, tree

TOC = "format: jb-book\nroot: book/index\nparts:\n  - chapters:\n      - file: notebooks/1_part/one\n"
TOC += "        sections:\n          - file: book/parts/part\n"
INDEX = "(home)=\n# Home\n\nSee [one](../notebooks/1_part/one.ipynb#a-chapter) {cite:p}`known2020`.\n"
INDEX += "\n:::{grid-item-card} Part\n:link: parts/part\n:link-type: doc\nRead.\n:::\n"
PART = "# Part\n\nBack [home](#home), to [the library](#api-avlib-errors) or {doc}`../index`.\nThey find 84 %"
PART += " {cite:t}`known2020`.\n\n```{glossary}\nterm\n  See [home](../index.md).\n```\n"


@pytest.fixture
def root(tmp_path):
    """A book of one chapter and two pages."""
    root = tree(tmp_path, one=good(), other=good())
    (root / "notebooks/1_part/other.ipynb").rename(root / "notebooks/1_part/.other.ipynb")
    (root / "book" / "parts").mkdir()
    (root / "_toc.yml").write_text(TOC)
    (root / "book" / "index.md").write_text(INDEX)
    (root / "book" / "parts" / "part.md").write_text(PART)
    return root


def said(root):
    """What is wrong with pages and contents."""
    return [str(p) for p in pages.contents(root, []) + pages.check(Book.of(root))]


def test_a_sound_book_passes(root):
    assert said(root) == []


BAD = [
    ("It is right in 87 % of cases.", "typed-number: line {}: '87 %'"),
    ("```{{glossary}}\nterm\n  Right in 87 % of cases.\n```", "typed-number: line {}: '87 %'"),
    ("Lost: [x](gone.md).", "links: line {}: 'gone.md' does not exist"),
    ("Lost: [x](index.md#nowhere).", "links: line {}: 'index.md#nowhere': no heading or label"),
    ("Lost: [x](#nowhere).", "links: line {}: '#nowhere': no heading or label"),
    ("Lost: [x](#api-avlib-gone).", "links: line {}: '#api-avlib-gone': no heading"),
    ("Lost: {{doc}}`gone`.", "links: line {}: 'doc:gone' does not exist"),
    ("Lost: {{ref}}`gone`.", "links: line {}: there is no label 'gone'"),
    (":::{{grid-item-card}} x\n:link: parts/gone\n:link-type: doc\n:::", "'doc:parts/gone' does not exist"),
    ("As {{cite:t}}`unknown2021` says.", "citations: line {}: 'unknown2021' is not in the bibliography"),
    ("<<<<<<< HEAD\nOurs.\n=======\nTheirs.\n>>>>>>> other", "conflict: line {}: holds a mark of"),
]


@pytest.mark.parametrize(
    ("text", "message"), BAD, ids=[message.split(":")[0] + f"-{i}" for i, (_, message) in enumerate(BAD)]
)
def test_a_bad_page_is_caught_at_its_line(root, text, message):
    (root / "book" / "index.md").write_text(f"{INDEX}\n{text.format()}\n")
    last = INDEX.count("\n") + 2
    wanted = [message.format(line) for line in (last, last + 1, last + 2)]
    assert any(line.startswith("book/index.md: ") and any(w in line for w in wanted) for line in said(root)), said(root)


def drop(line):
    """A change: the table of contents without a line."""
    return lambda root: (root / "_toc.yml").write_text(TOC.replace(line, ""))


CONTENTS = {
    "chapter": (
        drop("      - file: notebooks/1_part/one\n        sections:\n"),
        "notebooks/1_part/one.ipynb: contents: is",
    ),
    "page": (
        drop("        sections:\n          - file: book/parts/part\n"),
        "book/parts/part.md: contents: is in no table",
    ),
    "elsewhere": (
        lambda root: (root / "notebooks/1_part/.other.ipynb").rename(root / "notebooks/stray.ipynb"),
        "notebooks/stray.ipynb: contents: is in no table of contents: _toc.yml does not list it",
    ),
    "missing": (
        lambda root: (root / "notebooks/1_part/one.ipynb").unlink(),
        "_toc.yml: contents: line 5: lists 'notebooks/1_part/one', and there is no such file",
    ),
    "no YAML": (lambda root: (root / "_toc.yml").write_text("<<<<<<< HEAD\na: [\n"), "_toc.yml: contents: is not YAML"),
    "none": (
        lambda root: [(root / "_toc.yml").unlink(), (root / "_config.yml").touch()],
        "_toc.yml: contents: does not exist",
    ),
}


@pytest.mark.parametrize(("change", "message"), CONTENTS.values(), ids=CONTENTS)
def test_contents_that_do_not_fit_the_files(root, change, message):
    change(root)
    assert any(line.startswith(message) for line in said(root)), said(root)


def test_a_check_of_one_chapter_asks_for_its_place_in_the_contents_alone(root):
    (root / "book" / "index.md").write_text("It is right in 87 % of cases.")
    rules = [p.rule for p in check(root, ["one"]).problems]
    assert rules == ["stale", "links"]  # the other chapter is hidden
    drop("notebooks/1_part/one")(root)
    assert "contents" in [p.rule for p in check(root, ["one"]).problems]
    assert "typed-number" in [p.rule for p in check(root).problems]
