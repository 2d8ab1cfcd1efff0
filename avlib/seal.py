"""Proof that changed code still does the same: a witness of a run, small enough to be taken again at any time.

A cell of a record keeps the witness of its code: digests of its own first and last training batches and of the clips
that it was judged on, the losses of its first few steps, and what `measure` says of the net after those. Where the
fingerprint of the code has changed, the same witness taken with today's code proves that the cell still stands. Another
processor rounds otherwise, so where the clips are the same and numbers are not, the old code is asked on this one.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from avlib import files
from avlib.experiment import Batches, Clips, Run
from avlib.profiles import Profile
from avlib.train import History, Hook
from avlib.types import Batch
from avlib.world import World

STEPS = 3
"""Steps that a witness trains in each part of a training."""

CLIPS = 128
"""Clips that a witness is judged on, at most."""

TOLERANCE = 1e-5
"""By how much losses and scores may differ, relatively beyond 1: less than that is arithmetic in another order."""

_WHAT = {"learnt": "training batch", "judged": "evaluation batch"}


def witness(recipe: ModuleType, budget: Profile, seed: int, arm: str, device: str = "auto") -> dict[str, Any]:
    """What an arm does in its first steps, as plain values for JSON.

    Args:
        recipe: see `avlib.recipes`.
        budget, seed, arm, device: as of the cell that it stands for.

    Returns:
        ``learnt``: digests of the first and last batch of each part of the training; ``judged``: of each set of clips
        that it is judged on; ``losses`` of the first steps; ``scores`` of the net after them.
    """
    run = _Run(replace(budget, eval_count=min(budget.eval_count, CLIPS)), seed, device)
    method = run.trained(recipe, arm)
    scores = {name: round(float(value), 6) for name, value in recipe.measure(method, run, arm).items()}
    return {"learnt": run.learnt, "judged": run.judged, "losses": run.losses, "scores": scores}


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In what two witnesses differ; empty where the code does the same.

    Examples:
        >>> differences({"losses": [0.5], "scores": {"a": 1.0}}, {"losses": [0.6], "scores": {"a": 1.0}})
        ['loss 1 was 0.5, is 0.6']
    """
    found = []
    for key, what in _WHAT.items():
        old, new = before.get(key, []), now.get(key, [])
        pairs = zip(old, new, strict=False)
        found += [f"{what} {place} differs" for place, (a, b) in enumerate(pairs, 1) if a != b]
        found += [f"there were {len(old)} {what}es, are {len(new)}"] if len(old) != len(new) else []
    losses = [
        {f"loss {place}": value for place, value in enumerate(side.get("losses", []), 1)} for side in (before, now)
    ]
    for old, new in (losses, (before.get("scores", {}), now.get("scores", {}))):
        found += [f"{name} was {old.get(name)}, is {new.get(name)}" for name in old | new if not _equal(name, old, new)]
    return found


def same_clips(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Did both witnesses see the same clips, so that what differs, if anything, are numbers?"""
    return all(before.get(key, []) == now.get(key, []) for key in _WHAT)


_ASK = """
import json, sys
from avlib import recipes, seal
from avlib.profiles import profile
name, size, seed, arm, device, path = sys.argv[1:]
found = seal.witness(recipes.load(name), profile(size, name), int(seed), arm, device)
open(path, "w").write(json.dumps(found))
"""


def earlier(
    commit: str, root: Path, name: str, profile: str, seed: int, arm: str, device: str = "auto"
) -> dict[str, Any]:
    """The witness that the library of a commit gives on this machine, in a process of its own.

    Args:
        commit: of the repository at ``root``; its library is unpacked for the moment.
        name, profile, seed, arm, device: as of the cell.

    Raises:
        ValueError: the repository has no such commit, or its library does not run here (the last line says why).
    """
    with files.scratch("witness") as place:
        packed, answer = place / "avlib.tar", place / "witness.json"
        pack = ["git", "-C", str(root), "archive", "-o", str(packed), commit, "avlib"]
        _ran(pack, f"commit {commit} is not in the repository at {root}")
        shutil.unpack_archive(packed, place, filter="data")
        first = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))
        asked = [sys.executable, "-c", _ASK, name, profile, str(seed), arm, device, str(answer)]
        _ran(asked, f"the library of commit {commit} does not run", cwd=place, env={**os.environ, "PYTHONPATH": first})
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    return found


def _ran(command: list[str], wrong: str, **where: Any) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, **where)
    except OSError as error:
        raise ValueError(f"{wrong}: {error}") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()
        raise ValueError(f"{wrong}: {said[-1] if said else f'it ended with {error.returncode}'}") from error


def _equal(name: str, old: Mapping[str, float], new: Mapping[str, float]) -> bool:
    if name not in old or name not in new:
        return False
    return math.isclose(old[name], new[name], rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def digest(batch: Batch) -> str:
    """A hash of what a method is given: pictures to 8 bits, sounds to 16, texts."""
    found = hashlib.sha256()
    for field in fields(batch):
        value = getattr(batch, field.name)
        if field.name != "truth" and value is not None:
            scale = 32767 if field.name == "wave_BS" else 255
            found.update(_bytes(value, scale) if isinstance(value, Tensor) else repr(value).encode())
    return found.hexdigest()[:16]


def _bytes(value: Tensor, scale: int) -> bytes:
    whole = (value.detach().float() * scale).round().to(torch.int32) if value.is_floating_point() else value
    return str(tuple(value.shape)).encode() + whole.cpu().numpy().tobytes()


class _Run(Run):
    """A run that takes few steps and notes what it sees."""

    def __init__(self, budget: Profile, seed: int, device: str) -> None:
        super().__init__(budget, seed, device)
        self.learnt: list[str] = []
        self.judged: list[str] = []
        self.losses: list[float] = []

    def stream(
        self,
        world: World | Clips,
        count: int | None = None,
        shuffled: bool = False,
        kept: bool = False,
        seed: int | None = None,
    ) -> Batches:
        return super().stream(world, count, shuffled, False, seed)  # all scenes at once would take too long

    def batches(self, world: World, count: int | None = None) -> tuple[Batch, ...]:
        found = super().batches(world, count)
        self.judged.append(digest(found[0]))
        return found

    def clips(self, world: World, count: int | None = None, shuffled: bool = False) -> Clips:
        plain = super().clips(world, count)
        self.once(("noted", world, count), lambda: self.judged.append(digest(plain.batches()[0])))
        return super().clips(world, count, shuffled)

    def fit(
        self,
        method: nn.Module,
        batches: Batches,
        steps: int,
        lr: float,
        weight_decay: float = 1e-4,
        hooks: Sequence[Hook] = (),
        part: str = "",
        **settings: Any,
    ) -> History:
        if steps:
            self.learnt += [digest(batches(0)), digest(batches(steps - 1))]
        settings |= {"log_every": 1, "progress": False}
        history = super().fit(method, batches, min(steps, STEPS), lr, weight_decay, hooks, part, **settings)
        self.losses += [round(value, 7) for value in history.logs.get("loss", [])]
        return history
