"""Do single units stand for a thing? Look at the clips that most excite each one, and at where they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avlib.evaluate.arrays import Bools, Floats, Ints, Values, floats, integers, same_length
from avlib.evaluate.stats import Interval
from avlib.matching import upsample


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


@dataclass(frozen=True)
class Detectors:
    """What units look at in the clips that most excite them.

    Attributes:
        top_UT: those clips, strongest first.
        name_UT: what each unit looks at in each of them: a thing's class, or ``things`` + a place's; -1 for nothing.
        share_U: share of the commonest name among them.
        detector_U: that name where the unit is a detector of it, -1 where it is none.
        things: how many classes of things there are.
    """

    top_UT: Ints
    name_UT: Ints
    share_U: Floats
    detector_U: Ints
    things: int

    def of_things(self, classes: Values) -> int:
        """How many units are detectors of these classes of things."""
        return int(np.isin(self.detector_U, np.asarray(classes)).sum())

    @property
    def of_places(self) -> int:
        """How many units are detectors of a place."""
        return int((self.detector_U >= self.things).sum())


def detectors(
    map_BUYX: Tensor,
    mask_BNHW: Tensor,
    category_BN: Tensor,
    place_B: Tensor,
    things: int,
    top: int = 60,
    share: float = 0.6,
    over: float = 3.0,
) -> Detectors:
    """Which units look at one kind of thing, or of place, in the clips that excite them most?

    A unit looks at the pixels where its map, brought to the picture's size, is above half of its largest value; at the
    thing that covers most of those, or at the place if what no thing covers is more. It is a detector if at least
    ``share`` of its ``top`` clips have one name, and more than ``over`` times as many as of all clips do.

    Args:
        map_BUYX: what each unit says where, before any pooling; not negative.
        mask_BNHW: bool, pixels of each thing.
        category_BN: class of each thing, -1 for an empty slot.
        place_B: kind of place, -1 for none.
        things: how many classes of things there are.

    Raises:
        ValueError: negative, NaN or infinite values, fewer than ``top`` clips, rows that do not fit.

    Source: Owens et al., Ambient sound, ECCV 2016, as we remember it, where people named what they saw; not checked.
    """
    if len({len(t) for t in (map_BUYX, mask_BNHW, category_BN, place_B)}) > 1 or not 1 <= top <= len(map_BUYX):
        shapes = [tuple(t.shape) for t in (map_BUYX, mask_BNHW, category_BN, place_B)]
        raise ValueError(f"detectors needs as many maps, masks, classes and places, {top} or more, not {shapes}")
    if not bool(map_BUYX.isfinite().all()) or bool((map_BUYX < 0).any()):
        raise ValueError("detectors needs maps that are finite and not negative")
    top_UT = top_clips(map_BUYX.flatten(2).amax(2), top)
    # what is there in each clip, the place last
    there_BN = torch.cat([category_BN, torch.where(place_B < 0, place_B, place_B + things)[:, None]], 1)
    rows = enumerate(torch.from_numpy(top_UT))
    name_UT = np.stack([_names(map_BUYX[row_T, u], mask_BNHW[row_T], there_BN[row_T]) for u, row_T in rows])
    names = np.unique(there_BN[there_BN >= 0])
    rate_K = np.array([float((there_BN == k).any(1).double().mean()) for k in names.tolist()])
    share_UK = np.stack([(name_UT == k).mean(1) for k in names], 1)
    best_U = share_UK.argmax(1)
    share_U = share_UK.max(1)
    detector_U = np.where((share_U >= share) & (share_U > over * rate_K[best_U]), names[best_U], -1)
    return Detectors(top_UT, name_UT, share_U, detector_U, things)


def _names(map_TYX: Tensor, mask_TNHW: Tensor, name_TN: Tensor) -> Ints:
    """What one unit looks at in each of its clips, see `detectors`; the last name is what no thing covers."""
    height, width = mask_TNHW.shape[2:]
    region_THW = upsample(map_TYX, (height, width))
    largest_T11 = region_THW.amax((1, 2), keepdim=True)
    region_THW = (region_THW >= largest_T11 / 2) & (largest_T11 > 0)
    seen_TN = (region_THW[:, None] & mask_TNHW).sum((2, 3))
    rest_T1 = (region_THW & ~mask_TNHW.any(1)).sum((1, 2))[:, None]
    size_TN = torch.cat([seen_TN, rest_T1], 1).masked_fill(name_TN < 0, 0)
    name_T = name_TN.gather(1, size_TN.argmax(1, keepdim=True))[:, 0]
    return name_T.masked_fill(size_TN.amax(1) == 0, -1).numpy()


@dataclass(frozen=True)
class Agreement:
    """Do units stand for the same thing, whichever sense excites them?

    Attributes:
        label_MU: for each of M senses, the modal label of the clips that most excite each unit; -1 where it is dead.
        same_U: has the unit one label in all senses? False where it is dead in one.
        share: of the units that live in a sense at least, how many have.
        null: that share with the units of each sense permuted, and the interval of the permutations.
        units, dead: units, and those that are dead in every sense.
    """

    label_MU: Ints
    same_U: Bools
    share: float
    null: Interval
    units: int
    dead: int


def top_labels(activation_BU: Values, label_B: Values, top: int = 10) -> Ints:
    """label_U: the most frequent label among the ``top`` clips that most excite each unit, the lower one of equals.

    Clips at a unit's own lowest value do not count: what is rectified has many of them, and their order says nothing.
    A unit that is the same for all clips is dead: -1.

    Raises:
        ValueError: lengths differ, NaN, a label below 0, top below 1.
    """
    activation_BU, label_B = floats(activation_BU, "activation_BU", 2), integers(label_B, "label_B")
    same_length(activation_BU=activation_BU, label_B=label_B)
    if label_B.min() < 0:
        raise ValueError("labels of clips must not be negative: -1 stands for a dead unit")
    above_BU = activation_BU > activation_BU.min(0)
    best_UT = top_clips(activation_BU, top)
    found = [np.bincount(label_B[row[above_B[row]]]) for row, above_B in zip(best_UT, above_BU.T, strict=True)]
    return np.array([count_K.argmax() if len(count_K) else -1 for count_K in found])


def agreement(
    senses: Sequence[tuple[Values, Values]], top: int = 10, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> Agreement:
    """Share of the units whose most exciting clips are mostly of one class, the same in every sense.

    The null permutes the units of each sense: it keeps how often a sense's units stand for which class, so that senses
    whose units all stand for one do not look aligned.

    Args:
        senses: (activation_BU, label_B) of each, as many units in all; clips may differ.
        top: clips of each unit.
        draws: permutations.

    Raises:
        ValueError: fewer than two senses, different numbers of units, every unit dead; see :func:`top_labels`.

    Source: after Aytar, Vondrick & Torralba, See, Hear, and Read, 2017, who look at the units; share and null are ours.
    """
    if len(senses) < 2 or draws < 1:
        raise ValueError(f"agreement needs two senses and one draw at least, not {len(senses)} and {draws}")
    found = [top_labels(activation_BU, label_B, top) for activation_BU, label_B in senses]
    if len({len(label_U) for label_U in found}) > 1:
        raise ValueError(f"senses have different numbers of units: {[len(label_U) for label_U in found]}")
    label_MU = np.stack(found)
    alive = int((label_MU >= 0).any(0).sum())
    if not alive:
        raise ValueError("every unit is dead in every sense")
    generator = np.random.default_rng(seed)
    null_R = np.array([_same(generator.permuted(label_MU, axis=1)).sum() for _ in range(draws)]) / alive
    low, high = np.quantile(null_R, [(1 - level) / 2, (1 + level) / 2])
    same_U = _same(label_MU)
    null = Interval(float(null_R.mean()), float(low), float(high), level, draws)
    return Agreement(label_MU, same_U, float(same_U.sum() / alive), null, label_MU.shape[1], label_MU.shape[1] - alive)


def _same(label_MU: Ints) -> Bools:
    return (label_MU == label_MU[0]).all(0) & (label_MU[0] >= 0)
