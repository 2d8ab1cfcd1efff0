"""What a run leaves in a notebook's metadata (key ``avlib``), and whether it still holds.

The record is ``{"profile", "seed", "seconds", "peak_bytes", "commit", "provenance", "outputs", "marked"}``.
``provenance`` is what ``avlib.provenance.describe`` gives for the chapter's code: hashes of the code cells, of each
reached definition of the library, of the lock file and of the scores that the chapter shows, with versions and device.
``outputs`` has a fingerprint of what each cell showed, by the cell's id, and ``marked`` the ids of the cells whose
outputs nbval compares: what was committed is what came out of the run.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from avlib import provenance
from avlib.publish import chapters
from avlib.publish.chapters import Cell, Chapter, ChapterError, Notebook

KEY = "avlib"


def _library(root: Path) -> Path:
    return root / "avlib" if (root / "avlib").is_dir() else provenance.ROOT


def methods(notebook: Notebook) -> list[str]:
    """Methods whose recorded claims the chapter reads: the first argument of each ``results.read("…")``."""
    return sorted({name for source in chapters.code(notebook).values() for name in _read_in(source)})


def _read_in(source: str) -> Iterator[str]:
    try:
        tree = ast.parse(provenance.python_of(source)[0])
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if re.fullmatch(r"(?:avlib\.)?(?:results\.)?read", called) and isinstance(node.args[0].value, str):
                yield node.args[0].value


def claims_files(notebook: Notebook, root: Path, profile: str) -> list[Path]:
    """The claims records that the chapter shows, where they exist: of its profile, and of ``cpu``."""
    found = [root / "results" / name / f"{method}.json" for method in methods(notebook) for name in {profile, "cpu"}]
    return sorted(path for path in found if path.exists())


def shown(path: Path) -> str:
    """sha256 of what a chapter can show of a claims record: its scores, and not where they came from."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        scores = sorted([cell["arm"], cell["seed"], sorted(cell["metrics"].items())] for cell in cells)
    except (ValueError, KeyError, TypeError, AttributeError):
        return provenance.file_digest(path)  # damaged: `stale_claims` says so
    return provenance.sha(json.dumps(scores))


def now(notebook: Notebook, root: Path, profile: str, seed: int, seconds: float | None = None) -> dict[str, Any]:
    """The provenance of the chapter's code as it and the library are at this moment.

    Raises:
        ValueError: a cell is not Python; it is named.
    """
    shown_here = claims_files(notebook, root, profile)
    return provenance.describe(
        chapters.code(notebook),
        profile=profile,
        seed=seed,
        device=_device(),
        seconds=seconds,
        files={path.relative_to(root).as_posix(): shown(path) for path in shown_here},
        root=_library(root),
    )


def packs(notebook: Notebook, before: dict[str, Any]) -> dict[str, str]:
    """Name and sha256 of each compiled pack that the chapter had at hand: those it names, and the world's default.

    They are kept to be looked up, not compared: the default pack follows from code and lock file, which are, and
    packs of real recordings are not on every machine.
    """
    if not any(path.startswith("avlib/world/") for path in before["sources"]):
        return {}
    from avlib.world.library import NAMES, cache

    text = "\n".join(chapters.code(notebook).values())
    named = [name for name in NAMES if name == "orchestra" or re.search(rf"[\"']{re.escape(name)}[\"']", text)]
    files = {name: sorted(cache().glob(f"{name}-*.safetensors"), key=lambda p: p.stat().st_mtime) for name in named}
    return {name: provenance.file_digest(found[-1]) for name, found in files.items() if found}


def _device() -> str:
    if shutil.which("nvidia-smi") is None:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def make(before: dict[str, Any], root: Path, profile: str, seed: int, seconds: float, peak: int) -> dict[str, Any]:
    """The record of a run; ``before`` is its provenance as it was when the run began."""
    return {
        "profile": profile,
        "seed": seed,
        "seconds": round(seconds, 1),
        "peak_bytes": round(peak, -6),
        "commit": provenance.commit(root),
        "provenance": {**before, "seconds": round(seconds, 1)},
    }


def shown_by(notebook: Notebook) -> dict[str, Any]:
    """The part of the record that tells what the run left: fingerprints of outputs, and which cells are marked."""
    cells = [(str(cell.get("id", "")), cell) for _, cell in chapters.code_cells(notebook)]
    return {
        "outputs": {name: _output_print(cell) for name, cell in cells if cell.get("outputs")},
        "marked": [name for name, cell in cells if chapters.MARK in chapters.tags(cell)],
    }


def _output_print(cell: Cell) -> str:
    """A hash of what a cell shows; its count is left out, and printed text counts as one, as JupyterLab saves it."""
    found: list[dict[str, Any]] = []
    for output in cell["outputs"]:
        kept = {key: value for key, value in output.items() if key != "execution_count"}
        same = found and kept["output_type"] == "stream" == found[-1]["output_type"]
        if same and kept.get("name") == found[-1].get("name"):
            found[-1] = {**found[-1], "text": found[-1]["text"] + kept["text"]}
        else:
            found.append(kept)
    return provenance.sha(json.dumps(found, sort_keys=True))[:16]


def fingerprinted(notebook: Notebook) -> bool:
    """Does the record say what the run left? Records of earlier versions do not."""
    return "outputs" in notebook["metadata"].get(KEY, {})


def edits(notebook: Notebook) -> list[tuple[int | None, str]]:
    """(position of the cell or None, what happened to it) of each output or mark that is not as the run left it.

    Empty where the record does not say what the run left: see `fingerprinted`.
    """
    if not fingerprinted(notebook):
        return []
    made = notebook["metadata"][KEY]
    found: list[tuple[int | None, str]] = []
    for index, cell in chapters.code_cells(notebook):
        name = str(cell.get("id", ""))
        kept, shown_now = made["outputs"].get(name), _output_print(cell) if cell.get("outputs") else None
        if kept != shown_now:
            what = "was deleted" if shown_now is None else "was changed" if kept else "was added"
            found.append((index, f"its output {what} after the run"))
        if name in made.get("marked", []) and chapters.MARK not in chapters.tags(cell):
            found.append((index, f"its tag {chapters.MARK!r} was removed after the run: nbval would not compare it"))
    here = {str(cell.get("id", "")) for _, cell in chapters.code_cells(notebook)}
    gone = [name for name in made["outputs"] if name not in here]
    return found + [(None, f"the cell {name!r}, whose output the run left, is gone") for name in gone]


def is_stale(notebook: Notebook, root: Path) -> bool:
    """Must the chapter be executed again: is its code another, or are its outputs not those of its run?"""
    return bool(reasons(notebook, root) or edits(notebook))


def reasons(notebook: Notebook, root: Path, made: dict[str, Any] | None = None) -> list[str]:
    """Why the outputs are stale; empty where they are not.

    ``made`` is another notebook's record, to be judged instead of its own.
    """
    made = notebook["metadata"].get(KEY) if made is None else made
    if not made or "provenance" not in made:
        return ["it was never executed with 'avlib book execute'"]
    try:
        today = now(notebook, root, made["profile"], made["seed"])
    except ValueError as error:
        return [f"its code cannot be read: {error}"]
    return provenance.compare(made["provenance"], today)


def is_fresh(target: Path, source: Notebook, root: Path, profile: str, seed: int) -> bool:
    """Does ``target`` hold outputs of ``source`` as it is now, made with this profile and seed?"""
    try:
        there = chapters.read(target)
    except (OSError, ChapterError):
        return False
    made = there["metadata"].get(KEY, {})
    asked = (made.get("profile"), made.get("seed")) == (profile, seed)
    return asked and not edits(there) and not reasons(source, root, made)


def stale_claims(notebook: Notebook, root: Path) -> list[str]:
    """Recorded claims shown by the chapter that are out of date, each with its first reason."""
    lines: list[str] = []
    made = notebook["metadata"].get(KEY, {})
    for path in claims_files(notebook, root, made.get("profile", "cpu")):
        from avlib import results

        try:
            why = results.read(path.stem, path.parent.name).stale()
        except (OSError, ValueError) as error:
            why = [str(error)]
        if why:
            lines.append(
                f"results/{path.parent.name}/{path.name}: {why[0]}"
                + (f" (and {len(why) - 1} more)" if len(why) > 1 else "")
            )
    return lines


def line(notebook: Notebook, chapter: Chapter) -> str:
    """One line about the run that made the outputs, for the chapter's page."""
    made = notebook["metadata"].get(KEY)
    if not made:
        return "Not executed yet."
    versions = made["provenance"].get("versions", {})
    why = reasons(notebook, chapter.root) or [message for _, message in edits(notebook)]
    parts = [
        f"Run on {made['provenance'].get('device', 'an unknown device')}",
        f"profile {made['profile']}",
        f"seed {made['seed']}",
        f"{made['seconds']:.0f} s",
        f"peak {made['peak_bytes'] / 1e9:.1f} GB",
        f"torch {versions.get('torch', '?')}",
        f"avlib {made['commit'] or versions.get('avlib', '?')}",
        f"stale: {why[0] if why else 'no'}",
    ]
    return " · ".join(parts)
