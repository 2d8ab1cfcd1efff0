"""What a run leaves in a notebook's metadata (key ``avlib``), and whether it still holds.

The record is ``{"profile", "seed", "seconds", "peak_bytes", "commit", "provenance"}``; ``provenance`` is what
``avlib.provenance.describe`` gives for the chapter's code: hashes of the code cells, of each reached definition of
the library, of the lock file and of the scores that the chapter shows, with versions and device.
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
from avlib.publish.chapters import Chapter, ChapterError, Notebook

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
        made = chapters.read(target)["metadata"].get(KEY, {})
    except (OSError, ChapterError):
        return False
    return (made.get("profile"), made.get("seed")) == (profile, seed) and not reasons(source, root, made)


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
    why = reasons(notebook, chapter.root)
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
