"""Reading, changing and writing notebooks."""

import errno
import json
import os

import nbformat
import pytest

from avlib.publish import chapters
from avlib.publish.chapters import ChapterError
from tests.publish.sample import PARAMETERS, code, good, markdown, notebook, small, stream, tree


def test_written_as_jupyter_writes_it_and_read_back_the_same(tmp_path):
    path, made = tmp_path / "a.ipynb", notebook(*good())
    chapters.write(path, made)
    assert path.read_text() == nbformat.writes(nbformat.from_dict(made)) + "\n"
    assert chapters.read(path) == made


@pytest.mark.parametrize("text", ["{", "", "\x00\x01", "[1]", '{"cells": {}}', '{"nbformat": 3, "cells": []}'])
def test_what_is_no_notebook_is_named(tmp_path, text):
    path = tmp_path / "odd.ipynb"
    path.write_text(text)
    with pytest.raises(ChapterError, match=r"odd\.ipynb"):
        chapters.read(path)


def test_no_space_leaves_the_old_notebook_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    chapters.write(path, notebook(*good()))
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"the notebook could not be written \(No space left.*untouched\): .*a\.ipynb"):
        chapters.write(path, notebook(*small()))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_parameters_are_read_and_set_without_touching_anything_else():
    made = notebook(*small())
    assert chapters.parameters(made) == {"profile": "cpu", "seed": 0}
    changed = chapters.with_parameters(made, {"profile": "größer", "seed": 3})
    assert changed["cells"][1]["source"] == 'profile: str = "größer"  # or another\nseed: int = 3'
    assert made["cells"][1]["source"] == PARAMETERS
    changed["cells"][1]["source"] = PARAMETERS
    assert changed == made


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([markdown("x")], "no cells are tagged"),
        ([code("a = 1", "parameters"), code("b = 1", "parameters")], "2 cells are tagged"),
        ([code("a = (", "parameters")], "not Python"),
        ([code("a = f()", "parameters")], "not a literal"),
        ([code("import os", "parameters")], "more than"),
    ],
)
def test_bad_parameter_cells_are_named(cells, message):
    with pytest.raises(ChapterError, match=message):
        chapters.parameters(notebook(*cells), "the.ipynb")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sed": 1}, "unknown parameter.*did you mean 'seed'"),
        ({"seed": "1"}, "'seed' is int"),
        ({"seed": True}, "'seed' is int"),
        ({"profile": "huge"}, "unknown profile 'huge'.*smoke"),
    ],
)
def test_wrong_parameters_are_named(given, message):
    with pytest.raises(ValueError, match=message):
        chapters.check_parameters(notebook(*small()), given, "a.ipynb")


def test_normalised_notebook_holds_nothing_of_the_machine():
    made = notebook(*small(code("1", outputs=[stream("/home/me/book/results\n")]), code("2")))
    made["metadata"] = {"papermill": {"input_path": "/home/me/book/a.ipynb"}, "language_info": {"version": "3.11.7"}}
    made["cells"].insert(2, {**code("profile = 'gpu'", "injected-parameters"), "id": "i"})
    made["cells"][3]["metadata"] = {"papermill": {"duration": 1}, "execution": {}, "tags": ["slide"], "scrolled": True}
    made["cells"][-1]["execution_count"] = 9
    clean = chapters.normalise(made, [("/home/me/book/", "")])
    assert "papermill" not in (text := json.dumps(clean)) and "/home" not in text and "3.11.7" not in text
    assert [cell.get("execution_count") for cell in clean["cells"]] == [None, 1, 2, 3]
    assert clean["cells"][2]["metadata"] == {"tags": ["slide"]}
    assert chapters.normalise(clean) == clean


def test_chapters_are_found_by_name_part_and_path(tmp_path):
    root = tree(tmp_path, one=good(), two=good())
    (root / "notebooks" / "1_part" / ".avlib-part-0a0a0a-1-0a0a0a0a").write_text("half")
    for names in (["one", "two"], ["1_part"], [], [str(root / "notebooks/1_part/one.ipynb"), "two", "one"]):
        assert [c.name for c in chapters.find(root, names)] == ["one", "two"]
    with pytest.raises(ValueError, match="unknown chapter 'on'; did you mean 'one'"):
        chapters.find(root, ["on"])
    assert chapters.project(root / "notebooks" / "1_part") == root


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("l3", "There are: one. 'l3' is a method; the chapter 'one' tells of it"),
        ("avid", "'avid' is a method, and its chapter (two) is not written yet"),
        ("other", "There are: one$"),
    ],
)
def test_a_method_in_place_of_its_chapter(tmp_path, name, message):
    root = tree(tmp_path, one=good())
    rows = [
        f"{{module: avlib/methods/{m}.py, chapter: notebooks/1_part/{c}}}" for m, c in (("l3", "one"), ("avid", "two"))
    ]
    (root / "book" / "methods.yml").write_text("".join(f"- {row}\n" for row in rows))
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        chapters.find(root, [name])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# T\n\nSays\nwhat.\n\nMore", ("T", "Says what.")),
        ("(label)=\n# T\n\nSays.", ("T", "Says.")),
        ("# T\n\n## Sub", ("T", "")),
        ("## T\n\nSays.", ("", "")),
    ],
)
def test_title_and_description(source, expected):
    assert chapters.opening(notebook(markdown(source))) == expected
