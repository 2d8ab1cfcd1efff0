"""Look, Listen and Learn on real recordings and photographs: ESC-10's five folds, and Caltech-101 with sounds.

    AVLIB_DATA=FOLDER avlib claims l3_real --profile cpu

How nets learn there, and what the ear is asked: see `avlib.recipes.real_sets`. Beside it stand the same features of an
untrained net and of one that heard other pictures' recordings, and two classics on MFCC.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from avlib.claims import Claim
from avlib.evaluate import esc
from avlib.evaluate.features import features
from avlib.experiment import Arm, Run
from avlib.recipes import l3, real_sets
from avlib.recipes.real_sets import EAR

BUDGET: dict[str, dict[str, Any]] = {"smoke": {"batch": 16}, "cpu": {"steps": 120}}
CLASSICS = ("SVM on MFCC", "random forest")
NETS = {"trained": Arm(), "shuffled pairs": Arm(shuffled=True), "untrained": Arm(steps=0)}
ARMS = NETS | {name: Arm(steps=0) for name in CLASSICS}
CHANCE = {"photos correspondence": 0.5}

_PAPER = "arandjelovic2017look"
# fmt: off
CLAIMS = (
    Claim("Pre-training by correspondence beats untrained features on ESC-10",
          EAR, "trained", "untrained", f"{_PAPER}, ESC-50 table", "esc", primary=True),
    Claim("What the drawings teach about recordings is more than any training on recordings does",
          EAR, "trained", "shuffled pairs", "ours: the dullest explanation", "heard", primary=True),
    Claim("Learnt features beat MFCC statistics on ESC-10",
          EAR, "trained", "SVM on MFCC", f"{_PAPER}, ESC-50 table", "mfcc", primary=True),
    Claim("Photographs and recordings are matched better than by luck",
          "photos correspondence", "trained", "chance", f"{_PAPER}, section 4", "photos", primary=True),
)
# fmt: on


def train(run: Run, arm: str = "trained") -> nn.Module:
    """One net a fold and one for the photographs, by name; the classics have none."""
    places = {} if arm in CLASSICS else real_sets.worlds(run, {}, {})
    return nn.ModuleDict({name: l3.learn(run, world, ARMS[arm], name) for name, world in places.items()})


def measure(method: nn.Module, run: Run, arm: str = "trained") -> dict[str, float]:
    """Score one arm on ESC-10's folds; the nets also on held-out photographs and recordings."""
    if arm in CLASSICS:
        return {EAR: classic(run, arm)}
    assert isinstance(method, nn.ModuleDict)
    photos = method["photos"]
    held_out = features(photos, run.batches(run.world("solo", "test", "photos")))
    score = real_sets.fold_accuracy(method, real_sets.recordings(run), real_sets.sound_features)
    return {EAR: score, "photos correspondence": l3.correspondence(photos, held_out)}


def classic(run: Run, arm: str) -> float:
    """Mean and deviation of 12 MFCCs and of the zero-crossing rate at 44.1 kHz, as ESC's authors had them."""
    wave_BS, label_B, fold_B = real_sets.recordings(run, 44_100)
    statistic_BD = np.stack([esc.mfcc_statistics(wave_S, 44_100) for wave_S in wave_BS])
    rows = statistic_BD, label_B, fold_B
    return (esc.mfcc_svm(*rows) if arm == CLASSICS[0] else esc.mfcc_forest(*rows, seed=run.seed)).accuracy
