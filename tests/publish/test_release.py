"""Editions: stubs fail and solutions pass, answers are left out, decks need no network."""

import copy
from pathlib import Path

import pytest

from avlib import folders
from avlib.publish import chapters, editions, release
from tests.publish.sample import SOLUTION, code, good, markdown, notebook, small, tree

CHECK = "assert double(2) == 4"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("### BEGIN SOLUTION\nx = 1\n### END SOLUTION", "RAISE"),
        ("a = 1\n### BEGIN SOLUTION\nx = 1\n### END SOLUTION\nb = 2", "a = 1\nRAISE\nb = 2"),
        (
            "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION\n"
            "### BEGIN SOLUTION\ny\n### END SOLUTION",
            "def f():\n    RAISE\nRAISE",
        ),
    ],
)
def test_stubs(source, expected):
    assert editions.stub(source) == expected.replace("RAISE", editions.BLANK)


@pytest.mark.parametrize(
    "source",
    ["x = 1", "### BEGIN SOLUTION\nx", "### END SOLUTION", "### BEGIN SOLUTION\n### BEGIN SOLUTION\n### END SOLUTION"],
)
def test_markers_that_do_not_pair(source):
    with pytest.raises(ValueError, match=r"SOLUTION"):
        editions.stub(source)


def test_the_student_edition_holds_no_answer():
    cells = good()
    cells[6]["source"] += "\n\n```{solution} ex-1\nTwice of it.\n```"
    cells.insert(7, markdown("```{solution-start} ex-1\n:class: dropdown\n```"))
    cells += [markdown("The answer is seventeen.", "answer")]
    cells[8]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "seventeen"}]
    made = notebook(*cells)
    before = copy.deepcopy(made)
    cut = editions.student(made)
    text = chapters.dumps(cut)
    assert (
        made == before
        and "return 2 * x" not in text
        and "seventeen" not in text
        and "solution" not in text.lower().replace("your turn", "")
    )
    assert "assert double(2) == 4" in text and "{exercise} Number 1" in text and "NotImplementedError" in text
    assert len(cut["cells"]) == len(made["cells"]) - 2
    stub = next(cell for cell in cut["cells"] if "stub" in chapters.tags(cell))
    assert stub["execution_count"] is None


def test_the_recall_edition_holds_headings_and_code_alone():
    cut = editions.recall(notebook(*good()))
    assert [c["source"] for c in cut["cells"] if c["cell_type"] == "markdown"] == ["# A chapter"]
    assert not any(c.get("outputs") for c in cut["cells"])
    assert sum(c["cell_type"] == "code" for c in cut["cells"]) == 7


@pytest.mark.slow
def test_every_exercise_is_tried_with_stub_and_solution(repo):
    good_pair = [code(SOLUTION, "solution"), code(CHECK, "check")]
    weak = [code(SOLUTION.replace("double", "other"), "solution"), code("assert callable(other)", "check")]
    wrong = [code(SOLUTION.replace("2 * x", "3 * x"), "solution"), code(CHECK, "check")]
    cells = small(code("import math"), *good_pair, code("assert double(1) == 2"), *weak, *wrong)
    found = release.exercise_report(notebook(*cells), repo)
    assert [(e.cell, bool(e.stub_error), bool(e.solution_error)) for e in found] == [
        (3, True, False),
        (6, False, False),
        (8, True, True),
    ]
    assert found[0].problem == "" and "NotImplementedError" in found[0].stub_error
    assert "checks test nothing" in found[1].problem and "the solution fails: AssertionError" in found[2].problem


@pytest.mark.slow
def test_a_failure_outside_of_exercises_is_named(repo):
    with pytest.raises(RuntimeError, match=r"cell 3 \(c3\): NameError"):
        release.exercise_report(notebook(*small(code("nothing"))), repo)


def test_release_writes_all_or_nothing(tmp_path):
    root, out = tree(tmp_path / "book", one=good(), other=good()), tmp_path / "out"
    written = release.release(root, "student", out, site=False, slides=True, say=lambda line: None)
    assert [p.relative_to(out).as_posix() for p in written] == [
        "notebooks/1_part/one.ipynb",
        "notebooks/1_part/other.ipynb",
        "README.md",
        "requirements.txt",
        "slides/one.html",
        "slides/other.html",
    ]
    release.release(root, "recall", out, ["one"], say=lambda line: None)
    assert sorted(p.name for p in out.rglob("*") if p.is_file()) == [folders.MARK, "one.ipynb"]
    with pytest.raises(ValueError, match="unknown edition 'pupil'"):
        release.release(root, "pupil", out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(FileExistsError, match="mine is not replaced: it holds files that avlib did not put there"):
        release.release(root, "student", tmp_path / "mine")
    bad = good()
    bad[7]["source"] = "x = 1"
    with pytest.raises(editions.ExerciseError, match=r"bad.ipynb, cell 8"):
        release.release(tree(root, bad=bad), "student", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_somebody_worked_on_in_a_release_is_not_lost(tmp_path, monkeypatch):
    root, out = tree(tmp_path / "book", one=good()), tmp_path / "out"
    release.release(root, "student", out, site=False, say=lambda line: None)
    release.release(root, "instructor", out, site=False, say=lambda line: None)
    path = out / "notebooks" / "1_part" / "one.ipynb"
    chapters.write(path, notebook(*small(code("mine"))))
    before = path.read_bytes()
    with pytest.raises(
        FileExistsError, match=r"out is not replaced: since avlib made it, .*notebooks/1_part/one.ipynb"
    ):
        release.release(root, "student", out, site=False, say=lambda line: None)
    assert path.read_bytes() == before


def test_a_folder_with_an_edition_of_its_own_is_refused(tmp_path, monkeypatch):
    root = tree(tmp_path / "clone", one=good())
    (root / "EDITION").write_text("first")
    before = {p: p.read_bytes() for p in root.rglob("*") if p.is_file()}
    for here, out in ((tmp_path, root), (root, Path()), (root, root / "notebooks")):
        monkeypatch.chdir(here)
        with pytest.raises(FileExistsError, match="is not replaced"):
            release.release(root, "student", out, site=False)
    assert {p: p.read_bytes() for p in root.rglob("*") if p.is_file()} == before


def test_a_release_whose_site_has_faults_leaves_the_last_one(tmp_path, monkeypatch):
    root, out = tree(tmp_path / "book", one=good()), tmp_path / "out"
    release.release(root, "student", out, site=False, say=lambda line: None)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    def faulty(*_, **__):
        raise RuntimeError("the site has faults")

    monkeypatch.setattr(release, "build", faulty)
    with pytest.raises(RuntimeError, match="faults"):
        release.release(root, "instructor", out, say=lambda line: None)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["book", "out"]
