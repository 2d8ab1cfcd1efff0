"""Intervals and the rule by which a claim holds."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from avlib.evaluate import stats


def test_bootstrap_agrees_with_scipy_and_depends_on_its_seed_alone():
    value = np.random.default_rng(0).normal(3, 1, 200)
    ours = stats.bootstrap(value, draws=5000)
    theirs = scipy_stats.bootstrap((value,), np.mean, n_resamples=5000, method="percentile", rng=1).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert stats.bootstrap(value) == stats.bootstrap(value) != stats.bootstrap(value, seed=1)


def test_bootstrap_of_another_statistic():
    value = np.arange(101.0)
    interval = stats.bootstrap(value, lambda x: float(np.median(x)))
    assert interval.value == 50 and interval.low < 50 < interval.high and interval.count == 101
    constant = stats.bootstrap([2.0] * 5)
    assert (constant.low, constant.high) == (2, 2)


def test_bootstrap_covers_as_often_as_it_says():
    rng = np.random.default_rng(2)
    inside = 0
    for draw in range(300):
        interval = stats.bootstrap(rng.normal(size=60), level=0.9, draws=300, seed=draw)
        inside += interval.low <= 0 <= interval.high
    assert 0.82 < inside / 300 < 0.96


def test_one_clip_of_a_hundred_is_one_point():
    assert stats.proportion(0.88, 100).high - 0.88 == pytest.approx(0.064, abs=5e-4)
    assert stats.proportion(0.78, 100).high - 0.78 == pytest.approx(0.081, abs=5e-4)
    assert stats.proportion(1.0, 10).high == 1


def test_t_interval_equals_scipys():
    value = [0.1, 0.3, 0.2]
    want = scipy_stats.ttest_1samp(value, 0).confidence_interval(0.9)
    got = stats.t_interval(value)
    assert (got.low, got.high) == pytest.approx((want.low, want.high))
    assert math.isnan(stats.t_interval([1.0]).low)


@pytest.mark.parametrize(
    ("gaps", "margin", "verdict"),
    [
        ([0.1, 0.12, 0.09], 0.0, True),
        ([0.1, 0.12, 0.09], 0.2, False),
        ([0.1, 0.1, 0.1], 0.0, True),
        ([0.01, 0.3, 0.02], 0.0, False),
        ([0.1, 0.1, -0.3], 0.0, False),
        ([-0.1, -0.12, -0.09], 0.0, False),
        ([0.1, 0.12], 0.0, False),
        ([0.0, 0.0, 0.0], 0.0, False),
        ([0.3, 0.3, 0.3, 0.3, 0.3, -0.01], 0.0, True),
    ],
)
def test_the_rule(gaps, margin, verdict):
    assert stats.holds(gaps, margin) is verdict


def test_luck_rarely_holds():
    gaps = np.random.default_rng(3).normal(size=(2000, 3))
    assert np.mean([stats.holds(row) for row in gaps]) < 0.07


def test_difference_pairs_by_seed():
    got = stats.difference([0.9, 0.5, 0.7], [0.8, 0.4, 0.6])
    assert got.mean == pytest.approx(0.1) and got.wins == got.count == 3 and got.holds
    assert got.high - got.low < 1e-9
    single = stats.difference([1.0], [0.0])
    assert not single.holds and math.isnan(single.sd)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.bootstrap([]), "empty"),
        (lambda: stats.bootstrap([np.nan]), "NaN"),
        (lambda: stats.bootstrap([1.0], level=1), "level"),
        (lambda: stats.bootstrap([1.0], draws=0), "draws"),
        (lambda: stats.proportion(2, 10), "share"),
        (lambda: stats.holds([1.0] * 3, margin=-1), "margin"),
        (lambda: stats.difference([1.0, 2], [1.0]), "different numbers"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
