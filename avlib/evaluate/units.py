"""Do single units stand for a thing? Look at the clips that most excite each one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avlib.evaluate.arrays import Floats, Ints, Values, floats, integers, same_length
from avlib.evaluate.stats import Interval


@dataclass(frozen=True)
class Units:
    """Purity of the units' top clips.

    Attributes:
        top_UT: the clips that most excite each unit, strongest first.
        label_U: modal label of those clips.
        purity_U: its share among them; NaN for a dead unit (one value for every clip).
        purity: mean over the living units.
        null: that mean with shuffled labels, and the interval of the shuffles.
        unit_high: what a single unit exceeds with shuffled labels only in 1 − level of the cases.
        above: share of the living units beyond ``unit_high``.
        units, dead, count: units, dead ones among them, clips.
    """

    top_UT: Ints
    label_U: Ints
    purity_U: Floats
    purity: float
    null: Interval
    unit_high: float
    above: float
    units: int
    dead: int
    count: int


def top_clips(activation_BU: Values, top: int = 20) -> Ints:
    """top_UT: the ``top`` clips that most excite each unit, strongest first; of equal ones the lower index.

    Raises:
        ValueError: NaN, empty, top below 1.
    """
    activation_BU = floats(activation_BU, "activation_BU", 2)
    if top < 1:
        raise ValueError(f"top must be at least 1, not {top}")
    return np.argsort(-activation_BU, axis=0, kind="stable")[:top].T


def _modal(label_UT: Ints, classes: int) -> tuple[Ints, Floats]:
    count_UK = np.stack([np.bincount(row, minlength=classes) for row in label_UT])
    return count_UK.argmax(1), count_UK.max(1) / label_UT.shape[1]


def _null(top_UT: Ints, label_B: Ints, classes: int, draws: int, seed: int) -> Floats:
    """purity_RU of the same top clips under shuffled labels."""
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}")
    generator = np.random.default_rng(seed)
    return np.stack([_modal(generator.permutation(label_B)[top_UT], classes)[1] for _ in range(draws)])


def unit_concepts(
    activation_BU: Values, label_B: Values, top: int = 20, draws: int = 200, level: float = 0.95, seed: int = 0
) -> Units:
    """Share of the modal label among each unit's top clips, beside the same with the labels shuffled among the clips.

    The null keeps the units' top clips as they are, so units that repeat each other do not look like more evidence.

    Args:
        activation_BU: one value a clip and unit, for instance the maximum of a channel over its map.
        draws: shuffles.

    Raises:
        ValueError: lengths differ, NaN, every unit dead.
    """
    activation_BU, label_B = floats(activation_BU, "activation_BU", 2), integers(label_B, "label_B")
    count = same_length(activation_BU=activation_BU, label_B=label_B)
    classes, label_B = np.unique(label_B, return_inverse=True)
    top_UT = top_clips(activation_BU, top)
    alive_U = np.ptp(activation_BU, axis=0) > 0
    if not alive_U.any():
        raise ValueError("every unit is dead: activation_BU is the same for all clips")
    modal_U, purity_U = _modal(label_B[top_UT], len(classes))
    null_RU = _null(top_UT[alive_U], label_B, len(classes), draws, seed)
    low, high = np.quantile(null_RU.mean(1), [(1 - level) / 2, (1 + level) / 2])
    unit_high = float(np.quantile(null_RU, level))
    return Units(
        top_UT=top_UT,
        label_U=classes[modal_U],
        purity_U=np.where(alive_U, purity_U, np.nan),
        purity=float(purity_U[alive_U].mean()),
        null=Interval(float(null_RU.mean()), float(low), float(high), level, draws),
        unit_high=unit_high,
        above=float((purity_U[alive_U] > unit_high).mean()),
        units=len(alive_U),
        dead=int((~alive_U).sum()),
        count=count,
    )
