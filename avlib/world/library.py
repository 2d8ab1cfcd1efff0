"""Which packs there are and how each is built: from installed packages, from recordings and photographs, from a folder.

A pack is built once and kept in a cache, under a name that changes whenever the code that builds packs does. What only
building needs is imported when a pack is built: a compiled one does without.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any

from avlib import files
from avlib.errors import unknown
from avlib.world.packs import Pack, PackError, read, save

NAMES = ("orchestra", "esc", "photos", "folder:PATH")

_log = logging.getLogger(__name__)


def build(name: str, folder: Path | str | None = None, **options: Any) -> Pack:
    """Make a pack from its assets.

    Args:
        name: ``"orchestra"`` (from installed packages alone), ``"esc"``, ``"photos"`` or ``"folder:PATH"``.
        folder: where the recordings and photographs of ``esc`` and ``photos`` are; else ``$AVLIB_DATA``.
        options: what the builder takes: ``train_folds`` of ``esc`` and ``photos``, ``shortest`` of a folder.

    Raises:
        ValueError: an unknown name; the right ones are listed.
        PackError, FileNotFoundError: missing or broken assets, named.
    """
    if name == "orchestra":
        from avlib.world import orchestra

        return orchestra.build()
    from avlib.world import recorded

    if name.startswith("folder:"):
        return recorded.folder(Path(name.removeprefix("folder:")), **options)
    builders = {"esc": recorded.esc, "photos": recorded.photos}
    if name not in builders:
        raise unknown("pack", name, NAMES)
    return builders[name](None if folder is None else Path(folder), **options)


def cache() -> Path:
    """Where compiled packs are kept: ``packs`` in `avlib.files.cache`."""
    return files.cache() / "packs"


def compiled(name: str) -> Path:
    """Where the compiled pack of that name is kept; a file put there travels in place of the assets."""
    return cache() / f"{name}-{_version()}{_data(name)}.safetensors"


def _version() -> str:
    """Changes whenever the code that builds packs does."""
    here = Path(__file__).parent
    sources = sorted(
        p
        for p in here.glob("*.py")
        if p.stem
        in {"packs", "orchestra", "recorded", "sounds", "soundfont", "speech", "language", "drawings", "colours"}
    )
    return hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:10]


def _data(name: str) -> str:
    """Which data a pack of recordings is made of, so that other data do not meet an old pack."""
    if name == "orchestra":
        return ""
    from avlib import datasets

    roots = [str(datasets.root(part)) for part in ("esc50", "caltech101")]
    return "-" + hashlib.sha256("\n".join(roots).encode()).hexdigest()[:6]


@lru_cache(maxsize=4)
def load(name: str) -> Pack:
    """A pack by its name, built once and then read from the cache, or from a ``.safetensors`` file.

    Where the cache cannot be written, the pack is built for this process alone, and a warning says so once.
    ``folder:PATH`` is built anew each time: its files may have changed.

    Raises:
        ValueError: an unknown name; the right ones are listed.
        PackError, FileNotFoundError: missing or broken assets or file, named.
    """
    if name.endswith(".safetensors"):
        return read(name)
    if name.startswith("folder:"):
        return build(name)
    if name not in NAMES:
        raise unknown("pack", name, NAMES)
    path = compiled(name)
    files.sweep(path.parent)
    with contextlib.suppress(PackError, OSError):  # there is none, or a damaged one, which is made again
        return read(path)
    pack = build(name)
    try:
        save(pack, path)
    except OSError as error:
        _warn_once(str(path.parent), str(error.strerror))
        return pack
    return read(path)


@lru_cache
def _warn_once(place: str, why: str) -> None:
    _log.warning(
        "packs are not kept in %s, and each process builds its own: %s. AVLIB_CACHE names another folder", place, why
    )
