"""Folders that others use too: what this tool put there is known by its mark, and nothing else is ever replaced.

The mark is a file `MARK` of lines as ``sha256sum`` prints them: what was written there, and the hash of its content.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from avlib import files

MARK = ".avlib-made"
_NOISE = {MARK, ".DS_Store", "Thumbs.db", "desktop.ini"}
"""What file browsers leave, and the mark itself."""
_one_at_a_time = threading.Lock()


def check(out: Path) -> None:
    """May ``out`` be replaced? Where it is missing, empty, or as this tool made it (files may be gone).

    Raises:
        NotADirectoryError: it is a file.
        FileExistsError: it holds something else, or is the current folder, or holds that; names it and says what to do.
    """
    out = out.resolve()
    if Path.cwd().is_relative_to(out):
        raise FileExistsError(f"{out} is not replaced: it is, or holds, the current folder; give a new or empty one")
    if not out.exists():
        return
    if not out.is_dir():
        raise NotADirectoryError(f"{out} is a file, and a folder is needed; give a new or empty one")
    if not (out / MARK).is_file() and any(entry.name not in _NOISE for entry in out.iterdir()):
        raise FileExistsError(
            f"{out} is not replaced: it holds files that avlib did not put there; give a new or empty folder"
        )
    foreign = _foreign(out, _listing(out))
    if foreign:
        raise FileExistsError(
            f"{out} is not replaced: since avlib made it, somebody added or changed {_some(foreign)}; "
            "move what you want to keep, then delete the folder, or give another one"
        )


def check_files(folder: Path, names: Iterable[str]) -> None:
    """May these files of ``folder`` be written? Where they are missing, or as this tool wrote them.

    Raises:
        FileExistsError: they are somebody's; names them and says what to do.
    """
    folder = folder.resolve()
    foreign = _foreign(folder, {name: _hash(folder / name) for name in names if os.path.lexists(folder / name)})
    if foreign:
        raise FileExistsError(
            f"{folder} holds {_some(foreign)}, which avlib did not write or somebody changed since; "
            "move what you want to keep, or give another folder"
        )


@contextmanager
def replaced(out: Path) -> Iterator[Path]:
    """An empty folder to fill; where that raises nothing, it then stands at ``out`` in one step, with its mark.

    Raises:
        NotADirectoryError, FileExistsError: see `check`.
    """
    out = out.resolve()
    check(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    files.sweep(out.parent)
    fresh = files.beside(out)
    fresh.mkdir()
    try:
        yield fresh
        _mark(fresh, {_line(name, value) for name, value in _listing(fresh).items()})
        check(out)  # somebody may have worked there meanwhile
        _swap(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def put(folder: Path, contents: Mapping[str, bytes | str]) -> None:
    """Write files into ``folder``, and into its mark that they are this tool's; see `check_files` first.

    Raises:
        OSError: one of them cannot be written; it is named.
    """
    raw = {name: data.encode() if isinstance(data, str) else data for name, data in contents.items()}
    lines = {_line(name, hashlib.sha256(data).hexdigest()) for name, data in raw.items()}
    with _one_at_a_time:
        before = _noted(folder)
        _mark(folder, before | lines)  # a kill leaves each file as it was or as it shall be: the mark knows both
        for name, data in raw.items():
            files.write(folder / name, data)
        _mark(folder, {line for line in before if line[66:] not in raw} | lines)


def _swap(fresh: Path, out: Path) -> None:
    if not out.exists():
        os.replace(fresh, out)
        return
    old = files.beside(out)
    os.replace(out, old)
    try:
        os.replace(fresh, out)
    except BaseException:
        os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _line(name: str, value: str) -> str:
    return f"{value}  {name}"


def _mark(folder: Path, lines: set[str]) -> None:
    files.write(folder / MARK, "".join(f"{line}\n" for line in sorted(lines)))


def _noted(folder: Path) -> set[str]:
    """The lines of the mark; none where there is no mark."""
    mark = folder / MARK
    return set(mark.read_text(encoding="utf-8", errors="replace").splitlines()) if mark.is_file() else set()


def _foreign(folder: Path, listing: dict[str, str]) -> list[str]:
    noted = _noted(folder)
    return sorted(name for name, value in listing.items() if _line(name, value) not in noted)


def _listing(folder: Path) -> dict[str, str]:
    """Hash of every file below ``folder``; links are not followed."""
    found = {}
    for place, below, names in os.walk(folder):
        links = [name for name in below if os.path.islink(os.path.join(place, name))]
        for name in (*names, *links):
            path = Path(place, name)
            if name not in _NOISE or (name == MARK and Path(place) != folder):
                found[path.relative_to(folder).as_posix()] = _hash(path)
    return found


def _hash(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return f"no plain file: {os.readlink(path) if path.is_symlink() else ''}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
