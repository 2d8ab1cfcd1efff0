"""Look, Listen and Learn on real recordings and photographs: ESC-10's five folds, and Caltech-101 with sounds.

    AVLIB_DATA=FOLDER avlib claims l3_real --profile cpu

For each fold the towers learn from the other folds' recordings alone, are frozen, and a linear SVM is trained on the
same folds: five sub-clips of a second each, their maps max-pooled to a grid of 4×3 cells (scene-learning protocol of
L3 and OpenL3). Beside it stand the same features of an untrained net and of one that heard other pictures' recordings,
and two classics on MFCC.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from avlib.claims import Claim
from avlib.datasets import esc50
from avlib.evaluate import esc, probe
from avlib.evaluate.features import evaluating, features
from avlib.experiment import Arm, Run
from avlib.methods.l3 import LookListenLearn
from avlib.recipes import l3
from avlib.types import SAMPLE_RATE
from avlib.world import World, library
from avlib.world.packs import Pack

BUDGET: dict[str, dict[str, Any]] = {"smoke": {"batch": 16}, "cpu": {"steps": 120}}
CLASSICS = ("SVM on MFCC", "random forest")
NETS = {"trained": Arm(), "shuffled pairs": Arm(shuffled=True), "untrained": Arm(steps=0)}
ARMS = NETS | {name: Arm(steps=0) for name in CLASSICS}
CHANCE = {"photos correspondence": 0.5}

_PAPER = "arandjelovic2017look"
# fmt: off
CLAIMS = (
    Claim("Pre-training by correspondence beats untrained features on ESC-10",
          "ESC-10 SVM", "trained", "untrained", f"{_PAPER}, ESC-50 table", "esc", primary=True),
    Claim("What the drawings teach about recordings is more than any training on recordings does",
          "ESC-10 SVM", "trained", "shuffled pairs", "ours: the dullest explanation", "heard", primary=True),
    Claim("Learnt features beat MFCC statistics on ESC-10",
          "ESC-10 SVM", "trained", "SVM on MFCC", f"{_PAPER}, ESC-50 table", "mfcc", primary=True),
    Claim("Photographs and recordings are matched better than by luck",
          "photos correspondence", "trained", "chance", f"{_PAPER}, section 4", "photos", primary=True),
)
# fmt: on
SUBCLIPS, GRID, SECONDS = 5, (4, 3), 5
STRENGTH = 0.01
"""C of the SVM: that of SoundNet's protocol, the same for every net."""

Recordings = tuple[Tensor, np.ndarray, np.ndarray]


def recordings(run: Run, rate: int = SAMPLE_RATE) -> Recordings:
    """wave_BS (five seconds each, zeros at the end where a file is shorter), label_B and fold_B of ESC-10."""

    def read() -> Recordings:
        rows = esc50.clips(only_esc10=True)
        wave_BS = torch.zeros(len(rows), SECONDS * rate)
        for n, clip in enumerate(rows):
            wave_S = esc50.wave(clip, rate)[: SECONDS * rate]
            wave_BS[n, : len(wave_S)] = wave_S
        return wave_BS, np.array([clip.target for clip in rows]), np.array([clip.fold for clip in rows])

    return run.once(("recordings", rate), read)


def other_folds(fold: int) -> tuple[int, ...]:
    """Every fold but one."""
    return tuple(f for f in esc50.FOLDS if f != fold)


def without(run: Run, fold: int) -> Pack:
    """Drawings with ESC-10's recordings, of which training has those of every fold but one."""
    return run.once(("pack", fold), lambda: library.build("esc", train_folds=other_folds(fold), only_esc10=True))


def worlds(run: Run) -> dict[str, World]:
    """Where nets learn: drawings with the recordings of all folds but one, for each fold, and photographs."""
    folds = {f"fold {fold}": run.world(pack=without(run, fold)) for fold in esc50.FOLDS}
    return folds | {"photos": run.world(pack="photos")}


def train(run: Run, arm: str = "trained") -> nn.Module:
    """One net a fold and one for the photographs, by name; the classics have none."""
    places = {} if arm in CLASSICS else worlds(run)
    return nn.ModuleDict({name: l3.learn(run, world, ARMS[arm], name) for name, world in places.items()})


def sound_features(method: LookListenLearn, wave_BS: Tensor) -> Tensor:
    """Max-pooled audio maps of five sub-clips of each recording, (B, 5, 12·D)."""
    rows = []
    with evaluating(method) as device:
        for part_BS in wave_BS.split(16):
            piece_NS = probe.subclips(part_BS.to(device), SAMPLE_RATE, SUBCLIPS).flatten(0, 1)
            grid_NDFL = adaptive_max_pool2d(method.audio(method.mel(piece_NS)), GRID)
            rows.append(grid_NDFL.flatten(1).view(len(part_BS), SUBCLIPS, -1).cpu())
    return torch.cat(rows)


def fold_accuracy(nets: nn.ModuleDict, heard: Recordings, encode: Callable[[Any, Tensor], Tensor]) -> float:
    """Mean accuracy over ESC-10's folds of a linear SVM on ``encode(net of the fold, wave_BS)``."""
    wave_BS, label_B, fold_B = heard
    accuracy = []
    for fold in esc50.FOLDS:
        feature_BMD, seen_B = encode(nets[f"fold {fold}"], wave_BS), fold_B != fold
        train_rows, test_rows = ((feature_BMD[rows], label_B[rows]) for rows in (seen_B, ~seen_B))
        accuracy.append(probe.svm_split(*train_rows, *test_rows, C=STRENGTH).accuracy)
    return float(np.mean(accuracy))


def measure(method: nn.Module, run: Run, arm: str = "trained") -> dict[str, float]:
    """Score one arm on ESC-10's folds; the nets also on held-out photographs and recordings."""
    if arm in CLASSICS:
        return {"ESC-10 SVM": classic(run, arm)}
    assert isinstance(method, nn.ModuleDict)
    photos = method["photos"]
    held_out = features(photos, run.batches(run.world("solo", "test", "photos")))
    score = fold_accuracy(method, recordings(run), sound_features)
    return {"ESC-10 SVM": score, "photos correspondence": l3.correspondence(photos, held_out)}


def classic(run: Run, arm: str) -> float:
    """Mean and deviation of 12 MFCCs and of the zero-crossing rate at 44.1 kHz, as ESC's authors had them."""
    wave_BS, label_B, fold_B = recordings(run, 44_100)
    statistic_BD = np.stack([esc.mfcc_statistics(wave_S, 44_100) for wave_S in wave_BS])
    rows = statistic_BD, label_B, fold_B
    return (esc.mfcc_svm(*rows) if arm == CLASSICS[0] else esc.mfcc_forest(*rows, seed=run.seed)).accuracy
