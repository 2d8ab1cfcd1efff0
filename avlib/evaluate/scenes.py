"""Where, which and who: heat maps judged on scenes of one, two or four things.

A method has one map a clip, map_BYX, or one map a class, map_BKYX. Their heat becomes a mask above a share of its
maximum (:data:`RULES`); that share decides much, so choose it on the validation split for each arm
(:func:`best_rule`), or show the whole :func:`curve`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from avlib.evaluate import localize
from avlib.evaluate.arrays import Bools, Floats, Ints, Values, floats
from avlib.evaluate.features import evaluating
from avlib.evaluate.localize import Localisation
from avlib.matching import heatmap
from avlib.types import Batch

RULES = tuple(float(share) for share in np.arange(1, 20) / 20)
"""Shares of a map's maximum that a validation split chooses from: 0.05, 0.1, … 0.95."""

CHUNK = 64
"""Clips whose maps are enlarged to the size of the picture at once."""


@dataclass(frozen=True)
class Scenes:
    """Maps of some clips, and what is true of them.

    Attributes:
        map_BKYX: heat, any number of cells; K = 1 is one map for all classes.
        box_BN4: px, the true box of each thing.
        category_BN: int64, class of each thing, -1 for an empty slot.
        sounding_BN: is it heard?
        classes: how many classes there are.
        side: side of the picture, px, at which everything is judged.
    """

    map_BKYX: Floats
    box_BN4: Floats
    category_BN: Ints
    sounding_BN: Bools
    classes: int
    side: int

    def __len__(self) -> int:
        return len(self.map_BKYX)

    def chunks(self) -> Iterator[tuple[Floats, Scenes]]:
        """Some clips at a time: their maps enlarged to the picture, one a class, and the clips."""
        for start in range(0, len(self), CHUNK):
            rows = slice(start, start + CHUNK)
            names = ("map_BKYX", "box_BN4", "category_BN", "sounding_BN")
            part = replace(self, **{name: getattr(self, name)[rows] for name in names})
            sized_BKYX = localize.resize(part.map_BKYX, self.side)
            shape = (len(part), self.classes, self.side, self.side)
            yield np.broadcast_to(sized_BKYX, shape), part

    @property
    def box_masks(self) -> Bools:
        """mask_BNYX of the true boxes; an empty slot is an empty mask."""
        flat_M4 = np.nan_to_num(self.box_BN4.reshape(-1, 4))
        flat = localize.boxes_to_mask(flat_M4, self.side, (self.side, self.side))
        return flat.reshape(*self.box_BN4.shape[:2], self.side, self.side)

    @property
    def class_truth(self) -> tuple[Bools, Bools]:
        """truth_BKYX, the union of a class's boxes, and sounding_BK. A sound from outside lights no class."""
        mask_BNYX, shape = self.box_masks, (len(self), self.classes)
        truth_BKYX = np.zeros((*shape, self.side, self.side), dtype=bool)
        sounding_BK = np.zeros(shape, dtype=bool)
        for b, n in zip(*np.nonzero(self.category_BN >= 0), strict=True):
            truth_BKYX[b, self.category_BN[b, n]] |= mask_BNYX[b, n]
            sounding_BK[b, self.category_BN[b, n]] |= self.sounding_BN[b, n]
        return truth_BKYX, sounding_BK


def look(
    method: nn.Module, batches: Iterable[Batch], classes: int, maps: Callable[[Batch], Values] | None = None
) -> Scenes:
    """Show a method some clips without their truth, and keep its maps beside the truth.

    Args:
        classes: how many classes there are.
        maps: batch -> map_BYX or map_BKYX; where left out, what the method embeds: the dot product of each cell of the
            picture with the sound.

    Raises:
        ValueError: no clips, maps that are neither one a clip nor one a class, NaN, clips without boxes and classes, an
            embedding without a map of the picture or a vector of the sound.
    """
    rows = []
    with evaluating(method) as device:
        for batch in batches:
            shown = batch.blind().to(device)
            rows.append(_row(_embedded(method, shown) if maps is None else maps(shown), batch, classes))
    if not rows:
        raise ValueError("there are no clips to look at")
    map_BKYX, box_BN4, category_BN, sounding_BN = (np.concatenate(column) for column in zip(*(r[1:] for r in rows)))
    return Scenes(map_BKYX, box_BN4, category_BN, sounding_BN, classes, rows[0][0])


def _embedded(method: nn.Module, batch: Batch) -> Values:
    found = method.embed(batch)  # type: ignore[operator]
    if found.image_BDYX is None or found.audio_BD is None:
        raise ValueError(f"{type(method).__name__} embeds no map of the picture, or no vector of the sound")
    return heatmap(found.image_BDYX, found.audio_BD)


def _row(heat: Values, batch: Batch, classes: int) -> tuple[int, Floats, Floats, Ints, Bools]:
    heat = floats(heat, "map_BKYX", (3, 4))
    map_BKYX = heat[:, None] if heat.ndim == 3 else heat
    if map_BKYX.shape[:2] not in ((len(batch), 1), (len(batch), classes)):
        raise ValueError(f"{len(batch)} clips of {classes} classes cannot have maps of shape {heat.shape}")
    truth = batch.truth
    box_BN4 = truth.box_BN4 if truth.box_BTN4 is None else truth.box_BTN4[:, truth.box_BTN4.shape[1] // 2]
    if box_BN4 is None or truth.category_BN is None or truth.sounding_BN is None:
        raise ValueError("these clips have no truth to judge maps by: boxes, classes, and what is heard")
    known = (box_BN4.double(), truth.category_BN, truth.sounding_BN)
    return batch.frame_BCHW.shape[-1], map_BKYX, *(value.numpy(force=True) for value in known)  # type: ignore[return-value]


def class_ciou(scenes: Scenes, rules: Sequence[float] = RULES) -> Floats:
    """ciou_RB: class-aware CIoU of each clip under each rule, NaN where nothing heard is in the picture.

    With one thing in the picture this is the IoU.
    """
    columns = []
    for sized_BKYX, part in scenes.chunks():
        truth_BKYX, sounding_BK = part.class_truth
        masks = (localize.to_mask(sized_BKYX, "max", rule) for rule in rules)
        columns.append(np.stack([localize.class_ciou(mask, truth_BKYX, sounding_BK) for mask in masks]))
    return np.concatenate(columns, 1)


def curve(scenes: Scenes, threshold: float = 0.3, rules: Sequence[float] = RULES) -> dict[float, Localisation]:
    """Success at ``threshold`` and AUC under each rule."""
    return dict(zip(rules, (localize.success(row, (threshold,)) for row in class_ciou(scenes, rules)), strict=True))


def best_rule(scenes: Scenes, rules: Sequence[float] = RULES) -> float:
    """The rule with the largest AUC, the lowest of several; choose it on the validation split, for each arm."""
    found = curve(scenes, rules=rules)
    return max(found, key=lambda rule: found[rule].auc)


def judge(scenes: Scenes, rule: float, threshold: float = 0.3) -> dict[str, float]:
    """Every score of one system on one kind of scene.

    Returns:
        "CIoU", the share of clips with class-aware CIoU ≥ ``threshold``, and "AUC". Where each class has its own map,
        "NSA" as well, the share of silent classes' maps that stays dark; where some things are heard and some silent,
        "who": how often a heard thing outshines a silent one (0.5 is chance).
    """
    found = curve(scenes, threshold, (rule,))[rule]
    scores = {"CIoU": found.success[threshold], "AUC": found.auc}
    if scenes.map_BKYX.shape[1] > 1:
        nsa_B = np.concatenate([localize.nsa(sized, part.class_truth[1]) for sized, part in scenes.chunks()])
        scores["NSA"] = float(np.nanmean(nsa_B))
    there_BN = scenes.category_BN >= 0
    heard_M = scenes.sounding_BN[there_BN]
    if heard_M.any() and not heard_M.all():
        scores["who"] = float(roc_auc_score(heard_M, shine(scenes)[there_BN]))
    return scores


def judge_best(scenes: Scenes, valid: Scenes, threshold: float = 0.3) -> dict[str, float]:
    """:func:`judge` by the :func:`best_rule` of validation clips, and that "rule"."""
    rule = best_rule(valid)
    return judge(scenes, rule, threshold) | {"rule": rule}


def shine(scenes: Scenes) -> Floats:
    """shine_BN, mean heat of each thing's own class inside its own box; 0 for an empty slot."""
    rows = []
    for sized_BKYX, part in scenes.chunks():
        own_BNYX = np.take_along_axis(sized_BKYX, part.category_BN.clip(0)[:, :, None, None], 1)
        mask_BNYX = part.box_masks & (part.category_BN >= 0)[:, :, None, None]
        rows.append((own_BNYX * mask_BNYX).sum((2, 3)) / mask_BNYX.sum((2, 3)).clip(1))
    return np.concatenate(rows)


def shuffled(scenes: Scenes, seed: int = 0) -> Scenes:
    """The same maps, the classes of each clip in a random order: right places, wrong names."""
    order_BK = np.random.default_rng(seed).permuted(
        np.tile(np.arange(scenes.map_BKYX.shape[1]), (len(scenes), 1)), axis=1
    )
    return replace(scenes, map_BKYX=np.take_along_axis(scenes.map_BKYX, order_BK[:, :, None, None], 1))


def blind(scenes: Scenes, threshold: float = 0.3) -> dict[str, dict[str, float]]:
    """What masks score that know nothing: "whole image", and "centre box" of half the area, for every class.

    They are judged as they are: a map that is the same everywhere has no maximum to be a share of.
    """
    rows: dict[str, dict[str, float]] = {}
    for name, mask_YX in (
        ("whole image", localize.whole_image(scenes.side)),
        ("centre box", localize.centre_box(scenes.side)),
    ):
        pairs = []
        for _, part in scenes.chunks():
            truth_BKYX, sounding_BK = part.class_truth
            mask_BKYX = np.broadcast_to(mask_YX, truth_BKYX.shape)
            pairs.append(
                (localize.class_ciou(mask_BKYX, truth_BKYX, sounding_BK), localize.nsa(mask_BKYX, sounding_BK))
            )
        ciou_B, nsa_B = (np.concatenate(column) for column in zip(*pairs, strict=True))
        found = localize.success(ciou_B, (threshold,))
        rows[name] = {"CIoU": found.success[threshold], "AUC": found.auc, "NSA": float(np.nanmean(nsa_B))}
    return rows


def by_class(map_BKYX: Values, name_K: Sequence[int], classes: int, scale: float = 3.0) -> Floats:
    """Maps of clusters into maps of classes: a softmax over clusters of ``scale`` × score, those of one class added up.

    Args:
        name_K: the class of each cluster, see :func:`avlib.evaluate.clusters.match`.

    Source: Hu et al., NeurIPS 2020, released code.
    """
    heat_BKYX = localize.class_softmax(map_BKYX, scale)
    named_BKYX = np.zeros((len(heat_BKYX), classes, *heat_BKYX.shape[2:]))
    for k, name in enumerate(name_K):
        named_BKYX[:, name] += heat_BKYX[:, k]
    return named_BKYX


def told(batch: Batch, name_K: Sequence[int], classes: int) -> Tensor:
    """What is truly heard, in shares, in the order of clusters of these classes: prob_BK.

    It reads the truth: the bound of any method that believes what it hears.

    Raises:
        ValueError: clips without classes, what is heard, or sounds from outside the picture.
    """
    truth = batch.truth
    if truth.category_BN is None or truth.sounding_BN is None or truth.offscreen_B is None:
        raise ValueError("these clips do not say what is heard")
    heard_BC = torch.zeros(len(batch), classes + 1, device=truth.category_BN.device)
    heard_BC.scatter_(1, truth.category_BN.masked_fill(~truth.sounding_BN, classes), 1.0)
    heard_BC.scatter_(1, truth.offscreen_B[:, None].masked_fill(truth.offscreen_B[:, None] < 0, classes), 1.0)
    named_BK = heard_BC[:, list(name_K)] + 1e-3
    return named_BK / named_BK.sum(1, keepdim=True)
