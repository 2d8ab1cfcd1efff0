"""Does the map depend on the sound? Clips without a visible source, silence, and one picture with two sounds.

A good-looking map on a matched pair proves nothing: LocAP and max-F1 with negatives (SLAVC), predicted image area on
negatives (Juanola et al.), and the swap score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from avlib.errors import unknown
from avlib.evaluate.arrays import Bools, Floats, Ints, Values, floats, masks, same_length, same_shape
from avlib.evaluate.classify import ap_from_hits
from avlib.evaluate.localize import FLAT, THRESHOLDS


@dataclass(frozen=True)
class WithNegatives:
    """Localisation where some clips have no visible source.

    Attributes:
        ap: area under the precision envelope over all confidence thresholds.
        max_f1, at: best F1 and the confidence at which it is reached.
        accuracy: share of the positives that are well located, whatever the confidence (LocAcc, "Precision").
        positives, negatives: clips with and without a visible source.
    """

    ap: float
    max_f1: float
    at: float
    accuracy: float
    positives: int
    negatives: int


@dataclass(frozen=True)
class Swap:
    """One picture, two sounds.

    Attributes:
        moved: share of the swaps (each way) whose maximum moves onto the new source; 0 for anything deaf.
        gain: mean cIoU with the matched sound minus with the swapped one.
        p: one-sided permutation test of that gain.
        count: pairs.
    """

    moved: float
    gain: float
    p: float
    count: int


def confidence(map_BYX: Values, share: float = 0.25) -> Floats:
    """confidence_B: mean of the highest ``share`` of the pixels (SLAVC: a quarter, on maps with a fixed scale).

    Raises:
        ValueError: NaN, a share outside 0…1.
    """
    map_BYX = floats(map_BYX, "map_BYX", 3)
    if not 0 < share <= 1:
        raise ValueError(f"share must be above 0 and at most 1, not {share}")
    flat = np.sort(map_BYX.reshape(len(map_BYX), -1), axis=1)[:, ::-1]
    return flat[:, : max(1, round(share * flat.shape[1]))].mean(1)


def _counts(confidence_B: Floats, well_B: Bools, positive_B: Bools, threshold: float) -> tuple[int, int, int]:
    """Fired and well located; fired otherwise; visible but not fired."""
    fired_B = confidence_B >= threshold
    true = int((fired_B & positive_B & well_B).sum())
    return true, int(fired_B.sum()) - true, int((positive_B & ~fired_B).sum())


def _clean(confidence_B: Floats, well_B: Bools, positive_B: Bools) -> tuple[float, float, float]:
    threshold_C = np.unique(confidence_B)[::-1]
    counts = np.array([_counts(confidence_B, well_B, positive_B, t)[:2] for t in threshold_C])
    hits_C, fired_C = counts[:, 0], counts.sum(1)
    f1_C = 2 * hits_C / (fired_C + positive_B.sum())
    best = int(f1_C.argmax())
    ap = ap_from_hits(hits_C, fired_C, int(positive_B.sum()), "area")
    return ap, float(f1_C[best]), float(threshold_C[best])


def _official(true: int, false: int, missed: int) -> tuple[float, float]:
    """Precision and recall as SLAVC's code has them: an empty denominator gives 1."""
    return (true / (true + false) if true + false else 1.0), (true / (true + missed) if true + missed else 1.0)


def _slavc(confidence_B: Floats, well_B: Bools, positive_B: Bools) -> tuple[float, float, float]:
    def at(thresholds: Floats) -> list[tuple[float, float]]:
        return [_official(*_counts(confidence_B, well_B, positive_B, t)) for t in thresholds]

    rising_B = np.sort(confidence_B)
    points = at(rising_B[:-1][:: -max(1, len(rising_B) // 200)])
    envelope = [max(p for p, _ in points[i:]) for i in range(len(points))]
    ap = sum(envelope[i] * (points[i + 1][1] - points[i][1]) for i in range(len(points) - 1))
    coarse = rising_B[:: max(1, len(rising_B) // 10)]
    f1 = [2 * p * r / (p + r) if p + r > 0 else 0.0 for p, r in at(coarse)]
    return float(ap), float(max(f1)), float(coarse[int(np.argmax(f1))])


def with_negatives(
    confidence_B: Values,
    ciou_B: Values,
    visible_B: Values,
    threshold: float = 0.5,
    compat: Literal["slavc"] | None = None,
) -> WithNegatives:
    """LocAP and max-F1: a clip fires when its confidence reaches c; it is right if it is visible and well located.

    TP: visible, fired, cIoU ≥ ``threshold``. FP: fired on a negative or in the wrong place. FN: positives − TP.

    Args:
        ciou_B: of visible clips; ignored (may be NaN) elsewhere.
        visible_B: does the picture show the source of the sound?
        compat: "slavc" copies its released code: a mislocated positive is no FN, the highest threshold and the first
            recall segment are dropped, F1 is looked up at about 11 thresholds, an empty denominator gives 1.

    Raises:
        ValueError: lengths differ, no positive, NaN confidence, NaN cIoU of a visible clip.
    """
    confidence_B, ciou_B = floats(confidence_B, "confidence_B", 1), floats(ciou_B, "ciou_B", 1, nan=True)
    visible_B = masks(visible_B, "visible_B", 1)
    same_length(confidence_B=confidence_B, ciou_B=ciou_B, visible_B=visible_B)
    if not visible_B.any():
        raise ValueError("visible_B holds no positive")
    if np.isnan(ciou_B[visible_B]).any():
        raise ValueError("ciou_B is NaN for a visible clip: drop clips without annotation first")
    well_B = np.nan_to_num(ciou_B) >= threshold - 1e-9
    if compat not in (None, "slavc"):
        raise unknown("compat", str(compat), ("slavc",))
    score = _clean if compat is None else _slavc
    ap, f1, at = score(confidence_B, well_B, visible_B)
    positives = int(visible_B.sum())
    accuracy = int((well_B & visible_B).sum()) / positives
    return WithNegatives(ap, f1, at, accuracy, positives, len(visible_B) - positives)


def image_area(mask_BYX: Values) -> Floats:
    """area_B: the share of the picture that is predicted to sound (pIA); on a negative it should be 0.

    Fix the threshold of the masks on positives (rule "absolute").
    """
    return masks(mask_BYX, "mask_BYX", 3).mean((1, 2))


def area_auc(area_B: Values) -> float:
    """AUC_N: area under the share of negatives whose predicted area is below t, for t = 0, 0.05, … 1."""
    area_B = floats(area_B, "area_B", 1)
    if area_B.min() < 0 or area_B.max() > 1:
        raise ValueError("area_B must lie within 0…1")
    return float(np.trapezoid((area_B[None, :] < THRESHOLDS[:, None] - 1e-9).mean(1), THRESHOLDS))


def _peaks(map_BYX: Floats) -> tuple[Ints, Bools]:
    """Pixel of the first maximum, and whether the map has one at all."""
    flat = map_BYX.reshape(len(map_BYX), -1)
    return flat.argmax(1), np.ptp(flat, axis=1) >= FLAT


def swap_score(
    first_BYX: Values,
    second_BYX: Values,
    first_truth_BYX: Values,
    second_truth_BYX: Values,
    ciou_B2x2: Values,
    draws: int = 1000,
    seed: int = 0,
) -> Swap:
    """The same pictures heard with a first and a second sound: does the map follow?

    Args:
        first_BYX, second_BYX: maps with the first and with the second sound.
        first_truth_BYX, second_truth_BYX: where the first and where the second sound's source is.
        ciou_B2x2: [:, sound, source] of the masks, so the diagonal is matched.
        draws: of the permutation test, which flips the sign of each pair's difference at random.

    Raises:
        ValueError: shapes differ, NaN.
    """
    first_BYX, second_BYX = floats(first_BYX, "first_BYX", 3), floats(second_BYX, "second_BYX", 3)
    truths = [floats(t, "truth_BYX", 3) > 0 for t in (first_truth_BYX, second_truth_BYX)]
    same_shape(first_BYX=first_BYX, second_BYX=second_BYX, first_truth=truths[0], second_truth=truths[1])
    ciou_B2x2 = floats(ciou_B2x2, "ciou_B2x2", 3)
    if ciou_B2x2.shape != (len(first_BYX), 2, 2):
        raise ValueError(f"ciou_B2x2 must be {(len(first_BYX), 2, 2)}, not {ciou_B2x2.shape}")
    rows = np.arange(len(first_BYX))
    peaks = [_peaks(first_BYX), _peaks(second_BYX)]
    moved = []
    for old, new in ((0, 1), (1, 0)):
        truth = truths[new].reshape(len(rows), -1)
        before, after = truth[rows, peaks[old][0]] & peaks[old][1], truth[rows, peaks[new][0]] & peaks[new][1]
        moved.append((after & ~before).mean())
    matched_B = (ciou_B2x2[:, 0, 0] + ciou_B2x2[:, 1, 1]) / 2
    gain_B = matched_B - (ciou_B2x2[:, 0, 1] + ciou_B2x2[:, 1, 0]) / 2
    sign = np.random.default_rng(seed).choice([-1.0, 1.0], (draws, len(rows)))
    p = (1 + int(((sign * gain_B).mean(1) >= gain_B.mean() - 1e-12).sum())) / (1 + draws)
    return Swap(float(np.mean(moved)), float(gain_B.mean()), p, len(rows))
