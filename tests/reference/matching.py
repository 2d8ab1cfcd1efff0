"""Matchmaps written the obvious way: one pair, one cell, one frame at a time."""

from __future__ import annotations

import math

import numpy as np


def score(image_DYX: np.ndarray, audio_DL: np.ndarray, pooling: str) -> float:
    """SISA, MISA or SIMA of one picture and one sound (true frames only)."""
    _, height, width = image_DYX.shape
    frames = audio_DL.shape[1]
    table = np.zeros((height, width, frames))
    for y in range(height):
        for x in range(width):
            for t in range(frames):
                table[y, x, t] = sum(
                    float(a) * float(b) for a, b in zip(image_DYX[:, y, x], audio_DL[:, t], strict=True)
                )
    if pooling == "SISA":
        return float(table.mean())
    if pooling == "MISA":
        return float(np.mean([table[:, :, t].max() for t in range(frames)]))
    return float(np.mean([table[y, x].max() for y in range(height) for x in range(width)]))


def log_mean_exp(values: list[float], sharpness: float) -> float:
    return math.log(sum(math.exp(sharpness * v) for v in values) / len(values)) / sharpness
