"""Look, Listen and Learn on real recordings and photographs: ESC-10's five folds, and Caltech-101 with sounds.

    AVLIB_DATA=FOLDER avlib claims l3_real --profile cpu --seeds 3

For each fold the towers learn from the other folds' recordings alone, are frozen, and a linear SVM is trained on the
same folds: five sub-clips of a second each, their maps max-pooled to a grid of 4×3 cells (scene-learning protocol of
L3 and OpenL3). Beside it stand the same features of an untrained net and two classics on MFCC.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from avlib.datasets import esc50
from avlib.evaluate import esc, probe
from avlib.methods.l3 import LookListenLearn
from avlib.profiles import Profile
from avlib.recipes import l3
from avlib.results import Claim
from avlib.train import History, device_of
from avlib.types import RATE
from avlib.world import World, packs

ARMS = ("trained", "untrained", "SVM on MFCC", "random forest")
CHANCE = {"photos correspondence": 0.5}

_PAPER = "arandjelovic2017look"
CLAIMS = (
    Claim(
        "Pre-training by correspondence beats untrained features on ESC-10",
        "ESC-10 SVM", "trained", "untrained", f"{_PAPER}, ESC-50 table", tag="esc",
    ),
    Claim(
        "Learnt features beat MFCC statistics on ESC-10",
        "ESC-10 SVM", "trained", "SVM on MFCC", f"{_PAPER}, ESC-50 table", tag="mfcc",
    ),
    Claim(
        "Photographs and recordings are matched better than by luck",
        "photos correspondence", "trained", "chance", f"{_PAPER}, section 4", tag="photos",
    ),
)  # fmt: skip
SUBCLIPS, GRID, SECONDS = 5, (4, 3), 5


@lru_cache(maxsize=1)
def recordings(rate: int = RATE) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """wave_BS (five seconds each, zeros at the end where a file is shorter), label_B and fold_B of ESC-10."""
    rows = esc50.clips(only_esc10=True)
    wave_BS = torch.zeros(len(rows), SECONDS * rate)
    for n, clip in enumerate(rows):
        wave_S = esc50.wave(clip, rate)[: SECONDS * rate]
        wave_BS[n, : len(wave_S)] = wave_S
    return wave_BS, np.array([clip.target for clip in rows]), np.array([clip.fold for clip in rows])


def pack_without(fold: int) -> packs.Pack:
    """ESC-10 with drawings, whose training split holds every fold but one."""
    return packs.build("esc", train_folds=tuple(f for f in esc50.FOLDS if f != fold), only_esc10=True)


@torch.no_grad()
def sound_features(method: LookListenLearn, wave_BS: Tensor) -> Tensor:
    """Max-pooled audio maps of five sub-clips of each recording, (B, 5, 12·D)."""
    method = method.cpu().eval()
    rows = []
    for part_BS in wave_BS.split(16):
        piece_NS = probe.subclips(part_BS, RATE, SUBCLIPS).flatten(0, 1)
        grid_NDFL = adaptive_max_pool2d(method.audio(method.mel(piece_NS)), GRID)
        rows.append(grid_NDFL.flatten(1).view(len(part_BS), SUBCLIPS, -1))
    return torch.cat(rows)


def learn(
    pack: packs.Pack, profile: Profile, seed: int, arm: str, out: Path | None = None, device: str = "auto"
) -> tuple[LookListenLearn, History]:
    """A net trained on the training split of a pack; ``untrained`` takes no step."""
    world = World(pack, "solo", "train", seed, profile.size, device=device_of(device))
    return l3.learn(world, profile, seed, profile.steps if arm == "trained" else 0, out=out)


def train(
    profile: Profile, seed: int, arm: str = ARMS[0], out: Path | None = None, device: str = "auto"
) -> tuple[nn.Module, History]:
    """Train on the photographs pack."""
    return learn(packs.load("photos"), profile, seed, arm, out, device)


def run(profile: Profile, seed: int, arm: str, device: str = "auto") -> dict[str, float]:
    """Score one arm on ESC-10's folds; the nets also on held-out photographs and recordings."""
    if arm in ("SVM on MFCC", "random forest"):
        return {"ESC-10 SVM": _classic(arm, seed)}
    wave_BS, label_B, fold_B = recordings()
    accuracy = []
    for fold in esc50.FOLDS:
        method, _ = learn(pack_without(fold), profile, seed, arm, device=device)
        feature_BMD = sound_features(method, wave_BS)
        seen = fold_B != fold
        scored = probe.svm_split(feature_BMD[seen], label_B[seen], feature_BMD[~seen], label_B[~seen], C=0.01)
        accuracy.append(scored.accuracy)
    photos = packs.load("photos")
    method, _ = learn(photos, profile, seed, arm, device=device)
    held_out = l3.features(method.cpu(), World(photos, "solo", "test", seed, profile.size), profile.eval_count)
    return {"ESC-10 SVM": float(np.mean(accuracy)), "photos correspondence": l3.correspondence(method, held_out)}


def _classic(arm: str, seed: int) -> float:
    """Mean and deviation of 12 MFCCs and of the zero-crossing rate at 44.1 kHz, as ESC's authors had them."""
    wave_BS, label_B, fold_B = recordings(44_100)
    statistic_BD = np.stack([esc.mfcc_statistics(wave_S, 44_100) for wave_S in wave_BS])
    rows = statistic_BD, label_B, fold_B
    return (esc.mfcc_svm(*rows) if arm == "SVM on MFCC" else esc.mfcc_forest(*rows, seed=seed)).accuracy
