"""Self-labelling (SeLaVi) on real recordings and photographs: ESC-10's five folds, and Caltech-101 with sounds.

    AVLIB_DATA=FOLDER avlib claims selavi_real --profile cpu

How nets learn there, and what they are asked: see `avlib.recipes.real_sets`.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from avlib.claims import Claim
from avlib.experiment import Run
from avlib.recipes import real_sets, selavi
from avlib.recipes.real_sets import EAR, EYE
from avlib.rounds import Growing, settle
from avlib.world.variation import Varied

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 16, "steps": 6, "count": 64, "eval_count": 128},
    "cpu": {"steps": 100, "size": 48, "count": 1024},
}
APART = "senses apart"
ARMS = {name: selavi.ARMS[name] for name in (selavi.OWN, APART, "not aligned", "shuffled pairs", "untrained")}
CHANCE: dict[str, float] = {}
_PAPER = "asano2020labelling"
# fmt: off
CLAIMS = (
    Claim("Its features tell recordings apart better than untrained ones",
          EAR, selavi.OWN, "untrained", _PAPER, "esc", primary=True),
    Claim("Its features tell photographs apart that it never saw, better than untrained ones",
          EYE, selavi.OWN, "untrained", _PAPER, "photos", primary=True),
    Claim("Where the ear has a say, labels teach the eye more about photographs",
          EYE, selavi.OWN, APART, f"{_PAPER}, ablation", "photos", primary=True),
    Claim("Where the eye has a say, labels teach the ear more about recordings",
          EAR, selavi.OWN, APART, f"{_PAPER}, ablation", "esc", primary=True),
    Claim("It is recordings of the same kind of thing that teach the eye",
          EYE, selavi.OWN, "shuffled pairs", "ours: the dullest explanation", "own"),
    Claim("What the drawings teach about recordings is more than any training on recordings does",
          EAR, selavi.OWN, "shuffled pairs", "ours: the dullest explanation", "own"),
)
# fmt: on
OFTEN = 7
"""How many times clips are labelled: for each step as often as in `avlib.recipes.selavi`. Learning rates are those of
there, too, and so is that there are as many labels as kinds of things: nothing is chosen here."""


def train(run: Run, arm: str = selavi.OWN) -> nn.Module:
    """One net a fold and one for the photographs, by name."""
    how, nets, rate = ARMS[arm], nn.ModuleDict(), selavi.RATES.get(arm, selavi.RATE)
    for name, world in real_sets.worlds(run, selavi.LOOK, real_sets.DIALS).items():
        seen, steps = run.clips(world, shuffled=how.shuffled), run.steps(how)
        method = selavi.build(run, **{"clusters": len(world.classes), **how.build})
        if not steps:
            settle(method, seen.batches())
        rounds = Growing(selavi.looks(seen, arm, run.device), steps, OFTEN, run.seed)
        run.fit(method, Varied(run.stream(seen), run.seed), steps, rate, hooks=(rounds,), part=name)
        nets[name] = method
    return nets


def measure(method: nn.Module, run: Run, arm: str = selavi.OWN) -> dict[str, float]:
    """Linear SVMs: of the ear on ESC-10's folds, of the eye on unseen photographs (C chosen on validation)."""
    assert isinstance(method, nn.ModuleDict)
    return real_sets.measure(method, run)
