"""What Deep Multimodal Clustering learnt from drawn duets, asked about real recordings and photographs.

    AVLIB_DATA=FOLDER avlib claims dmc_real --profile cpu

The towers of `avlib.recipes.dmc` are frozen: a linear SVM is trained on the recordings of four of ESC-10's folds and
asked about the fifth (see `avlib.recipes.real_sets`), another one on photographs of Caltech-101 and asked about others.
Neither set was ever seen in training. Beside it stands Look, Listen and Learn's net after as many steps on the same
duets, with its own recipe's learning rate.
"""

from __future__ import annotations

from torch import nn

from avlib.claims import Claim
from avlib.experiment import Arm, Run
from avlib.methods.dmc import MultimodalClustering
from avlib.methods.l3 import LookListenLearn
from avlib.recipes import dmc, l3, real_sets
from avlib.recipes.real_sets import EAR, EYE

BUDGET = dmc.BUDGET
L3 = "Look, Listen and Learn"
ARMS = {dmc.OWN: Arm(), L3: Arm(), "shuffled pairs": Arm(shuffled=True), "untrained": Arm(steps=0)}
CHANCE: dict[str, float] = {}
_PAPER = "hu2019deep"
# fmt: off
CLAIMS = (
    Claim("Its features tell recordings apart better than untrained ones",
          EAR, dmc.OWN, "untrained", f"{_PAPER}, ESC-50 table", "esc", primary=True),
    Claim("Its features tell recordings apart better than those of Look, Listen and Learn, at equal steps",
          EAR, dmc.OWN, L3, f"{_PAPER}, ESC-50 table", "l3", primary=True),
    Claim("Its features tell photographs apart better than untrained ones",
          EYE, dmc.OWN, "untrained", f"{_PAPER}, VOC07 table", "photos", primary=True),
    Claim("What drawings teach about recordings is more than any training on sounds does",
          EAR, dmc.OWN, "shuffled pairs", "ours: the dullest explanation", "esc"),
    Claim("What notes teach about photographs is more than any training on drawings does",
          EYE, dmc.OWN, "shuffled pairs", "ours: the dullest explanation", "photos"),
    Claim("Its features tell photographs apart better than those of Look, Listen and Learn, at equal steps",
          EYE, dmc.OWN, L3, f"{_PAPER}, VOC07 table", "l3"),
)
# fmt: on


def train(run: Run, arm: str = dmc.OWN) -> nn.Module:
    """The net of `avlib.recipes.dmc`, or the other one on the same duets."""
    if arm != L3:
        return dmc.train(run, arm)
    method = run.build(LookListenLearn, dim=64, width=16, hop=320)  # maps as wide as the other's
    run.fit(method, run.stream(run.world("duet", **dmc.LOOK), kept=True), run.steps(ARMS[arm]), l3.RATE, l3.DECAY)
    return method


def towers(method: nn.Module) -> nn.Module:
    """What has ``mel``, ``image`` and ``audio`` in a net of either method."""
    return method.towers if isinstance(method, MultimodalClustering) else method


def measure(method: nn.Module, run: Run, arm: str = dmc.OWN) -> dict[str, float]:
    """Score one arm on ESC-10's folds and on photographs; the same net is asked about all of them."""
    return real_sets.measure(nn.ModuleDict(dict.fromkeys(real_sets.NAMES, towers(method))), run)
