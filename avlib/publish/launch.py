"""The cell that installs the library where it is missing, and every other place that names the repository's address.

The cell is the first code cell of every chapter, right below the title, and hidden on the site, so that a chapter runs
on Colab as it stands. Address and branch come from ``repository`` in ``_config.yml``; ``avlib book address`` writes
both.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

from avlib import files
from avlib.publish import chapters
from avlib.publish.chapters import Cell, Chapter, Notebook

TAG = "install"
LINES = """\
import importlib.util

found = importlib.util.find_spec("avlib")
if found is None or found.origin is None:  # on Colab; a folder of that name is no library
    %pip install --quiet "{library}\""""
CITATION = "CITATION.cff"


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


def place(config: dict[str, Any]) -> tuple[str, str] | None:
    """Address and branch in a configuration; None for a book without an address."""
    found = config.get("repository") or {}
    address = str(found.get("url") or "").rstrip("/")
    return (address, str(found.get("branch") or "main")) if address else None


def library(config: dict[str, Any]) -> str:
    """What pip installs the library from: the book's own repository, or its name alone where there is no address."""
    found = place(config)
    return f"avlib @ git+{found[0]}@{found[1]}" if found else "avlib"


def source(root: Path) -> str | None:
    """What the cell must hold; None for a book without an address.

    Raises:
        ValueError: ``_config.yml`` is not YAML.
    """
    told = config(root)
    return LINES.format(library=library(told)) if place(told) else None


def missing(notebook: Notebook, due: str) -> str | None:
    """Why the install cell is not as it should be, or None."""
    found = next(chapters.code_cells(notebook), None)
    if found is None or TAG not in chapters.tags(found[1]):
        return "the first code cell does not install the library"
    return None if found[1]["source"] == due else "the install cell does not fit the address in _config.yml"


def readdressed(text: str, here: tuple[str, str], old: set[str]) -> str:
    """``text`` with the address ``here`` (see `place`) in place of ``old`` ones, and its branch in links to files."""
    address, branch = here[0].removesuffix(".git"), here[1]
    either = "|".join(re.escape(each.removesuffix(".git")) for each in sorted({*old, address}, key=len, reverse=True))
    pattern = rf"(?:{either})(?P<git>\.git)?(?![\w-]|\.\w)(?:/(?P<kind>blob|tree|raw)/[^/\s)\"'>]+)?"

    def new(match: re.Match[str]) -> str:
        return address + (match["git"] or "") + (f"/{match['kind']}/{branch}" if match["kind"] else "")

    return re.sub(pattern, new, text)


def earlier(root: Path) -> set[str]:
    """Addresses that the book had before: those that install cells and ``CITATION.cff`` name."""
    named = set()
    for chapter in chapters.find(root):
        try:
            cells = [cell["source"] for _, cell in chapters.tagged(chapters.read(chapter.path), TAG)]
        except chapters.ChapterError:
            continue  # which the check says
        named |= {found[1] for cell in cells if (found := re.search(r"git(?:\+| clone .*?)(https?://[^\s@\"]+)", cell))}
    path = root / CITATION
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return named | set(re.findall(r"^repository-code: *[\"']?(https?://[^\s\"']+)", text, re.M))


def outdated(root: Path) -> dict[Path, str]:
    """Files besides chapters that name an address the book had before, and what they must hold.

    Raises:
        ValueError: ``_config.yml`` is not YAML.
    """
    here = place(config(root))
    return {} if here is None else _outdated(root, here, earlier(root))


def _outdated(root: Path, here: tuple[str, str], old: set[str]) -> dict[Path, str]:
    places = [root / CITATION, root / "pyproject.toml", *root.glob("*.md"), *(root / "book").rglob("*.md")]
    texts = {p: p.read_text(encoding="utf-8") for p in sorted(places) if p.is_file() and "_build" not in p.parts}
    return {path: new for path, text in texts.items() if (new := readdressed(text, here, old)) != text}


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
    """Write the address where another one stands, and install cells where they are missing; what was changed.

    Chapters are named, other files have their paths; these are written whichever chapters are picked.

    Raises:
        ValueError: ``_config.yml`` has no ``repository: url:``.
    """
    due, here = source(root), place(config(root))
    if due is None or here is None:
        raise ValueError(f"{root / '_config.yml'} names no address: it needs 'repository:' with 'url:'")
    old = earlier(root)
    others = _outdated(root, here, old)
    for path, text in others.items():
        files.write(path, text, "the address")
    changed = []
    for chapter in picked:
        before = chapters.read(chapter.path)
        notebook = stamp(before, due) if missing(before, due) else copy.deepcopy(before)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = readdressed(cell["source"], here, old)
        if notebook != before:
            chapters.write(chapter.path, notebook)
            changed.append(chapter.name)
    return changed + [path.relative_to(root).as_posix() for path in others]
