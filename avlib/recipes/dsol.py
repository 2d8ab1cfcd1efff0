"""How Discriminative Sounding Objects Localisation is trained and judged here.

    avlib train dsol --profile cpu
    avlib claims dsol --profile cpu --seeds 3

Stage one sees solo scenes: it learns to localise, then cuts out, clusters and names what it found. Stage two sees
cocktail parties: four things, two of them silent, sometimes a sound from outside. Things are of one size in both.
Solo scenes are judged by the sounding area of stage one, as the authors do; duets and cocktail parties by the class
maps, whose clusters were given class names on the training clips (Hungarian) and keep them on the test clips.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from avlib import distributed
from avlib.evaluate import clusters, localize
from avlib.methods.dsol import Recluster, SoundingObjects
from avlib.profiles import Profile
from avlib.results import Claim
from avlib.train import History, TrainConfig, device_of, fit
from avlib.types import Batch
from avlib.world import Stream, World
from avlib.world.presets import named

TRIVIAL = ("random classes", "whole image", "centre box")
ARMS = (
    "two stages", "one stage", "perfect ear", "no filter", "class-agnostic", "whole-picture dictionary",
    "no solo scenes", "untrained", *TRIVIAL,
)  # fmt: skip
BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 16, "steps": 12, "count": 64},
    "cpu": {"batch": 32, "steps": 560, "count": 1024, "eval_count": 256},
    "gpu": {"count": 16384},
}
CLASSES = 8
DIALS: dict[str, object] = {"classes": CLASSES, "side": (0.36, 0.44), "gain": (-2.0, 2.0)}
"""What all three worlds share: few classes, things of one size, none of them drowned by another."""
RATES = (1.5e-2, 1e-2, 2e-3)
"""Largest learning rate while localising, naming and mixing."""
SHARES = (0.54, 0.22, 0.24)
"""Which share of the steps each of these takes."""
ROUNDS = 3
"""Clusterings during the second phase."""
SOLO_RULE, MIX_RULE = 0.3, 0.5
"""Heat becomes a mask above this share of its maximum; chosen on the validation split (the authors: 0.1 and 0.5)."""

CHANCE = {"cocktail who": 0.5}

_PAPER = "hu2020discriminative"
CLAIMS = (
    Claim(
        "Two stages find sounding things better than one at the cocktail party",
        "cocktail CIoU", "two stages", "one stage", f"{_PAPER}, cocktail-party table", tag="stages",
    ),
    Claim(
        "Stage two teaches the filter to tell what is heard from what is silent",
        "cocktail who", "two stages", "one stage", "ours", tag="who",
    ),
    Claim(
        "Stage two could teach more if its ear heard everything right (labels, as a bound)",
        "cocktail who", "perfect ear", "two stages", "ours: the truth in place of the ear's belief", tag="ear",
    ),
    Claim(
        "The filter keeps the maps of silent things dark",
        "cocktail NSA", "two stages", "no filter", f"{_PAPER}, cocktail-party table", tag="filter",
    ),
    Claim(
        "One map a class beats one map for all classes",
        "cocktail CIoU", "two stages", "class-agnostic", f"{_PAPER}, cocktail-party table", tag="class",
    ),
    Claim(
        "Cutting out the object makes a purer dictionary",
        "purity", "two stages", "whole-picture dictionary", f"{_PAPER}, section 3.1", tag="purity",
    ),
    Claim(
        "A purer dictionary finds more",
        "cocktail CIoU", "two stages", "whole-picture dictionary", f"{_PAPER}, section 3.1", tag="dictionary",
    ),
    Claim(
        "Without solo scenes it fails",
        "cocktail CIoU", "two stages", "no solo scenes", f"{_PAPER}, section 3.1", tag="solo",
    ),
    Claim(
        "Control: maps with shuffled classes find next to nothing",
        "cocktail CIoU", "two stages", "random classes", "ours", tag="control",
    ),
)  # fmt: skip


def worlds(profile: Profile, preset: str, seed: int = 0, device: str = "cpu") -> tuple[World, World]:
    """Where to train and where to test, ``"solo"``, ``"duet"`` or ``"cocktail"``: other recordings in each."""
    dials = named(preset).with_dials(**DIALS)
    made = [World("orchestra", dials, split, seed, profile.size, device=device) for split in ("train", "test")]
    return made[0], made[1]


def batches(world: World, count: int, size: int = 64) -> Iterator[Batch]:
    """The first ``count`` clips of a world."""
    for start in range(0, count, size):
        yield world.batch(range(start, min(start + size, count)))


def phases(steps: int) -> tuple[int, int, int]:
    """Steps of localising, of naming and of mixing."""
    first, second = round(SHARES[0] * steps), round(SHARES[1] * steps)
    return first, second, steps - first - second


def period(steps: int) -> int:
    """Steps from one clustering to the next, so that the heads have as long after the last one as before it."""
    return max(1, math.ceil(phases(steps)[1] / ROUNDS))


def build(profile: Profile, whole: bool = False) -> SoundingObjects:
    """The method at the size of a profile."""
    return SoundingObjects(profile.count, CLASSES, full=profile.full, whole=whole)


def _fit(
    method: SoundingObjects,
    world: World,
    profile: Profile,
    seed: int,
    phase: int,
    out: Path | None,
    hooks: tuple = (),  # type: ignore[type-arg]
) -> History:
    ranks = {"rank": distributed.rank(), "ranks": distributed.world_size()}
    count = 0 if phase == 2 else profile.count  # mixtures carry no pseudo-label: no two of them need be alike
    stream = Stream(world, profile.batch, count, seed + phase, **ranks)
    folder = None if out is None else out / ("localise", "name", "mix")[phase]
    config = TrainConfig(
        steps=phases(profile.steps)[phase], lr=RATES[phase], seed=seed, out=folder, device=str(world.device),
        amp=profile.amp,
    )  # fmt: skip
    return fit(method, stream, config, hooks)


def stage_one(
    profile: Profile, seed: int, kind: str = "solo", out: Path | None = None, device: str = "cpu"
) -> tuple[SoundingObjects, History]:
    """Localise, then name. ``kind``: "solo"; "whole", a dictionary of whole pictures; "mixed", no solo scenes."""
    if out is None:
        method, history = _stage_one(profile, seed, kind, device)
        return deepcopy(method), history
    return _learn(profile, seed, kind, out, device)


@lru_cache(maxsize=16)
def _stage_one(profile: Profile, seed: int, kind: str, device: str) -> tuple[SoundingObjects, History]:
    return _learn(profile, seed, kind, None, device)


@lru_cache(maxsize=8)
def _localised(profile: Profile, seed: int, preset: str, device: str) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    method = build(profile)
    _fit(method, worlds(profile, preset, seed, device)[0], profile, seed, 0, None)
    return {name: value.clone() for name, value in method.state_dict().items()}


def _learn(profile: Profile, seed: int, kind: str, out: Path | None, device: str) -> tuple[SoundingObjects, History]:
    torch.manual_seed(seed)
    preset = "cocktail" if kind == "mixed" else "solo"
    world = worlds(profile, preset, seed, device)[0]
    method = build(profile, kind == "whole").to(world.device)
    if out is None:
        method.load_state_dict(_localised(profile, seed, preset, device))
    else:
        _fit(method, world, profile, seed, 0, out)
    hook = Recluster(partial(batches, world, profile.count), period(profile.steps), seed)
    history = _fit(method, world, profile, seed, 1, out, (hook,))
    hook.finish(method)
    return method, history


def _untrained(profile: Profile, seed: int, device: str) -> SoundingObjects:
    torch.manual_seed(seed)
    world = worlds(profile, "solo", seed, device)[0]
    method = build(profile).to(world.device)
    hook = Recluster(partial(batches, world, profile.count), 1, seed)
    hook(method, world.batch([0]), 0)
    hook.finish(method)
    return method


def train(
    profile: Profile, seed: int, arm: str = ARMS[0], out: Path | None = None, device: str = "auto"
) -> tuple[nn.Module, History]:
    """Train one arm; arms that share stage one train it once."""
    place = str(device_of(device))
    if arm == "untrained":
        return _untrained(profile, seed, place), History()
    kind = {"whole-picture dictionary": "whole", "no solo scenes": "mixed"}.get(arm, "solo")
    method, history = stage_one(profile, seed, kind, out, place)
    if arm == "one stage":
        return method, history
    if out is None and arm in ("two stages", "class-agnostic", "random classes"):
        method, history = _two_stages(profile, seed, place)
        return deepcopy(method), history
    method.gate = arm != "no filter"
    if arm == "perfect ear":
        name_K = dictionary(method, worlds(profile, "solo", seed, place)[0], profile.count).name_K
        method.heard = partial(told, name_K=name_K)  # type: ignore[method-assign]
    return method, _fit(method, worlds(profile, "cocktail", seed, place)[0], profile, seed, 2, out)


def told(batch: Batch, name_K: np.ndarray) -> Tensor:
    """What is truly heard, in shares, in the order of the clusters: prob_BK. Reads labels: a bound, no method."""
    truth = batch.truth
    assert truth.category_BN is not None and truth.sounding_BN is not None and truth.offscreen_B is not None
    heard_BC = torch.zeros(len(batch), CLASSES + 1, device=truth.category_BN.device)
    heard_BC.scatter_(1, truth.category_BN.masked_fill(~truth.sounding_BN, CLASSES), 1.0)
    heard_BC.scatter_(1, truth.offscreen_B[:, None].masked_fill(truth.offscreen_B[:, None] < 0, CLASSES), 1.0)
    named_BK = heard_BC[:, torch.as_tensor(name_K, device=heard_BC.device)] + 1e-3
    return named_BK / named_BK.sum(1, keepdim=True)


@lru_cache(maxsize=8)
def _two_stages(profile: Profile, seed: int, device: str) -> tuple[SoundingObjects, History]:
    method, _ = stage_one(profile, seed, "solo", None, device)
    return method, _fit(method, worlds(profile, "cocktail", seed, device)[0], profile, seed, 2, None)


def run(profile: Profile, seed: int, arm: str, device: str = "auto") -> dict[str, float]:
    """Train one arm and measure it on other recordings; trivial arms train nothing."""
    place = str(device_of(device))
    if arm in ("whole image", "centre box"):
        return trivial(profile, seed, arm, place)
    method, _ = train(profile, seed, arm, device=device)
    assert isinstance(method, SoundingObjects)
    kind = {"whole-picture dictionary": "whole", "no solo scenes": "mixed"}.get(arm, "solo")
    first = method if arm == "untrained" else stage_one(profile, seed, kind, None, place)[0]
    preset = "cocktail" if kind == "mixed" else "solo"
    scores = solo(first, profile, seed, place)
    found = dictionary(first, worlds(profile, preset, seed, place)[0], profile.count)
    scores |= {"purity": found.purity, "NMI": found.nmi}
    how = {"class-agnostic": "agnostic", "random classes": "shuffled"}.get(arm, "aware")
    for name in ("duet", "cocktail"):
        judged = mixture(method, found.name_K, worlds(profile, name, seed, place)[1], profile.eval_count, how)
        scores |= judged.scores(name)
    return scores


@dataclass(frozen=True)
class Dictionary:
    """How pure the clusters of the training clips are, and the class of each (Hungarian), int64 name_K."""

    purity: float
    nmi: float
    name_K: np.ndarray


def dictionary(method: SoundingObjects, world: World, count: int) -> Dictionary:
    """Compare pseudo-labels with the classes of the training clips; this is the only place where those are read."""
    label_M = torch.cat([batch.truth.label_B for batch in batches(world, count)]).cpu()
    cluster_M = method.label_M.cpu()
    found = clusters.agreement(cluster_M, label_M)
    names = clusters.match(cluster_M, label_M)
    return Dictionary(found.purity, found.nmi, np.array([names.get(k, 0) for k in range(len(method.entry_KD))]))


def box_masks(batch: Batch, side: int) -> np.ndarray:
    """bool mask_BNYX of the true boxes; an empty slot is an empty mask."""
    assert batch.truth.box_BN4 is not None
    size = batch.frame_BCHW.shape[-1]
    box_BN4 = batch.truth.box_BN4.cpu().nan_to_num(0.0)
    flat = localize.boxes_to_mask(box_BN4.flatten(0, 1), side, (size, size))
    return flat.reshape(*box_BN4.shape[:2], side, side)


def class_truth(batch: Batch, classes: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """bool truth_BKYX, the union of a class's boxes, and sounding_BK. A sound from outside lights no class."""
    assert batch.truth.category_BN is not None and batch.truth.sounding_BN is not None
    mask_BNYX = box_masks(batch, side)
    category_BN, heard_BN = batch.truth.category_BN.cpu().numpy(), batch.truth.sounding_BN.cpu().numpy()
    truth_BKYX = np.zeros((len(batch), classes, side, side), dtype=bool)
    sounding_BK = np.zeros((len(batch), classes), dtype=bool)
    for b, n in zip(*np.nonzero(category_BN >= 0), strict=True):
        truth_BKYX[b, category_BN[b, n]] |= mask_BNYX[b, n]
        sounding_BK[b, category_BN[b, n]] |= heard_BN[b, n]
    return truth_BKYX, sounding_BK


@torch.no_grad()
def solo(method: SoundingObjects, profile: Profile, seed: int = 0, device: str = "cpu") -> dict[str, float]:
    """IoU@0.5 and AUC of the sounding area on solo test scenes."""
    method.eval().to(device)
    iou = []
    for batch in batches(worlds(profile, "solo", seed, device)[1], profile.eval_count):
        area_BYX = method.area(*method.maps(batch))
        mask_BYX = localize.to_mask(localize.resize(area_BYX, profile.size), "max", SOLO_RULE)
        iou.append(localize.iou(mask_BYX, box_masks(batch, profile.size)[:, 0]))
    found = localize.success(np.concatenate(iou), (0.5,))
    return {"solo IoU": found.success[0.5], "solo AUC": found.auc}


@dataclass(frozen=True)
class Judged:
    """Class-aware scores clip by clip; ``nsa_B`` is None where a system has no map of its own for each class.

    ``shine_BN`` is the mean heat of each thing's own class inside its box, ``loud_BN`` says which are heard.
    """

    ciou_B: np.ndarray
    nsa_B: np.ndarray | None = None
    shine_BN: np.ndarray | None = None
    loud_BN: np.ndarray | None = None

    def scores(self, name: str) -> dict[str, float]:
        """CIoU@0.3, AUC and NSA by name; "who": how often a heard thing outshines a silent one (0.5 is chance)."""
        found = localize.success(self.ciou_B, (0.3,))
        scores = {f"{name} CIoU": found.success[0.3], f"{name} AUC": found.auc}
        if self.nsa_B is not None:
            scores[f"{name} NSA"] = float(np.nanmean(self.nsa_B))
        if self.shine_BN is not None and self.loud_BN is not None and not self.loud_BN.all():
            scores[f"{name} who"] = float(roc_auc_score(self.loud_BN.ravel(), self.shine_BN.ravel()))
        return scores


def class_maps(method: SoundingObjects, batch: Batch, name_K: np.ndarray, classes: int = CLASSES) -> np.ndarray:
    """heat_BKYX, a softmax over entries at each cell (of 3·S, as released), entries of one class added up."""
    heat_BKYX = localize.class_softmax(method.class_maps(batch), 3.0)
    named_BKYX = np.zeros((len(heat_BKYX), classes, *heat_BKYX.shape[2:]))
    for k, name in enumerate(name_K):
        named_BKYX[:, name] += heat_BKYX[:, k]
    return named_BKYX


@torch.no_grad()
def mixture(method: SoundingObjects, name_K: np.ndarray, world: World, count: int, how: str = "aware") -> Judged:
    """Judge the first ``count`` clips. ``how``: "aware"; "agnostic", the sounding area for every class; "shuffled"."""
    method.eval().to(world.device)
    rows = []
    generator = np.random.default_rng(0)
    for batch in batches(world, count):
        heat_BKYX = class_maps(method, batch, name_K)
        if how == "agnostic":
            area_BYX = method.area(*method.maps(batch)).cpu().numpy()
            heat_BKYX = np.repeat(area_BYX[:, None], CLASSES, 1)
        if how == "shuffled":
            order_BK = generator.permuted(np.tile(np.arange(CLASSES), (len(batch), 1)), axis=1)
            heat_BKYX = np.take_along_axis(heat_BKYX, order_BK[:, :, None, None], 1)
        rows.append(_judge(heat_BKYX, batch, world.size))
    ciou_B, nsa_B, shine_BN, loud_BN = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Judged(ciou_B, None if how == "agnostic" else nsa_B, shine_BN, loud_BN)


def _judge(heat_BKYX: np.ndarray, batch: Batch, side: int) -> tuple[np.ndarray, ...]:
    truth_BKYX, sounding_BK = class_truth(batch, CLASSES, side)
    sized_BKYX = localize.resize(heat_BKYX, side)
    mask_BKYX = localize.to_mask(sized_BKYX, "max", MIX_RULE)
    judged = localize.class_ciou(mask_BKYX, truth_BKYX, sounding_BK), localize.nsa(sized_BKYX, sounding_BK)
    assert batch.truth.sounding_BN is not None
    return *judged, shine(sized_BKYX, batch), batch.truth.sounding_BN.cpu().numpy()


def shine(heat_BKYX: np.ndarray, batch: Batch) -> np.ndarray:
    """Mean heat of each thing's own class inside its own box, shine_BN (0 for an empty slot)."""
    assert batch.truth.category_BN is not None
    category_BN = batch.truth.category_BN.cpu().numpy().clip(0)
    own_BNYX = np.take_along_axis(heat_BKYX, category_BN[:, :, None, None], 1)
    mask_BNYX = box_masks(batch, heat_BKYX.shape[-1])
    return (own_BNYX * mask_BNYX).sum((2, 3)) / mask_BNYX.sum((2, 3)).clip(1)


def trivial(profile: Profile, seed: int, arm: str, device: str = "cpu") -> dict[str, float]:
    """What a mask scores that knows nothing: everything, or a box in the middle of half the area."""
    mask_YX = localize.whole_image(profile.size) if arm == "whole image" else localize.centre_box(profile.size)
    scores: dict[str, float] = {}
    for name in ("solo", "duet", "cocktail"):
        rows = []
        for batch in batches(worlds(profile, name, seed, device)[1], profile.eval_count):
            truth_BKYX, sounding_BK = class_truth(batch, CLASSES, profile.size)
            mask_BKYX = np.broadcast_to(mask_YX, truth_BKYX.shape)
            rows.append((localize.class_ciou(mask_BKYX, truth_BKYX, sounding_BK), localize.nsa(mask_BKYX, sounding_BK)))
        judged = Judged(*(np.concatenate(column) for column in zip(*rows, strict=True)))
        if name == "solo":
            found = localize.success(judged.ciou_B, (0.5,))
            scores |= {"solo IoU": found.success[0.5], "solo AUC": found.auc}
        else:
            scores |= judged.scores(name)
    return scores
