"""Units: a planted one is found, noise is not."""

import numpy as np
import pytest

from avlib.evaluate import units
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
