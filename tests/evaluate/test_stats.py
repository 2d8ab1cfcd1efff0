"""Intervals, p-values over paired seeds, and Holm's correction."""

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


@pytest.mark.parametrize("bound", [0.0, 0.05, -0.2])
@pytest.mark.parametrize("gaps", [[0.1, 0.12, 0.09], [0.1, -0.3], [0.01, 0.3, 0.02, -0.1, 0.2]])
def test_p_above_equals_scipys(gaps, bound):
    want = scipy_stats.ttest_1samp(gaps, bound, alternative="greater").pvalue
    assert stats.p_above(gaps, bound) == pytest.approx(want, rel=1e-9)


def test_p_above_is_the_paired_test():
    ours, theirs = np.random.default_rng(1).normal(size=(2, 5))
    want = scipy_stats.ttest_rel(ours, theirs, alternative="greater").pvalue
    assert stats.p_above(ours - theirs) == pytest.approx(want)


def test_values_that_do_not_differ_decide_by_themselves():
    assert stats.p_above([0.5, 0.5, 0.5]) == 0
    assert stats.p_above([0.5, 0.5, 0.5], 0.5) == 1
    assert stats.p_above([0.0, 0.0]) == 1
    assert stats.p_within([0.0, 0.0], 0.1) == 0 and stats.p_within([0.25, 0.25], 0.25) == 1
    assert math.isnan(stats.p_above([1.0])) and math.isnan(stats.p_within([1.0], 2))


@pytest.mark.parametrize("gaps", [[0.1, 0.12, 0.09], [0.1, -0.3], [-0.04, 0.03, 0.02, -0.01, 0.02]])
def test_p_within_is_the_larger_of_two_tests_from_either_side(gaps):
    low = scipy_stats.ttest_1samp(gaps, -0.15, alternative="greater").pvalue
    high = scipy_stats.ttest_1samp(gaps, 0.15, alternative="less").pvalue
    assert stats.p_within(gaps, 0.15) == pytest.approx(max(low, high))


def test_p_says_what_the_interval_says():
    random = np.random.default_rng(5)
    said = []
    for _ in range(300):
        gaps = random.normal(0.5, 1, 4)
        interval = stats.t_interval(gaps, 0.9)
        assert (stats.p_above(gaps) < 0.05) == (interval.low > 0)
        assert (stats.p_within(gaps, 2) < 0.05) == (-2 < interval.low and interval.high < 2)
        said.append((stats.p_above(gaps) < 0.05, stats.p_within(gaps, 2) < 0.05))
    assert np.isin(np.mean(said, 0), (0, 1)).sum() == 0


def test_p_is_uniform_where_there_is_nothing():
    gaps = np.random.default_rng(3).normal(size=(2000, 3))
    assert scipy_stats.kstest([stats.p_above(row) for row in gaps], "uniform").pvalue > 0.01


def rejected(p_K, level):
    """Holm's procedure as he wrote it: from the smallest on, compare with level / (number still standing)."""
    standing, out = sorted(range(len(p_K)), key=lambda k: p_K[k]), set()
    while standing and p_K[standing[0]] <= level / len(standing):
        out.add(standing.pop(0))
    return out


def test_holm_rejects_what_the_procedure_rejects():
    random = np.random.default_rng(4)
    counts = set()
    for _ in range(200):
        p_K = random.uniform(size=4) ** 3
        level = random.uniform(0.01, 0.2)
        corrected = stats.holm(p_K)
        assert {k for k in range(4) if corrected[k] <= level} == rejected(list(p_K), level)
        counts.add(len(rejected(list(p_K), level)))
    assert len(counts) > 3


def test_holm_by_hand():
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.5, 0.6]) == [1, 1] and stats.holm([0.2]) == [0.2]
    assert stats.holm([0.02, 0.02, 0.02]) == pytest.approx([0.06] * 3)


def test_difference_pairs_by_seed():
    got = stats.difference([0.9, 0.5, 0.7], [0.8, 0.4, 0.6])
    assert got.mean == pytest.approx(0.1) and got.wins == got.count == 3
    assert got.high - got.low < 1e-9
    mixed = stats.difference([0.3, 0.1, 0.1], [0.1, 0.2, 0.1])
    assert mixed.wins == 1 and mixed.sd == pytest.approx(np.std([0.2, -0.1, 0.0], ddof=1))
    single = stats.difference([1.0], [0.0])
    assert single.mean == 1 and math.isnan(single.sd) and math.isnan(single.low)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stats.bootstrap([]), "empty"),
        (lambda: stats.bootstrap([np.nan]), "NaN"),
        (lambda: stats.bootstrap([1.0], level=1), "level"),
        (lambda: stats.bootstrap([1.0], draws=0), "draws"),
        (lambda: stats.proportion(2, 10), "share"),
        (lambda: stats.p_within([1.0] * 3, 0), "margin"),
        (lambda: stats.p_above([]), "empty"),
        (lambda: stats.holm([0.1, 1.2]), "p-values lie within"),
        (lambda: stats.holm([0.1, math.nan]), "NaN"),
        (lambda: stats.difference([1.0, 2], [1.0]), "different numbers"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
