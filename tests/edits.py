"""The table of edits: what a change of the source ages, and what it must not.

``python tests/edits.py`` prints it for a small library, a chapter on it and a record of it.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from avlib import provenance

LIBRARY = {
    "__init__.py": "",
    "errors.py": "def unknown(kind):\n    return ValueError(f'unknown {kind}')\n",
    "tools.py": "import math\n\n\ndef half(x):\n    return x / 2\n",
    "dials.py": '''
from dataclasses import dataclass
@dataclass(frozen=True)
class Dials:
    """The dials."""
    size: int = 4
    zoom: float = 1.0
''',
    "paint.py": '''
"""Paint."""
from __future__ import annotations
from torch import nn
import numpy as np
from avlib.dials import Dials
from avlib.errors import unknown
from avlib.tools import half
FLOOR = 0.2
class Net(nn.Module):
    """A net."""
    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self._layer = nn.Linear(width, width)
    def forward(self, x):
        return self._scaled(self._layer(x))
    def _scaled(self, x):
        return x * FLOOR
def paint(scene, dials: Dials, gain: float = 1.0) -> list[float]:
    """Paint a scene."""
    if scene is None:
        raise unknown("scene")
    if gain < 0:
        raise ValueError(f"gain={gain} must not be negative")
    total = 0.0
    for value in scene:
        shown = _mix(value, dials.size)  # one by one
        total += shown * gain
    return [total, *(half(part) for part in sorted(scene, key=lambda item: -item))]
def _mix(value, size):
    return value + size - FLOOR if value > 0 else np.exp(size)
def spare(x):
    return x
''',
    "judging.py": "def verdict(scores):\n    return min(scores) > 0\n",
    "results.py": "from avlib.judging import verdict\n\n\ndef read(name):\n    return verdict([1, 2])\n",
    "recipes/__init__.py": "",
    "recipes/toy.py": '''
from avlib.dials import Dials
from avlib.paint import Net, paint
BUDGET = {"cpu": {"steps": 4}}
CHANCE = {"accuracy": 0.5}
CLAIMS = ("trained > untrained",)
ARMS = {"trained": dict(), "small": dict(width=4), "judged": dict(like="small"), "untrained": dict(steps=0)}
RATE = 0.1
def train(run, arm):
    return Net(**ARMS[arm]), RATE
def measure(method, run, arm):
    return {"loss": paint([1.0, 2.0], Dials())[0]}
''',
}  # fmt: skip

CHAPTER = {
    "cell 2": "from avlib.dials import Dials\nfrom avlib.paint import Net, paint\nfrom avlib.results import read",
    "cell 3": "paint([1.0, 2.0], Dials())\nNet()\nread('toy')",
}


@dataclass(frozen=True)
class Edit:
    """One change of the library, and what it should age.

    Attributes:
        what: the change in words.
        changes: (file, old text, new text) each; a file that is not there yet is made.
        chapter: the reasons for which the chapter should be stale.
        cell: should the cell of the arm "trained" be measured again?
    """

    what: str
    changes: tuple[tuple[str, str, str], ...]
    chapter: tuple[str, ...] = ()
    cell: bool = False


def _edit(what: str, *changes: tuple[str, str, str], named: str = "", cell: bool | None = None) -> Edit:
    return Edit(what, changes, tuple(filter(None, [named])), bool(named) if cell is None else cell)


def _paint(what: str, old: str, new: str, named: str = "", cell: bool | None = None) -> Edit:
    return _edit(what, ("paint.py", old, new), named=f"avlib/paint.py: {named} changed" if named else "", cell=cell)


HALF = "def half(x):\n    return x / 2\n"

EDITS = (
    _paint("docstring", '"""Paint a scene."""', '"""Paints scenes, one by one."""'),
    _paint("docstring removed", '    """A net."""\n', ""),
    _paint("comment", "# one by one", "# each for itself"),
    _paint("layout", "value + size - FLOOR if", "(\n        value + size\n        - FLOOR\n    ) if"),
    _paint("annotation", "gain: float = 1.0) -> list[float]", "gain: float | int = 1.0)"),
    _paint("annotation of a local variable", "total = 0.0", "total: float = 0.0"),
    _paint("local variable renamed", "shown", "seen"),
    _paint("variable of a comprehension renamed", "half(part) for part in", "half(p) for p in"),
    _paint("argument of a lambda renamed", "lambda item: -item", "lambda x: -x"),
    _paint(
        "argument of a private function renamed",
        "_mix(value, size):\n    return value + size - FLOOR if value > 0 else np.exp(size)",
        "_mix(level, side):\n    return level + side - FLOOR if level > 0 else np.exp(side)",
    ),
    _paint("private function renamed", "_mix", "_blend"),
    _paint("private method renamed", "_scaled", "_floored"),
    _paint("private attribute renamed", "_layer", "_linear"),
    _paint("error text", "must not be negative", "is below nought"),
    _edit("error text in a helper", ("errors.py", "unknown {kind}", "no such {kind}")),
    _paint("import under another name", "np", "numpy"),
    _edit(
        "import moved into the function",
        ("paint.py", "from avlib.tools import half\n", ""),
        ("paint.py", "    total = 0.0", "    from avlib.tools import half\n    total = 0.0"),
    ),
    _paint("a function that nobody uses", "def spare(x):\n    return x", "def spare(x):\n    return 2 * x"),
    _edit(
        "function moved to another module",
        ("tools.py", HALF, ""),
        ("sums.py", "", HALF),
        ("paint.py", "avlib.tools", "avlib.sums"),
    ),
    _edit(
        "module renamed",
        ("tools.py", LIBRARY["tools.py"], ""),
        ("aids.py", "", LIBRARY["tools.py"]),
        ("paint.py", "avlib.tools", "avlib.aids"),
    ),
    _edit(
        "class moved, and offered where it was",
        ("dials.py", LIBRARY["dials.py"], "from avlib.knobs import Dials\n"),
        ("knobs.py", "", LIBRARY["dials.py"]),
    ),
    _edit(
        "new dial, off by default",
        ("dials.py", "zoom: float = 1.0\n", "zoom: float = 1.0\n    blur: float = 0.0\n"),
    ),
    _paint("operator changed", "total += shown", "total -= shown", "paint"),
    _paint("operator of a private helper changed", "value + size", "value - size", "_mix"),
    _paint("two arguments swapped", "_mix(value, size):", "_mix(size, value):", "_mix"),
    _paint("another function called", "half(part) for", "spare(part) for", "paint"),
    _paint("constant changed", "FLOOR = 0.2", "FLOOR = 0.05", "FLOOR"),
    _paint("default changed", "gain: float = 1.0", "gain: float = 2.0", "paint"),
    _paint("kind of error changed", "raise ValueError(f", "raise KeyError(f", "paint"),
    _paint("method changed", "x * FLOOR", "x / FLOOR", "Net"),
    _paint("another library behind a name", "import numpy as np", "import torch as np", "_mix"),
    _edit("helper of another module changed", ("tools.py", "x / 2", "x / 3"), named="avlib/tools.py: half changed"),
    _edit("dial in use changed", ("dials.py", "size: int = 4", "size: int = 5"), named="avlib/dials.py: Dials changed"),
    _edit(
        "verdict's rule changed",
        ("judging.py", "min", "max"),
        named="avlib/judging.py: verdict changed", cell=False,
    ),
    _edit("claim changed", ("recipes/toy.py", "trained > untrained", "trained > chance")),
    _edit("chance changed", ("recipes/toy.py", '"accuracy": 0.5', '"accuracy": 0.1')),
    _edit("another arm changed", ("recipes/toy.py", "width=4", "width=2")),
    _edit("the arm itself changed", ("recipes/toy.py", '"trained": dict()', '"trained": dict(width=9)'), cell=True),
    _edit("constant of the recipe changed", ("recipes/toy.py", "RATE = 0.1", "RATE = 0.2"), cell=True),
)  # fmt: skip


def write(root: Path, files: dict[str, str]) -> None:
    """Write files below ``root``."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def apply(root: Path, edit: Edit) -> None:
    """Make an edit in the library at ``root``."""
    for name, old, new in edit.changes:
        path = root / name
        text = path.read_text() if path.exists() else ""
        assert old in text, (edit.what, name, old)
        if path.suffix == ".py" and old and text == old and not new:
            path.unlink()
        else:
            path.write_text(text.replace(old, new) if old else new)


def outcome(folder: Path, edit: Edit) -> tuple[list[str], list[str]]:
    """Why the chapter is stale after an edit, and for which changed files the cell would be measured again."""
    root = folder / "avlib"
    write(root, LIBRARY)
    before, key, files = _now(root), _key(root), provenance.cell_files("toy", "trained", root=root)
    apply(root, edit)
    again, now = _key(root) != key, provenance.cell_files("toy", "trained", root=root)
    return provenance.compare(before, _now(root)), [f for f in files | now if again and files.get(f) != now.get(f)]


def _now(root: Path) -> dict:
    return provenance.describe(CHAPTER, profile="cpu", seed=0, root=root)


def _key(root: Path) -> str:
    return provenance.cell_key("toy", "trained", 0, {"steps": 4}, root=root)


def table() -> str:
    """Every edit with what it ages, in Markdown."""
    lines = ["| edit | chapter is stale | cell is measured again |", "| --- | --- | --- |"]
    for edit in EDITS:
        with tempfile.TemporaryDirectory() as folder:
            why, files = outcome(Path(folder), edit)
        lines.append(f"| {edit.what} | {'; '.join(why) or '–'} | {', '.join(files) or '–'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
