"""A small chapter that breaks no rule, and the tree around it; the tests change one thing at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from avlib.publish import chapters, launch
from avlib.publish.chapters import Cell, Chapter, Notebook

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WAV = "data:audio/wav;base64," + "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
PLAYER = (
    f'<figure class="av av-player" aria-label="A dog that barks twice"><img alt="" src="data:image/png;base64,{PNG}">'
)
PLAYER += f'<audio controls aria-label="mixture" src="{WAV}"></audio></figure>'
EXERCISE = "```{exercise} Number %d\n:label: ex-%d\nWrite a function.\n```"
SOLUTION = "def double(x):\n    ### BEGIN SOLUTION\n    return 2 * x\n    ### END SOLUTION"
QUIZ = 'quiz.show([{"ask": "?", "right": "a", "why": "so", "wrong": {"b": "no"}}])'


def markdown(source: str, *tags: str) -> Cell:
    """A Markdown cell."""
    return {"cell_type": "markdown", "metadata": {"tags": list(tags)} if tags else {}, "source": source}


def code(source: str, *tags: str, outputs: list[dict[str, Any]] | None = None, **metadata: Any) -> Cell:
    """A code cell; its count is given by ``notebook``."""
    about = {**({"tags": list(tags)} if tags else {}), **metadata}
    return {"cell_type": "code", "metadata": about, "source": source, "outputs": outputs or [], "execution_count": 0}


def stream(text: str, name: str = "stdout") -> dict[str, Any]:
    """Printed text."""
    return {"output_type": "stream", "name": name, "text": text}


def shown(**data: str) -> dict[str, Any]:
    """A displayed object; the keys name MIME types with ``_`` for ``/``."""
    return {"output_type": "display_data", "metadata": {}, "data": {k.replace("_", "/", 1): v for k, v in data.items()}}


def notebook(*cells: Cell) -> Notebook:
    """A notebook whose code cells were run in order."""
    count = 0
    for index, cell in enumerate(cells):
        cell["id"] = f"c{index + 1}"
        if cell["cell_type"] == "code" and cell["execution_count"] == 0:
            count += 1
            cell["execution_count"] = count
    about = {"kernelspec": dict(chapters.KERNEL)}
    return {"cells": list(cells), "metadata": about, "nbformat": 4, "nbformat_minor": 5}


CONFIG = "repository: {url: 'https://example.org/a/book.git', branch: main}\n"
INSTALL = launch.LINES.format(library="avlib @ git+https://example.org/a/book.git@main")
PARAMETERS = 'profile: str = "cpu"  # or another\nseed: int = 0'


def good() -> list[Cell]:
    """The cells of a chapter that breaks no rule (once ``notebook`` has counted them)."""
    return [
        markdown("# A chapter\n\nIt shows in a few cells that each rule lets a sound chapter pass.", "slide"),
        code(PARAMETERS, "parameters"),
        markdown(
            "A figure, because $a^2$ says little. See {cite:p}`known2020` and [the other](other.ipynb#a-chapter)."
        ),
        code(
            "plot()",
            "slide",
            outputs=[shown(image_png=PNG)],
            mystnb={"image": {"alt": "A line that rises from nought"}},
        ),
        code("play()", outputs=[shown(text_html=PLAYER)]),
        code("print(1)", "nbval-check-output", outputs=[stream("1\n")]),
        markdown("\n".join(EXERCISE % (n, n) for n in (1, 2, 3))),
        code(SOLUTION, "solution"),
        code('assert double(2) == 4, f"double(2) is {double(2)}: what does twice mean?"', "check"),
        code(QUIZ, "quiz", "hide-input", outputs=[shown(text_html="<form></form>")]),
    ]


def installing() -> list[Cell]:
    """The good chapter with the cell that installs the library."""
    first, *rest = good()
    return [first, code(INSTALL, "install", "remove-cell"), *rest]


def tree(root: Path, **cells: list[Cell]) -> Path:
    """A tree with one part and a chapter for each keyword, and a bibliography."""
    (root / "book").mkdir(parents=True, exist_ok=True)
    (root / "book" / "references.bib").write_text("@article{known2020,\n title = {Known}\n}\n", encoding="utf-8")
    for name, each in cells.items():
        chapters.write(root / "notebooks" / "1_part" / f"{name}.ipynb", notebook(*each))
    return root


def chapter(root: Path, name: str) -> Chapter:
    """One of the tree's chapters."""
    return chapters.find(root, [name])[0]


def small(*cells: Cell) -> list[Cell]:
    """Cells behind a title and parameters, to be executed."""
    return [
        markdown("# T\n\nA chapter that is executed within a test of the book."),
        code(PARAMETERS, "parameters"),
        *cells,
    ]
