"""What recipes on real files share: ESC-10's five folds for the ear, photographs of Caltech-101 for the eye.

Nets learn from drawings with the recordings of all folds but one, a net a fold, and from photographs with a recording
(or recorded notes) of the same kind of thing. Then they are frozen. A linear SVM learns from five sub-clips of a second
of each recording of the same folds, their maps max-pooled to a grid of 4×3 cells, and is asked about the fold that is
left (scene-learning protocol of L3 and OpenL3). Another one learns from the max-pooled maps of the photographs of
training and is asked about others; its C is chosen on validation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from avlib.datasets import esc50
from avlib.encoders import pool_max
from avlib.evaluate import probe
from avlib.evaluate.features import evaluating, join
from avlib.experiment import Run
from avlib.methods.l3 import LookListenLearn
from avlib.types import SAMPLE_RATE
from avlib.world import World, library
from avlib.world.packs import Pack

NAMES = (*(f"fold {fold}" for fold in esc50.FOLDS), "photos")
"""How the worlds where nets learn are called, and the nets."""
EAR, EYE = "ESC-10 SVM", "photographs SVM"
"""How the two accuracies are called."""
SUBCLIPS, GRID, SECONDS = 5, (4, 3), 5
STRENGTH = 0.01
"""C of the SVM on recordings: that of SoundNet's protocol, the same for every net."""
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Values of C of the SVM on photographs, of which validation picks one."""
DIALS: dict[str, Any] = {"side": (0.96, 0.96), "tempo": (0.4, 0.8), "gain": (-12.0, 6.0), "seconds": 1.0}
"""The photograph fills its picture; one recording at a time is heard, at many levels, as recordings are."""

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


def worlds(run: Run, drawn: Mapping[str, Any], taken: Mapping[str, Any]) -> dict[str, World]:
    """Where nets learn: a world a fold, with the dials ``drawn``, and that of photographs, with the dials ``taken``."""
    folds = {f"fold {fold}": run.world(pack=without(run, fold), **drawn) for fold in esc50.FOLDS}
    return folds | {"photos": run.world(pack="photos", **taken)}


def photographs(run: Run, split: str = "train") -> World:
    """Photographs of one split, with recordings of the same."""
    return run.world("solo", split, "photos", **DIALS)


def measure(nets: nn.ModuleDict, run: Run) -> dict[str, float]:
    """Both accuracies of nets with the towers of `LookListenLearn`, by the names of `worlds`."""
    heard = fold_accuracy(nets, recordings(run), sound_features)
    eye: nn.Module = nets["photos"].image  # type: ignore[assignment]
    return {EAR: heard, EYE: photograph_accuracy(eye, run)}


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


def photograph_accuracy(image: nn.Module, run: Run) -> float:
    """Accuracy of an SVM on the max-pooled maps that a picture tower makes of photographs it never saw."""
    parts = [join(run.batches(photographs(run, split))) for split in ("train", "val", "test")]
    with evaluating(image) as device:
        found = [pool_max(image(part.frame_BCHW.to(device))).cpu() for part in parts]
    return svm(found, [part.truth.label_B for part in parts])


def svm(value: Sequence[Tensor], label: Sequence[Tensor]) -> float:
    """Accuracy on the third part of a linear SVM that the first taught, with the C that is best on the second."""
    train, valid, test = zip(value, label, strict=True)
    best = max(STRENGTHS, key=lambda C: probe.svm_split(*train, *valid, C=C).accuracy)
    return probe.svm_split(*train, *test, C=best).accuracy
