"""Executing chapters: what is checked before, what a failure shows, and what is left after a kill."""

import errno
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from avlib import files
from avlib.publish import chapters, execute, kernel, record
from tests.publish.sample import PARAMETERS, chapter, code, good, markdown, small, tree


def run(root: Path, *names: str, **options):
    """Execute and keep what was said."""
    said: list[str] = []
    return execute.execute(root, names, say=said.append, **options), said


@pytest.fixture
def never(monkeypatch):
    """No worker may start."""

    def start(*_, **__):
        raise AssertionError("something was started")

    monkeypatch.setattr(execute, "_watch", start)


@pytest.mark.parametrize(
    ("spoil", "options", "error", "message"),
    [
        (lambda path: path.write_text("{"), {}, chapters.ChapterError, "not JSON"),
        (
            lambda path: path.write_text('{"nbformat": 4, "cells": []}'),
            {},
            ValueError,
            "no cells are tagged 'parameters'",
        ),
        (None, {"profile": "huge"}, ValueError, "unknown profile 'huge'"),
        (None, {"settings": {"steps": 3}}, ValueError, "unknown parameter of .*one.ipynb 'steps'.*profile, seed"),
        (None, {"profile": "smoke"}, ValueError, "--out"),
    ],
)
def test_bad_input_is_named_before_anything_runs(tmp_path, never, spoil, options, error, message):
    root = tree(tmp_path, one=small(code("1")), two=small(code("1")))
    path = chapter(root, "one").path
    if spoil:
        spoil(path)
    before = path.read_bytes()
    with pytest.raises(error, match=message):
        run(root, **options)
    assert path.read_bytes() == before


def test_a_notebook_without_seed_or_in_another_language(tmp_path, never):
    root = tree(tmp_path, one=[markdown("# T"), code("profile = 'cpu'", "parameters")])
    with pytest.raises(ValueError, match=r"one.ipynb: its parameters cell has no seed"):
        run(root)
    path = chapter(tree(root, one=small()), "one").path
    made = chapters.read(path)
    made["metadata"]["kernelspec"] = {"name": "julia-1.10", "language": "julia"}
    chapters.write(path, made)
    with pytest.raises(ValueError, match=r"one.ipynb: its kernel speaks 'julia'"):
        run(root)


def test_no_kernel(tmp_path, never, monkeypatch):
    root = tree(tmp_path, one=small())
    monkeypatch.setattr(kernel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="no kernel: ipykernel is not installed"):
        run(root)


def test_no_space_and_a_read_only_tree(tmp_path, never, monkeypatch):
    root = tree(tmp_path, one=small())
    path = chapter(root, "one").path
    before = path.read_bytes()
    usage = shutil.disk_usage(root)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(OSError, match=r"no space: .*1_part") as caught:
        run(root)
    assert caught.value.errno == errno.ENOSPC
    monkeypatch.undo()

    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(execute, "_watch", refuse)
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match=r"notebooks cannot be written into .*1_part \(Read-only.*nothing was started"):
        run(root)
    assert path.read_bytes() == before


def test_two_executions_at_once(tmp_path, never):
    root = tree(tmp_path, one=small())
    with (
        execute.alone(root / "notebooks"),
        pytest.raises(execute.Busy, match="another 'avlib book execute' is at work"),
    ):
        run(root)
    with execute.alone(root / "notebooks"):
        pass


def test_a_failing_cell_is_shown_and_the_others_finish(tmp_path):
    bad = small(code("1 + 1"), code("left = 1\nleft / 0"))
    root = tree(
        tmp_path,
        bad=bad,
        good=small(code("import avlib\nprint(profile, seed)")),
        silent=small(code("1", "raises-exception")),
    )
    before = chapter(root, "bad").path.read_bytes()
    outcomes, said = run(root, jobs=2)
    assert [(o.chapter, o.outcome) for o in outcomes] == [("bad", "failed"), ("good", "done"), ("silent", "failed")]
    error = outcomes[0].error
    assert "notebooks/1_part/bad.ipynb, cell 4 (id c4, 'left = 1')" in error and "ZeroDivisionError" in error
    assert "----> 2 left / 0" in error and "\x1b" not in error
    assert "raised nothing" in outcomes[2].error
    assert chapter(root, "bad").path.read_bytes() == before
    reached = chapters.read(root / "runs" / "book" / "bad.ipynb")
    assert reached["cells"][2]["outputs"][0]["data"]["text/plain"] == "2"

    done = chapters.read(chapter(root, "good").path)
    assert done["cells"][2]["outputs"][0]["text"] == "cpu 0\n"
    made = done["metadata"]["avlib"]
    assert (made["profile"], made["seed"]) == ("cpu", 0) and made["seconds"] > 0 and made["peak_bytes"] > 10**7
    assert record.reasons(done, root) == [] and made["outputs"].keys() == {"c3"} and record.edits(done) == []
    text = chapter(root, "good").path.read_text()
    assert (
        "papermill" not in text
        and str(root) not in text
        and [c.get("execution_count") for c in done["cells"]] == [None, 1, 2]
    )
    table = execute.table(outcomes).split("\n")
    assert (
        table[0].split() == ["chapter", "time", "peak", "memory", "outcome"]
        and "failed" in table[1]
        and "GB" in table[2]
    )
    assert any("cell 1 of" in line for line in said)


@pytest.mark.parametrize("stale", [False, True])
def test_a_line_that_is_not_python_stops_its_own_chapter_alone(tmp_path, stale):
    root = tree(tmp_path, bad=small(code("1"), code("x = 1\nx =")), good=small(code("print(1)")))
    outcomes, said = run(root, stale=stale)
    assert [(o.chapter, o.outcome) for o in outcomes] == [("bad", "failed"), ("good", "done")]
    assert "notebooks/1_part/bad.ipynb: cell 4 (id c4), line 2, is not Python" in outcomes[0].error
    assert any(outcomes[0].error in line for line in said)


def test_smoke_goes_elsewhere_and_stale_goes_on(tmp_path):
    root = tree(tmp_path / "book", one=small(code("print(profile, seed)")))
    path, out = chapter(root, "one").path, tmp_path / "out"
    before = path.read_bytes()
    outcomes, _ = run(root, profile="smoke", seed=4, out=out)
    assert [o.outcome for o in outcomes] == ["done"] and path.read_bytes() == before
    copy = chapters.read(out / "1_part" / "one.ipynb")
    assert copy["cells"][2]["outputs"][0]["text"] == "smoke 4\n"
    assert copy["cells"][1]["source"] == PARAMETERS.replace("cpu", "smoke").replace("0", "4")
    options = {"profile": "smoke", "out": out, "stale": True}
    monkey = [run(root, seed=4, **options)[0][0].outcome]
    changed = chapters.read(path)
    changed["cells"][2]["source"] = "print(profile, 'changed')"
    chapters.write(path, changed)
    monkey.append(run(root, seed=4, **options)[0][0].outcome)
    assert monkey == ["fresh", "done"]
    chapters.write(out / "1_part" / "one.ipynb", copy)
    with pytest.raises(FileExistsError, match=r"out holds 1_part/one\.ipynb, .* somebody changed since"):
        run(root, seed=5, **options)
    assert not record.is_fresh(out / "1_part" / "one.ipynb", chapters.read(path), root, "smoke", 5)


def test_a_notebook_that_is_somebodys_is_not_written_over(tmp_path, never):
    root, out = tree(tmp_path / "book", one=small(code("1")), two=small(code("1"))), tmp_path / "course"
    chapters.write(out / "1_part" / "one.ipynb", chapters.read(chapter(root, "one").path))
    before = (out / "1_part" / "one.ipynb").read_bytes()
    with pytest.raises(FileExistsError, match=r"course holds 1_part/one.ipynb, which avlib did not write"):
        run(root, profile="smoke", out=out)
    assert (out / "1_part" / "one.ipynb").read_bytes() == before
    for inside in (root / "notebooks", root / "notebooks" / "x" / ".."):
        with pytest.raises(ValueError, match="lies among the book's own notebooks"):
            run(root, profile="smoke", out=inside)


def test_a_chapter_that_somebody_changes_meanwhile_is_left_alone(tmp_path):
    line = "import json, pathlib\np = pathlib.Path('one.ipynb')\nn = json.loads(p.read_text())\n"
    line += "n['cells'][0]['source'] = '# Mine'\nx = p.write_text(json.dumps(n))"
    root = tree(tmp_path, one=small(code(line)))
    outcomes, _ = run(root)
    assert outcomes[0].outcome == "failed" and "was changed while it ran" in outcomes[0].error
    assert chapters.read(chapter(root, "one").path)["cells"][0]["source"] == "# Mine"


def children(pid: int) -> list[int]:
    """Processes below ``pid``."""
    found = [int(p) for t in Path(f"/proc/{pid}/task").iterdir() for p in (t / "children").read_text().split()]
    return found + [q for p in found for q in children(p)]


def free(folder: Path) -> bool:
    """May an execution start there?"""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(handle)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
def test_killed_at_any_moment_it_leaves_whole_notebooks_and_goes_on(tmp_path, repo, monkeypatch):
    wait = "import pathlib, time\nif not pathlib.Path('../../go').exists():\n    time.sleep(60)"
    root = tree(tmp_path, a=small(code("1 + 1")), b=small(code(wait)))
    before = chapter(root, "b").path.read_bytes()
    script = (
        f"from pathlib import Path; from avlib.publish.execute import execute; execute(Path({str(root)!r}), jobs=1)"
    )
    command = [sys.executable, "-u", "-c", script]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(repo), "TMPDIR": str(temporary)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert any("b: cell 1" in line for line in process.stdout)
    alive = children(process.pid)
    assert alive and not free(root / "notebooks")
    assert os.getpgid(alive[0]) == os.getpgid(process.pid) and list(temporary.iterdir())
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in alive) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [
        pid for pid in alive if Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_text()
    ]
    assert free(root / "notebooks") and chapter(root, "b").path.read_bytes() == before
    assert json.loads(chapter(root, "a").path.read_text())["metadata"]["avlib"]["profile"] == "cpu"

    left = chapter(root, "a").path.with_name(f".avlib-part-{files._host()}-{process.pid}-00000000")
    left.write_text("half")
    (root / "go").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    outcomes, _ = run(root, stale=True)
    assert not list(temporary.glob("avlib-*"))
    assert [o.outcome for o in outcomes] == ["fresh", "done"]
    outcomes, _ = run(tree(root, a=small(code("2"))), "a", stale=True)
    assert outcomes[0].outcome == "done" and not left.exists()


def test_nothing_of_the_good_fixture_is_lost(tmp_path):
    root = tree(tmp_path, one=good())
    planned = execute.plan(chapter(root, "one"), None, 3, None, {})
    assert (planned.profile, planned.seed, planned.target) == ("cpu", 3, chapter(root, "one").path)
