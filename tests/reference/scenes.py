"""Maps judged on scenes the obvious way: one clip, one class, one pixel at a time."""

from __future__ import annotations

import math

import numpy as np

from tests.reference import metrics


def box_mask(box, side):
    """Whole pixels from the box's left and upper edge up to, not with, its right and lower one."""
    mask = np.zeros((side, side), dtype=bool)
    for y in range(side):
        for x in range(side):
            mask[y, x] = math.floor(box[0]) <= x < math.floor(box[2]) and math.floor(box[1]) <= y < math.floor(box[3])
    return mask


def truths(boxes, categories, sounding, classes, side):
    """The union of each class's boxes, and which classes are heard."""
    masks = [np.zeros((side, side), dtype=bool) for _ in range(classes)]
    heard = [False] * classes
    for box, category, sounds in zip(boxes, categories, sounding):
        if category >= 0:
            masks[category] = masks[category] | box_mask(box, side)
            heard[category] = heard[category] or bool(sounds)
    return masks, heard


def ciou(heats, boxes, categories, sounding, rule):
    """Mean IoU over the classes that are heard and seen; NaN where there are none."""
    masks, heard = truths(boxes, categories, sounding, len(heats), len(heats[0]))
    found = []
    for heat, mask, sounds in zip(heats, masks, heard):
        if sounds and mask.any():
            lit = heat > rule * heat.max() if heat.max() - heat.min() >= 1e-6 else np.zeros_like(mask)
            found.append(metrics.ciou(lit, mask.astype(float)))
    return sum(found) / len(found) if found else math.nan


def shine(heats, boxes, categories):
    """Mean heat of each thing's own class inside its box."""
    values = []
    for box, category in zip(boxes, categories):
        lit = heats[category][box_mask(box, len(heats[0]))] if category >= 0 else []
        values.append(sum(lit) / len(lit) if len(lit) else 0.0)
    return values


def who(values, heard):
    """How often a heard thing has more heat than a silent one, a tie counts half."""
    loud = [v for v, sounds in zip(values, heard) if sounds]
    return metrics.auc(loud, [v for v, sounds in zip(values, heard) if not sounds])
