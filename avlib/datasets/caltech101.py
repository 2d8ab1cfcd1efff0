"""Caltech-101, photographs of things (Fei-Fei, Fergus & Perona, CVPR workshop 2004), from a folder or by download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from avlib import datasets as sets

if TYPE_CHECKING:
    import datasets

BACKDROP = "BACKGROUND_Google"
"""The class of pictures of anything."""


def photographs(root: Path | str | None = None, download: bool = True) -> dict[str, list[Path]]:
    """The files of each class, classes and files in the order of their names; an empty class is left out.

    What else lies in the folders of the classes is skipped; one line in the log counts it.

    Args:
        root: the set's folder, or one that holds it (or holds part of its classes); else ``$AVLIB_DATA``.
        download: fetch the set where there is none.

    Raises:
        FileNotFoundError: no data, and no download; the message says how to get them.
    """
    folder = sets.root("caltech101", root) or sets.root("caltech101", sets.downloads())
    if folder is None and download and root is None:
        folder = _download()
    if folder is None:
        raise sets.missing("caltech101", root)
    found, others = sets.by_folder(folder, lambda file: file.suffix.lower() in (".jpg", ".jpeg", ".png"))
    sets.say_skipped(folder, others)
    return {name: files for name, files in found.items() if files}


def _download() -> Path | None:
    from torchvision.datasets import Caltech101

    try:
        Caltech101(str(sets.downloads()), download=True)
    except Exception as error:  # no network, no space, a damaged archive: each raises its own
        raise sets.missing("caltech101", None, f"and it cannot be downloaded: {error}") from error
    return sets.root("caltech101", sets.downloads())


def load(root: Path | str | None = None) -> datasets.Dataset:
    """The photographs as a Hugging Face dataset: ``image`` (undecoded), ``category``, ``filename``.

    Raises:
        ImportError: the `datasets` package is not installed.
        FileNotFoundError: as in `photographs`.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError("Hugging Face datasets are an extra: pip install 'avlib[data]'") from error
    rows = [
        {"image": str(path), "category": category, "filename": path.name}
        for category, paths in photographs(root).items()
        for path in paths
    ]
    return datasets.Dataset.from_list(rows).cast_column("image", datasets.Image(decode=False))
