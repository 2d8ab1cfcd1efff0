"""The cell that installs the library where it is missing, so that a chapter runs on Colab as it stands.

It is the first code cell of every chapter, right below the title, and hidden on the site. Its address and branch come
from ``repository`` in ``_config.yml``; ``avlib book address`` writes it.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from avlib.publish import chapters
from avlib.publish.chapters import Cell, Chapter, Notebook

TAG = "install"
LINES = """\
import importlib.util

if importlib.util.find_spec("avlib") is None:  # on Colab
    !git clone --quiet --depth 1 --branch {branch} {address}
    %cd {folder}
    %pip install --quiet ."""


def config(root: Path) -> dict[str, Any]:
    """What ``_config.yml`` says; nothing where there is none.

    Raises:
        ValueError: it is not YAML.
    """
    import yaml

    path = root / "_config.yml"
    if not path.exists():
        return {}
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error


def repository(root: Path) -> dict[str, Any]:
    """The part of ``_config.yml`` that says where the book lives.

    Raises:
        ValueError: ``_config.yml`` is not YAML.
    """
    return config(root).get("repository") or {}


def source(root: Path) -> str | None:
    """What the cell must hold; None for a book without an address.

    Raises:
        ValueError: ``_config.yml`` is not YAML.
    """
    place = repository(root)
    address = str(place.get("url") or "").rstrip("/")
    if not address:
        return None
    folder = address.rsplit("/", 1)[-1].removesuffix(".git")
    return LINES.format(branch=place.get("branch") or "main", address=address, folder=folder)


def missing(notebook: Notebook, due: str) -> str | None:
    """Why the install cell is not as it should be, or None."""
    found = next(chapters.code_cells(notebook), None)
    if found is None or TAG not in chapters.tags(found[1]):
        return "the first code cell does not install the library"
    return None if found[1]["source"] == due else "the install cell does not fit the address in _config.yml"


def stamp(notebook: Notebook, due: str) -> Notebook:
    """A copy with the install cell ``due`` below the title; where there is one, only its text changes."""
    changed = copy.deepcopy(notebook)
    for _, present in chapters.tagged(changed, TAG):
        present["source"] = due
        return changed
    cell: Cell = {
        "cell_type": "code", "id": TAG, "metadata": {"tags": [TAG, "remove-cell"]}, "source": due,
        "outputs": [], "execution_count": None,
    }  # fmt: skip
    changed["cells"].insert(1, cell)
    return changed


def address(root: Path, picked: list[Chapter]) -> list[str]:
    """Write the install cell into chapters where it is missing or names another address; the names of those changed.

    Raises:
        ValueError: ``_config.yml`` has no ``repository: url:``.
    """
    due = source(root)
    if due is None:
        raise ValueError(f"{root / '_config.yml'} names no address: it needs 'repository:' with 'url:'")
    changed = []
    for chapter in picked:
        notebook = chapters.read(chapter.path)
        if missing(notebook, due):
            chapters.write(chapter.path, stamp(notebook, due))
            changed.append(chapter.name)
    return changed
