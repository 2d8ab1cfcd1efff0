"""The install cell: written once, kept in step with _config.yml, and no part of what makes a chapter stale."""

import subprocess
import sys

import pytest

from avlib.publish import chapters, launch
from avlib.publish.check import check
from tests.publish.sample import CONFIG, INSTALL, chapter, good, installing, notebook, tree


def test_the_address_reaches_every_chapter_and_follows_the_configuration(tmp_path):
    root = tree(tmp_path, bare=good(), done=installing())
    (root / "_config.yml").write_text(CONFIG)
    picked = chapters.find(root)
    assert launch.address(root, picked) == ["bare"] and launch.address(root, picked) == []
    cells = chapters.read(chapter(root, "bare").path)["cells"]
    assert cells[1]["source"] == INSTALL
    (root / "_config.yml").write_text(CONFIG.replace("a/book.git", "b/course"))
    assert launch.address(root, picked) == ["bare", "done"]
    changed = chapters.read(chapter(root, "done").path)["cells"]
    assert '"avlib @ git+https://example.org/b/course@main"' in changed[1]["source"]
    assert sum("install" in chapters.tags(cell) for cell in changed) == 1


@pytest.mark.parametrize(
    ("there", "installs"), [({}, True), ({"avlib/README.md": ""}, True), ({"avlib/__init__.py": ""}, False)]
)
def test_it_installs_unless_the_library_is_there_and_a_folder_of_its_name_is_not_the_library(tmp_path, there, installs):
    for name, text in there.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    lines = INSTALL.replace("%pip install --quiet", "print(") + ")"
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{lines}"
    said = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == ("avlib @ git+https://example.org/a/book.git@main\n" if installs else "")


def test_it_is_no_part_of_the_code_that_makes_a_chapter_stale():
    code = (list(chapters.code(notebook(*cells)).values()) for cells in (installing(), good()))
    assert next(code) == next(code)


def test_nothing_keeps_an_address_that_changed(tmp_path):
    cells = installing()
    cells[3]["source"] += " [The file](https://example.org/a/book/blob/main/x.py)."
    root = tree(tmp_path, one=cells)
    old = "https://example.org/a/book"
    (root / "_config.yml").write_text(CONFIG)
    (root / "CITATION.cff").write_text(f"repository-code: {old}\n")
    (root / "README.md").write_text(f"git clone {old}.git; not {old}shelf\n")
    (root / "book" / "page.md").write_text(f"[x]({old}/blob/main/README.md), [y]({old}).\n")
    picked = chapters.find(root)
    assert launch.outdated(root) == {} and launch.address(root, picked) == []
    (root / "_config.yml").write_text("repository: {url: 'https://example.com/b/course', branch: next}\n")
    named = {p.path for p in check(root).problems if p.rule == "install"}
    assert named == {"CITATION.cff", "README.md", "book/page.md", "notebooks/1_part/one.ipynb"}
    assert launch.address(root, picked) == ["one", "CITATION.cff", "README.md", "book/page.md"]
    new = "https://example.com/b/course"
    assert (root / "README.md").read_text() == f"git clone {new}.git; not {old}shelf\n"
    assert (root / "book" / "page.md").read_text() == f"[x]({new}/blob/next/README.md), [y]({new}).\n"
    for path in (root / "CITATION.cff", picked[0].path):
        assert new in path.read_text() and old not in path.read_text()
    assert not [p for p in check(root).problems if p.rule == "install"] and launch.address(root, picked) == []


@pytest.mark.parametrize("config", ["title: x\n", "", "repository:\n"])
def test_a_book_without_an_address_asks_for_none(tmp_path, config):
    root = tree(tmp_path, bare=good())
    (root / "_config.yml").write_text(config)
    assert launch.source(root) is None
    with pytest.raises(ValueError, match=r"_config.yml names no address: it needs 'repository:'"):
        launch.address(root, chapters.find(root))


def test_a_broken_configuration_is_named(tmp_path):
    root = tree(tmp_path, bare=good())
    (root / "_config.yml").write_text("a: [")
    with pytest.raises(ValueError, match=r"_config.yml is not YAML"):
        launch.source(root)
