"""Localisation with negatives: golden cases, loops, and maps that are deaf."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from avlib.evaluate import negatives as neg
from tests.reference import metrics as slow


def test_one_hit_above_one_negative_is_perfect():
    score = neg.with_negatives([0.9, 0.1], [0.8, np.nan], [1, 0])
    assert (score.ap, score.max_f1, score.at, score.accuracy) == (1, 1, 0.9, 1)
    assert (score.positives, score.negatives) == (1, 1)


def test_a_mislocated_positive_is_missed_here_and_forgotten_by_the_official_code():
    well, seen = np.array([False, False]), np.array([True, False])
    assert neg._counts(np.array([0.9, 0.1]), well, seen, 0.5) == (0, 1, 0)
    clean = neg.with_negatives([0.9, 0.1], [0.2, 0.0], [1, 0])
    assert (clean.ap, clean.max_f1, clean.accuracy) == (0, 0, 0)
    assert neg._official(0, 1, 0) == (0, 1) and neg._official(0, 0, 1) == (1, 0)
    # Their recall has the denominator TP + FN = 0, and is then 1: a mislocated positive beside a hit costs no recall.
    both = [0.9, 0.8, 0.1], [0.2, 0.9, 0.0], [1, 1, 0]
    assert neg.with_negatives(*both, compat="slavc").max_f1 > neg.with_negatives(*both).max_f1


def test_the_official_quirks_one_by_one():
    # One hit above one negative: the only remaining threshold leaves no segment to integrate, so their AP is 0.
    assert neg.with_negatives([0.9, 0.1], [0.8, 0], [1, 0], compat="slavc").ap == 0
    # The highest threshold .7 is not tried, and what is recalled at the next one (2/3) is not integrated: 1/3 is left.
    score = neg.with_negatives([0.7, 0.6, 0.5, 0.1], [1, 1, 1, 0], [1, 1, 1, 0], compat="slavc")
    assert score.ap == pytest.approx(1 / 3) and score.max_f1 == 1


def test_clean_scores_equal_a_loop_and_scikit_learn():
    rng = np.random.default_rng(0)
    for _ in range(20):
        seen = rng.random(30) > 0.4
        confidence, value = rng.integers(0, 8, 30) / 8, rng.random(30)
        ap, f1 = slow.with_negatives(confidence.tolist(), value.tolist(), seen.tolist())
        score = neg.with_negatives(confidence, value, seen)
        assert (score.ap, score.max_f1) == pytest.approx((ap, f1))
    smooth = np.sort(rng.random(30))[::-1]
    hit = np.arange(30) < 12
    assert neg.with_negatives(smooth, hit * 1.0, hit).ap == pytest.approx(average_precision_score(hit, smooth))


def test_confidence_is_the_mean_of_the_highest_quarter():
    heat = np.arange(16.0).reshape(1, 4, 4)
    assert neg.confidence(heat) == [13.5] and neg.confidence(heat, 1.0) == [7.5]


def test_predicted_area_on_negatives():
    lit = np.zeros((2, 4, 4), bool)
    lit[1, :2] = True
    assert neg.image_area(lit).tolist() == [0, 0.5]
    assert neg.area_auc([1, 1]) == 0
    assert neg.area_auc([0, 0]) == pytest.approx(0.975)
    assert neg.area_auc([0.3]) == pytest.approx(0.675)


def swap_case(count=20):
    first, second = np.zeros((count, 4, 4)), np.zeros((count, 4, 4))
    first[:, 0, 0], second[:, 3, 3] = 1, 1
    return first, second


def test_a_map_that_follows_the_sound_moves_and_a_deaf_one_does_not():
    first, second = swap_case()
    listening = np.tile(np.eye(2), (20, 1, 1))
    heard = neg.swap_score(first, second, first, second, listening)
    assert (heard.moved, heard.gain, heard.count) == (1, 1, 20) and heard.p < 0.01
    for deaf in (first, np.ones_like(first)):
        score = neg.swap_score(deaf, deaf, first, second, np.full((20, 2, 2), 0.4))
        assert (score.moved, score.gain, score.p) == (0, 0, 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neg.with_negatives([1.0], [1.0], [0]), "no positive"),
        (lambda: neg.with_negatives([1.0, 2], [1.0], [1, 1]), "different numbers of rows"),
        (lambda: neg.with_negatives([1.0], [np.nan], [1]), "NaN for a visible"),
        (lambda: neg.with_negatives([np.nan], [1.0], [1]), "confidence_B holds 1 NaN"),
        (lambda: neg.with_negatives([1.0], [1.0], [1], compat="lvs"), "unknown compat"),
        (lambda: neg.confidence(np.ones((1, 2, 2)), 0), "share"),
        (lambda: neg.area_auc([2.0]), "within 0…1"),
        (lambda: neg.swap_score(*swap_case(), *swap_case(), np.ones((3, 2, 2))), "ciou_B2x2"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
