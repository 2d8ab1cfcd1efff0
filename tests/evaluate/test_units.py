"""Units: a planted one is found, noise is not; and what units look at."""

import numpy as np
import pytest
import torch

from avlib.evaluate import units
from avlib.matching import upsample
from tests.reference import metrics as slow


def case(planted):
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(8), 30)
    activation = rng.random((240, 12))
    if planted:
        activation[:, 4] += label == 5
    return activation, label


def test_a_planted_unit_is_found():
    activation, label = case(planted=True)
    score = units.unit_concepts(activation, label)
    assert score.purity_U[4] == 1 and score.label_U[4] == 5
    assert set(score.top_UT[4].tolist()) <= set(np.flatnonzero(label == 5).tolist())
    assert score.purity_U[4] > score.unit_high and (score.units, score.count) == (12, 240)


def test_noise_stays_within_the_null():
    score = units.unit_concepts(*case(planted=False))
    assert score.null.low <= score.purity <= score.null.high and score.above < 0.3
    assert score.null.value == pytest.approx((score.null.low + score.null.high) / 2, abs=0.02)


def test_purity_equals_a_loop():
    activation, label = case(planted=True)
    score = units.unit_concepts(np.round(activation, 1), label, top=7, draws=5)
    for unit in range(12):
        column = np.round(activation, 1)[:, unit].tolist()
        assert score.purity_U[unit] == pytest.approx(slow.unit_purity(column, label.tolist(), 7))


def test_dead_units_are_counted_and_left_out():
    activation, label = case(planted=True)
    activation[:, 0] = 0.5
    score = units.unit_concepts(activation, label, draws=20)
    assert score.dead == 1 and np.isnan(score.purity_U[0]) and np.isfinite(score.purity)


def test_top_clips_takes_the_lower_index_of_equals_and_no_more_than_there_are():
    assert units.top_clips([[1.0], [2.0], [2.0]], 2).tolist() == [[1, 2]]
    assert units.top_clips([[1.0], [2.0]], 20).shape == (1, 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: units.unit_concepts(np.ones((3, 2)), [0, 1, 2]), "every unit is dead"),
        (lambda: units.unit_concepts(np.eye(3), [0, 1]), "different numbers"),
        (lambda: units.unit_concepts(np.eye(3), [0, 1, 2], draws=0), "draw"),
        (lambda: units.top_clips(np.eye(2), 0), "top"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# --- detectors


def scenes(clips=40, units_=6, seed=0):
    """Maps of four cells a side over pictures of eight pixels, with two things each, some slots empty."""
    draw = torch.Generator().manual_seed(seed)
    maps = torch.rand(clips, units_, 4, 4, generator=draw)
    mask = torch.rand(clips, 2, 8, 8, generator=draw) < 0.4
    category = torch.randint(-1, 3, (clips, 2), generator=draw)
    mask &= (category >= 0)[..., None, None]
    return maps, mask, category, torch.randint(-1, 2, (clips,), generator=draw)


def test_what_units_look_at_equals_a_loop():
    maps, mask, category, place = scenes()
    found = units.detectors(maps, mask, category, place, things=3, top=7, share=0.4, over=1.2)
    there = [{*c.tolist(), p + 3 if p >= 0 else -1} for c, p in zip(category, place.tolist(), strict=True)]
    kinds = set()
    for u in range(6):
        strongest = sorted(range(40), key=lambda n: -float(maps[n, u].max()))[:7]
        assert found.top_UT[u].tolist() == strongest
        names = []
        for n in strongest:
            large = upsample(maps[n, u][None], 8)[0]
            region = (large >= large.max() / 2).tolist()
            names.append(slow.looks_at(region, mask[n].tolist(), category[n].tolist(), int(place[n]), 3))
        assert found.name_UT[u].tolist() == names
        best, share = max(((k, names.count(k) / 7) for k in range(5)), key=lambda pair: pair[1])
        rate = sum(best in row for row in there) / 40
        due = best if share >= 0.4 and share > 1.2 * rate else -1
        assert found.share_U[u] == pytest.approx(share) and found.detector_U[u] == due
        kinds.add(due >= 0)
    assert kinds == {True, False}


def perfect(clips=80):
    """A unit for each of four things, lit where that thing stands; the place covers the rest."""
    category = torch.arange(clips)[:, None] % 4
    mask = torch.zeros(clips, 1, 8, 8, dtype=torch.bool)
    mask[:, :, 2:6, 2:6] = True
    maps = torch.zeros(clips, 4, 8, 8)
    maps[torch.arange(clips), category[:, 0]] = mask[:, 0].float()
    return maps, mask, category, torch.zeros(clips, dtype=torch.int64)


def test_units_that_light_up_for_one_thing_are_its_detectors():
    maps, mask, category, place = perfect()
    found = units.detectors(maps, mask, category, place, things=4, top=20)
    assert found.detector_U.tolist() == [0, 1, 2, 3] and (found.share_U == 1).all()
    assert found.of_things([0, 2]) == 2 and found.of_places == 0
    beside = units.detectors(torch.ones_like(maps) * maps.amax((2, 3), keepdim=True), mask, category, place, 4, top=20)
    assert (beside.name_UT == 4).all() and beside.of_things(range(4)) == 0  # of a whole picture most is the place


def test_random_units_and_common_names_are_no_detectors():
    _, mask, category, place = perfect()
    noise = torch.rand(80, 50, 8, 8, generator=torch.Generator().manual_seed(0))
    assert (units.detectors(noise, mask, category, place, things=4, top=20).detector_U == -1).all()
    always = torch.zeros(80, 1, dtype=torch.int64)
    maps = mask.float()
    assert units.detectors(maps, mask, always, place, things=4, top=20).detector_U.tolist() == [-1]
    assert units.detectors(0 * maps, mask, always, place, things=4, top=20).name_UT.max() == -1


def test_detectors_name_what_is_wrong():
    maps, mask, category, place = scenes()
    with pytest.raises(ValueError, match="finite and not negative"):
        units.detectors(-maps, mask, category, place, 3, top=7)
    with pytest.raises(ValueError, match="41 or more"):
        units.detectors(maps, mask, category, place, 3, top=41)
    with pytest.raises(ValueError, match="as many maps, masks, classes and places"):
        units.detectors(maps, mask[:5], category, place, 3, top=7)


# --- the same thing in several senses


def aligned(seed, shift=0):
    """Three senses of 90 clips each, of six things; unit u is excited by thing u % 6, in the last sense by another."""
    rng = np.random.default_rng(seed)
    senses = []
    for sense in range(3):
        label = rng.permutation(np.repeat(np.arange(6), 15))
        unit = (np.arange(18) + shift * (sense == 2)) % 6
        senses.append((rng.random((90, 18)) + 2 * (label[:, None] == unit), label))
    return senses


def test_planted_units_agree_and_misplaced_ones_do_not():
    found = units.agreement(aligned(0), draws=200)
    assert found.share == 1 and found.same_U.all() and found.label_MU[2].tolist() == [u % 6 for u in range(18)]
    assert found.null.high < 0.3 and found.null.value == pytest.approx(1 / 36, abs=0.02)
    assert units.agreement(aligned(0, shift=1), draws=5).share == 0


def test_noise_agrees_as_often_as_permuted_units():
    rng = np.random.default_rng(1)
    found = units.agreement([(rng.random((90, 400)), np.arange(90) % 3) for _ in range(2)], draws=200)
    assert found.null.low <= found.share <= found.null.high


def test_units_that_all_stand_for_one_thing_are_no_evidence():
    label = np.arange(40) % 4
    senses = [(np.random.default_rng(m).random((40, 12)) + 2 * (label[:, None] == 3), label) for m in range(2)]
    found = units.agreement(senses, draws=50)
    assert found.share == found.null.value == found.null.low == 1


def test_top_labels_and_their_agreement_equal_a_loop():
    rng = np.random.default_rng(2)
    senses = [(rng.integers(0, 6, (30, 25)).clip(3) - 3.0, rng.integers(0, 4, 30)) for _ in range(3)]
    senses[1][0][:, 4] = 0
    want = [[slow.top_label(act[:, u].tolist(), label.tolist(), 5) for u in range(25)] for act, label in senses]
    found = units.agreement(senses, top=5, draws=3)
    assert found.label_MU.tolist() == want and found.label_MU[1, 4] == -1
    same = [len({row[u] for row in want}) == 1 and want[0][u] >= 0 for u in range(25)]
    living = [any(row[u] >= 0 for row in want) for u in range(25)]
    assert found.same_U.tolist() == same and found.share == sum(same) / sum(living)


def test_a_unit_that_is_dead_in_one_sense_agrees_with_none_and_one_dead_in_all_does_not_count():
    first, second = aligned(3)[:2]
    first[0][:, :2], second[0][:, 0] = 1.0, 1.0
    found = units.agreement([first, second], draws=5)
    assert (found.units, found.dead, found.share) == (18, 1, 16 / 17) and not found.same_U[:2].any()


def test_clips_at_the_lowest_value_of_a_unit_do_not_count():
    activation, label = np.zeros((8, 1)), [0, 0, 0, 0, 2, 2, 1, 1]
    activation[4, 0] = 1
    assert units.top_labels(activation, label, 5).tolist() == [2]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: units.agreement(aligned(0)[:1]), "two senses"),
        (lambda: units.agreement(aligned(0), draws=0), "one draw"),
        (lambda: units.agreement([(np.eye(3), [0, 1, 2]), (np.eye(3)[:, :2], [0, 1, 2])]), "numbers of units"),
        (lambda: units.agreement([(np.ones((3, 2)), [0, 1, 2])] * 2), "dead in every sense"),
        (lambda: units.top_labels(np.eye(3), [0, 1, -1]), "must not be negative"),
        (lambda: units.top_labels(np.eye(3), [0, 1]), "different numbers"),
    ],
)
def test_bad_senses_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
