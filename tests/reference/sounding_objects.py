"""Sounding objects written the obvious way: one cell, one entry, one pair at a time, in float64."""

from __future__ import annotations

import math

import numpy as np


def dilate(mask_YX: np.ndarray) -> np.ndarray:
    """Inner lit cells light their four neighbours, cells on the border light none."""
    out = mask_YX.copy()
    height, width = mask_YX.shape
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if mask_YX[y, x]:
                for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                    out[y + dy, x + dx] = True
    return out


def object_vector(cell_DYX: np.ndarray, mask_YX: np.ndarray) -> np.ndarray:
    """The masked cells, summed and divided by the number of all cells."""
    total = np.zeros(len(cell_DYX))
    for y in range(mask_YX.shape[0]):
        for x in range(mask_YX.shape[1]):
            if mask_YX[y, x]:
                total += cell_DYX[:, y, x]
    return total / mask_YX.size


def class_scores(cell_DYX: np.ndarray, entry_KD: np.ndarray, area_YX: np.ndarray, contrast: float) -> np.ndarray:
    """c·⟨cell, entry⟩·m, the entries of length 1, centred, and of length 1 again."""
    unit = [entry / math.sqrt(float(entry @ entry)) for entry in entry_KD]
    mean = sum(unit) / len(unit)
    centred = [entry - mean for entry in unit]
    centred = [entry / math.sqrt(float(entry @ entry)) for entry in centred]
    height, width = area_YX.shape
    out = np.zeros((len(entry_KD), height, width))
    for k, entry in enumerate(centred):
        for y in range(height):
            for x in range(width):
                out[k, y, x] = contrast * float(cell_DYX[:, y, x] @ entry) * area_YX[y, x]
    return out


def kl(first_K: np.ndarray, second_K: np.ndarray) -> float:
    """KL(first ‖ second) in nats; 0·log 0 is 0."""
    return sum(p * math.log(p / q) for p, q in zip(first_K, second_K, strict=True) if p > 0)


def quiet(logit_BB: np.ndarray, quarter_QBB: np.ndarray) -> float:
    """Half the mean of -log σ(own) and half the mean of -log(1 - σ(quarter)) over all foreign quarters."""
    clips = len(logit_BB)
    own = [math.log1p(math.exp(-logit_BB[i, i])) for i in range(clips)]
    foreign = [
        math.log1p(math.exp(table[i, j])) for table in quarter_QBB for i in range(clips) for j in range(clips) if i != j
    ]
    return sum(own) / len(own) / 2 + sum(foreign) / len(foreign) / 2


def two_at_once(logits: list[np.ndarray], labels: list[int]) -> float:
    """Mean over clips of -½ log p(own cluster) - ½ log p(cluster of the clip before)."""
    total = 0.0
    for i, logit_K in enumerate(logits):
        log_sum = math.log(sum(math.exp(v) for v in logit_K))
        total -= (logit_K[labels[i]] - log_sum) / 2 + (logit_K[labels[i - 1]] - log_sum) / 2
    return total / len(logits)
