"""A folder is replaced only where nothing in it is somebody's, and a file of it only where this tool wrote it."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from avlib import files, folders


def made(out: Path, **contents: str) -> Path:
    with folders.replaced(out) as fresh:
        for name, text in (contents or {"index.html": "a site"}).items():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            (fresh / name).write_text(text)
    return out


def everything(folder: Path) -> dict[str, str]:
    """Every file below, and what it holds."""
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_new_an_empty_and_an_unchanged_folder_are_filled(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "site"
    made(out)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".DS_Store").touch()
    made(tmp_path / "empty")
    made(out, **{"other.html": "another", "deep/er.html": "x"})
    assert {*everything(out)} == {folders.MARK, "other.html", "deep/er.html"}
    (out / "deep" / "er.html").unlink()  # what is gone cannot be lost
    made(out)
    assert {*everything(out)} == {folders.MARK, "index.html"} and [p.name for p in out.parent.iterdir()] == ["site"]
    shutil.copytree(out, tmp_path / "moved")
    made(tmp_path / "moved")


def test_the_mark_is_what_sha256sum_prints(tmp_path: Path) -> None:
    out = made(tmp_path / "site")
    assert (out / folders.MARK).read_text() == f"{hashlib.sha256(b'a site').hexdigest()}  index.html\n"


def spoil_added(out: Path) -> None:
    (out / "notes").mkdir()
    (out / "notes" / "mine.txt").write_text("mine")


def spoil_changed(out: Path) -> None:
    (out / "index.html").write_text("my site")


def spoil_linked(out: Path) -> None:
    (out / "mine").symlink_to(out.parent)


def spoil_marked(out: Path) -> None:
    (out / folders.MARK).write_text("anything")


def spoil_nested(out: Path) -> None:
    (out / "deep").mkdir()
    (out / "deep" / folders.MARK).write_text("mine")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (spoil_added, "notes/mine.txt"),
        (spoil_changed, "index.html"),
        (spoil_linked, "mine"),
        (spoil_marked, "index.html"),
        (spoil_nested, f"deep/{folders.MARK}"),
    ],
)
def test_what_somebody_added_or_changed_is_named_and_stays(tmp_path: Path, spoil, named) -> None:
    out = made(tmp_path / "site")
    spoil(out)
    before = everything(out)
    with pytest.raises(
        FileExistsError, match=rf"site is not replaced: .* added or changed {named}; move what you want"
    ):
        made(out)
    assert everything(out) == before and os.listdir(tmp_path) == ["site"]


def test_what_was_never_ours_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "docs"
    (docs / ".git").mkdir(parents=True)
    (docs / "thesis.txt").write_text("years")
    (docs / "EDITION").write_text("student\n")
    for sibling in (".docs.new", ".docs.old"):
        (tmp_path / sibling).mkdir()
        (tmp_path / sibling / "a").write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(FileExistsError, match=r"docs is not replaced: it holds files that avlib did not put there"):
        made(docs)
    made(tmp_path / "site")
    made(tmp_path / "site")
    shutil.rmtree(tmp_path / "site")
    for place in (docs, docs / ".git"):
        monkeypatch.chdir(place)
        for out in (Path(), docs, Path("/")):
            with pytest.raises(FileExistsError, match=r" is not replaced: it is, or holds, the current folder"):
                made(out)
    with pytest.raises(NotADirectoryError, match=r"thesis.txt is a file, and a folder is needed"):
        made(docs / "thesis.txt")
    assert everything(tmp_path) == before


def test_what_comes_in_while_the_new_one_is_made_stays(tmp_path: Path) -> None:
    out = made(tmp_path / "site")
    with pytest.raises(FileExistsError, match=r"added or changed late\.txt"), folders.replaced(out) as fresh:
        (fresh / "index.html").write_text("newer")
        (out / "late.txt").write_text("mine")
    assert (out / "index.html").read_text() == "a site" and os.listdir(tmp_path) == ["site"]


def test_a_failure_leaves_the_old_one_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = made(tmp_path / "site")
    before = everything(out)
    with pytest.raises(KeyboardInterrupt), folders.replaced(out) as fresh:
        (fresh / "half").touch()
        raise KeyboardInterrupt
    assert everything(out) == before and os.listdir(tmp_path) == ["site"]
    replace, calls = os.replace, []

    def fails_at_the_second(a: Path, b: Path) -> None:
        calls.append(b)
        if len([c for c in calls if Path(c).name != folders.MARK]) == 2:
            raise OSError(5, "Input/output error")
        replace(a, b)

    monkeypatch.setattr(os, "replace", fails_at_the_second)
    with pytest.raises(OSError, match="Input/output"):
        made(out, other="x")
    assert everything(out) == before and os.listdir(tmp_path) == ["site"]


def test_a_new_one_stands_though_the_old_one_cannot_be_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = made(tmp_path / "site")

    def refuses(path: str, **where: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rmdir", refuses)
        made(out, other="x")
    assert everything(out).keys() == {"other", folders.MARK}


def test_a_link_to_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far")
    made(tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "far" / "index.html").exists()


def test_single_files_are_written_over_what_is_ours_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    folders.check_files(tmp_path, ["a", "b"])
    folders.put(tmp_path, {"a": "1", "deep/b": b"2"})
    folders.check_files(tmp_path, ["a", "deep/b", "c"])
    folders.put(tmp_path, {"a": "3"})
    folders.check_files(tmp_path, ["a", "deep/b"])
    with pytest.raises(FileExistsError, match=r"holds mine.txt, which avlib did not write"):
        folders.check_files(tmp_path, ["a", "mine.txt"])
    (tmp_path / "a").write_text("changed")
    with pytest.raises(
        FileExistsError, match=r"holds a, which .* or somebody changed since; move what you want to keep"
    ):
        folders.check_files(tmp_path, ["a", "deep/b"])
    with pytest.raises(FileExistsError, match=r"added or changed a, mine\.txt"):
        made(tmp_path)


def test_a_kill_between_mark_and_file_leaves_both_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders.put(tmp_path, {"a": "1"})
    write, calls = files.write, []

    def killed(path: Path, data: bytes | str, what: str = "") -> Path:
        calls.append(path)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return write(path, data)

    for stop in (1, 2, 3):
        calls.clear()
        monkeypatch.setattr(files, "write", killed)
        with pytest.raises(KeyboardInterrupt):
            folders.put(tmp_path, {"a": f"new {stop}"})
        monkeypatch.undo()
        folders.check_files(tmp_path, ["a"])


def test_sha256sum_agrees(tmp_path: Path) -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum")
    folders.put(tmp_path, {"größe": "1", "b": "2"})
    subprocess.run(["sha256sum", "--check", "--strict", folders.MARK], cwd=tmp_path, check=True, capture_output=True)
