"""Files written whole or not at all, folders for a while, and what a killed process left of either.

Everything unfinished has a name that tells whose it is: ``.avlib-part-HOST-PROCESS-RANDOM`` beside what it will
replace, ``avlib-WHAT-HOST-PROCESS-RANDOM`` among the system's temporary files. No two writers share one, and what
belongs to no living process is removed by the next that comes by.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import platform
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_OURS = re.compile(r"\.?avlib-[a-z]+-([0-9a-f]{6})-(\d{1,7})-[0-9a-f]{8}")
_DAY = 86400


def write(path: str | os.PathLike[str], data: bytes | str, what: str = "the file") -> Path:
    """Write a whole file or nothing: to a neighbour with a name of its own, to the disk, then over the old one.

    Of two processes that write the same file the last one wins, and neither meets half of the other's. A link stays,
    and what it leads to is replaced; folders that are missing are made.

    Args:
        path: where; a device or a pipe is written into.
        data: bytes, or text (UTF-8).
        what: its name in an error.

    Raises:
        OSError: no space, no right, a folder of that name; what stood there is untouched. The message has the path.
    """
    path, raw = Path(path), data.encode() if isinstance(data, str) else data
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and not target.is_file():  # a folder refuses; a device or a pipe has nothing to lose
            target.write_bytes(raw)
            return path
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "it is read-only")
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(target.parent)
        _put(target, raw)
    except OSError as error:
        raise _unwritten(path, what, error) from error
    return path


def _put(target: Path, raw: bytes) -> None:
    part = beside(target)
    try:
        with open(part, "xb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, part)
        os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def append(path: Path, line: str, what: str = "the file") -> None:
    """Add a line to a file, all of it or nothing.

    Raises:
        OSError: no space, no right; the lines before are untouched. The message has the path.
    """
    raw = f"{line}\n".encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab", buffering=0) as file:
            end = file.tell()
            if file.write(raw) < len(raw):
                file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise _unwritten(path, what, error) from error


def _unwritten(path: Path, what: str, error: OSError) -> OSError:
    kept = "the one before is untouched" if path.exists() else "there is none before it"
    return OSError(error.errno, f"{what} could not be written ({error.strerror or error}; {kept})", str(path))


def check_writable(folder: Path, what: str, advice: str) -> None:
    """Can files be written there? Better said now than after hours; the folder is made.

    Raises:
        OSError: they cannot; the message says what for, where, why and what to do.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        why = error.strerror or str(error)
        raise OSError(error.errno, f"{what} cannot be written into {folder} ({why}): {advice}") from error


def cache() -> Path:
    """Where what is made or fetched once is kept: ``$AVLIB_CACHE``, else ``~/.cache/avlib``."""
    named = os.environ.get("AVLIB_CACHE")
    if named:
        return Path(named)
    try:
        return Path.home() / ".cache" / "avlib"
    except RuntimeError:  # nobody's home is known: nothing will be kept there, and whoever tries says so
        return Path("/", ".cache", "avlib")


# --- what is not finished --------------------------------------------------------------------------------------------


def beside(path: Path) -> Path:
    """A name next to ``path`` that no other writer uses, for what will take its place."""
    return path.with_name(f".avlib-part-{_own()}")


@contextlib.contextmanager
def scratch(what: str) -> Iterator[Path]:
    """A temporary folder, gone afterwards; those of processes that were killed go too. ``what``: one word, a-z."""
    base = Path(tempfile.gettempdir())
    _sweep_once(base)
    folder = base / f"avlib-{what}-{_own()}"
    folder.mkdir(0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what writers left in ``folder`` that are gone: killed on this machine, or silent for a day elsewhere."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            match = _OURS.fullmatch(entry.name)
            if match and _abandoned(entry, match[1], int(match[2])):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)


@functools.lru_cache(maxsize=1024)
def _sweep_once(folder: Path) -> None:
    """A folder of many files is searched once, not at every write."""
    sweep(folder)


def _own() -> str:
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


@functools.cache
def _host() -> str:
    """This machine and, in a container, its count of processes: numbers of processes mean nothing elsewhere."""
    try:
        counted = os.readlink("/proc/self/ns/pid")
    except OSError:
        counted = ""
    return hashlib.sha256(f"{platform.node()} {counted}".encode()).hexdigest()[:6]


def _abandoned(entry: os.DirEntry[str], host: str, process: int) -> bool:
    if host == _host():
        return not _alive(process)
    try:
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _DAY
    except OSError:
        return False


def _alive(process: int) -> bool:
    if os.name == "nt":  # there, asking by a signal would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
