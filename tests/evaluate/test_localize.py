"""Localisation: closed forms, loops, invariances, and the trivial baselines."""

import math

import numpy as np
import pytest
import torch

from avlib.evaluate import localize as loc
from tests.reference import metrics as slow


def square(x1, y1, x2, y2, side=10):
    return loc.boxes_to_mask([[x1, y1, x2, y2]], side, (side, side))[0]


LEFT, RIGHT, BELOW = square(0, 0, 4, 4), square(5, 0, 9, 4), square(0, 5, 4, 9)


def test_ciou_is_one_for_a_perfect_mask_and_zero_for_a_disjoint_or_empty_one():
    truth = np.stack([LEFT] * 3).astype(float)
    predicted = np.stack([LEFT, RIGHT, np.zeros_like(LEFT)])
    assert loc.ciou(predicted, truth).tolist() == [1, 0, 0]


def test_consensus_of_two_agreeing_boxes_and_a_lone_one():
    truth = loc.consensus(np.stack([LEFT, LEFT, RIGHT]))
    assert truth.max() == 1 and truth[RIGHT].tolist() == [0.5] * 16
    values = [loc.ciou(m, truth).item() for m in (LEFT, RIGHT, LEFT | RIGHT)]
    assert values == pytest.approx([2 / 3, 1 / 3, 1])


def test_one_vote_alone_can_reach_one():
    assert loc.ciou(LEFT, loc.consensus(LEFT[None])) == 1


@pytest.mark.parametrize("g", [0.1, 0.25, 0.5, 1.0])
def test_whole_image_scores_the_area_of_the_object(g):
    truth = np.zeros((20, 20))
    truth[: round(20 * g)] = 1
    assert loc.ciou(loc.whole_image(20), truth) == pytest.approx(g)


def test_top_half_rule_around_a_fifth_scores_two_fifths():
    heat, truth = np.zeros((10, 10)), np.zeros((10, 10), bool)
    heat[:5], truth[:2] = np.arange(1, 51).reshape(5, 10), True
    heat[5:] = -np.arange(1, 51).reshape(5, 10)
    assert loc.iou(loc.to_mask(heat, "median"), truth) == pytest.approx(0.4)


def test_nothing_annotated_is_nan_skipped_and_counted():
    value = loc.ciou(np.stack([LEFT, LEFT]), np.stack([LEFT * 0.0, LEFT * 1.0]))
    assert math.isnan(value[0]) and value[1] == 1
    score = loc.success(value)
    assert (score.count, score.skipped, score.success[0.5]) == (1, 1, 1.0)


@pytest.mark.parametrize(
    ("value", "auc"),
    [(0, 0.025), (0.04, 0.025), (0.05, 0.075), (0.5, 0.525), (0.62, 0.625), (0.999, 0.975), (1, 1), (0.3, 0.325)],
)
def test_auc_of_one_clip(value, auc):
    assert loc.success([value]).auc == pytest.approx(auc)


def test_the_official_float_grid_loses_a_step_at_three_tenths():
    grid = [0.05 * i for i in range(21)]
    curve = [float(t <= 0.3) for t in grid]
    assert np.trapezoid(curve, grid) == pytest.approx(0.275)
    assert loc.success([0.3], (0.3,)).success[0.3] == 1


def test_ciou_success_and_pointing_equal_loops():
    rng = np.random.default_rng(0)
    predicted, heat = rng.random((12, 6, 6)) > 0.5, rng.integers(0, 4, (12, 6, 6)).astype(float)
    truth = rng.integers(0, 3, (12, 6, 6)) / 2
    want = [slow.ciou(m.tolist(), t.tolist()) for m, t in zip(predicted, truth)]
    got = loc.ciou(predicted, truth)
    assert got == pytest.approx(want)
    assert loc.success(got).auc == pytest.approx(slow.success_auc(want))
    points = [slow.pointing(m.tolist(), (t > 0).tolist()) for m, t in zip(heat, truth)]
    assert loc.pointing(heat, truth) == pytest.approx(points)


def test_iou_of_boxes_equals_torchvision():
    from torchvision.ops import box_iou

    rng = np.random.default_rng(1)
    corner = rng.integers(0, 20, (30, 2, 2))
    box = np.concatenate([corner.min(1), corner.max(1) + 1], 1)
    mask = loc.boxes_to_mask(box, 32, (32, 32))
    want = box_iou(torch.tensor(box[:15]).double(), torch.tensor(box[15:]).double()).diag()
    assert loc.iou(mask[:15], mask[15:]) == pytest.approx(want.numpy())


def test_auc_never_falls_when_a_clip_improves():
    rng = np.random.default_rng(2)
    value = rng.random(9)
    before = loc.success(value).auc
    for i in range(9):
        better = value.copy()
        better[i] = min(1.0, better[i] + 0.2)
        assert loc.success(better).auc >= before - 1e-12


@pytest.mark.parametrize("rule", ["max", "min-max", "median", "median-strict"])
def test_relative_rules_ignore_scale_and_empty_a_constant_map(rule):
    heat = np.random.default_rng(3).random((2, 8, 8))
    assert (loc.to_mask(heat, rule) == loc.to_mask(heat * 37.0, rule)).all()
    assert not loc.to_mask(np.full((1, 8, 8), 0.7), rule).any()


def test_the_absolute_rule_heeds_scale_and_height():
    heat = np.random.default_rng(3).random((2, 8, 8))
    assert (loc.to_mask(heat, "absolute") != loc.to_mask(heat * 2, "absolute")).any()
    assert loc.to_mask(np.full((1, 8, 8), 0.7), "absolute", 0.5).all()
    high = np.full((1, 2, 8, 8), 0.7)
    assert loc.nsa(high, [[0, 0]]) == 0 and loc.nsa(high / 10, [[0, 0]]) == 1


def test_median_rules_differ_on_ties():
    heat = np.array([[0.0, 1, 1], [1, 1, 2], [1, 0, 1]])
    assert loc.to_mask(heat, "median").sum() == 7 and loc.to_mask(heat, "median-strict").sum() == 1


def test_an_all_negative_map_lights_nothing_under_max():
    assert not loc.to_mask(-np.arange(1.0, 10).reshape(3, 3), "max", 0.5).any()


def test_flipping_map_and_truth_together_changes_nothing():
    rng = np.random.default_rng(4)
    heat, truth = rng.random((5, 8, 8)), rng.random((5, 8, 8)) > 0.6
    for rule in loc.RULES:
        plain = loc.iou(loc.to_mask(heat, rule), truth)
        turned = loc.iou(loc.to_mask(heat[:, :, ::-1], rule), truth[:, :, ::-1])
        assert plain == pytest.approx(turned)
    assert loc.pointing(heat, truth) == pytest.approx(loc.pointing(heat[:, ::-1], truth[:, ::-1]))


@pytest.mark.parametrize("align", [False, True])
def test_resizing_keeps_a_constant_map_constant(align):
    sized = loc.resize(np.full((2, 7, 7), 0.3), 224, align)
    assert sized.shape == (2, 224, 224) and np.ptp(sized) < 1e-12


def test_resizing_aligns_the_centres_of_pixels_or_the_corners():
    step = np.array([[0.0, 1.0], [0.0, 1.0]])
    assert loc.resize(step, 4)[0] == pytest.approx([0, 1 / 4, 3 / 4, 1])
    assert loc.resize(step, 4, align_corners=True)[0] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_resizing_keeps_the_cell_of_the_maximum():
    heat = np.zeros((49, 7, 7))
    heat[np.arange(49), np.arange(49) // 7, np.arange(49) % 7] = 1
    peak = loc.resize(heat, 224).reshape(49, -1).argmax(1)
    assert (peak // 224 // 32 * 7 + peak % 224 // 32 == np.arange(49)).all()


def test_pointing_at_a_constant_map_misses_and_a_tie_is_shared():
    heat = np.zeros((2, 4, 4))
    heat[1, 0, 0] = heat[1, 3, 3] = 1
    truth = np.zeros((2, 4, 4))
    truth[:, 0, 0] = 1
    assert loc.pointing(heat, truth).tolist() == [0, 0.5]
    assert math.isnan(loc.pointing(heat[1:], truth[1:] * 0)[0])


def test_class_aware_ciou_closed_forms():
    truth = np.stack([LEFT, RIGHT])[None]
    both = np.stack([LEFT | RIGHT] * 2)[None]
    values = [loc.class_ciou(m, truth, [[1, 1]]).item() for m in (truth, truth[:, ::-1], both)]
    assert values == pytest.approx([1, 0, 0.5])


def test_silent_and_unseen_classes_leave_ciou_alone():
    truth = np.stack([LEFT, RIGHT, np.zeros_like(LEFT)])[None]
    predicted = np.stack([LEFT, BELOW, BELOW])[None]
    assert loc.class_ciou(predicted, truth, [[1, 0, 1]]) == [1]
    assert np.isnan(loc.class_ciou(predicted, truth, [[0, 0, 1]])).all()


def test_nsa_closed_forms():
    half = np.zeros((1, 2, 4, 4))
    half[:, :, :2] = 1
    maps = {0: np.zeros((1, 2, 4, 4)), 1: np.ones((1, 2, 4, 4)), 2: half}
    assert [loc.nsa(maps[i], [[0, 1]]).item() for i in range(3)] == [1, 0, 0.5]
    uniform = loc.class_softmax(np.zeros((1, 11, 4, 4)))
    assert uniform == pytest.approx(1 / 11) and loc.nsa(uniform, [[1] + [0] * 10]) == 1
    assert np.isnan(loc.nsa(maps[0], [[1, 1]])).all()


def test_class_scores_equal_loops_and_follow_a_permutation_of_classes():
    rng = np.random.default_rng(5)
    heat, truth, heard = rng.random((6, 3, 5, 5)), rng.random((6, 3, 5, 5)) > 0.5, rng.random((6, 3)) > 0.4
    predicted = loc.to_mask(heat, "min-max")
    want = [slow.class_ciou(*(x.tolist() for x in row)) for row in zip(predicted, truth, heard)]
    assert loc.class_ciou(predicted, truth, heard) == pytest.approx(want, nan_ok=True)
    quiet = [slow.nsa(m.tolist(), h.tolist(), 0.2) for m, h in zip(heat, heard)]
    assert loc.nsa(heat, heard) == pytest.approx(quiet, nan_ok=True)
    turn = [2, 0, 1]
    assert loc.class_ciou(predicted[:, turn], truth[:, turn], heard[:, turn]) == pytest.approx(want, nan_ok=True)


def test_blind_masks_cover_what_they_say():
    assert loc.centre_disc(224, 0.5).mean() == pytest.approx(0.5, abs=2e-3)
    assert loc.centre_disc(224, 0.25).mean() == pytest.approx(0.25, abs=2e-3)
    assert loc.centre_box(224, 0.5).mean() == pytest.approx(0.5, abs=0.01)
    for mask in (loc.centre_disc(64), loc.centre_box(64)):
        assert (mask == mask[::-1]).all() and (mask == mask.T).all()


def test_the_table_always_prints_the_blind_rows():
    truth = loc.boxes_to_mask([[0.2, 0.2, 0.6, 0.7]] * 4, 32)
    frame = loc.table({"perfect": truth, "nothing": truth & False}, truth)
    assert frame.system.tolist()[:2] == ["perfect", "nothing"]
    assert frame["cIoU@0.5"][0] == 1 and frame["AUC"][1] == pytest.approx(0.025)
    assert (frame.kind == "baseline").sum() == 5
    again = loc.table({}, torch.from_numpy(truth))
    assert again.AUC.tolist() == frame.AUC[2:].tolist()


def test_the_class_table_prints_nsa_and_shuffled_classes():
    truth = np.stack([LEFT, RIGHT, LEFT & False])[None].repeat(12, 0)
    heard = np.array([[1, 1, 0]] * 12)
    frame = loc.class_table({"oracle": truth * 5.0}, truth, heard, rule="absolute", value=0.5)
    rows = frame.set_index("system")
    assert rows.loc["oracle", "CIoU@0.3"] == 1 and rows.loc["oracle", "NSA"] < 1
    assert rows.loc["oracle, random classes", "CIoU@0.3"] < 1
    assert rows.loc["whole image", "NSA"] == 0 and "centre box, 50 %" in rows.index


def test_boxes_are_truncated_and_half_open():
    mask = loc.boxes_to_mask([[0.2, 0.0, 0.5, 1.0], [-3, -3, 9, 9]], 10)
    assert mask[0].sum(1).tolist() == [3] * 10 and mask[0, 0].argmax() == 2 and mask[1].all()
    assert loc.boxes_to_mask([[64, 64, 128, 256]], 224, (256, 256))[0].nonzero()[1].tolist()[0] == 56


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: loc.to_mask(np.ones((2, 3, 3)), "otsu"), "unknown heat map rule 'otsu'.*median-strict"),
        (lambda: loc.to_mask(np.full((1, 2, 2), np.nan)), "map_BYX holds 4 NaN"),
        (lambda: loc.ciou(LEFT, np.zeros((3, 3))), "shapes differ"),
        (lambda: loc.ciou(LEFT * 2, LEFT * 1.0), "must be a mask"),
        (lambda: loc.ciou(LEFT, LEFT * 1.5), "within 0…1"),
        (lambda: loc.ciou(LEFT, LEFT * -0.5), "within 0…1"),
        (lambda: loc.success([]), "ciou_B is empty"),
        (lambda: loc.success([np.nan]), "nothing is annotated"),
        (lambda: loc.success([0.5, -0.1]), "ciou_B must lie within 0…1"),
        (lambda: loc.success([0.5, 1.1]), "ciou_B must lie within 0…1"),
        (lambda: loc.boxes_to_mask([[1, 2, 3]]), "N×4"),
        (lambda: loc.centre_disc(8, 0.9), "disc"),
        (lambda: loc.centre_box(8, 0), "fraction"),
        (lambda: loc.table({}, np.ones((1, 3, 4))), "square"),
        (lambda: loc.consensus(LEFT[None], 0), "votes"),
        (lambda: loc.resize(np.ones((2, 2)), 0), "side"),
        (lambda: loc.boxes_to_mask([[0, 0, 1, 1]], 8, (0, 4)), "frame"),
        (lambda: loc.nsa(np.ones((1, 2, 3, 3)), [[1, 0, 1]]), "shapes differ"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_heat_of_a_box_is_the_mean_of_the_map_within():
    generator = np.random.default_rng(0)
    map_BYX = generator.random((3, 12, 12))
    box_BN4 = np.array([[[0, 0, 5, 3], [4, 6, 12, 12]], [[2, 2, 3, 3], [np.nan] * 4], [[-4, -4, 2, 2], [7, 7, 7, 9]]])
    found = loc.box_heat(map_BYX, box_BN4, 12)
    for b, boxes in enumerate(box_BN4):
        for n, (x1, y1, x2, y2) in enumerate(boxes):
            if np.isnan(x1) or x1 == x2:
                assert np.isnan(found[b, n])
                continue
            cells = [map_BYX[b, y, x] for y in range(max(int(y1), 0), int(y2)) for x in range(max(int(x1), 0), int(x2))]
            assert found[b, n] == pytest.approx(sum(cells) / len(cells))
    small = generator.random((3, 4, 4))
    assert loc.box_heat(map_BYX, box_BN4[:, :1], 12) == pytest.approx(found[:, :1])
    assert loc.box_heat(small, box_BN4, 12)[0, 0] == pytest.approx(loc.resize(small, 12)[0, :3, :5].mean())
    with pytest.raises(ValueError, match="holds 1 NaN"):
        loc.box_heat(np.full((1, 1, 1), np.nan), box_BN4[:1], 12)
    with pytest.raises(ValueError, match="boxes"):
        loc.box_heat(map_BYX[:2], box_BN4, 12)


def test_the_hotter_side_wins_and_equals_share():
    nan = np.nan
    heat_BN = [[2, 1, nan], [1, 2, 0], [1, 1, nan], [3, 1, 4], [1, nan, nan], [5, 0, 7]]
    own_BN = np.array([[1, 0, 1], [1, 0, 0], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 0]], bool)
    # 2 > 1; 1 against the mean of 2 and 0; alike; 3.5 > 1; nothing beside it; nothing of its own
    assert loc.hotter(heat_BN, own_BN).tolist()[:4] == [1, 0.5, 0.5, 1]
    assert np.isnan(loc.hotter(heat_BN, own_BN)[4:]).all()
    flipped = loc.hotter(heat_BN, ~own_BN)[:4]
    assert flipped.tolist() == [0, 0.5, 0.5, 0]
    with pytest.raises(ValueError, match="own_BN"):
        loc.hotter(heat_BN, own_BN[:, :2])
