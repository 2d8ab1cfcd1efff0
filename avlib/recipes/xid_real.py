"""Instance discrimination on real recordings and photographs: ESC-10's five folds, and Caltech-101 with sounds.

    AVLIB_DATA=FOLDER avlib claims xid_real --profile cpu

How nets learn there, and what they are asked: see `avlib.recipes.real_sets`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from avlib.claims import Claim
from avlib.experiment import Clips, Run
from avlib.recipes import real_sets, xid
from avlib.recipes.real_sets import EAR, EYE
from avlib.rounds import settle
from avlib.world.variation import Varied

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 16, "steps": 4, "count": 64, "eval_count": 128},
    "cpu": {"steps": 120, "size": 48, "count": 1024},
}
ARMS = {name: xid.ARMS[name] for name in ("xID", "shuffled pairs", "½ wrong: xID", "½ wrong: RxID", "untrained")}
CHANCE: dict[str, float] = {}
_AVID, _ROBUST = "morgado2021audio", "morgado2021robust"
# fmt: off
CLAIMS = (
    Claim("Its features tell recordings apart better than untrained ones",
          EAR, "xID", "untrained", f"{_AVID}, ESC-50 table", "esc", primary=True),
    Claim("Its features tell photographs apart that it never saw, better than untrained ones",
          EYE, "xID", "untrained", _AVID, "photos", primary=True),
    Claim("It is recordings of the same kind of thing that teach the eye",
          EYE, "xID", "shuffled pairs", "ours: the dullest explanation", "own", primary=True),
    Claim("What the drawings teach about recordings is more than any training on recordings does",
          EAR, "xID", "shuffled pairs", "ours: the dullest explanation", "esc"),
    Claim("Where half of the recordings are wrong, weights help the eye",
          EYE, "½ wrong: RxID", "½ wrong: xID", _ROBUST, "weights"),
    Claim("Where half of the recordings are wrong, weights help the ear",
          EAR, "½ wrong: RxID", "½ wrong: xID", _ROBUST, "weights"),
)
# fmt: on


def train(run: Run, arm: str = "xID") -> nn.Module:
    """One net a fold and one for the photographs, by name."""
    how, nets = ARMS[arm], nn.ModuleDict()
    given = {**xid.LOOK, **how.world}, {**real_sets.DIALS, **how.world}
    for name, world in real_sets.worlds(run, *given).items():
        seen = run.clips(world, shuffled=how.shuffled)
        method, steps = xid.build(run, **how.build), run.steps(how)
        if not steps:
            settle(method, seen.batches())
        run.fit(method, varied(run, seen), steps, xid.RATE, part=name)
        nets[name] = method
    return nets


def varied(run: Run, seen: Clips) -> Varied:
    """The clips of each step, seen and heard a little otherwise each time."""
    stream = run.stream(seen)
    return Varied(lambda step: stream(step).to(run.device), run.seed)


def measure(method: nn.Module, run: Run, arm: str = "xID") -> dict[str, float]:
    """Linear SVMs: of the ear on ESC-10's folds, of the eye on unseen photographs (C chosen on validation)."""
    assert isinstance(method, nn.ModuleDict)
    return real_sets.measure(method, run)
