"""SoundNet on real photographs and recordings, taught by a network that knows ImageNet, judged on ESC-10's five folds.

    AVLIB_DATA=FOLDER avlib claims soundnet_real --profile cpu

A clip is a photograph of Caltech-101 that fills the picture, and a recording (or recorded notes) of the same kind of
thing. The teacher is asked about the photographs alone. For each fold the student hears no recording of that fold; then
it is frozen, and a linear SVM learns from windows of its middle layer on the other folds (SoundNet's protocol). Needs
the extra ``avlib[teacher]``, or the internet for torchvision's weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d

from avlib.claims import Claim
from avlib.datasets import esc50
from avlib.encoders.teacher import Remembering, imagenet_teacher
from avlib.evaluate import probe
from avlib.evaluate.features import evaluating
from avlib.experiment import Run
from avlib.methods.soundnet import SoundNet
from avlib.recipes import l3_real, real_sets, soundnet
from avlib.recipes.real_sets import EAR
from avlib.world import World, library

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 8, "count": 32},
    "cpu": {"batch": 32, "steps": 160, "count": 640},
    "gpu": {"count": 4096},
}
ARMS = l3_real.ARMS
CHANCE = {EAR: 0.1, "KL, photos": 1.0}

_PAPER = "aytar2016soundnet"
# fmt: off
CLAIMS = (
    Claim("Learning from a network that sees beats random features on ESC-10",
          EAR, "trained", "untrained", f"{_PAPER}, ESC-10 table", "esc", primary=True),
    Claim("What the teacher says of its own photograph teaches more than what it says of another",
          EAR, "trained", "shuffled pairs", "ours: the dullest explanation", "own", primary=True),
    Claim("Learnt features beat MFCC statistics on ESC-10",
          EAR, "trained", "SVM on MFCC", f"{_PAPER}, ESC-10 table", "mfcc", primary=True),
    Claim("Unheard recordings tell something of what the teacher sees in unseen photographs",
          "KL, photos", "trained", "chance", f"{_PAPER}, equation 1", "photos", higher=False, primary=True),
)
# fmt: on
SIZE = 96
"""Side of the pictures, px, as large as the pack has them."""
DIALS: dict[str, Any] = {"side": (0.96, 0.96), "tilt": 0.0, "tempo": (0.4, 0.8), "gain": (-12.0, 6.0)}
"""The photograph fills its picture; one recording at a time is heard, at many levels, as recordings are."""
FRAMES, WINDOW = 8, 1.0
"""Frames of the middle layer of which the largest stays (0.5 s; pool5 has 0.4 s), and the length of a window, s."""


def teacher(run: Run) -> nn.Module:
    """The network that knows ImageNet; it is asked once a photograph, whatever the fold and the arm."""
    return run.once("imagenet", lambda: Remembering(imagenet_teacher()))


def world(run: Run, fold: int, split: str) -> World:
    """Photographs with recordings of all folds but ``fold`` to train on, others with those of ``fold`` to test."""
    pack = run.once(("pack", fold), lambda: library.build("photos", train_folds=real_sets.other_folds(fold)))
    return run.world("solo", split, pack, size=SIZE, **DIALS)


def train(run: Run, arm: str = "trained") -> nn.Module:
    """One net a fold, by name; the classics have none."""
    folds = () if arm in l3_real.CLASSICS else esc50.FOLDS
    return nn.ModuleDict({f"fold {n}": learn(run, world(run, n, "train"), arm, f"fold {n}") for n in folds})


def learn(run: Run, source: World, arm: str, part: str = "") -> SoundNet:
    """A net trained on clips of a world; ``untrained`` takes no step, but its normalisations are set."""
    how, method = ARMS[arm], run.build(SoundNet, teacher(run))
    batches = run.stream(source, shuffled=how.shuffled, kept=True)
    if arm == "untrained":
        soundnet.calibrate(method, batches, min(soundnet.CALIBRATION, run.budget.steps))
    run.fit(method, batches, run.steps(how), soundnet.RATE, part=part)
    return method


def windows(method: SoundNet, wave_BS: Tensor) -> Tensor:
    """Windows of the middle layer of five-second recordings, feature_BWD."""
    rows = []
    with evaluating(method) as device:
        for part_BS in wave_BS.split(16):
            map_BDL = max_pool1d(method.net.features(part_BS.to(device), soundnet.MIDDLE), FRAMES)
            rows.append(probe.soundnet_windows(map_BDL, real_sets.SECONDS, WINDOW).cpu())
    return torch.cat(rows)


def measure(method: nn.Module, run: Run, arm: str = "trained") -> dict[str, float]:
    """Score one arm on ESC-10's folds; the nets also by what they tell of held-out photographs."""
    if arm in l3_real.CLASSICS:
        return l3_real.measure(method, run, arm)
    assert isinstance(method, nn.ModuleDict)
    held_out = {fold: run.batches(world(run, fold, "test"), run.budget.eval_count // 4) for fold in esc50.FOLDS}
    share = [soundnet.shares(method[f"fold {fold}"], clips)["KL, things"] for fold, clips in held_out.items()]
    score = real_sets.fold_accuracy(method, real_sets.recordings(run), windows)
    return {EAR: score, "KL, photos": sum(share) / len(share)}
