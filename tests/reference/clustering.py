"""Clustering written the obvious way."""

from __future__ import annotations

import itertools

import numpy as np


def inertia(value_ND: np.ndarray, centre_KD: np.ndarray) -> float:
    return float(sum(min(float(((row - centre) ** 2).sum()) for centre in centre_KD) for row in value_ND))


def sinkhorn(score_NK: np.ndarray, row_N: np.ndarray, column_K: np.ndarray, strength: float, rounds: int) -> np.ndarray:
    """Plain alternation of row and column scalings, outside the log domain."""
    kernel = np.exp(strength * score_NK)
    right = np.ones(len(column_K))
    for _ in range(rounds):
        left = row_N / (kernel @ right)
        right = column_K / (kernel.T @ left)
    return left[:, None] * kernel * right[None]


def best_matching(label_N: list[int], truth_N: list[int], clusters: int) -> int:
    """The most rows that any one-to-one naming of as many clusters as classes gets right."""
    return max(
        sum(order[k] == c for k, c in zip(label_N, truth_N, strict=True))
        for order in itertools.permutations(range(clusters))
    )


def alignment_cost(image_NK: np.ndarray, audio_NK: np.ndarray) -> float:
    """The least Σ|image - audio[:, order]| over all orders."""
    orders = itertools.permutations(range(image_NK.shape[1]))
    return min(float(np.abs(image_NK - audio_NK[:, list(order)]).sum()) for order in orders)
