"""How sure are we? Bootstrap intervals, paired seeds, and the rule by which a claim holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats as distributions

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
        holds: the verdict of :func:`holds`.
    """

    mean: float
    sd: float
    low: float
    high: float
    level: float
    count: int
    wins: int
    holds: bool


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
    half = float(distributions.norm.ppf((1 + level) / 2)) * math.sqrt(share * (1 - share) / count)
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
    half = float(distributions.t.ppf((1 + level) / 2, count - 1) * value_B.std(ddof=1) / math.sqrt(count))
    return Interval(mean, mean - half, mean + half, level, count)


def holds(difference_B: Values, margin: float = 0.0, level: float = 0.9) -> bool:
    """Does a claim hold, given better minus worse for each seed?

    Yes when there are at least three seeds, the order is as claimed in at least two thirds of them, the mean exceeds
    ``margin``, and the t interval of the mean at ``level`` lies above 0.

    Why t and not a bootstrap: with three seeds a percentile bootstrap of the mean excludes 0 nearly whenever all three
    differences are positive, which happens by luck in one case out of eight. The t interval pays for the few seeds
    (at three and 90 % it asks for a mean of 1.69 standard deviations).

    Raises:
        ValueError: no values, NaN, a negative margin.
    """
    difference_B = floats(difference_B, "difference_B", 1)
    if margin < 0:
        raise ValueError(f"margin must not be negative, not {margin}")
    interval = t_interval(difference_B, level)
    enough = len(difference_B) >= 3
    order = 3 * int((difference_B > 0).sum()) >= 2 * len(difference_B)
    return bool(enough and order and interval.value > margin and interval.low > 0)


def difference(better_B: Values, worse_B: Values, margin: float = 0.0, level: float = 0.9) -> Difference:
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
    verdict = holds(gap_B, margin, level)
    return Difference(interval.value, sd, interval.low, interval.high, level, len(gap_B), wins, verdict)
