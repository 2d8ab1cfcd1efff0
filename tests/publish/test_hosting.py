"""The student edition by itself: its own address, its own chapters, links that lead somewhere."""

import json
import re
import subprocess

import pytest
import yaml

from avlib.publish import build, chapters, hosting, release
from tests.publish.sample import INSTALL, good, installing, markdown, tree

CONFIG = """\
title: The book
author: its authors
repository: {url: "https://github.com/a/book", branch: main}
launch_buttons: {binderhub_url: "https://mybinder.org", colab_url: "https://colab.research.google.com"}
html: {use_repository_button: true}
"""
TOC = """\
format: jb-book
root: book/index
parts:
  - caption: One
    chapters: [{file: book/parts/one}, {file: notebooks/1_part/one}]
  - caption: Two
    chapters: [{file: notebooks/1_part/other}]
"""


@pytest.fixture
def root(tmp_path):
    """A book of two chapters that link to each other and to a page."""
    here = "[it](other.ipynb#a-chapter), [us](one.ipynb), [us too](/notebooks/1_part/one.ipynb)"
    away = "[a page](../../book/index.md#home), [out](https://example.org/x.ipynb), `[code](other.ipynb)`."
    links = markdown(f"{here}, {away}")
    root = tree(tmp_path / "book", one=[*installing(), links], other=installing())
    (root / "_config.yml").write_text(CONFIG)
    (root / "_toc.yml").write_text(TOC)
    (root / "LICENSE").write_text("MIT")
    (root / "book" / "index.md").write_text(
        "# Home\n\n[One](/notebooks/1_part/one.ipynb), [two](../notebooks/1_part/other.ipynb)"
    )
    return root


def last(path):
    """The last cell's source."""
    return chapters.read(path)["cells"][-1]["source"]


def test_a_student_s_folder_stands_alone(root, tmp_path):
    out = tmp_path / "out"
    release.release(root, "student", out, ["one"], site=False, say=lambda line: None)
    files = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file() and p.name[0] != "."}
    assert files == {"README.md", "LICENSE", "requirements.txt", "notebooks/1_part/one.ipynb"}
    readme = (out / "README.md").read_text()
    assert re.findall(r"\((https://[^)]*)\)", readme) == [
        "https://colab.research.google.com/github/a/book/blob/student/notebooks/1_part/one.ipynb",
        "https://mybinder.org/v2/gh/a/book/student?urlpath=lab/tree/notebooks/1_part/one.ipynb",
    ]
    assert all((out / target).exists() for target in re.findall(r"\]\((?!http)([^)]*)\)", readme))
    assert "avlib @ git+https://github.com/a/book@main" in (out / "requirements.txt").read_text().splitlines()
    assert last(out / "notebooks/1_part/one.ipynb") == (
        "it, [us](one.ipynb), [us too](one.ipynb), a page, [out](https://example.org/x.ipynb), `[code](other.ipynb)`."
    )


def test_a_student_s_first_cell_fetches_no_solved_notebook(root, tmp_path):
    release.release(root, "student", tmp_path / "out", site=False, say=lambda line: None)
    release.release(root, "instructor", tmp_path / "solved", site=False, say=lambda line: None)
    cell = chapters.read(tmp_path / "out/notebooks/1_part/one.ipynb")["cells"][1]["source"]
    assert '%pip install --quiet "avlib @ git+https://github.com/a/book@main"' in cell and "clone" not in cell
    assert chapters.read(tmp_path / "solved/notebooks/1_part/one.ipynb")["cells"][1]["source"] == INSTALL
    compile(cell.replace("%pip", "pass  #"), "cell", "exec")


def test_links_lead_to_the_site_that_lies_beside():
    resolve = hosting.in_release("notebooks/1_part", {"notebooks/1_part/one.ipynb"}, site=True)
    assert resolve("../../book/index.md#home") == "../../site/book/index.html#home"
    assert resolve("../1_part/one.ipynb#x") == "one.ipynb#x" and resolve("two.ipynb") is None


def test_the_site_of_students_points_to_its_own_notebooks(root):
    folder = root / "book/_build/stage"
    build.stage(root, "student", folder / "student")
    made = yaml.safe_load((folder / "student/_config.yml").read_text())
    assert made["repository"]["branch"] == "student" and made["repository"]["url"] == "https://github.com/a/book"
    assert made["repository"]["library"] == "https://github.com/a/book/blob/main"
    assert made["html"]["use_repository_button"] is False and made["sphinx"]["config"]["hide_solutions"]
    assert "git clone" not in (folder / "student/notebooks/1_part/one.ipynb").read_text()
    build.stage(root, "instructor", folder / "instructor")
    assert (folder / "instructor/_config.yml").read_text() == CONFIG
    own = {"url": "https://github.com/a/course", "branch": "main"}
    made = hosting.configured({**yaml.safe_load(CONFIG), "repository": {"url": "x", "student": own}}, "student")
    assert {**made["repository"], **own} == made["repository"] and made["html"]["use_repository_button"]


def test_a_site_of_some_chapters_holds_those_and_links_to_no_other(root):
    folder = root / "book/_build/stage/student"
    build.stage(root, "student", folder, ["one"])
    assert [p.name for p in folder.rglob("*.ipynb")] == ["one.ipynb"]
    assert yaml.safe_load((folder / "_toc.yml").read_text())["parts"] == [
        {"caption": "One", "chapters": [{"file": "book/parts/one"}, {"file": "notebooks/1_part/one"}]}
    ]
    assert (folder / "book/index.md").read_text() == "# Home\n\n[One](/notebooks/1_part/one.ipynb), two"
    assert last(folder / "notebooks/1_part/one.ipynb").startswith("it, [us](one.ipynb), [us too](/notebooks/1_part/one")
    assert yaml.safe_load((folder / "_config.yml").read_text())["repository"]["left_out"] == ["notebooks/1_part/other"]
    flat = {"root": "book/index", "chapters": [{"file": "book/a", "sections": [{"file": "notebooks/1_part/other"}]}]}
    assert hosting.contents(flat, set()) == {"root": "book/index", "chapters": [{"file": "book/a"}]}


def test_a_book_without_an_address_is_released_all_the_same(tmp_path):
    root = tree(tmp_path / "book", one=good())
    release.release(root, "student", tmp_path / "out", site=False, say=lambda line: None)
    assert "| [A chapter](notebooks/1_part/one.ipynb) | 1 | – |" in (tmp_path / "out/README.md").read_text()
    assert (tmp_path / "out/requirements.txt").read_text().startswith("avlib\n")


def test_the_syllabuses_link_to_every_chapter_that_exists(repo):
    text = (repo / "book/instructors.md").read_text()
    there = {chapter.where for chapter in chapters.find(repo)}
    for plan in re.split(r"^### ", text[text.index("## Syllabuses") :], flags=re.M)[2:4]:
        assert set(re.findall(r"\]\(/(notebooks/[^)]*)\)", plan)) == there, plan.split("\n")[0]


def test_every_link_of_the_book_s_student_notebooks_leads_somewhere(repo, tmp_path):
    out = tmp_path / "out"
    release.release(repo, "student", out, ["3_scenes", "the_world"], site=False, say=lambda line: None)
    for path in out.rglob("*.ipynb"):
        text = "\n".join(
            "".join(c["source"]) for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "markdown"
        )
        targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
        assert [t for t in targets if not (path.parent / t).exists()] == []
    assert subprocess.run(["grep", "-rlE", "git clone|BEGIN SOLUTION", str(out)], capture_output=True).stdout == b""
