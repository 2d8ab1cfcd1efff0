"""The install cell: written once, kept in step with _config.yml, and no part of what makes a chapter stale."""

import pytest

from avlib.publish import chapters, launch
from tests.publish.sample import CONFIG, INSTALL, chapter, good, installing, notebook, tree


def test_the_address_reaches_every_chapter_and_follows_the_configuration(tmp_path):
    root = tree(tmp_path, bare=good(), done=installing())
    (root / "_config.yml").write_text(CONFIG)
    picked = chapters.find(root)
    assert launch.address(root, picked) == ["bare"] and launch.address(root, picked) == []
    cells = chapters.read(chapter(root, "bare").path)["cells"]
    assert cells[1]["source"] == INSTALL and "git clone" in INSTALL and "%cd book" in INSTALL
    (root / "_config.yml").write_text(CONFIG.replace("a/book.git", "b/course"))
    assert launch.address(root, picked) == ["bare", "done"]
    changed = chapters.read(chapter(root, "done").path)["cells"]
    assert "https://example.org/b/course\n    %cd course" in changed[1]["source"]
    assert sum("install" in chapters.tags(cell) for cell in changed) == 1


def test_it_is_no_part_of_the_code_that_makes_a_chapter_stale():
    code = (list(chapters.code(notebook(*cells)).values()) for cells in (installing(), good()))
    assert next(code) == next(code)


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
