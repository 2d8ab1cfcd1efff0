"""SoundNet on real photographs and recordings, taught by a network that knows ImageNet, judged on ESC-10's five folds.

    AVLIB_DATA=FOLDER avlib claims soundnet_real --profile cpu --seeds 3

A clip is a photograph of Caltech-101 that fills the picture, and a recording (or recorded notes) of the same kind of
thing. The teacher is asked about the photographs alone. For each fold the student hears no recording of that fold; then
it is frozen, and a linear SVM learns from windows of its middle layer on the other folds (SoundNet's protocol). Needs
the extra ``avlib[teacher]``, or the internet for torchvision's weights.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool1d

from avlib.datasets import esc50
from avlib.encoders.teacher import Remembering, imagenet_teacher
from avlib.evaluate import probe
from avlib.methods.soundnet import SoundNet
from avlib.profiles import Profile
from avlib.recipes import l3_real, soundnet
from avlib.results import Claim
from avlib.train import History, TrainConfig, device_of, fit
from avlib.world import Stream, World, packs

ARMS = ("trained", "untrained", "SVM on MFCC", "random forest")
CHANCE = {"ESC-10 SVM": 0.1, "KL, photos": 1.0}

_PAPER = "aytar2016soundnet"
CLAIMS = (
    Claim(
        "Learning from a network that sees beats random features on ESC-10",
        "ESC-10 SVM", "trained", "untrained", f"{_PAPER}, ESC-10 table", tag="esc",
    ),
    Claim(
        "Learnt features beat MFCC statistics on ESC-10",
        "ESC-10 SVM", "trained", "SVM on MFCC", f"{_PAPER}, ESC-10 table", tag="mfcc",
    ),
    Claim(
        "Unheard recordings tell something of what the teacher sees in unseen photographs",
        "KL, photos", "trained", "chance", f"{_PAPER}, equation 1", tag="photos", higher=False,
    ),
)  # fmt: skip
SIZE = 96
"""Side of the pictures, px, as large as the pack has them."""
DIALS: dict[str, Any] = {"side": (0.96, 0.96), "tilt": 0.0, "tempo": (0.4, 0.8), "gain": (-12.0, 6.0)}
"""The photograph fills its picture; one recording at a time is heard, at many levels, as recordings are."""
FRAMES, WINDOW = 8, 1.0
"""Frames of the middle layer of which the largest stays (0.5 s; pool5 has 0.4 s), and the length of a window, s."""


@lru_cache(maxsize=1)
def teacher() -> Remembering:
    """The network that knows ImageNet; it is asked once a photograph, whatever the fold, the arm and the seed."""
    return Remembering(imagenet_teacher())


@lru_cache(maxsize=5)
def worlds(fold: int) -> tuple[World, World]:
    """Photographs with recordings of all folds but ``fold``, and other photographs with the recordings of ``fold``."""
    pack = packs.build("photos", train_folds=tuple(f for f in esc50.FOLDS if f != fold))
    made = [World(pack, "solo", split, 0, SIZE, **DIALS) for split in ("train", "test")]
    return made[0], made[1]


def learn(
    world: World, profile: Profile, seed: int, arm: str, out: Path | None = None, device: str = "auto"
) -> tuple[SoundNet, History]:
    """A net of this seed trained on clips of ``world``; ``untrained`` takes no step, but its normalisations are set."""
    torch.manual_seed(seed)
    method = SoundNet(teacher())
    batches = soundnet.Kept(Stream(world, profile.batch, profile.count or 4096, seed))
    if arm == "untrained":
        soundnet.calibrate(method, batches, min(soundnet.CALIBRATION, profile.steps))
    steps = profile.steps if arm == "trained" else 0
    config = TrainConfig(steps=steps, lr=soundnet.RATE, seed=seed, out=out, device=str(device_of(device)))
    return method, fit(method, batches, config)


def train(
    profile: Profile, seed: int, arm: str = ARMS[0], out: Path | None = None, device: str = "auto"
) -> tuple[nn.Module, History]:
    """Train on the photographs, with the recordings of all folds but the last."""
    return learn(worlds(esc50.FOLDS[-1])[0], profile, seed, arm, out, device)


@torch.no_grad()
def windows(method: SoundNet, wave_BS: Tensor) -> Tensor:
    """Windows of the middle layer of five-second recordings, feature_BWD."""
    method = method.cpu().eval()
    rows = []
    for part_BS in wave_BS.split(16):
        map_BDL = max_pool1d(method.net.features(part_BS, soundnet.MIDDLE), FRAMES)
        rows.append(probe.soundnet_windows(map_BDL, l3_real.SECONDS, WINDOW))
    return torch.cat(rows)


def run(profile: Profile, seed: int, arm: str, device: str = "auto") -> dict[str, float]:
    """Score one arm on ESC-10's folds; the nets also by what they tell of held-out photographs."""
    if arm in l3_real.ARMS[2:]:
        return l3_real.run(profile, seed, arm, device)
    wave_BS, label_B, fold_B = l3_real.recordings()
    accuracy, share = [], []
    for fold in esc50.FOLDS:
        world, held_out = worlds(fold)
        method, _ = learn(world, profile, seed, arm, device=device)
        feature_BWD, seen = windows(method, wave_BS), fold_B != fold
        scored = probe.svm_split(feature_BWD[seen], label_B[seen], feature_BWD[~seen], label_B[~seen], C=0.01)
        accuracy.append(scored.accuracy)
        share.append(soundnet.shares(method, soundnet.clips(held_out, profile.eval_count // 4))["KL, things"])
    return {"ESC-10 SVM": float(np.mean(accuracy)), "KL, photos": float(np.mean(share))}
