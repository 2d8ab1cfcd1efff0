"""Boxes: from maps, and their average precision."""

import math

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from avlib.evaluate import detect
from tests.reference import metrics as slow


def test_the_larger_of_two_blobs_is_taken():
    heat = np.zeros((10, 12))
    heat[1:3, 1:3], heat[5:9, 6:11] = 1.0, 0.9
    assert detect.box_from_map(heat).tolist() == [6, 5, 11, 9]


def test_a_constant_map_has_no_box_and_beta_one_keeps_the_peak():
    assert detect.box_from_map(np.full((4, 4), 0.3)) is None
    heat = np.random.default_rng(0).random((8, 8))
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert detect.box_from_map(heat, 1.0).tolist() == [column, row, column + 1, row + 1]


def test_diagonal_neighbours_are_two_parts():
    heat = np.zeros((4, 4))
    heat[0, 0], heat[1, 1] = 1, 2
    assert detect.box_from_map(heat, 0.3).tolist() == [1, 1, 2, 2]


def test_perfect_boxes_and_one_of_two():
    box = [[0, 0, 4, 4], [5, 5, 9, 9]]
    assert detect.average_precision(box, [0.9, 0.8], [0, 0], box, [0, 0]).value == 1
    half = detect.average_precision(box[:1], [0.9], [0], box, [0, 0])
    assert (half.value, half.recall, half.boxes, half.objects) == (0.5, 0.5, 1, 2)


def test_a_second_box_on_the_same_object_is_wrong():
    truth = [[0, 0, 4, 4], [5, 5, 9, 9]]
    twice = detect.average_precision([truth[0], truth[0], truth[1]], [3, 2, 1], [0] * 3, truth, [0, 0])
    assert twice.value == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_an_object_is_found_once_even_where_no_overlap_is_asked_for():
    box = [[0, 0, 4, 4], [5, 5, 9, 9], [0, 0, 4, 4]]
    score = detect.average_precision(box, [3, 2, 1], [0, 0, 1], box[:1], [0], iou=0.0)
    assert (score.value, score.recall) == (1, 1)
    assert detect.average_precision(box[:1], [1], [1], box[:1], [0], iou=0.0).recall == 0


def test_equal_scores_are_one_threshold():
    right, wrong = [0, 0, 4, 4], [5, 5, 9, 9]
    for boxes in ([right, wrong], [wrong, right]):
        assert detect.average_precision(boxes, [0.5, 0.5], [0, 0], [right], [0]).value == 0.5
    # With a lower score of their own the wrong ones cost nothing, with a higher one as much.
    assert detect.average_precision([wrong, right], [0.4, 0.5], [0, 0], [right], [0]).value == 1
    assert detect.average_precision([wrong, right], [0.6, 0.5], [0, 0], [right], [0]).value == 0.5


def test_of_equal_scores_the_better_box_takes_the_object():
    # The first box overlaps the left object a little more than the right one, the second lies on the left one.
    truth, between, left = [[0, 0, 10, 10], [4, 0, 14, 10]], [1, 0, 13, 10], [0, 0, 10, 10]
    for boxes in ([between, left], [left, between]):
        score = detect.average_precision(boxes, [1, 1], [0, 0], truth, [0, 0])
        assert (score.value, score.recall) == (1, 1)


def test_the_order_of_rows_changes_nothing():
    rng = np.random.default_rng(3)
    for _ in range(30):
        corner = rng.integers(0, 6, (20, 2, 2))
        box = np.concatenate([corner.min(1), corner.max(1) + 1], 1).astype(float)
        score, image, kind = (rng.integers(0, 3, 20) for _ in range(3))
        values = []
        for _ in range(5):
            p, g = rng.permutation(12), 12 + rng.permutation(8)
            values.append(
                detect.average_precision(box[p], score[p], image[p], box[g], image[g], kind[p], kind[g], iou=0.3)
            )
        assert len({repr(value) for value in values}) == 1


def test_boxes_of_another_image_or_class_do_not_match():
    box = [[0, 0, 4, 4]]
    assert detect.average_precision(box, [1], [1], box, [0]).value == 0
    score = detect.average_precision(box * 2, [1, 1], [0, 0], box * 2, [0, 0], [0, 5], [0, 1])
    assert score.ap[0] == 1 and score.ap[1] == 0 and math.isnan(score.ap[5]) and score.value == 0.5


def test_no_box_at_all_scores_zero():
    score = detect.average_precision(np.zeros((0, 4)), [], [], [[0, 0, 1, 1]], [0])
    assert score == detect.Detection(0.0, {0: 0.0}, 0.0, 0, 1)


def test_boxes_without_area_overlap_with_nothing():
    assert detect.box_iou([[1, 1, 1, 1]], [[1, 1, 1, 1], [0, 0, 2, 2]]).tolist() == [[0, 0]]


def test_equal_to_loops_and_torchvision():
    rng = np.random.default_rng(1)

    def boxes(count):
        corner = rng.integers(0, 8, (count, 2, 2))
        return np.concatenate([corner.min(1), corner.max(1) + 1], 1).astype(float)

    for _ in range(20):
        predicted, truth = boxes(12), boxes(7)
        assert detect.box_iou(predicted, truth) == pytest.approx(
            box_iou(torch.tensor(predicted), torch.tensor(truth)).numpy()
        )
        score, image, truth_image = rng.permutation(12) / 12, rng.integers(0, 2, 12), rng.integers(0, 2, 7)
        lists = (x.tolist() for x in (predicted, score, image, truth, truth_image))
        got = detect.average_precision(predicted, score, image, truth, truth_image, iou=0.3).value
        assert got == pytest.approx(slow.box_ap(*lists, iou=0.3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: detect.box_from_map(np.ones((2, 2)), 2), "beta"),
        (lambda: detect.box_from_map(np.ones((2, 2)), -0.1), "beta"),
        (lambda: detect.box_from_map([[np.nan]]), "NaN"),
        (lambda: detect.box_iou([[3, 0, 1, 1]], [[0, 0, 1, 1]]), "x1 ≤ x2"),
        (lambda: detect.average_precision([[0, 0, 1, 1]], [1], [0, 1], [[0, 0, 1, 1]], [0]), "different numbers"),
        (lambda: detect.average_precision([], [], [], np.zeros((0, 4)), []), "truth_G4 is empty"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
