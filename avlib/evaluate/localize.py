"""Where is the sound? From heat maps to masks to IoU, cIoU, success curves, pointing, class-aware CIoU and NSA.

Maps are resized to the side of the truth (224 px in most papers) *before* a rule turns them into masks, and the rule is
always an argument: published code uses at least seven, and they move results more than most methods do.
Trivial masks (whole image, centre) stand beside every table: a blind disc beats some published methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from avlib.errors import unknown
from avlib.evaluate.arrays import Bools, Floats, Values, floats, masks, same_shape

THRESHOLDS = np.arange(21) / 20
"""0, 0.05, … 1. (As a float 0.05 · i exceeds the decimal at i = 3, 6, 7, …: a cIoU of just 0.3 would fail "@0.3".)"""

FLAT = 1e-6
"""A map whose values differ by less than this says nothing about where."""

RuleName = Literal["max", "min-max", "median", "median-strict", "absolute"]
RULES = ("max", "min-max", "median", "median-strict", "absolute")


@dataclass(frozen=True)
class Localisation:
    """Success over clips.

    Attributes:
        success: for each threshold t the share of clips with (c)IoU ≥ t.
        auc: area under the success curve over 0, 0.05, … 1; about the mean (c)IoU, and 0.025 for a dead model.
        mean: mean (c)IoU.
        count, skipped: clips judged, and clips left out because nothing is annotated in them.
    """

    success: dict[float, float]
    auc: float
    mean: float
    count: int
    skipped: int


def resize(map_BYX: Values, side: int, align_corners: bool = False) -> Floats:
    """Resize maps bilinearly to side × side px; leading axes are kept. A constant map stays constant.

    Raises:
        ValueError: NaN, a side below 1.
    """
    maps = floats(map_BYX, "map_BYX", (2, 3, 4))
    if side < 1:
        raise ValueError(f"side must be at least 1 px, not {side}")
    if maps.shape[-2:] == (side, side):
        return maps
    flat = torch.from_numpy(maps).reshape(-1, 1, *maps.shape[-2:])
    sized = functional.interpolate(flat, size=(side, side), mode="bilinear", align_corners=align_corners)
    return sized.numpy().reshape(*maps.shape[:-2], side, side)


def boxes_to_mask(box_N4: Values, side: int = 224, frame: tuple[float, float] | None = None) -> Bools:
    """mask_NYX of boxes ``x1 y1 x2 y2``: scaled, truncated to whole pixels, filled half-open.

    Args:
        side: px of the square mask.
        frame: width and height (px) of the picture that the boxes refer to; None where they are fractions.

    Raises:
        ValueError: not N×4, a NaN or infinite box, a frame without area.
    """
    box_N4 = floats(box_N4, "box_N4", 2)
    if box_N4.shape[1] != 4:
        raise ValueError(f"box_N4 must be N×4 (x1 y1 x2 y2), not {box_N4.shape}")
    width, height = (1.0, 1.0) if frame is None else frame
    if width <= 0 or height <= 0 or side < 1:
        raise ValueError(f"frame and side must be positive, not {frame} and {side}")
    scaled_N4 = box_N4 / np.array([width, height, width, height]) * side
    # 0.2 · 5 must give 1 and not 0, whatever the last bit of the division says.
    edge_N4 = np.trunc(np.clip(scaled_N4, 0, side) + 1e-9).astype(np.int64)
    mask_NYX = np.zeros((len(edge_N4), side, side), dtype=bool)
    for mask_YX, (x1, y1, x2, y2) in zip(mask_NYX, edge_N4):
        mask_YX[y1:y2, x1:x2] = True
    return mask_NYX


def consensus(mask_AYX: Values, votes: int = 2) -> Floats:
    """Annotators' masks into one map: min(sum / votes, 1). With two votes for full weight, a lone vote counts half.

    Raises:
        ValueError: not three axes, no annotator, votes below 1.
    """
    if votes < 1:
        raise ValueError(f"votes must be at least 1, not {votes}")
    return np.minimum(masks(mask_AYX, "mask_AYX", 3).sum(0) / votes, 1.0)


def to_mask(map_BYX: Values, rule: RuleName = "min-max", value: float = 0.5) -> Bools:
    """Turn maps into masks.

    Args:
        map_BYX: any leading axes; the last two are one map.
        rule: "max", above ``value`` × maximum; "min-max", at least ``value`` after scaling to 0…1; "median", at least
            the median; "median-strict", above it; "absolute", at least ``value`` as it is.
        value: not used by the medians.

    A constant map (range below 1e-6) gives an empty mask, except under "absolute", where its height says something:
    official code turns it into the whole image and scores that.

    Raises:
        ValueError: NaN, an unknown rule.
    """
    map_BYX = floats(map_BYX, "map_BYX", (2, 3, 4))
    low, high = map_BYX.min((-2, -1), keepdims=True), map_BYX.max((-2, -1), keepdims=True)
    if rule == "absolute":
        return map_BYX >= value
    if rule == "max":
        lit = map_BYX > value * high
    elif rule == "min-max":
        lit = (map_BYX - low) / np.where(high > low, high - low, 1) >= value
    elif rule == "median":
        lit = map_BYX >= np.median(map_BYX, axis=(-2, -1), keepdims=True)
    elif rule == "median-strict":
        lit = map_BYX > np.median(map_BYX, axis=(-2, -1), keepdims=True)
    else:
        raise unknown("heat map rule", rule, RULES)
    return lit & (high - low >= FLAT)


def ciou(mask_BYX: Values, truth_BYX: Values) -> Floats:
    """ciou_B of masks A against consensus maps G: Σ_{p∈A} G / (Σ G + |{p∈A : G = 0}|). With a binary G this is IoU.

    Not symmetric: pixels with G = 0.5 cost nothing when predicted. NaN where nothing is annotated; 0 for an empty mask.
    Leading axes are kept.

    Raises:
        ValueError: shapes differ, a truth outside 0…1.
    """
    mask_BYX, truth_BYX = masks(mask_BYX, "mask_BYX", (2, 3, 4)), floats(truth_BYX, "truth_BYX", (2, 3, 4))
    same_shape(mask_BYX=mask_BYX, truth_BYX=truth_BYX)
    if truth_BYX.min() < 0 or truth_BYX.max() > 1:
        raise ValueError("truth_BYX must lie within 0…1")
    covered = (mask_BYX * truth_BYX).sum((-2, -1))
    annotated = truth_BYX.sum((-2, -1))
    outside = (mask_BYX & (truth_BYX == 0)).sum((-2, -1))
    return np.where(annotated > 0, covered / np.where(annotated > 0, annotated + outside, 1), np.nan)


def iou(mask_BYX: Values, truth_BYX: Values) -> Floats:
    """iou_B of two sets of binary masks; NaN where the truth is empty."""
    return ciou(mask_BYX, masks(truth_BYX, "truth_BYX", (2, 3, 4)))


def success(ciou_B: Values, thresholds: Sequence[float] = (0.5,)) -> Localisation:
    """Success rates and AUC of per-clip (c)IoU; NaN clips are skipped and counted.

    Raises:
        ValueError: empty, no clip with a value, values outside 0…1.
    """
    ciou_B = floats(ciou_B, "ciou_B", 1, nan=True)
    kept_B = ciou_B[~np.isnan(ciou_B)]
    if len(kept_B) == 0:
        raise ValueError("ciou_B holds no value: nothing is annotated in any clip")
    if kept_B.min() < 0 or kept_B.max() > 1 + 1e-9:
        raise ValueError("ciou_B must lie within 0…1")
    curve = (kept_B[None, :] >= THRESHOLDS[:, None] - 1e-9).mean(1)
    rates = {t: float((kept_B >= t - 1e-9).mean()) for t in thresholds}
    auc = float(np.trapezoid(curve, THRESHOLDS))
    return Localisation(rates, auc, float(kept_B.mean()), len(kept_B), len(ciou_B) - len(kept_B))


def pointing(map_BYX: Values, truth_BYX: Values) -> Floats:
    """hit_B: does the maximum of each map lie on the object? 1 or 0; NaN where the object has no pixel.

    A constant map is a miss. Where several pixels share the maximum, the share of them on the object counts (the chance
    of a hit if one of them is picked at random), so the order of pixels never decides.

    Raises:
        ValueError: shapes differ, NaN.
    """
    map_BYX, truth_BYX = floats(map_BYX, "map_BYX", 3), floats(truth_BYX, "truth_BYX", 3) > 0
    same_shape(map_BYX=map_BYX, truth_BYX=truth_BYX)
    high_B = map_BYX.max((1, 2))
    peak_BYX = map_BYX == high_B[:, None, None]
    share_B = (peak_BYX & truth_BYX).sum((1, 2)) / peak_BYX.sum((1, 2))
    share_B = np.where(high_B - map_BYX.min((1, 2)) < FLAT, 0.0, share_B)
    return np.where(truth_BYX.any((1, 2)), share_B, np.nan)


def box_heat(map_BYX: Values, box_BN4: Values, side: int) -> Floats:
    """heat_BN: the mean of each map, resized to ``side`` px, within each box (px); NaN for a box without a pixel.

    Raises:
        ValueError: NaN in a map, shapes that do not fit.
    """
    map_BYX, box_BN4 = resize(floats(map_BYX, "map_BYX", 3), side), floats(box_BN4, "box_BN4", 3, nan=True)
    flat = boxes_to_mask(np.nan_to_num(box_BN4).reshape(-1, box_BN4.shape[-1]), side, (side, side))
    mask_BNYX = flat.reshape(*box_BN4.shape[:2], side, side)
    same_shape(map_BYX=map_BYX, boxes=mask_BNYX[:, 0])
    pixels_BN = mask_BNYX.sum((2, 3))
    total_BN = np.einsum("byx,bnyx->bn", map_BYX, mask_BNYX)
    return np.where(pixels_BN > 0, total_BN / np.maximum(pixels_BN, 1), np.nan)


def hotter(heat_BN: Values, own_BN: Values) -> Floats:
    """win_B: are the boxes of ``own_BN`` hotter than the others, by their means? 1, 0, or .5 where they are alike.

    NaN where there is nothing to compare; boxes whose heat is NaN are not there.

    Raises:
        ValueError: shapes differ.
    """
    heat_BN, own_BN = floats(heat_BN, "heat_BN", 2, nan=True), masks(own_BN, "own_BN", 2)
    same_shape(heat_BN=heat_BN, own_BN=own_BN)
    there_BN, side_2B = ~np.isnan(heat_BN), []
    for part_BN in (there_BN & own_BN, there_BN & ~own_BN):
        count_B = part_BN.sum(1)
        mean_B = np.where(part_BN, heat_BN, 0).sum(1) / np.maximum(count_B, 1)
        side_2B.append(np.where(count_B > 0, mean_B, np.nan))
    gap_B = side_2B[0] - side_2B[1]
    return np.where(np.isnan(gap_B), np.nan, (1 + np.sign(gap_B)) / 2)


def class_softmax(map_BKYX: Values, scale: float = 3.0) -> Floats:
    """Softmax over classes of ``scale`` × score at every pixel: what :func:`nsa` and DSOL's CIoU are computed on."""
    score = torch.from_numpy(floats(map_BKYX, "map_BKYX", 4))
    return torch.softmax(scale * score, dim=1).numpy()


def class_ciou(mask_BKYX: Values, truth_BKYX: Values, sounding_BK: Values) -> Floats:
    """ciou_B, class-aware: Σ_k δ_k IoU_k / Σ_k δ_k per clip, over the classes that sound and have a box (DSOL).

    Silent classes enter only :func:`nsa`; a clip in which no sounding class is annotated gives NaN.

    Raises:
        ValueError: shapes that do not fit.
    """
    mask_BKYX, truth_BKYX = masks(mask_BKYX, "mask_BKYX", 4), masks(truth_BKYX, "truth_BKYX", 4)
    sounding_BK = masks(sounding_BK, "sounding_BK", 2)
    same_shape(mask_BKYX=mask_BKYX, truth_BKYX=truth_BKYX)
    same_shape(sounding_BK=sounding_BK, masks=mask_BKYX[:, :, 0, 0])
    iou_BK = ciou(mask_BKYX, truth_BKYX)
    judged_BK = sounding_BK & ~np.isnan(iou_BK)
    count_B = judged_BK.sum(1)
    total_B = np.where(judged_BK, iou_BK, 0).sum(1)
    return np.where(count_B > 0, total_B / np.maximum(count_B, 1), np.nan)


def nsa(map_BKYX: Values, sounding_BK: Values, threshold: float = 0.2) -> Floats:
    """nsa_B, non-sounding area: share of pixels at most ``threshold`` in the maps of silent classes, mean over those.

    Pass maps after :func:`class_softmax`. NaN where every class sounds. Gameable: zeros score 1, and so does a uniform
    softmax of 5 or more classes. Print it only beside CIoU.

    Raises:
        ValueError: shapes that do not fit, NaN.
    """
    map_BKYX, sounding_BK = floats(map_BKYX, "map_BKYX", 4), masks(sounding_BK, "sounding_BK", 2)
    same_shape(sounding_BK=sounding_BK, maps=map_BKYX[:, :, 0, 0])
    quiet_BK = (map_BKYX <= threshold).mean((2, 3))
    silent_BK = ~sounding_BK
    count_B = silent_BK.sum(1)
    return np.where(count_B > 0, (quiet_BK * silent_BK).sum(1) / np.maximum(count_B, 1), np.nan)


def whole_image(side: int) -> Bools:
    """Everything."""
    return np.ones((side, side), dtype=bool)


def centre_disc(side: int, fraction: float = 0.5) -> Bools:
    """A disc in the middle that covers ``fraction`` of the picture.

    Raises:
        ValueError: a fraction that no disc inside the picture can cover (above π/4).
    """
    if not 0 < fraction <= math.pi / 4:
        raise ValueError(f"a disc covers more than 0 and at most π/4 of a square, not {fraction}")
    offset = np.arange(side) + 0.5 - side / 2
    return offset[:, None] ** 2 + offset[None, :] ** 2 <= fraction / math.pi * side**2


def centre_box(side: int, fraction: float = 0.5) -> Bools:
    """A square in the middle that covers ``fraction`` of the picture.

    Raises:
        ValueError: a fraction outside 0…1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be above 0 and at most 1, not {fraction}")
    offset = np.abs(np.arange(side) + 0.5 - side / 2) < math.sqrt(fraction) * side / 2
    return offset[:, None] & offset[None, :]


def random_maps(count: int, side: int, cells: int = 7, seed: int = 0) -> Floats:
    """map_BYX: uniform noise on cells × cells, resized."""
    return resize(np.random.default_rng(seed).random((count, cells, cells)), side)


def baselines(count: int, side: int, seed: int = 0) -> dict[str, Bools]:
    """mask_BYX of everything that knows nothing of the sound or the picture."""
    blind = {
        "whole image": whole_image(side),
        "centre disc, 50 %": centre_disc(side, 0.5),
        "centre disc, 25 %": centre_disc(side, 0.25),
        "centre box, 50 %": centre_box(side, 0.5),
    }
    rows: dict[str, Bools] = {name: np.repeat(mask[None], count, 0) for name, mask in blind.items()}
    return rows | {"random map, top half": to_mask(random_maps(count, side, seed=seed), "median")}


def _row(name: str, kind: str, ciou_B: Floats, thresholds: Sequence[float], label: str) -> dict[str, object]:
    score = success(ciou_B, thresholds)
    rates = {f"{label}@{t:g}": rate for t, rate in score.success.items()}
    return {"system": name, "kind": kind, **rates, "AUC": score.auc, "count": score.count, "skipped": score.skipped}


def table(
    predicted: Mapping[str, Values],
    truth_BYX: Values,
    thresholds: Sequence[float] = (0.5,),
    seed: int = 0,
) -> pd.DataFrame:
    """cIoU success and AUC of every system's masks, always with the trivial ones below.

    Args:
        predicted: name → mask_BYX, at the side of the truth.
        truth_BYX: masks or consensus maps, square.

    Raises:
        ValueError: shapes differ, a truth that is not square.
    """
    truth_BYX = floats(truth_BYX, "truth_BYX", 3)
    if truth_BYX.shape[1] != truth_BYX.shape[2]:
        raise ValueError(f"truth_BYX must be square, not {truth_BYX.shape}")
    rows = [_row(name, "system", ciou(mask, truth_BYX), thresholds, "cIoU") for name, mask in predicted.items()]
    blind = baselines(len(truth_BYX), truth_BYX.shape[1], seed)
    rows += [_row(name, "baseline", ciou(mask, truth_BYX), thresholds, "cIoU") for name, mask in blind.items()]
    return pd.DataFrame(rows)


def _mean(value_B: Floats) -> float:
    return float(np.nanmean(value_B)) if not np.isnan(value_B).all() else math.nan


def class_table(
    predicted: Mapping[str, Values],
    truth_BKYX: Values,
    sounding_BK: Values,
    rule: RuleName = "max",
    value: float = 0.2,
    thresholds: Sequence[float] = (0.3,),
    scale: float = 3.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Class-aware CIoU, AUC and NSA of every system's score maps, with trivial baselines below.

    Args:
        predicted: name → map_BKYX of scores before the softmax over classes (``scale``), of any size.
        rule, value: heat map to mask, applied to the softmax maps.

    The baselines are whole image, centre box, and each system's own maps with their classes shuffled.

    Raises:
        ValueError: shapes that do not fit.
    """
    truth_BKYX, sounding_BK = masks(truth_BKYX, "truth_BKYX", 4), masks(sounding_BK, "sounding_BK", 2)
    count, classes, side, _ = truth_BKYX.shape
    generator, rows = np.random.default_rng(seed), []

    def add(name: str, kind: str, map_BKYX: Values, mask_BKYX: Values) -> None:
        row = _row(name, kind, class_ciou(mask_BKYX, truth_BKYX, sounding_BK), thresholds, "CIoU")
        rows.append(row | {"NSA": _mean(nsa(map_BKYX, sounding_BK))})

    for name, score in predicted.items():
        map_BKYX = class_softmax(resize(score, side), scale)
        mask_BKYX = to_mask(map_BKYX, rule, value)
        add(name, "system", map_BKYX, mask_BKYX)
        order_BK = generator.permuted(np.tile(np.arange(classes), (count, 1)), axis=1)[:, :, None, None]
        shuffled = (np.take_along_axis(array, order_BK, 1) for array in (map_BKYX, mask_BKYX))
        add(f"{name}, random classes", "baseline", *shuffled)
    for name, mask in (("whole image", whole_image(side)), ("centre box, 50 %", centre_box(side))):
        everywhere = np.broadcast_to(mask, truth_BKYX.shape)
        add(name, "baseline", everywhere, everywhere)
    return pd.DataFrame(rows)
