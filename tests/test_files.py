"""Files that are whole or absent whoever writes beside one, and what a kill leaves: it goes, and nothing else does."""

import contextlib
import errno
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from avlib import checkpoints, files, media
from avlib.figures.element import Element
from avlib.publish import chapters
from avlib.text import Vocabulary
from tests.publish.sample import good, notebook

WRITERS: dict[str, Callable[[Path], object]] = {
    "text": lambda path: files.write(path, "é" * 5000),
    "checkpoint": lambda path: checkpoints.save({"a": torch.zeros(5000)}, path, 3),
    "page": lambda path: Element("<b>x</b>" * 5000, "x").save(path),
    "recording": lambda path: media.write_wav(path, torch.zeros(9000)),
    "notebook": lambda path: chapters.write(path, notebook(*good())),
    "vocabulary": lambda path: Vocabulary(tuple(f"w{n}" for n in range(300))).save(path),
}


@contextlib.contextmanager
def room(bytes_: int) -> Iterator[None]:
    """Files cannot grow beyond this: writes stop half way, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_leaves_the_old_file_and_nothing_else_and_is_told_with_the_path(
    tmp_path: Path, write: Callable[[Path], object]
) -> None:
    path = tmp_path / "a file"
    with room(1000), pytest.raises(OSError, match=r"could not be written \(.*there is none before it\): '.*a file'"):
        write(path)
    assert list(tmp_path.iterdir()) == []
    path.write_text("old")
    with (
        room(1000),
        pytest.raises(OSError, match=r"could not be written \(.*the one before is untouched\): '.*a file'"),
    ):
        write(path)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    write(path)
    assert path.stat().st_size > 1000 and list(tmp_path.iterdir()) == [path]


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log"
    files.append(path, "x" * 600)
    with room(1000), pytest.raises(OSError, match=r"the log could not be written .*untouched\): '.*log'"):
        files.append(path, "y" * 600, "the log")
    assert path.read_text() == "x" * 600 + "\n"
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        files.append(tmp_path, "x")


def test_a_file_is_on_the_disk_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "a", []
    path.write_bytes(b"old")
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append(("fsync", os.fstat(handle).st_size)), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append(("replace", path.read_bytes())), replace(a, b)))
    files.write(path, b"newer")
    assert calls == [("fsync", 5), ("replace", b"old")] and path.read_bytes() == b"newer"


def test_links_rights_and_devices_stay_what_they_are(tmp_path: Path) -> None:
    path, link = tmp_path / "a", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    files.write(link, "new")
    assert link.is_symlink() and path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == 0o640
    files.write(os.devnull, "gone")
    assert not Path(os.devnull).is_file()
    with pytest.raises(IsADirectoryError, match=str(tmp_path)):
        files.write(tmp_path, "x")


def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("kept")
    monkeypatch.setattr(os, "access", lambda path, how: False)  # the superuser may write anywhere
    with pytest.raises(PermissionError, match="it is read-only"):
        files.write(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "kept"


OFTEN = """
import json, sys
from avlib import files
for n in range(150):
    files.write(sys.argv[1], json.dumps([sys.argv[2]] * (n * 37 % 900 + 1)))
"""


def test_two_processes_that_write_one_file_leave_it_whole(tmp_path: Path, repo: Path) -> None:
    path, environment = tmp_path / "a.json", os.environ | {"PYTHONPATH": str(repo)}
    both = [subprocess.Popen([sys.executable, "-c", OFTEN, path, word], env=environment) for word in ("one", "two")]
    seen = set()
    while any(process.poll() is None for process in both):
        if path.exists():
            seen.update(json.loads(path.read_text()))
    assert [process.returncode for process in both] == [0, 0] and seen == {"one", "two"}
    assert list(tmp_path.iterdir()) == [path]


# --- what a kill leaves ----------------------------------------------------------------------------------------------


@pytest.fixture
def dead() -> int:
    """The number of a process that is no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(folder: Path, host: str, process: int, prefix: str = ".avlib-part-") -> Path:
    path = folder / f"{prefix}{host}-{process}-0123abcd"
    path.write_text("half")
    return path


def test_the_next_writer_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path, dead: int) -> None:
    stale = left(tmp_path, files._host(), dead)
    folder = tmp_path / f".avlib-part-{files._host()}-{dead}-89abcdef"
    (folder / "deep").mkdir(parents=True)
    at_work = left(tmp_path, files._host(), os.getppid())
    elsewhere, long_ago = left(tmp_path, "ffffff", dead), left(tmp_path, "eeeeee", dead)
    os.utime(long_ago, (0, 0))
    users = [
        tmp_path / name for name in (".a.tmp", ".avlib-part-mine", f".avlib-part-{dead}.txt", ".site.old", "b.part")
    ]
    for path in users:
        path.write_text("mine")
    files.write(tmp_path / "a", "x")
    assert set(tmp_path.iterdir()) == {tmp_path / "a", at_work, elsewhere, *users}
    assert not stale.exists() and not folder.exists() and not long_ago.exists()


def test_a_link_in_the_place_of_a_leftover_is_not_followed(tmp_path: Path, dead: int) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("kept")
    link = tmp_path / f".avlib-part-{files._host()}-{dead}-01234567"
    link.symlink_to(tmp_path / "mine")
    files.sweep(tmp_path)
    assert not link.is_symlink() and (tmp_path / "mine" / "a").read_text() == "kept"


def test_a_scratch_folder_goes_and_those_of_killed_processes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = tmp_path / f"avlib-kernel-{files._host()}-{dead}-01234567"
    (old / "jupyter").mkdir(parents=True)
    with files.scratch("kernel") as folder:
        assert folder.parent == tmp_path and stat.S_IMODE(folder.stat().st_mode) == 0o700 and not old.exists()
        (folder / "x").touch()
    assert list(tmp_path.iterdir()) == []
    with files.scratch("kernel") as folder:
        folder.rmdir()  # whoever works in it may have cleared up


WRITER = "from avlib import files\nwhile True:\n    files.write({path!r}, 'x' * 5_000_000)"


def test_killed_while_it_writes(tmp_path: Path, repo: Path) -> None:
    path, environment = tmp_path / "a", os.environ | {"PYTHONPATH": str(repo)}
    process = subprocess.Popen([sys.executable, "-c", WRITER.format(path=str(path))], env=environment)
    while not path.exists() or not list(tmp_path.glob(".avlib-part-*")):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.stat().st_size == 5_000_000
    files.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(
        OSError, match=r"packs cannot be written into .*a file/x \(Not a directory\): do this"
    ) as caught:
        files.check_writable(tmp_path / "a file" / "x", "packs", "do this")
    assert caught.value.errno == errno.ENOTDIR
    files.check_writable(tmp_path / "new" / "one", "packs", "do this")
    assert list((tmp_path / "new" / "one").iterdir()) == []


def test_the_cache_has_a_place_where_nobody_has_a_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AVLIB_CACHE", str(tmp_path))
    assert files.cache() == tmp_path
    monkeypatch.delenv("AVLIB_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache() == tmp_path / ".cache" / "avlib"

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert files.cache() == Path("/.cache/avlib")
