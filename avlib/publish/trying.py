"""Other values that a reader may try in a chapter, and whether it still runs with them.

A code cell lists them in its metadata: ``"try": [["things=(3, 3)", "things=(2, 2)"]]``, what stands in the cell once
and what to put in its place. A reader changes one line and goes on; so each value is tried with the whole chapter.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

from avlib.publish import chapters
from avlib.publish.chapters import Cell, Notebook
from avlib.publish.session import run_cell, session, sized

EXERCISE = {"solution", "check", "hidden-check"}


def faults(cell: Cell) -> Iterator[str]:
    """What is wrong with a cell's list of values."""
    listed = cell.get("metadata", {}).get(chapters.TRY, [])
    if not isinstance(listed, list):
        yield f"its metadata {chapters.TRY!r} must be a list of [what is there, what to try], not {listed!r}"
        return
    for pair in listed:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            yield f"its metadata {chapters.TRY!r} holds {pair!r} instead of [what is there, what to try]"
        elif cell["source"].count(pair[0]) != 1:
            yield f"{pair[0]!r}, to be tried otherwise, stands {cell['source'].count(pair[0])} times in it, not once"


def variants(notebook: Notebook) -> Iterator[tuple[str, Notebook]]:
    """Copies of a notebook, each with one value in every cell that lists so many, and what was changed in words.

    Raises:
        ChapterError: what a cell lists is no pair, or does not stand in it once (the cell is named).
    """
    listed = {}
    for i, cell in chapters.code_cells(notebook):
        for fault in faults(cell):
            raise chapters.ChapterError(f"cell {i + 1} ({cell['id']}): {fault}")
        listed[i] = cell["metadata"].get(chapters.TRY, [])
    for turn in range(max(map(len, listed.values()), default=0)):
        changed, words = copy.deepcopy(notebook), []
        for i, (old, new) in ((i, pairs[turn]) for i, pairs in listed.items() if turn < len(pairs)):
            changed["cells"][i]["source"] = changed["cells"][i]["source"].replace(old, new)
            words.append(f"{new} in {changed['cells'][i]['id']}")
        yield ", ".join(words), changed


def report(notebook: Notebook, root: Path, *, profile: str = "smoke", seed: int = 0, timeout: int = 600) -> list[str]:
    """Run the chapter with other values, its exercises left out; the first cell that fails of each run, in words.

    Raises:
        ChapterError: see `variants`.
    """
    found = []
    for words, changed in variants(sized(notebook, profile, seed)):
        with session(changed, root, timeout) as client:
            for i, cell in chapters.code_cells(changed):
                if not EXERCISE & {*chapters.tags(cell)} and (error := run_cell(client, cell)):
                    found.append(f"with {words}, cell {i + 1} ({cell['id']}) fails: {error}")
                    break
    return found
