"""Average precision: the three definitions that papers mix up, each by its name."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avlib.errors import unknown
from avlib.evaluate.arrays import Floats, Ints, Values, floats, integers, same_length, same_shape

Rule = Literal["voc07", "area", "raw"]
RULES = ("voc07", "area", "raw")


@dataclass(frozen=True)
class MeanAP:
    """Mean over classes of the average precision.

    Attributes:
        value: unweighted mean over the classes that have a positive (NaN where none has).
        ap_K: each class; NaN where it has no positive.
        chance_K: each class's share of positives, which is what random scores reach (by the raw rule, for many items).
        count_K: items judged, after the difficult ones were dropped.
        rule: which definition.
    """

    value: float
    ap_K: Floats
    chance_K: Floats
    count_K: Ints
    rule: str


def precision_recall(score_B: Values, label_B: Values) -> tuple[Ints, Ints, int]:
    """True positives after each item of the ranking, its place (from 1), and how many positives there are.

    Highest score first. Ties are broken against us (negatives first), never by the order of a file.

    Raises:
        ValueError: NaN scores, labels other than 0 and 1 (or −1 and 1), different lengths.
    """
    score_B, label_B = floats(score_B, "score_B", 1), integers(label_B, "label_B")
    same_length(score_B=score_B, label_B=label_B)
    if not np.isin(label_B, (-1, 0, 1)).all() or ({-1, 0} <= set(label_B.tolist())):
        raise ValueError("label_B must be 1 for positives and 0 (or −1) for negatives; drop difficult items first")
    positive_B = label_B == 1
    order_B = np.lexsort((positive_B, -score_B))
    hits_B = np.cumsum(positive_B[order_B]).astype(np.int64)
    return hits_B, np.arange(1, len(hits_B) + 1), int(positive_B.sum())


def ap_from_hits(hits_B: Ints, place_B: Ints, positives: int, rule: Rule = "area") -> float:
    """Average precision of a ranking by ``rule``; ``positives`` may exceed the hits (missed ones)."""
    if positives == 0:
        return float("nan")
    precision_B = hits_B / place_B
    step_B = np.diff(hits_B, prepend=0) / positives
    if rule == "raw":
        return float((step_B * precision_B).sum())
    envelope_B = np.maximum.accumulate(precision_B[::-1])[::-1]
    if rule == "area":
        return float((step_B * envelope_B).sum())
    if rule != "voc07":
        raise unknown("average precision rule", rule, RULES)
    # In integers: as floats, recall 0.3 is not at least 3 × 0.1.
    first = [np.flatnonzero(10 * hits_B >= tenth * positives) for tenth in range(11)]
    return float(sum(envelope_B[reached[0]] for reached in first if len(reached)) / 11)


def average_precision(score_B: Values, label_B: Values, rule: Rule = "area") -> float:
    """Average precision of one class.

    Args:
        score_B: higher means more likely.
        label_B: 1, and 0 or −1.
        rule: "voc07", the mean over recalls 0, 0.1, … 1 of the best precision at that recall or a higher one (what
            papers on VOC 2007 print); "area", the exact area under the monotone precision envelope (VOC 2010 and
            later); "raw", the sum of recall steps times precision, without envelope (scikit-learn's).

    Returns:
        0…1, or NaN where there is no positive.

    Raises:
        ValueError: see :func:`precision_recall`; an unknown rule.

    Examples:
        >>> [round(average_precision([4, 3, 2, 1], [1, 0, 1, 0], rule), 4) for rule in RULES]
        [0.8485, 0.8333, 0.8333]
    """
    return ap_from_hits(*precision_recall(score_B, label_B), rule)


def mean_ap(score_BK: Values, label_BK: Values, rule: Rule = "area", drop_difficult: bool = False) -> MeanAP:
    """Mean average precision over K classes, each ranked by itself.

    Args:
        drop_difficult: labels follow VOC (+1 positive, −1 negative, 0 only difficult instances): items with 0 are left
            out for that class. Otherwise 0 is a negative.

    Raises:
        ValueError: shapes differ, NaN scores.

    Warns:
        UserWarning: classes without a positive, which are left out of the mean.
    """
    score_BK, label_BK = floats(score_BK, "score_BK", 2), integers(label_BK, "label_BK", 2)
    same_shape(score_BK=score_BK, label_BK=label_BK)
    classes = range(score_BK.shape[1])
    kept_BK = label_BK != 0 if drop_difficult else np.ones_like(label_BK, dtype=bool)
    empty = [k for k in classes if not (label_BK[:, k] == 1).any()]
    ap_K = np.full(len(classes), np.nan)
    for k in classes:
        if k not in empty:
            ap_K[k] = average_precision(score_BK[kept_BK[:, k], k], label_BK[kept_BK[:, k], k], rule)
    if empty:
        warnings.warn(f"no positive items in classes {empty}: left out of the mean", stacklevel=2)
    count_K = kept_BK.sum(0).astype(np.int64)
    chance_K = (label_BK == 1).sum(0) / np.maximum(count_K, 1)
    value = float(np.nanmean(ap_K)) if len(empty) < len(classes) else float("nan")
    return MeanAP(value, ap_K, chance_K, count_K, rule)
