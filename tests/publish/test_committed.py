"""What is committed is what the run left: outputs, marks and kernel; each edit is named with path, cell and id."""

import pytest

from avlib.publish import chapters, record
from avlib.publish.check import check
from tests.publish.sample import PLAYER, chapter, code, good, shown, stream, tree

TEXT = "The linear probe reaches 96.6 %\n"


@pytest.fixture
def root(tmp_path):
    """A chapter that counts as just executed: c4 draws, c5 plays, c6 is marked, c11 is not."""
    root = tree(tmp_path, one=[*good(), code("print(score)", outputs=[stream(TEXT)])], other=good())
    for name in ("one", "other"):
        path = chapter(root, name).path
        made = chapters.read(path)
        made["metadata"]["avlib"] = record.make(record.now(made, root, "cpu", 0), root, "cpu", 0, 1.0, 10**9)
        made["metadata"]["avlib"] |= record.shown_by(made)
        chapters.write(path, made)
    return root


def change(root, edit, name="one"):
    """Edit a committed chapter by hand."""
    path = chapter(root, name).path
    made = chapters.read(path)
    edit({cell["id"]: cell for cell in made["cells"]}, made)
    chapters.write(path, made)


def found(root, **options):
    """What the check says of the chapter ``one``."""
    return [str(problem) for problem in check(root, ["one"], **options).problems]


def puts(name, *outputs):
    """An edit: the cell shows something else."""
    return lambda cells, made: cells[name].update(outputs=list(outputs))


def is_tagged(name, *tags):
    """An edit: the cell has other tags."""
    return lambda cells, made: cells[name]["metadata"].update(tags=list(tags))


OTHER = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJgg0=="
EDITS = {
    "by hand": (puts("c11", stream(TEXT.replace("96.6", "99.9"))), "edited: cell 11 (c11): its output was changed"),
    "unmarked text": (puts("c11", stream("something else")), "edited: cell 11 (c11): its output was changed"),
    "marked text": (puts("c6", stream("2\n")), "edited: cell 6 (c6): its output was changed"),
    "picture": (puts("c4", shown(image_png=OTHER)), "edited: cell 4 (c4): its output was changed"),
    "no picture": (puts("c4"), "edited: cell 4 (c4): its output was deleted"),
    "no player": (puts("c5"), "edited: cell 5 (c5): its output was deleted"),
    "player": (puts("c5", shown(text_html=PLAYER.replace("barks", "meows"))), "edited: cell 5 (c5): its output was ch"),
    "added": (puts("c9", stream("passed\n")), "edited: cell 9 (c9): its output was added"),
    "cell": (lambda cells, made: made["cells"].remove(cells["c11"]), "edited: the cell 'c11', whose output"),
    "mark": (is_tagged("c6"), "edited: cell 6 (c6): its tag 'nbval-check-output' was removed"),
    "ignored": (is_tagged("c6", "nbval-check-output", "nbval-ignore-output"), "cell 6 (c6): is tagged 'nbval-ignore-o"),
    "kernel": (
        lambda cells, made: made["metadata"]["kernelspec"].update(name="julia-1.10", language="julia"),
        "kernel: the notebook's kernel is 'julia-1.10' (julia)",
    ),
    "no kernel": (lambda cells, made: made["metadata"].pop("kernelspec"), "kernel: the notebook's kernel is missing"),
}


def test_what_the_run_left_passes(root):
    assert found(root, strict=True) == []


@pytest.mark.parametrize(("edit", "message"), EDITS.values(), ids=EDITS)
def test_an_edit_is_named_with_path_cell_and_id(root, edit, message):
    change(root, edit)
    said = [line for line in found(root) if message in line]
    assert said and said[0].startswith("notebooks/1_part/one.ipynb: ")


def test_prose_new_marks_and_how_jupyter_saves_text_are_no_edits(root):
    change(root, puts("c11", stream(TEXT[:7]), stream(TEXT[7:])))
    change(root, lambda cells, made: cells["c1"].update(source=cells["c1"]["source"] + " More."))
    change(root, is_tagged("c11", "nbval-check-output"))
    assert found(root) == []


def test_an_edited_chapter_is_executed_and_verified_again_and_its_page_says_so(root):
    one = chapter(root, "one")
    before = chapters.read(one.path)
    assert record.is_fresh(one.path, before, root, "cpu", 0) and not record.is_stale(before, root)
    change(root, EDITS["by hand"][0])
    edited = chapters.read(one.path)
    assert not record.is_fresh(one.path, edited, root, "cpu", 0) and record.is_stale(edited, root)
    assert record.line(edited, one).endswith("stale: its output was changed after the run")


def test_a_chapter_of_earlier_versions_has_a_note_that_strict_fails(root):
    change(root, lambda cells, made: [made["metadata"]["avlib"].pop(key) for key in ("outputs", "marked")])
    change(root, EDITS["by hand"][0])
    why = "edited: executed before outputs were fingerprinted: 'avlib book execute one'"
    assert found(root) == [f"notebooks/1_part/one.ipynb: {why}"]
    assert not check(root, ["one"]).failures and check(root, ["one"], strict=True).failures


def test_cleared_outputs_are_said_once(root):
    change(root, lambda cells, made: made.update(cells=[chapters.cleared(cell) for cell in made["cells"]]))
    assert [line for line in found(root) if "edited" in line] == []
    assert any("none of its 8 code cells was executed" in line for line in found(root))
