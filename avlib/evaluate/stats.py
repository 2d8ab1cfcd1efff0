"""How sure are we? Intervals over clips, differences paired by seed, their p-values, and Holm's correction.

What a claim is called, given these numbers, is decided in `avlib.claims`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

from avlib.evaluate.arrays import Floats, Values, floats, same_length


@dataclass(frozen=True)
class Interval:
    """A value with its confidence interval, from ``count`` observations."""

    value: float
    low: float
    high: float
    level: float
    count: int


@dataclass(frozen=True)
class Difference:
    """Better minus worse, paired by seed.

    Attributes:
        mean, sd: over the seeds (sd with n − 1; NaN for one seed).
        low, high: Student's t interval of the mean at ``level`` (NaN for one seed).
        wins: seeds in which the order is as claimed.
    """

    mean: float
    sd: float
    low: float
    high: float
    level: float
    count: int
    wins: int


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")


def bootstrap(
    value_B: Values,
    statistic: Callable[[Floats], float] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap interval of a statistic (the mean by default) over clips.

    Use it over clips, of which there are many; over a handful of seeds use :func:`difference`.

    Raises:
        ValueError: no values, NaN, a level outside 0…1, no draws.
    """
    value_B = floats(value_B, "value_B", 1)
    _check_level(level)
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    rows = np.random.default_rng(seed).integers(0, len(value_B), (draws, len(value_B)))
    if statistic is None:
        value, drawn = float(value_B.mean()), value_B[rows].mean(1)
    else:
        value, drawn = float(statistic(value_B)), np.array([statistic(value_B[row]) for row in rows])
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level, len(value_B))


def proportion(share: float, count: int, level: float = 0.95) -> Interval:
    """Normal interval of an accuracy measured on ``count`` clips: 0.88 on 100 clips is ± 0.064.

    Raises:
        ValueError: a share outside 0…1, no clips.
    """
    _check_level(level)
    if not 0 <= share <= 1 or count < 1:
        raise ValueError(f"need a share within 0…1 and at least one clip, not {share} and {count}")
    half = float(special.ndtri((1 + level) / 2)) * math.sqrt(share * (1 - share) / count)
    return Interval(share, max(0.0, share - half), min(1.0, share + half), level, count)


def t_interval(value_B: Values, level: float = 0.9) -> Interval:
    """Student's t interval of a mean; NaN limits for a single value.

    Raises:
        ValueError: no values, NaN, a level outside 0…1.
    """
    value_B = floats(value_B, "value_B", 1)
    _check_level(level)
    count, mean = len(value_B), float(value_B.mean())
    if count < 2:
        return Interval(mean, math.nan, math.nan, level, count)
    half = float(special.stdtrit(count - 1, (1 + level) / 2) * value_B.std(ddof=1) / math.sqrt(count))
    return Interval(mean, mean - half, mean + half, level, count)


def p_above(difference_B: Values, bound: float = 0.0) -> float:
    """One-sided p-value of Student's t test that the mean lies above ``bound``; NaN for a single value.

    Values that do not differ at all decide by themselves: 0 where they lie above the bound, else 1.

    Why t and not a bootstrap: with three seeds a percentile bootstrap of the mean excludes 0 nearly whenever all three
    differences are positive, which happens by luck in one case out of eight. The t test pays for the few seeds.

    Raises:
        ValueError: no values, NaN.

    Examples:
        >>> round(p_above([0.1, 0.12, 0.09]), 4)
        0.0036
    """
    difference_B = floats(difference_B, "difference_B", 1)
    count = len(difference_B)
    if count < 2:
        return math.nan
    beyond, spread = float(difference_B.mean()) - bound, float(difference_B.std(ddof=1)) / math.sqrt(count)
    if spread == 0:
        return 0.0 if beyond > 0 else 1.0
    return float(special.stdtr(count - 1, -beyond / spread))


def p_within(difference_B: Values, margin: float) -> float:
    """p-value of two one-sided t tests (TOST) that the mean lies within ± ``margin``; NaN for a single value.

    It falls below .05 just where the 90 % interval lies within the margin (Schuirmann, 1987).

    Raises:
        ValueError: no values, NaN, a margin that is not positive.
    """
    difference_B = floats(difference_B, "difference_B", 1)
    if not margin > 0:
        raise ValueError(f"margin must be positive, not {margin}")
    return max(p_above(difference_B, -margin), p_above(-difference_B, -margin))


def holm(p_K: Values) -> list[float]:
    """Holm's step-down correction: p-values that can be compared with one level for the whole family (Holm, 1979).

    Raises:
        ValueError: no values, NaN, a value outside 0…1.

    Examples:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    p_K = floats(p_K, "p_K", 1)
    if ((p_K < 0) | (p_K > 1)).any():
        raise ValueError(f"p-values lie within 0…1, not {p_K.tolist()}")
    order_K = np.argsort(p_K, kind="stable")
    stepped_K = np.maximum.accumulate((len(p_K) - np.arange(len(p_K))) * p_K[order_K])
    corrected_K = np.empty_like(p_K)
    corrected_K[order_K] = np.minimum(stepped_K, 1)
    return [float(p) for p in corrected_K]


def difference(better_B: Values, worse_B: Values, level: float = 0.9) -> Difference:
    """Compare two arms seed by seed: entry i of both comes from seed i.

    Raises:
        ValueError: different numbers of seeds, NaN, none.
    """
    better_B, worse_B = floats(better_B, "better_B", 1), floats(worse_B, "worse_B", 1)
    same_length(better_B=better_B, worse_B=worse_B)
    gap_B = better_B - worse_B
    interval = t_interval(gap_B, level)
    sd = float(gap_B.std(ddof=1)) if len(gap_B) > 1 else math.nan
    wins = int((gap_B > 0).sum())
    return Difference(interval.value, sd, interval.low, interval.high, level, len(gap_B), wins)
