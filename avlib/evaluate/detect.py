"""From heat maps to boxes, and how good boxes are: AP at an IoU of 0.5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from avlib.evaluate.arrays import Floats, Ints, Values, floats, integers, same_length
from avlib.evaluate.classify import ap_from_hits
from avlib.evaluate.localize import FLAT


@dataclass(frozen=True)
class Detection:
    """Average precision of boxes.

    Attributes:
        value: mean over classes that have an object.
        ap: each class; NaN where it has none.
        recall: share of all objects found by any box of their class.
        boxes, objects: predicted and true.
    """

    value: float
    ap: dict[int, float]
    recall: float
    boxes: int
    objects: int


def box_from_map(map_YX: Values, beta: float = 0.5) -> Floats | None:
    """box_4 (``x1 y1 x2 y2``, px, half-open) around the largest part of a map, or None for a constant map.

    A part is a 4-connected component of the cells that reach β·max + (1 − β)·mean (Afouras et al. 2022); β = 1 keeps
    only the peak. Of parts of one size the one with the higher maximum is taken.

    Raises:
        ValueError: NaN, β outside 0…1.
    """
    map_YX = floats(map_YX, "map_YX", 2)
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must lie within 0…1, not {beta}")
    if np.ptp(map_YX) < FLAT:
        return None
    lit_YX = map_YX >= beta * map_YX.max() + (1 - beta) * map_YX.mean()
    part_YX, parts = ndimage.label(lit_YX)
    ids = range(1, parts + 1)
    chosen = max(ids, key=lambda i: (int((part_YX == i).sum()), float(map_YX[part_YX == i].max())))
    row, column = np.nonzero(part_YX == chosen)
    return np.array([column.min(), row.min(), column.max() + 1, row.max() + 1], dtype=np.float64)


def box_iou(first_N4: Values, second_M4: Values) -> Floats:
    """iou_NM of boxes ``x1 y1 x2 y2``; 0 where both have no area.

    Raises:
        ValueError: not N×4, NaN, a box whose corners are swapped.
    """
    sides = []
    for name, value in (("first_N4", first_N4), ("second_M4", second_M4)):
        box = floats(value, name, 2)
        if box.shape[1] != 4 or (box[:, 2:] < box[:, :2]).any():
            raise ValueError(f"{name} must be boxes x1 y1 x2 y2 with x1 ≤ x2 and y1 ≤ y2")
        sides.append(box)
    first, second = sides[0][:, None], sides[1][None]
    shared = np.clip(np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2]), 0, None)
    overlap = shared.prod(-1)
    union = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1) - overlap
    return overlap / np.where(union > 0, union, 1)


def _match(
    box_P4: Floats, score_P: Floats, image_P: Ints, truth_G4: Floats, image_G: Ints, least: float
) -> tuple[Ints, Ints]:
    """Hits among the boxes that score at least as much, and how many such boxes there are, one pair a score.

    Of equal scores the box that overlaps most goes first, and what is left is ordered by the coordinates: never by row.
    """
    by_place_G = np.lexsort(truth_G4.T)
    truth_G4, image_G = truth_G4[by_place_G], image_G[by_place_G]
    overlap_PG = np.where(image_P[:, None] == image_G, box_iou(box_P4, truth_G4), -1.0)
    order_P = np.lexsort((*box_P4.T, image_P, -overlap_PG.max(1), -score_P))
    taken_G = np.zeros(len(truth_G4), dtype=bool)
    hit_P = np.zeros(len(box_P4), dtype=np.int64)
    for place, p in enumerate(order_P):
        free_G = np.where(taken_G, -1.0, overlap_PG[p])
        best = int(free_G.argmax())
        if free_G[best] >= least - 1e-9:
            taken_G[best], hit_P[place] = True, 1
    last = np.flatnonzero(np.diff(score_P[order_P], append=-np.inf))
    return np.cumsum(hit_P)[last], last + 1


def average_precision(
    box_P4: Values,
    score_P: Values,
    image_P: Values,
    truth_G4: Values,
    truth_image_G: Values,
    class_P: Values | None = None,
    truth_class_G: Values | None = None,
    iou: float = 0.5,
) -> Detection:
    """AP at ``iou``: greedy one-to-one matching in the order of the scores, area under the precision envelope.

    Every box is a row: P predicted ones with the image that they are in, G true ones. A box takes the free true box of
    its image and class with which it overlaps most; a second box on the same object is wrong. No box at all gives 0.
    All boxes of one score are one threshold, which takes all of them or none, so the order of the rows changes nothing.

    Raises:
        ValueError: lengths differ, no true box, NaN.
    """
    truth_G4, truth_image_G = floats(truth_G4, "truth_G4", 2), integers(truth_image_G, "truth_image_G")
    objects = same_length(truth_G4=truth_G4, truth_image_G=truth_image_G)
    truth_class = (
        np.zeros(objects, dtype=np.int64) if truth_class_G is None else integers(truth_class_G, "truth_class_G")
    )
    if len(box_P4) == 0:
        return Detection(0.0, {int(k): 0.0 for k in np.unique(truth_class)}, 0.0, 0, objects)
    box_P4, score_P, image_P = floats(box_P4, "box_P4", 2), floats(score_P, "score_P", 1), integers(image_P, "image_P")
    classes = np.zeros(len(box_P4), dtype=np.int64) if class_P is None else integers(class_P, "class_P")
    boxes = same_length(box_P4=box_P4, score_P=score_P, image_P=image_P, class_P=classes)
    same_length(truth_G4=truth_G4, truth_class_G=truth_class)
    ap, found = {}, 0
    for k in np.union1d(classes, truth_class):
        mine_P, mine_G = classes == k, truth_class == k
        if not mine_G.any():
            ap[int(k)] = float("nan")
            continue
        rows = box_P4[mine_P], score_P[mine_P], image_P[mine_P]
        ap[int(k)] = 0.0
        if mine_P.any():
            hits_T, boxes_T = _match(*rows, truth_G4[mine_G], truth_image_G[mine_G], iou)
            found += int(hits_T[-1])
            ap[int(k)] = ap_from_hits(hits_T, boxes_T, int(mine_G.sum()), "area")
    return Detection(float(np.nanmean(list(ap.values()))), ap, found / objects, boxes, objects)
