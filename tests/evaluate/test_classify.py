"""Average precision: closed forms, loops, scikit-learn, torchmetrics."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from avlib.evaluate import classify
from tests.reference import metrics as slow


@pytest.mark.parametrize(
    ("ranked", "values"),
    [
        ("1100", (1, 1, 1)),
        ("1010", (0.8485, 0.8333, 0.8333)),
        ("1001", (0.7727, 0.75, 0.75)),
        ("011", (0.6667, 0.6667, 0.5833)),
        ("0001", (0.25, 0.25, 0.25)),
    ],
)
def test_ranked_labels(ranked, values):
    label = [int(c) for c in ranked]
    score = -np.arange(len(label))
    got = [classify.average_precision(score, label, rule) for rule in classify.RULES]
    assert got == pytest.approx(values, abs=5e-5)
    signed = [classify.average_precision(score, [2 * y - 1 for y in label], rule) for rule in classify.RULES]
    assert signed == got


def test_recall_is_compared_in_integers():
    # At recall 3/10 the float 3 * 0.1 would ask for 0.30000000000000004.
    label = [1, 1, 1] + [0] * 50 + [1] * 7
    rest = max((i + 4) / (54 + i) for i in range(7))
    assert classify.average_precision(-np.arange(60), label, "voc07") == pytest.approx((4 + 7 * rest) / 11)


def test_equal_to_loops_scikit_learn_and_torchmetrics():
    from torchmetrics.functional.classification import binary_average_precision

    rng = np.random.default_rng(0)
    for _ in range(20):
        score, label = rng.permutation(25) / 25, rng.integers(0, 2, 25)
        label[0] = 1
        ranked = slow.ranking(score.tolist(), label.tolist())
        for rule in classify.RULES:
            assert classify.average_precision(score, label, rule) == pytest.approx(slow.average_precision(ranked, rule))
        raw = classify.average_precision(score, label, "raw")
        assert raw == pytest.approx(average_precision_score(label, score))
        assert raw == pytest.approx(float(binary_average_precision(torch.tensor(score), torch.tensor(label))))
        tied = rng.integers(0, 4, 25)
        want = slow.average_precision(slow.ranking(tied.tolist(), label.tolist()), "area")
        assert classify.average_precision(tied, label) == pytest.approx(want)


def test_ties_count_against_us_whatever_the_order():
    assert classify.average_precision([1, 1], [1, 0]) == classify.average_precision([1, 1], [0, 1]) == 0.5


def test_area_is_never_below_raw():
    rng = np.random.default_rng(1)
    for _ in range(20):
        score, label = rng.random(15), np.r_[1, rng.integers(0, 2, 14)]
        area, raw = (classify.average_precision(score, label, rule) for rule in ("area", "raw"))
        assert area >= raw - 1e-12


def test_classes_without_positives_are_nan_and_warned_of():
    with pytest.warns(UserWarning, match=r"classes \[1\]"):
        score = classify.mean_ap([[2, 1], [1, 2.0]], [[1, 0], [0, 0]])
    assert score.value == 1 and math.isnan(score.ap_K[1]) and score.chance_K.tolist() == [0.5, 0]
    assert math.isnan(classify.average_precision([1.0], [0]))


def test_difficult_items_are_dropped_for_their_class_alone():
    score = [[3, 1], [2, 2], [1, 3.0]]
    label = [[0, -1], [1, -1], [-1, 1]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dropped = classify.mean_ap(score, label, "voc07", drop_difficult=True)
    assert dropped.ap_K.tolist() == [1, 1] and dropped.count_K.tolist() == [2, 3]
    assert dropped.chance_K.tolist() == [1 / 2, 1 / 3]


def test_a_class_of_difficult_items_alone_has_no_chance():
    with warnings.catch_warnings(record=True) as heard:
        score = classify.mean_ap([[1, 2.0]], [[0, 1]], drop_difficult=True)
    assert score.count_K.tolist() == [0, 1] and score.chance_K.tolist() == [0, 1]
    assert [str(each.message) for each in heard] == ["no positive items in classes [0]: left out of the mean"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: classify.average_precision([1, np.nan], [1, 0]), "NaN"),
        (lambda: classify.average_precision([1, 2.0], [1]), "different numbers of rows"),
        (lambda: classify.average_precision([1, 2.0], [1, 3]), "label_B must be 1"),
        (lambda: classify.average_precision([1, 2, 3.0], [1, 0, -1]), "drop difficult"),
        (lambda: classify.average_precision([1, 2.0], [1, 0], "coco"), "unknown average precision rule"),
        (lambda: classify.average_precision([], []), "empty"),
        (lambda: classify.mean_ap(np.ones((2, 2)), np.ones((2, 3))), "shapes differ"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
