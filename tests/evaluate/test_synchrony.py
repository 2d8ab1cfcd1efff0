"""Synchrony: planted offsets, silence, and telling true from shifted."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from avlib.evaluate import synchrony
from tests.reference import metrics as slow

OFFSETS = np.arange(-15, 16)


def planted(true_B):
    return -np.abs(OFFSETS[None] - np.asarray(true_B)[:, None]).astype(float)


def test_every_planted_offset_is_found():
    score = synchrony.offset_accuracy(planted(OFFSETS), OFFSETS, OFFSETS, tolerance=0)
    assert (score.accuracy, score.count, score.skipped) == (1, 31, 0)


def test_one_frame_off_is_right_and_two_are_not():
    assert synchrony.offset_accuracy(planted([1, -1]), OFFSETS).accuracy == 1
    assert synchrony.offset_accuracy(planted([2]), OFFSETS).accuracy == 0


def test_silence_scores_chance_or_is_skipped():
    flat = np.zeros((4, 31))
    score = synchrony.offset_accuracy(flat, OFFSETS)
    assert score.accuracy == pytest.approx(score.chance) == pytest.approx(3 / 31)
    mixed = np.concatenate([planted([0]), flat])
    heard = synchrony.offset_accuracy(mixed, OFFSETS, heard_B=[1, 0, 0, 0, 0])
    assert (heard.accuracy, heard.count, heard.skipped) == (1, 1, 4)


def test_equal_to_a_loop():
    rng = np.random.default_rng(0)
    scores, true = rng.integers(0, 3, (20, 31)), rng.integers(-10, 11, 20)
    want = slow.sync_accuracy(scores.tolist(), OFFSETS.tolist(), true.tolist(), 1)
    assert synchrony.offset_accuracy(scores, OFFSETS, true).accuracy == pytest.approx(want)


def test_the_curve_peaks_at_no_error():
    error, score = synchrony.offset_curve(planted([-3, 0, 5]), OFFSETS, [-3, 0, 5])
    assert error[score.argmax()] == 0 and error.min() == -20 and error.max() == 18
    loud = planted([-3, 0, 5]) * [[1], [100], [1]]
    assert synchrony.offset_curve(loud, OFFSETS, [-3, 0, 5])[1] == pytest.approx(score)


def test_auc_equals_a_loop_and_scikit_learn():
    rng = np.random.default_rng(1)
    true, false = rng.integers(0, 6, 30), rng.integers(0, 5, 20)
    value = synchrony.auc(true, false)
    assert value == pytest.approx(slow.auc(true.tolist(), false.tolist()))
    assert value == pytest.approx(roc_auc_score([1] * 30 + [0] * 20, np.r_[true, false]))
    assert synchrony.auc([1, 1], [1]) == 0.5 and synchrony.auc([2], [1]) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synchrony.offset_accuracy(np.ones((2, 3)), [0, 1]), "3 candidates"),
        (lambda: synchrony.offset_accuracy(np.ones((2, 3)), [0, 1, 2], [0]), "different numbers"),
        (lambda: synchrony.offset_accuracy(np.ones((1, 1)), [0], heard_B=[0]), "no clip"),
        (lambda: synchrony.auc([], [1]), "empty"),
        (lambda: synchrony.auc([np.nan], [1]), "NaN"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
