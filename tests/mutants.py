"""Does a test notice when the library is wrong? Samples small faults and runs the module's own tests on each.
    python tests/mutants.py --count 40 --seed 0 losses matching clustering evaluate/detect

A fault is one changed node: an operator or a comparison swapped, a number moved, a ``not`` dropped, ``and`` for
``or``, two arguments exchanged, a ``True`` for a ``False``. The work is done on a copy. Survivors are printed, with
their lines; some of them change nothing that can be seen, so read them.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Mod: ast.Mult}
OPERATORS |= {ast.FloorDiv: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}


def faults(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node, were it wrong."""
    new = copy.deepcopy(node)
    if isinstance(new, ast.BinOp) and type(new.op) in OPERATORS:
        yield ast.BinOp(new.left, OPERATORS[type(new.op)](), new.right)
    elif isinstance(new, ast.Compare) and type(new.ops[0]) in COMPARISONS:
        new.ops[0] = COMPARISONS[type(new.ops[0])]()
        yield new
    elif isinstance(new, ast.UnaryOp) and isinstance(new.op, ast.Not | ast.USub | ast.Invert):
        yield new.operand
    elif isinstance(new, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(new.op, ast.Or) else ast.Or(), new.values)
    elif isinstance(new, ast.Constant) and isinstance(new.value, bool):
        yield ast.Constant(not new.value)
    elif isinstance(new, ast.Constant) and isinstance(new.value, int | float):
        yield from (ast.Constant(new.value + 1), ast.Constant(new.value - 1))
    elif isinstance(new, ast.Call) and len(new.args) > 1:
        new.args[:2] = new.args[1::-1]
        yield new


def places(tree: ast.AST) -> Iterator[tuple[Any, Any]]:
    """Where each node hangs, as box and key (``box[key]`` is the node), but annotations and messages of errors."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns") or isinstance(tree, ast.Raise | ast.JoinedStr):
            continue
        for box, key in [(value, n) for n in range(len(value))] if isinstance(value, list) else [(vars(tree), name)]:
            if isinstance(box[key], ast.AST):
                yield box, key
                yield from places(box[key])


def mutants(source: str) -> list[tuple[str, str]]:
    """All of a module: (its text, what was changed)."""
    tree, found = ast.parse(source), []
    for box, key in places(tree):
        old = box[key]
        for box[key] in faults(old):
            text = ast.unparse(ast.fix_missing_locations(tree))
            found.append((text, f"{old.lineno}:{old.col_offset}: {said(old)} -> {said(box[key])}"))
        box[key] = old
    return found


def said(node: ast.AST) -> str:
    """A node as source."""
    return ast.unparse(node)[:60]


def passes(copied: Path, module: str, text: str) -> bool:
    """Do the tests of a module pass with this text in its place?"""
    path, (*folder, stem) = copied / f"avlib/{module}.py", module.split("/")
    kept = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    tests = "/".join(("tests", *folder, f"test_{stem}.py"))
    command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider", tests]
    environment = {**os.environ, "PYTHONPATH": str(copied), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return not subprocess.run(command, cwd=copied, env=environment, capture_output=True, timeout=600).returncode
    except subprocess.TimeoutExpired:
        return False
    finally:
        path.write_text(kept, encoding="utf-8")


def main() -> None:
    """Sample, run, and print the score."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("modules", nargs="+", help="below avlib/, e.g. losses or evaluate/detect")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    texts = {module: (REPO / f"avlib/{module}.py").read_text("utf-8") for module in given.modules}
    every = [(module, *fault) for module, text in texts.items() for fault in mutants(text)]
    picked = random.Random(given.seed).sample(every, min(given.count, len(every)))
    left = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("avlib", "tests"):
            shutil.copytree(REPO / name, Path(folder) / name)
        shutil.copy(REPO / "pyproject.toml", folder)
        if broken := [module for module, text in texts.items() if not passes(Path(folder), module, text)]:
            sys.exit(f"these tests fail, or take ten minutes, without any fault: {', '.join(broken)}")
        for module, text, what in picked:
            if passes(Path(folder), module, text):
                left += 1
                print(f"survives: {module}.py:{what}", flush=True)
    print(f"{len(picked) - left} of {len(picked)} caught ({1 - left / len(picked):.0%}), of {len(every)} there are")


if __name__ == "__main__":
    main()
