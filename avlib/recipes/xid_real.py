"""Instance discrimination on real recordings and photographs: ESC-10's five folds, and Caltech-101 with sounds.

    AVLIB_DATA=FOLDER avlib claims xid_real --profile cpu

As for Look, Listen and Learn (`avlib.recipes.l3_real`): for each fold the towers learn from drawings with the other
folds' recordings alone, are frozen, and a linear SVM is trained on the same folds. The picture tower learns from
photographs with recordings, and a linear SVM from it is asked about photographs that it never saw.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from avlib.claims import Claim
from avlib.datasets import esc50
from avlib.experiment import Clips, Run
from avlib.recipes import ambient_real, l3_real, xid
from avlib.rounds import settle
from avlib.world import World
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
          "ESC-10 SVM", "xID", "untrained", f"{_AVID}, ESC-50 table", "esc", primary=True),
    Claim("Its features tell photographs apart that it never saw, better than untrained ones",
          "photographs SVM", "xID", "untrained", _AVID, "photos", primary=True),
    Claim("It is recordings of the same kind of thing that teach the eye",
          "photographs SVM", "xID", "shuffled pairs", "ours: the dullest explanation", "own", primary=True),
    Claim("What the drawings teach about recordings is more than any training on recordings does",
          "ESC-10 SVM", "xID", "shuffled pairs", "ours: the dullest explanation", "esc"),
    Claim("Where half of the recordings are wrong, weights help the eye",
          "photographs SVM", "½ wrong: RxID", "½ wrong: xID", _ROBUST, "weights"),
    Claim("Where half of the recordings are wrong, weights help the ear",
          "ESC-10 SVM", "½ wrong: RxID", "½ wrong: xID", _ROBUST, "weights"),
)
# fmt: on


def worlds(run: Run, **dials: Any) -> dict[str, World]:
    """Where nets learn: drawings with the recordings of all folds but one, for each fold, and photographs."""
    given = xid.LOOK | dials
    folds = {f"fold {fold}": run.world(pack=l3_real.without(run, fold), **given) for fold in esc50.FOLDS}
    return folds | {"photos": run.world(pack="photos", **ambient_real.DIALS | dials)}


def train(run: Run, arm: str = "xID") -> nn.Module:
    """One net a fold and one for the photographs, by name."""
    how, nets = ARMS[arm], nn.ModuleDict()
    for name, world in worlds(run, **how.world).items():
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
    heard = l3_real.fold_accuracy(method, l3_real.recordings(run), l3_real.sound_features)
    eye: nn.Module = method["photos"].image  # type: ignore[assignment]
    return {"ESC-10 SVM": heard, "photographs SVM": ambient_real.photographs(eye, run)}
