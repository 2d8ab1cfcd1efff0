"""Is the sound in time with the picture? Offsets, their curve, and telling true pairs from shifted ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from avlib.evaluate.arrays import Floats, Values, floats, masks, same_length


@dataclass(frozen=True)
class Synchrony:
    """Accuracy of the estimated offset.

    Attributes:
        accuracy: share of clips whose offset is right within the tolerance (tied maxima share the credit).
        chance: what a random candidate would reach.
        count, skipped: clips judged, and clips left out (nothing to hear).
    """

    accuracy: float
    chance: float
    count: int
    skipped: int


def _scores(score_BO: Values, offset_O: Values, true_B: Values | None) -> tuple[Floats, Floats, Floats]:
    score_BO, offset_O = floats(score_BO, "score_BO", 2), floats(offset_O, "offset_O", 1)
    if score_BO.shape[1] != len(offset_O):
        raise ValueError(f"score_BO has {score_BO.shape[1]} candidates, offset_O {len(offset_O)}")
    true = np.zeros(len(score_BO)) if true_B is None else floats(true_B, "true_B", 1)
    same_length(score_BO=score_BO, true_B=true)
    return score_BO, offset_O, true


def offset_accuracy(
    score_BO: Values,
    offset_O: Values,
    true_B: Values | None = None,
    tolerance: float = 1.0,
    heard_B: Values | None = None,
) -> Synchrony:
    """Pick the best-scoring offset of each clip; right if it is within ``tolerance`` of the true one.

    Args:
        score_BO: higher means more in time, for each candidate offset.
        offset_O: candidates, in frames (or any unit; ``tolerance`` has the same). ±1 frame is ±40 ms at 25 fps.
        true_B: true offsets; 0 by default.
        heard_B: clips in which something is heard; in silence every offset is as good, so others are skipped.

    Raises:
        ValueError: shapes that do not fit, NaN, no clip to judge.
    """
    score_BO, offset_O, true = _scores(score_BO, offset_O, true_B)
    kept_B = np.ones(len(true), dtype=bool) if heard_B is None else masks(heard_B, "heard_B", 1)
    same_length(score_BO=score_BO, heard_B=kept_B)
    if not kept_B.any():
        raise ValueError("heard_B leaves no clip to judge")
    best_BO = score_BO == score_BO.max(1, keepdims=True)
    right_BO = np.abs(offset_O[None, :] - true[:, None]) <= tolerance + 1e-9
    credit_B = (best_BO & right_BO).sum(1) / best_BO.sum(1)
    accuracy, chance = float(credit_B[kept_B].mean()), float(right_BO[kept_B].mean())
    return Synchrony(accuracy, chance, int(kept_B.sum()), int((~kept_B).sum()))


def offset_curve(score_BO: Values, offset_O: Values, true_B: Values | None = None) -> tuple[Floats, Floats]:
    """Mean score by error (candidate − true offset): error_E ascending and score_E. It should peak at 0.

    Each clip is standardised first, so that loud clips do not make the curve.
    """
    score_BO, offset_O, true = _scores(score_BO, offset_O, true_B)
    spread_B1 = score_BO.std(1, keepdims=True)
    centred_BO = (score_BO - score_BO.mean(1, keepdims=True)) / np.where(spread_B1 > 0, spread_B1, 1)
    error_BO = np.round(offset_O[None, :] - true[:, None], 9)
    error_E, place = np.unique(error_BO, return_inverse=True)
    place = place.reshape(-1)
    return error_E, np.bincount(place, weights=centred_BO.reshape(-1)) / np.bincount(place)


def auc(true_B: Values, false_B: Values) -> float:
    """Chance that a true pair scores higher than a false one, ties counting half: area under the ROC curve; chance 0.5.

    Raises:
        ValueError: empty or NaN.
    """
    true_B, false_B = floats(true_B, "true_B", 1), floats(false_B, "false_B", 1)
    rank = rankdata(np.concatenate([true_B, false_B]))[: len(true_B)]
    return float((rank.sum() - len(true_B) * (len(true_B) + 1) / 2) / (len(true_B) * len(false_B)))
