"""Words in speech without any text: where a word points, and which stretches of speech stand for a word.

A matchmap map_BYXL says how well each cell of a picture goes with each moment (cell) of a sentence. Moments are counted
in cells of ``cell`` seconds; true word times come from `avlib.types.Truth.words`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from sklearn.metrics import normalized_mutual_info_score
from torch import Tensor

from avlib.clustering import kmeans
from avlib.evaluate import localize
from avlib.evaluate.arrays import Floats, Ints, Values, floats, integers, same_length
from avlib.types import Word

Sentence = Sequence[Word]
"""The words of one clip, in order of time."""


# --- where a word points


def moments(word: Word, cell: float, cells: int) -> slice:
    """The cells during which a word is said, at least one; ``cells`` is how many the sentence has."""
    first = min(int(word.start / cell), cells - 1)
    return slice(first, min(max(math.ceil(word.end / cell), first + 1), cells))


@dataclass(frozen=True)
class Pointed:
    """The occurrences of words that name a thing in sight.

    Attributes:
        map_RYX: mean of the matchmap while the word is said.
        own_RHW, other_RHW: px of the thing that it names, and of the other things.
        clip_R: of which clip.
    """

    map_RYX: Floats
    own_RHW: Floats
    other_RHW: Floats
    clip_R: Ints

    def scores(self, rule: float = 0.5) -> dict[str, float]:
        """``pointing``: is the peak on the thing (and ``pointing, other``: on another)? ``IoU`` of the masked map.

        Args:
            rule: share of the map's range above which it is a mask.
        """
        sized_RHW = localize.resize(self.map_RYX, self.own_RHW.shape[-1])
        iou_R = localize.iou(localize.to_mask(sized_RHW, "min-max", rule), self.own_RHW)
        hits = {"pointing": self.own_RHW, "pointing, other": self.other_RHW}
        found = {name: float(np.nanmean(localize.pointing(sized_RHW, truth))) for name, truth in hits.items()}
        return found | {"IoU": float(np.nanmean(iou_R))}


def point(
    map_BYXL: Values, words: Sequence[Sentence], names: Mapping[str, int], category_BN: Values, box_BN4: Values,
    cell: float, size: int,
) -> Pointed:  # fmt: skip
    """Every word that names just one of a clip's things, with its map and that thing's box.

    Args:
        names: word → class.
        category_BN, box_BN4: what is there (-1 for nothing) and where (px).
        cell: s.
        size: side of the pictures, px.

    Raises:
        ValueError: lengths differ, or no word names anything in sight.
    """
    map_BYXL, category_BN = floats(map_BYXL, "map_BYXL", 4), integers(category_BN, "category_BN", 2)
    box_BN4 = floats(box_BN4, "box_BN4", 3, nan=True)
    same_length(map_BYXL=map_BYXL, category_BN=category_BN, box_BN4=box_BN4, words=np.empty(len(words)))
    rows: list[tuple[Floats, Floats, Floats, int]] = []
    for b, sentence in enumerate(words):
        mask_NHW = localize.boxes_to_mask(np.nan_to_num(box_BN4[b]), size, (size, size))
        for word in sentence:
            own_N = category_BN[b] == names.get(word.text, -2)
            if own_N.sum() == 1:
                said = map_BYXL[b, :, :, moments(word, cell, map_BYXL.shape[3])].mean(-1)
                rows.append((said, mask_NHW[own_N][0], mask_NHW[~own_N].any(0), b))
    if not rows:
        raise ValueError(f"no word names anything in sight; named are {', '.join(sorted(names)[:8])}")
    maps, own, other, clip = zip(*rows, strict=True)
    return Pointed(np.stack(maps), np.stack(own).astype(float), np.stack(other).astype(float), np.array(clip))


# --- stretches of speech that go with something in sight


@dataclass(frozen=True)
class Segments:
    """R stretches of speech.

    Attributes:
        clip_R: of which clip.
        first_R, last_R: cells, the last one not included.
        box_R4: where in the picture, ``x1 y1 x2 y2`` in cells.
    """

    clip_R: Ints
    first_R: Ints
    last_R: Ints
    box_R4: Ints

    def __len__(self) -> int:
        return len(self.clip_R)


def grounded(map_BYXL: Values, cells_B: Values, share: float = 0.95, least: int = 2) -> Segments:
    """Parts of each matchmap above its ``share`` quantile, connected by faces, seen along time: what goes with what.

    Args:
        cells_B: how many cells each sentence has; the rest is left out.
        share: of a clip's own values that lie below the threshold.
        least: cells of time that a part must last.

    Raises:
        ValueError: lengths differ, a share outside 0…1, no part lasts so long.

    Source: ours, after the grounded segments of Harwath & Glass, ACL 2017.
    """
    map_BYXL, cells_B = floats(map_BYXL, "map_BYXL", 4), integers(cells_B, "cells_B")
    same_length(map_BYXL=map_BYXL, cells_B=cells_B)
    if not 0 < share < 1:
        raise ValueError(f"share must lie within 0…1, not {share}")
    rows = []
    for b, (map_YXL, cells) in enumerate(zip(map_BYXL, cells_B, strict=True)):
        true_YXL = map_YXL[..., :cells]
        parts_YXL, _ = ndimage.label(true_YXL > np.quantile(true_YXL, share))
        for ys, xs, ls in ndimage.find_objects(parts_YXL):
            if ls.stop - ls.start >= least:
                rows.append((b, ls.start, ls.stop, xs.start, ys.start, xs.stop, ys.stop))
    if not rows:
        raise ValueError(f"no part of any matchmap lasts {least} cells")
    found_R7 = np.array(rows)
    return Segments(found_R7[:, 0], found_R7[:, 1], found_R7[:, 2], found_R7[:, 3:])


def elsewhere(segments: Segments, cells_B: Values, seed: int = 0) -> Segments:
    """As many stretches of the same clips, each as long as its model, begun anywhere: what luck would cut out."""
    cells_B, generator = integers(cells_B, "cells_B"), np.random.default_rng(seed)
    length_R = segments.last_R - segments.first_R
    first_R = np.floor(generator.random(len(segments)) * (cells_B[segments.clip_R] - length_R + 1)).astype(int)
    return Segments(segments.clip_R, first_R, first_R + length_R, segments.box_R4)


def averages(segments: Segments, speech_BDL: Tensor) -> Tensor:
    """The mean of the speech cells of each stretch, (R, D)."""
    rows = zip(segments.clip_R.tolist(), segments.first_R.tolist(), segments.last_R.tolist(), strict=True)
    return torch.stack([speech_BDL[clip, :, first:last].mean(1) for clip, first, last in rows])


def told(segments: Segments, words: Sequence[Sentence], cell: float) -> tuple[list[int], Floats]:
    """Which word of its sentence each stretch says: place in the sentence (-1: none), and IoU of their times.

    That is the word with the longest time in common; of two, the earlier one.
    """
    place, iou = [], []
    for clip, first, last in zip(segments.clip_R, segments.first_R, segments.last_R, strict=True):
        common = [max(0.0, min(w.end, last * cell) - max(w.start, first * cell)) for w in words[clip]]
        best = int(np.argmax(common)) if common and max(common) > 0 else -1
        place.append(best)
        if best < 0:
            iou.append(0.0)
        else:
            word = words[clip][best]
            iou.append(common[best] / (max(word.end, last * cell) - min(word.start, first * cell)))
    return place, np.array(iou)


@dataclass(frozen=True)
class WordUnits:
    """Clusters of stretches of speech, each named after the word that most of them say.

    Attributes:
        cluster_R: cluster of each stretch.
        word_R: the word that it says, "" for none.
        name: cluster → word.
        share: cluster → share of its stretches that say that word.
        purity: share of all stretches that say their cluster's word.
        nmi: of clusters and words.
        coverage: word → share of its tokens that lie in a stretch of a cluster of that name; 0 for a word not found.
        iou: mean IoU of a stretch's time with its word's.
    """

    cluster_R: Ints
    word_R: tuple[str, ...]
    name: Mapping[int, str]
    share: Mapping[int, float]
    purity: float
    nmi: float
    coverage: Mapping[str, float]
    iou: float

    def covered(self, chosen: Sequence[str]) -> float:
        """Mean coverage of some words; those that nobody said are left out."""
        rows = [self.coverage[word] for word in chosen if word in self.coverage]
        return float(np.mean(rows)) if rows else math.nan


def word_units(
    segments: Segments, speech_BDL: Tensor, words: Sequence[Sentence], cell: float, clusters: int, seed: int = 0
) -> WordUnits:
    """Cluster stretches by how they sound to the net, and name each cluster after its commonest word.

    Args:
        speech_BDL: the net's map of each sentence.
        words: what was really said; it only names clusters.
        cell: s.
        clusters: how many (fewer if there are fewer stretches).

    Source: Harwath & Glass, ACL 2017, purity and coverage.
    """
    feature_RD = averages(segments, speech_BDL)
    count = min(clusters, len(segments))
    cluster_R = kmeans(feature_RD, count, torch.Generator().manual_seed(seed)).label_N.numpy()
    place, iou_R = told(segments, words, cell)
    spoken = [words[clip][n].text if n >= 0 else "" for clip, n in zip(segments.clip_R, place, strict=True)]
    name, share, found = {}, {}, set()
    for k in range(count):
        rows = np.flatnonzero(cluster_R == k)
        name[k], most = Counter(spoken[r] for r in rows).most_common(1)[0]
        share[k] = most / len(rows)
        found |= {(int(segments.clip_R[r]), place[r]) for r in rows if spoken[r] == name[k] and place[r] >= 0}
    tokens = Counter(word.text for sentence in words for word in sentence)
    caught = Counter(words[clip][n].text for clip, n in found)
    return WordUnits(
        cluster_R, tuple(spoken), name, share,
        purity=float(np.mean([spoken[r] == name[int(k)] for r, k in enumerate(cluster_R)])),
        nmi=float(normalized_mutual_info_score(spoken, cluster_R)),
        coverage={word: caught[word] / tokens[word] for word in tokens},
        iou=float(iou_R.mean()),
    )  # fmt: skip
