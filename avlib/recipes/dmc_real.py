"""Deep Multimodal Clustering on real recordings and photographs: ESC-10's five folds, and Caltech-101 with sounds.

    AVLIB_DATA=FOLDER avlib claims dmc_real --profile cpu

As for Look, Listen and Learn (`avlib.recipes.l3_real`), whose net stands beside it here with as many steps on the same
clips: for each fold the towers learn from the other folds' recordings alone, are frozen, and a linear SVM is trained on
the same folds. All nets learn from duets: two drawings and two recordings, or two photographs.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from avlib.claims import Claim
from avlib.datasets import esc50
from avlib.encoders import pool_max
from avlib.evaluate import components
from avlib.evaluate.features import evaluating, join
from avlib.experiment import Arm, Run
from avlib.methods.dmc import MultimodalClustering
from avlib.methods.l3 import LookListenLearn
from avlib.recipes import ambient_real, dmc, l3_real
from avlib.world import World, library

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 16, "count": 64, "eval_count": 64},
    "cpu": {"steps": 110, "size": 48, "eval_count": 256},
}
L3 = "Look, Listen and Learn"
ARMS = {
    "trained": Arm(),
    L3: Arm(),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
CHANCE = {"photos: match": 0.5, "photos: component over foreign": 0.0}
_PAPER = "hu2019deep"
# fmt: off
CLAIMS = (
    Claim("Its features tell recordings apart better than untrained ones",
          "ESC-10 SVM", "trained", "untrained", f"{_PAPER}, ESC-50 table", "esc", primary=True),
    Claim("Its features tell recordings apart better than those of Look, Listen and Learn, at equal steps",
          "ESC-10 SVM", "trained", L3, f"{_PAPER}, ESC-50 table", "l3", primary=True),
    Claim("What the drawings teach about recordings is more than any training on recordings does",
          "ESC-10 SVM", "trained", "shuffled pairs", "ours: the dullest explanation", "heard", primary=True),
    Claim("Two photographs' own recordings match them better than others' do",
          "photos: match", "trained", "chance", "ours", "photos", primary=True),
    Claim("Its features tell photographs apart that it never saw, better than untrained ones",
          "photographs SVM", "trained", "untrained", f"{_PAPER}, VOC07 table", "photos"),
    Claim("It is recordings of the same kinds of things that teach the eye",
          "photographs SVM", "trained", "shuffled pairs", "ours: the dullest explanation", "photos"),
    Claim("Among photographs, too, the best component of the own sound lies on what sounds more than a foreign one's",
          "photos: component over foreign", "trained", "chance", _PAPER, "photos"),
)
# fmt: on
DIALS: dict[str, Any] = {"side": dmc.LOOK["side"], "gain": dmc.LOOK["gain"]}
"""Of all worlds: things as large and as loud as in `avlib.recipes.dmc`, of all classes."""
RATE = 5e-3
"""Largest learning rate of all nets, a guess."""


def worlds(run: Run) -> dict[str, World]:
    """Where nets learn: drawings with the recordings of all folds but one, for each fold, and photographs."""

    def without(fold: int) -> World:
        seen = l3_real.other_folds(fold)
        pack = run.once(("pack", fold), lambda: library.build("esc", train_folds=seen, only_esc10=True))
        return run.world("duet", pack=pack, **DIALS)

    folds = {f"fold {fold}": without(fold) for fold in esc50.FOLDS}
    return folds | {"photos": run.world("duet", pack="photos", **DIALS)}


def train(run: Run, arm: str = "trained") -> nn.Module:
    """One net a fold and one for the photographs, by name."""
    how, nets = ARMS[arm], nn.ModuleDict()
    for name, world in worlds(run).items():
        # as wide a map as the other's
        method = run.build(LookListenLearn, dim=64, width=16, hop=320) if arm == L3 else dmc.build(run, **how.build)
        run.fit(method, run.stream(world, shuffled=how.shuffled), run.steps(how), RATE, part=name)
        nets[name] = method
    return nets


def towers(method: nn.Module) -> nn.Module:
    """What has ``mel``, ``image`` and ``audio`` in a net of either method."""
    return method.towers if isinstance(method, MultimodalClustering) else method


def sound_features(method: nn.Module, wave_BS: Tensor) -> Tensor:
    """Max-pooled audio maps of five sub-clips of each recording, (B, 5, 12·D)."""
    return l3_real.sound_features(towers(method), wave_BS)  # type: ignore[arg-type]


def photographs(method: nn.Module, run: Run) -> float:
    """Accuracy of a linear SVM on single photographs that neither it nor the net ever saw, see `ambient_real.svm`."""
    parts = [join(run.batches(run.world("solo", split, "photos", **DIALS))) for split in ("train", "val", "test")]
    with evaluating(method) as device:
        found = [pool_max(towers(method).image(part.frame_BCHW.to(device))).cpu() for part in parts]  # type: ignore[operator]
    return ambient_real.svm(found, [part.truth.label_B for part in parts])


def measure(method: nn.Module, run: Run, arm: str = "trained") -> dict[str, float]:
    """Score one arm on ESC-10's folds and on photographs, and, where there are components, on duets of those."""
    assert isinstance(method, nn.ModuleDict)
    scores = {"ESC-10 SVM": l3_real.fold_accuracy(method, l3_real.recordings(run), sound_features)}
    scores["photographs SVM"] = photographs(method["photos"], run)
    if arm == L3:
        return scores
    clips = join(run.batches(run.world("duet", "test", "photos", **DIALS)))
    found = components.look(method["photos"], clips)
    return scores | {f"photos: {name}": value for name, value in found.items()}
