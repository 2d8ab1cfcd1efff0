"""Real sets: where they are looked for, how one gets them, their licences, splits and checksums.

Nothing is downloaded on import, and nothing of a set is kept in the repository. ``esc50`` and ``caltech101`` read the
sets that packs are made of; ``benchmarks`` and ``spoken`` read annotation files.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from avlib import files
from avlib.errors import unknown

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A set of real data.

    Attributes:
        folders: names under which its folder is looked for, the fuller set first.
        mark: a file or folder that every copy of it holds; it says where the set begins.
        get: how one gets it.
        licence: whose it is.
        splits: the official ones.
        checksum: what tells whether a copy is whole, and what computes it.
    """

    folders: tuple[str, ...]
    mark: str
    get: str
    licence: str
    splits: str
    checksum: str


SOURCES = {
    "esc50": Source(
        folders=("esc50", "ESC-50", "ESC-50-master", "esc10", "ESC-10"),
        mark="meta/esc50.csv",
        get="unpack https://github.com/karolpiczak/ESC-50/archive/master.zip as esc50/ into a folder and set "
        "AVLIB_DATA to that folder, or go online with the `datasets` package installed (the hub's ashraq/esc50)",
        licence="ESC-50: K. J. Piczak, CC BY-NC 3.0; its subset ESC-10: CC BY 3.0; each clip's author at freesound.org",
        splits="5 folds; clips of one source recording lie in one fold",
        checksum="avlib.datasets.esc50.CHECKSUM, over name, fold and class of ESC-10's 400 clips",
    ),
    "caltech101": Source(
        folders=("caltech101", "caltech-101", "caltech101-sounding"),
        mark="accordion",
        get="go online (torchvision.datasets.Caltech101 is downloaded), or put a folder caltech101/ with "
        "101_ObjectCategories/<class>/*.jpg into a folder and set AVLIB_DATA to that folder",
        licence="Caltech-101: F.-F. Li, M. Andreetto, M. A. Ranzato and P. Perona, CC BY 4.0",
        splits="none official; packs split by picture",
        checksum="md5 3138e1922a9193bfa496528edbbc45d0 of caltech-101.zip, checked by torchvision",
    ),
}


def source(name: str) -> Source:
    """What is known of a set.

    Raises:
        ValueError: an unknown name; the right ones are listed.
    """
    if name not in SOURCES:
        raise unknown("dataset", name, SOURCES)
    return SOURCES[name]


def root(name: str, folder: Path | str | None = None) -> Path | None:
    """The folder of a set, or None where there is none.

    Args:
        folder: the set's own folder or one that holds it; else ``$AVLIB_DATA``.

    Raises:
        ValueError: an unknown name.
    """
    known = source(name)
    base = folder or os.environ.get("AVLIB_DATA")
    if not base:
        return None
    base = Path(base).expanduser()
    below = [base, *(base / part for part in known.folders)]
    candidates = [path for b in below for path in (b, b / "101_ObjectCategories")]
    return next((path for path in candidates if (path / known.mark).exists()), None)


def missing(name: str, folder: Path | str | None = None, why: str = "") -> FileNotFoundError:
    """The error for a set that is not there; it says where it was looked for and how to get it."""
    known = source(name)
    looked = folder or os.environ.get("AVLIB_DATA") or "AVLIB_DATA, which is not set"
    holds = " or ".join(f"{part}/" for part in known.folders)
    because = f" ({why})" if why else ""
    return FileNotFoundError(
        f"no {name} data{because}: looked in {looked} for {known.mark}, there or in {holds}. To get it: {known.get}"
    )


def listed(folder: Path, wanted: Callable[[Path], bool]) -> tuple[list[Path], Counter[str]]:
    """The files in a folder that are ``wanted``, by name, and how many others there are of which kind.

    Hidden ones do not count; a folder that is not there holds nothing.
    """
    found, others = [], Counter[str]()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if not path.exists():
            others["links that lead nowhere"] += 1
        elif path.is_dir():
            others["folders within a class"] += 1
        elif not wanted(path):
            others["files of other kinds"] += 1
        else:
            found.append(path)
    return found, others


def by_folder(folder: Path, wanted: Callable[[Path], bool]) -> tuple[dict[str, list[Path]], Counter[str]]:
    """`listed` for each folder in a folder, by name, and how many others there are in all."""
    found: dict[str, list[Path]] = {}
    others = Counter[str]()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            found[path.name], more = listed(path, wanted)
            others += more
        elif not path.exists():
            others["links that lead nowhere"] += 1
    return found, others


def say_skipped(folder: Path, others: Counter[str]) -> None:
    """One line in the log that counts what of a folder is not used; none where all is."""
    if others:
        _log.warning("%s: skipped %s", folder, ", ".join(f"{kind} ({count})" for kind, count in others.items()))


def downloads() -> Path:
    """Where downloaded sets are kept: ``data`` in `avlib.files.cache`."""
    return files.cache() / "data"
