"""The exam that every method sits, as far as its `Embedding` can answer; so any two of them can be compared.

Each question is asked twice, with unheard recordings both times: of **known** hands, drawings that were seen in
training (in other colours, poses and places), and of **new** hands, drawings that never were. What concerns the sound
alone is asked once. Constants (the probe's C, the share of a map's range above which it is a mask) are chosen on
validation clips.

==============================  =========================================================================  ========
metric                          what it is                                                                 by luck
==============================  =========================================================================  ========
image probe, audio probe        accuracy of a linear probe that asks which thing it is                     1 / things
image places, audio places      … which place it is                                                        1 / places
image NMI, audio NMI            clusters of the embeddings against things: normalised mutual information    near 0
pairs                           chance that a true pair scores above one of another class (AUC)            .5
picture → sound, sound → …      R@1: is the first of at most 256 found of the same class?                  1 / things
own over swapped                share of clips whose own sound scores above one of another class           .5
own over muted, shifted         … above silence, above itself half a clip later                            .5
own over blanked                … whose own picture scores above a grey one                                .5
heat moved by swapping, muting  total variation between the maps of both sounds, 0…1                       0
solo, duet, cocktail pointing   is the peak of the map on a thing that is heard?                           centre
solo, duet, cocktail IoU        mean IoU of the mask with the boxes of all things that are heard           whole
in time                         share of videos whose sound scores higher in time than early or late       .5
==============================  =========================================================================  ========

Beside each IoU and pointing stand the blind baselines: ``…, whole``, ``…, centre``, and ``…, another's sound``, the
method's own map for a sound of another class, which tells how far the picture alone leads.

A method is compared by the cosine of ``image_BD`` and ``audio_BD`` and by the dot products of ``image_BDYX`` with
``audio_BD``, where those are as wide. If its two spaces are not one, it says itself how they compare:
``compare(pictures, sounds) -> score_BM`` and ``heat(found) -> map_BYX``, both from embeddings; ``compare`` without
``heat`` means that there is no map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor, nn

from avlib.clustering import kmeans
from avlib.evaluate import clusters, localize, probe, retrieval, synchrony
from avlib.evaluate.arrays import Bools, Floats
from avlib.evaluate.features import Features, evaluating, features, join
from avlib.matching import cosine, heatmap
from avlib.types import Batch, Embedding

Clips = Callable[..., Sequence[Batch]]
"""``clips(preset, split, hands, **dials)``: evaluation clips of a world, the first ones being the same each time."""

SETS = {"known": ("known", "known"), "new": ("own", "new")}
"""Whose drawings are shown in validation and in the test, by name of the set."""
SCENES = ("solo", "duet", "cocktail")
STRENGTHS = (0.01, 0.1, 1.0)
"""Values of a probe's C, of which validation picks one."""
RULES = tuple(share / 20 for share in range(1, 20))
"""Shares of a map's range above which it is a mask, of which validation picks one."""
SOME = 256
"""At most so many clips are compared with each other, and looked at."""


def exam(method: nn.Module, clips: Clips, scenes: Sequence[str] = SCENES, seed: int = 0) -> dict[str, float]:
    """Everything that this method can answer: metric → number; names begin with ``known: `` or ``new: ``.

    Args:
        clips: where to get clips, see :data:`Clips`; an experiment's `Run.exam` passes its own.
        scenes: presets in which to look for what is heard.
        seed: of the clusterings.

    Raises:
        ValueError: the method embeds neither picture nor sound.
    """
    train = clips("solo", "train", "own")
    sample = embedded(method, train[0])
    there = names(sample)
    if not {"image_BD", "audio_BD"} & set(there):
        raise ValueError(f"{type(method).__name__} embeds neither image_BD nor audio_BD: there is nothing to ask")
    tested = {name: clips("solo", "test", hands) for name, (_, hands) in SETS.items()}
    valid = {name: clips("solo", "val", hands) for name, (hands, _) in SETS.items()}
    scores = _alone(method, train, valid, tested, there, seed)
    for name, batches in tested.items():
        found: dict[str, float] = {}
        if compares(method, sample) or has_heat(method, sample):
            found |= _together(method, _some(batches), sample)
        if has_heat(method, sample):
            found |= _maps(method, clips, name, scenes, there)
        if compares(method, sample) and train[0].video_BTCHW is not None:
            found["in time"] = _in_time(method, clips, name, there)
        scores |= {f"{name}: {metric}": value for metric, value in found.items()}
    return scores


def embedded(method: nn.Module, batch: Batch) -> Embedding:
    """What a method makes of one batch, without its truth."""
    with evaluating(method) as device:
        return method.embed(batch.blind().to(device))  # type: ignore[operator,no-any-return]


def names(found: Embedding) -> tuple[str, ...]:
    """Names of the fields that are there."""
    return tuple(f.name for f in fields(found) if getattr(found, f.name) is not None)


# --- each sense alone


def _alone(
    method: nn.Module,
    train: Sequence[Batch],
    valid: dict[str, Sequence[Batch]],
    tested: dict[str, Sequence[Batch]],
    there: Sequence[str],
    seed: int,
) -> dict[str, float]:
    senses = [name for name in ("image_BD", "audio_BD") if name in there]
    seen = features(method, train, senses)
    parts = {name: (features(method, valid[name], senses), features(method, tested[name], senses)) for name in tested}
    scores: dict[str, float] = {}
    for name in senses:
        sense = name.removesuffix("_BD")
        # what is heard is the same whoever drew what is seen
        asked = parts if sense == "image" else {"": next(iter(parts.values()))}
        for which, (val, test) in asked.items():
            begin = f"{which}: {sense}" if which else sense
            for what in ("probe", "places"):
                scores[f"{begin} {what}"] = probe_score(*(_rows(part, name, what) for part in (seen, val, test)))
            scores[f"{begin} NMI"] = _nmi(getattr(test, name), test.label_B, seed)
    return scores


Labelled = tuple[Tensor, Tensor]


def _rows(found: Features, name: str, what: str) -> Labelled:
    label_B = found.label_B if what == "probe" else found.truth.backdrop_B
    if label_B is None:
        raise ValueError("these clips do not say which place they show")
    return getattr(found, name)[label_B >= 0], label_B[label_B >= 0]


def probe_score(train: Labelled, valid: Labelled, test: Labelled) -> float:
    """Accuracy of a linear probe, each part being (feature_BD, label_B); C is the one that validation prefers.

    A class that no training clip shows cannot be right; of equally good C the smallest is taken.
    """
    feature_BD, label_B = (torch.cat(column) for column in zip(valid, test, strict=True))
    known_B = torch.isin(label_B, train[1])
    best, score = -1.0, 0.0
    for strength in STRENGTHS if bool(known_B.any()) else ():
        found = probe.linear_probe(*train, feature_BD[known_B], label_B[known_B], strength)
        right_B = torch.zeros(len(label_B))
        right_B[known_B] = (torch.from_numpy(found.predicted_B) == label_B[known_B]).float()
        chosen, asked = (float(part_B.mean()) for part_B in (right_B[: len(valid[1])], right_B[len(valid[1]) :]))
        if chosen > best:
            best, score = chosen, asked
    return score


def _nmi(feature_BD: Tensor, label_B: Tensor, seed: int) -> float:
    generator = torch.Generator().manual_seed(seed)
    count = len(label_B.unique())
    return clusters.agreement(kmeans(feature_BD, count, generator).label_N, label_B).nmi


# --- both senses


def compares(method: nn.Module, found: Embedding) -> bool:
    """Can this method say how well a picture and a sound go together?"""
    first, second = found.image_BD, found.audio_BD
    one_space = first is not None and second is not None and first.shape[1] == second.shape[1]
    return hasattr(method, "compare") or one_space


def has_heat(method: nn.Module, found: Embedding) -> bool:
    """Can this method say where in the picture the sound comes from?"""
    maps, sound = found.image_BDYX, found.audio_BD
    one_space = maps is not None and sound is not None and maps.shape[1] == sound.shape[1]
    return hasattr(method, "heat") or (one_space and not hasattr(method, "compare"))


def compare(method: nn.Module, pictures: Embedding, sounds: Embedding) -> Tensor:
    """score_BM of every picture with every sound: the method's own ``compare``, or cosines."""
    if hasattr(method, "compare"):
        return method.compare(pictures, sounds)  # type: ignore[operator,no-any-return]
    assert pictures.image_BD is not None and sounds.audio_BD is not None
    return cosine(pictures.image_BD, sounds.audio_BD)


def heat(method: nn.Module, found: Embedding) -> Tensor:
    """map_BYX of where each clip's sound comes from: the method's own ``heat``, or dot products."""
    if hasattr(method, "heat"):
        return method.heat(found)  # type: ignore[operator,no-any-return]
    assert found.image_BDYX is not None and found.audio_BD is not None
    return heatmap(found.image_BDYX, found.audio_BD)


def other_class(label_B: Tensor) -> Tensor:
    """int64 (B,): for each clip the next one (around the end) whose label is another; itself where there is none.

    Examples:
        >>> other_class(torch.tensor([0, 0, 1])).tolist()
        [2, 2, 0]
    """
    count = len(label_B)
    ahead_BB = (torch.arange(count) + torch.arange(count)[:, None]) % count
    differs_BB = label_B[ahead_BB] != label_B[:, None]
    return ahead_BB.gather(1, differs_BB.int().argmax(1, keepdim=True)).squeeze(1)


@dataclass(frozen=True)
class _Looked:
    """What a method makes of some clips: embedding, and with their own sound the scores and maps."""

    method: nn.Module
    found: Embedding

    def rows(self) -> list[Embedding]:
        count = max(len(value) for value in vars(self.found).values() if value is not None)
        device = next((p.device for p in self.method.parameters()), torch.device("cpu"))
        return [self.found.select(list(part)).to(device) for part in torch.arange(count).split(64)]

    def matrix(self) -> Tensor:
        """score_BB of every picture with every sound."""
        with evaluating(self.method) as device:
            sounds = self.found.to(device)
            return torch.cat([compare(self.method, row, sounds).float().cpu() for row in self.rows()])

    def own(self) -> Tensor:
        """score_B of each clip with its own sound."""
        with evaluating(self.method):
            return torch.cat([compare(self.method, row, row).diagonal().float().cpu() for row in self.rows()])

    def maps(self) -> Tensor:
        """map_BYX of each clip for its own sound."""
        with evaluating(self.method):
            return torch.cat([heat(self.method, row).float().cpu() for row in self.rows()])


def _look(method: nn.Module, clips: Batch, there: Sequence[str]) -> _Looked:
    parts = [clips.select(list(rows)) for rows in torch.arange(len(clips)).split(64)]
    return _Looked(method, features(method, parts, there).embedding)


def _together(method: nn.Module, clips: Batch, sample: Embedding) -> dict[str, float]:
    looked, label_B = _look(method, clips, names(sample)), clips.truth.label_B
    changed = {what: _look(method, other, names(sample)) for what, other in variants(clips).items()}
    scores: dict[str, float] = {}
    if compares(method, sample):
        score_BB = looked.matrix()
        differs_BB = label_B[:, None] != label_B[None]
        scores["pairs"] = synchrony.auc(score_BB.diagonal(), score_BB[differs_BB])
        for name, sim in (("picture → sound", score_BB), ("sound → picture", score_BB.T)):
            scores[name] = retrieval.by_label(sim, label_B, label_B, (1,)).recall[1]
        own_B = score_BB.diagonal()
        scores |= {f"own over {what}": _wins(own_B, other.own()) for what, other in changed.items()}
    if has_heat(method, sample):
        map_BYX = looked.maps()
        for what, verb in (("swapped", "swapping"), ("muted", "muting")):
            scores[f"heat moved by {verb}"] = moved(map_BYX, changed[what].maps())
    return scores


def _wins(own_B: Tensor, other_B: Tensor) -> float:
    return float(((own_B > other_B).float() + (own_B == other_B).float() / 2).mean())


def variants(clips: Batch) -> dict[str, Batch]:
    """The same clips with one thing wrong: sound muted, swapped with another class's, half a clip late; grey pictures.

    What is late comes in again at the beginning.
    """
    wave_BS = clips.wave_BS
    grey = {
        name: torch.full_like(value, 0.5)
        for name in ("image_BCHW", "video_BTCHW")
        if (value := getattr(clips, name)) is not None
    }
    return {
        "muted": replace(clips, wave_BS=torch.zeros_like(wave_BS)),
        "swapped": replace(clips, wave_BS=wave_BS[other_class(clips.truth.label_B)]),
        "shifted": replace(clips, wave_BS=wave_BS.roll(wave_BS.shape[1] // 2, 1)),
        "blanked": replace(clips, **grey),  # type: ignore[arg-type]
    }


def moved(first_BYX: Tensor, second_BYX: Tensor) -> float:
    """How much heat lies elsewhere, 0…1: total variation between two maps that are scaled to 0… and to one sum."""

    def share(map_BYX: Tensor) -> Tensor:
        flat_BP = map_BYX.flatten(1).double()
        flat_BP = flat_BP - flat_BP.amin(1, keepdim=True) + 1e-12
        return flat_BP / flat_BP.sum(1, keepdim=True)

    return float((share(first_BYX) - share(second_BYX)).abs().sum(1).mean() / 2)


# --- where


def _maps(method: nn.Module, clips: Clips, name: str, scenes: Sequence[str], there: Sequence[str]) -> dict[str, float]:
    scores: dict[str, float] = {}
    for preset in scenes:
        valid, test = (
            _some(clips(preset, split, hands)) for split, hands in zip(("val", "test"), SETS[name], strict=True)
        )
        looked = _look(method, test, there)
        rule = _best_rule(_sized(_look(method, valid, there), valid), heard(valid))
        swapped = replace(test, wave_BS=test.wave_BS[other_class(test.truth.label_B)])
        for ending, shown in (("", looked), (", another's sound", _look(method, swapped, there))):
            map_BYX, truth_BYX = _sized(shown, test), heard(test)
            scores[f"{preset} pointing{ending}"] = _mean(localize.pointing(map_BYX, truth_BYX))
            scores[f"{preset} IoU{ending}"] = _mean(localize.iou(localize.to_mask(map_BYX, "min-max", rule), truth_BYX))
        scores |= {f"{preset} {what}": value for what, value in blind(heard(test)).items()}
    return scores


def _some(batches: Sequence[Batch]) -> Batch:
    whole = join(batches)
    return whole.select(list(range(min(SOME, len(whole)))))  # type: ignore[no-any-return]


def heard(clips: Batch) -> Bools:
    """truth_BYX: the boxes of all things that are heard, at the size of the picture (a video's middle frame)."""
    truth, side = clips.truth, clips.frame_BCHW.shape[-1]
    box_BN4 = truth.box_BN4 if truth.box_BTN4 is None else truth.box_BTN4[:, truth.box_BTN4.shape[1] // 2]
    if box_BN4 is None or truth.sounding_BN is None:
        raise ValueError("these clips do not say where things are and which of them are heard")
    flat = localize.boxes_to_mask(box_BN4.nan_to_num(0.0).flatten(0, 1), side, (side, side))
    mask_BNYX = flat.reshape(*box_BN4.shape[:2], side, side) & truth.sounding_BN.numpy()[:, :, None, None]
    return mask_BNYX.any(1)


def _sized(looked: _Looked, clips: Batch) -> Floats:
    return localize.resize(looked.maps(), clips.frame_BCHW.shape[-1])


def _best_rule(map_BYX: Floats, truth_BYX: Bools) -> float:
    score = [_mean(localize.iou(localize.to_mask(map_BYX, "min-max", rule), truth_BYX)) for rule in RULES]
    return RULES[int(np.argmax(score))]


def blind(truth_BYX: Bools) -> dict[str, float]:
    """What the whole picture and its centre score, without looking or listening."""
    side, shape = truth_BYX.shape[1], truth_BYX.shape
    middle = localize.centre_disc(side, 4 / side**2)
    scores = {"pointing, centre": _mean(localize.pointing(np.broadcast_to(middle, shape), truth_BYX))}
    for what, mask_YX in (("whole", localize.whole_image(side)), ("centre", localize.centre_box(side))):
        scores[f"IoU, {what}"] = _mean(localize.iou(np.broadcast_to(mask_YX, shape), truth_BYX))
    return scores


def _mean(value_B: Floats) -> float:
    return float(np.nanmean(value_B))


# --- when


def _in_time(method: nn.Module, clips: Clips, name: str, there: Sequence[str]) -> float:
    hands = SETS[name][1]
    right, wrong = clips("sync", "test", hands, shift=0.0, shift_from=0.0), clips("sync", "test", hands)
    own_B, other_B = (_look(method, _some(part), there).own() for part in (right, wrong))
    return _wins(own_B, other_B)
