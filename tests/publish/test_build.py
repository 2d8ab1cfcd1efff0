"""The site: what staging adds, and that a build with faults leaves the site that was there."""

import json
import re
import shutil
from pathlib import Path

import pytest

from avlib.publish import build, chapters, record
from tests.publish.sample import chapter, good, markdown, notebook, tree

CONFIG = """title: T
execute: {execute_notebooks: "off"}
only_build_toc_files: true
bibtex_bibfiles: [book/references.bib]
sphinx:
  extra_extensions: [sphinx_exercise]
  config: {language: en, suppress_warnings: [bibtex]}
"""
TOC = "format: jb-book\nroot: book/index\nchapters:\n  - file: notebooks/1_part/one\n"


@pytest.fixture
def root(tmp_path):
    """A book of two pages."""
    cells = good()
    cells[2]["source"] = "Prose with $a^2$ and no citation."
    root = tree(tmp_path, one=cells)
    (root / "_config.yml").write_text(CONFIG)
    (root / "_toc.yml").write_text(TOC)
    (root / "book" / "index.md").write_text("# Home\n\nHere.\n")
    return root


def test_a_staged_chapter_gains_its_line_its_description_and_folded_solutions(root):
    one = chapter(root, "one")
    source = chapters.read(one.path)
    source["metadata"]["avlib"] = record.make(record.now(source, root, "cpu", 0), root, "cpu", 0, 74.2, 1_100_000_000)
    page = build.staged(source, one, "instructor")
    assert re.match(
        r"# A chapter\n\n<p class=\"avlib-provenance\">Run on .* 74 s .* stale: no</p>\n\nIt shows",
        page["cells"][0]["source"],
    )
    assert "avlib-provenance" not in source["cells"][0]["source"] and "avlib" not in page["metadata"]
    assert page["metadata"]["myst"]["html_meta"]["description"].startswith("It shows in a few cells")
    assert "hide-cell" in chapters.tags(page["cells"][7])
    student = build.staged(source, one, "student")
    assert "return 2 * x" not in chapters.dumps(student) and "hide-cell" not in chapters.dumps(student)


def test_a_table_has_no_heading_without_text(root):
    source = chapters.read(chapter(root, "one").path)
    source["cells"][4]["outputs"][0]["data"]["text/html"] = "<table><tr><th></th><th>a</th></tr></table>"
    page = build.staged(source, chapter(root, "one"), "instructor")
    assert page["cells"][4]["outputs"][0]["data"]["text/html"] == "<table><tr><td></td><th>a</th></tr></table>"


@pytest.mark.parametrize("edition", build.EDITIONS)
def test_a_quiz_is_staged_without_the_code_that_answers_it(root, edition):
    page = build.staged(chapters.read(chapter(root, "one").path), chapter(root, "one"), edition)
    ((_, cell),) = chapters.tagged(page, "quiz")
    assert chapters.tags(cell) == ["quiz", "remove-input"] and cell["metadata"]["jupyter"] == {"source_hidden": True}
    assert cell["outputs"]
    ((_, kept),) = chapters.tagged(chapters.normalise(notebook(*good())), "quiz")
    assert kept["metadata"] == cell["metadata"]


def test_solutions_within_a_directive_are_not_folded_twice(root):
    cells = good()
    cells[7:8] = [markdown("```{solution-start} ex-1\n```"), cells[7], markdown("```{solution-end}\n```")]
    page = build.staged(notebook(*cells), chapter(root, "one"), "instructor")
    assert not any("hide-cell" in chapters.tags(cell) for cell in page["cells"])


def test_an_unchanged_source_keeps_its_time_and_a_removed_one_goes(root):
    folder = root / "book" / "_build" / "stage" / "instructor"
    build.stage(root, "instructor", folder)
    (root / "book" / "extra.md").write_text("# Extra\n")
    build.stage(root, "instructor", folder)
    times = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    (root / "book" / "extra.md").unlink()
    build.stage(root, "instructor", folder)
    now = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    assert set(times) - set(now) == {folder / "book" / "extra.md"} and all(times[p] == now[p] for p in now)
    build.stage(root, "student", folder)
    assert "hide_solutions: true" in (folder / "_config.yml").read_text()
    with pytest.raises(ValueError, match="unknown edition of the site 'recall'"):
        build.build(root, edition="recall")


@pytest.mark.slow
def test_a_second_build_keeps_the_glossary_and_each_chapter_counts_its_exercises(root, repo):
    cells = chapters.read(chapter(root, "one").path)["cells"]
    cells[6]["source"] = cells[6]["source"].replace("label: ex-", "label: two-")
    tree(root, two=cells)
    extended = CONFIG.replace("  config:", f"  local_extensions: {{avlib_site: {repo / 'book' / '_ext'}}}\n  config:")
    (root / "_config.yml").write_text(extended)
    words = "\n```{glossary}\nloudness\n  How loud it is.\n```\n"
    (root / "book" / "words.md").write_text(f"# Words\n{words}")
    (root / "_toc.yml").write_text(f"{TOC}  - file: notebooks/1_part/two\n  - file: book/words\n")
    for text in ("Here.", "Here, and edited."):
        (root / "book" / "index.md").write_text(f"# Home\n\n{text}\n")
        site = build.build(root, say=lambda line: None).parent
        found = json.loads((site / "searchindex.js").read_text().removeprefix("Search.setIndex(").removesuffix(")"))
        assert "loudness" in found["indexentries"], text
        for name in ("one", "two"):
            page = (site / "notebooks" / "1_part" / f"{name}.html").read_text()
            assert re.findall(r"Exercise (\d+)", page)[:3] == ["1", "2", "3"], (text, name)
    assert chapters.read(site / "_sources" / "notebooks" / "1_part" / "one.ipynb")["cells"]


@pytest.mark.slow
def test_a_build_with_faults_leaves_the_site_that_was_there(root):
    index = build.build(root, say=lambda line: None)
    assert index == root / "book" / "_build" / "html" / "index.html" and index.exists()
    page = (index.parent / "notebooks" / "1_part" / "one.html").read_text()
    assert "avlib-provenance" in page and '<meta content="It shows in a few cells' in page
    before = sorted(index.parent.rglob("*"))
    (root / "book" / "index.md").write_text("# Home\n\n[gone](nowhere.md)\n")
    with pytest.raises(RuntimeError, match=r"book/index.md:3: WARNING.*nowhere"):
        build.build(root, say=lambda line: None)
    assert sorted(index.parent.rglob("*")) == before


@pytest.fixture
def never(monkeypatch):
    """jupyter-book may not start."""

    def start(*_, **__):
        raise AssertionError("jupyter-book was started")

    monkeypatch.setattr(build, "_jupyter_book", start)


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        (".", FileExistsError, "is not replaced: it is, or holds, the current folder; give a new or empty one"),
        ("..", FileExistsError, "is not replaced: it is, or holds, the current folder"),
        ("/", FileExistsError, "^/ is not replaced"),
        ("../docs", FileExistsError, "docs is not replaced: it holds files that avlib did not put there; give a new"),
        ("_toc.yml", NotADirectoryError, "_toc.yml is a file, and a folder is needed"),
        ("notebooks", ValueError, "notebooks lies among the sources of the book"),
        ("notebooks/site", ValueError, "site lies among the sources of the book"),
        ("book", ValueError, "book lies among the sources of the book"),
        ("book/_build", FileExistsError, "_build is not replaced"),
    ],
)
def test_a_place_that_holds_something_is_refused_before_the_build(
    root, tmp_path_factory, monkeypatch, never, out, error, message
):
    clone = tmp_path_factory.mktemp("home") / "clone"
    shutil.copytree(root, clone)
    (clone / ".git").mkdir()
    (clone / ".git" / "HEAD").write_text("ref: refs/heads/main")
    (clone / "book" / "_build").mkdir()
    (clone / "book" / "_build" / "mine").write_text("x")
    (clone.parent / "docs").mkdir()
    (clone.parent / "docs" / "thesis.txt").write_text("years")
    monkeypatch.chdir(clone)
    before = everything(clone.parent)
    with pytest.raises(error, match=message):
        build.build(clone, out=Path(out), say=lambda line: None)
    assert everything(clone.parent) == before


def test_a_site_is_replaced_where_nobody_changed_it(root, monkeypatch):
    def make(folder, options, say):
        (folder / "_build" / "html" / "_static").mkdir(parents=True, exist_ok=True)
        (folder / "_build" / "html" / "index.html").write_text((root / "book" / "index.md").read_text())
        (folder / "_build" / "html" / "_static" / "a.js").write_text("x")

    monkeypatch.setattr(build, "_jupyter_book", make)
    index = build.build(root, say=lambda line: None)
    (root / "book" / "index.md").write_text("# Newer\n")
    assert build.build(root, say=lambda line: None).read_text() == "# Newer\n"
    (index.parent / "CNAME").write_text("example.org")
    before = everything(index.parent)
    with pytest.raises(FileExistsError, match=r"html is not replaced: since avlib made it, .* added or changed CNAME"):
        build.build(root, say=lambda line: None)
    assert everything(index.parent) == before and not list(index.parent.parent.glob(".*"))
    assert build.build(root, edition="student", say=lambda line: None).parent.name == "student"
