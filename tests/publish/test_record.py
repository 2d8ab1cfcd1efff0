"""Provenance: a chapter goes stale with what it uses, and with nothing else."""

import json

import pytest

from avlib.publish import chapters, record
from avlib.publish.check import check
from tests.publish.sample import chapter, code, notebook, small, stream, tree

LIBRARY = "def f():\n    return g()\n\n\ndef g():\n    return 1\n\n\ndef h():\n    return 2\n"


@pytest.fixture
def root(tmp_path):
    """Two chapters on a library of three functions; both count as just executed."""
    root = tree(
        tmp_path, uses_f=small(code("from avlib.a import f\nf()")), uses_h=small(code("from avlib import a\na.h()"))
    )
    (root / "avlib").mkdir()
    (root / "avlib" / "__init__.py").write_text("")
    (root / "avlib" / "a.py").write_text(LIBRARY)
    (root / "requirements.lock").write_text("torch==1\n")
    for name in ("uses_f", "uses_h"):
        path = chapter(root, name).path
        made = chapters.read(path)
        before = record.now(made, root, "cpu", 0)
        made["metadata"]["avlib"] = record.make(before, root, "cpu", 0, 74.2, 1_100_000_000)
        chapters.write(path, made)
    return root


def stale(root):
    """Stale chapters with their reasons."""
    return {p.chapter: p.message for p in check(root).problems if p.rule == "stale"}


def test_one_changed_function_makes_exactly_its_chapters_stale(root):
    assert stale(root) == {}
    library = root / "avlib" / "a.py"
    library.write_text(LIBRARY.replace("return 1", "return 3"))
    assert stale(root) == {"uses_f": "avlib/a.py: g changed"}
    library.write_text(LIBRARY.replace("return 2", "return 3"))
    assert stale(root) == {"uses_h": "avlib/a.py: h changed"}
    library.write_text("# a comment\n" + LIBRARY)
    assert stale(root) == {}


def test_the_lock_the_code_and_nothing_of_the_prose(root):
    path = chapter(root, "uses_f").path
    made = chapters.read(path)
    made["cells"][0]["source"] = "# Another title\n\nAnd other prose, that changes no output at all."
    chapters.write(path, made)
    assert stale(root) == {}
    made["cells"][2]["source"] += "\nf()"
    chapters.write(path, made)
    assert stale(root) == {"uses_f": "code cells changed"}
    (root / "requirements.lock").write_text("torch==2\n")
    assert stale(root)["uses_h"] == "requirements.lock changed"


def test_a_record_that_lacks_the_print_of_the_code_is_stale(root):
    made = chapters.read(chapter(root, "uses_f").path)
    del made["metadata"]["avlib"]["provenance"]["code"]
    assert record.reasons(made, root) == ["no hash of the code cells was kept"]


def test_what_a_cell_shows_counts_and_not_the_order_in_which_it_is_written():
    output = stream("said\n")
    turned = dict(reversed(output.items()))
    one, two, other = (record.shown_by(notebook(code("f()", outputs=[o]))) for o in (output, turned, stream("else\n")))
    assert list(turned) != list(output) and one == two != other and one["marked"] == []


def test_a_chapter_that_never_ran(root):
    path = chapter(tree(root, new=small(code("1"))), "new").path
    assert record.reasons(chapters.read(path), root) == ["it was never executed with 'avlib book execute'"]


def test_the_line_under_the_title(root):
    made = chapters.read(chapter(root, "uses_f").path)
    line = record.line(made, chapter(root, "uses_f"))
    assert "profile cpu · seed 0 · 74 s · peak 1.1 GB · torch " in line and line.endswith("stale: no")
    (root / "avlib" / "a.py").write_text(LIBRARY.replace("return 1", "return 3"))
    assert record.line(made, chapter(root, "uses_f")).endswith("stale: avlib/a.py: g changed")


def test_claims_that_a_chapter_shows(root, monkeypatch):
    from avlib import results

    cells = small(code('from avlib import results\nresults.read("l3", profile).table()\nopen("x").read()'))
    path = chapter(tree(root, claims=cells), "claims").path
    made = chapters.read(path)
    assert record.methods(made) == ["l3"] and record.claims_files(made, root, "cpu") == []
    kept = root / "results" / "cpu" / "l3.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    monkeypatch.setenv("AVLIB_RESULTS", str(root / "results"))
    assert "damaged" in record.stale_claims(made, root)[0]

    class Stale:
        def stale(self):
            return ["avlib/a.py: g changed", "more"]

    monkeypatch.setattr(results, "read", lambda method, profile: Stale())
    found = [p for p in check(root, ["claims"]).problems if p.rule == "claims"]
    assert [p.message for p in found] == ["results/cpu/l3.json: avlib/a.py: g changed (and 1 more)"]
    assert found[0].level == "note"
    assert [p.level for p in check(root, ["claims"], strict=True).problems if p.rule == "claims"] == ["fail"]
    monkeypatch.setattr(Stale, "stale", lambda self: ["avlib/a.py: g changed"])
    assert record.stale_claims(made, root) == ["results/cpu/l3.json: avlib/a.py: g changed"]


def test_the_packs_at_hand_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("AVLIB_CACHE", str(tmp_path))
    (tmp_path / "packs").mkdir()
    for name in ("orchestra", "esc"):
        (tmp_path / "packs" / f"{name}-0123456789.safetensors").write_bytes(name.encode())
    made = notebook(*small(code("from avlib.world import World\nWorld()")))
    used = {"sources": {"avlib/world/__init__.py": {}}}
    assert list(record.packs(made, used)) == ["orchestra"] and record.packs(made, {"sources": {}}) == {}
    made["cells"][2]["source"] = "World(pack='esc')"
    assert list(record.packs(made, used)) == ["orchestra", "esc"]


def test_a_line_that_is_not_python_is_named_and_the_others_are_judged(root):
    path = chapter(root, "uses_f").path
    made = chapters.read(path)
    made["cells"][2]["source"] = "x = 1\nx ="
    chapters.write(path, made)
    (root / "avlib" / "a.py").write_text(LIBRARY.replace("return 2", "return 3"))
    assert stale(root) == {
        "uses_f": "its code cannot be read: cell 3 (id c3), line 2, is not Python (invalid syntax): 'x ='",
        "uses_h": "avlib/a.py: h changed",
    }


def test_scores_count_and_not_where_they_came_from(root):
    path = root / "l3.json"
    cell = {"arm": "a", "seed": 0, "metrics": {"x": 1.0}, "seals": []}
    path.write_text(json.dumps({"cells": [cell]}))
    before = record.shown(path)
    path.write_text(json.dumps({"cells": [{**cell, "seals": [{"key": "1"}]}], "more": 1}))
    assert record.shown(path) == before
    path.write_text(json.dumps({"cells": [{**cell, "metrics": {"x": 2.0}}]}))
    assert record.shown(path) != before
    path.write_text("{}")
    assert record.shown(path) != before
