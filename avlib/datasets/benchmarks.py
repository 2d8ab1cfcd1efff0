"""The benchmarks' own annotation files: which videos, and where in a frame the sounding things are.

======================  ===========================================================  ==============================
loader                  file                                                         published with
======================  ===========================================================  ==============================
``vggss``               ``vggss.json``                                               Chen et al., CVPR 2021
``music``               ``solotest.json``, ``duettest.json``                         Hu et al., NeurIPS 2020 (DSOL)
``audioset``            ``audioset_box.json``                                        the same
``flickr``              a folder of ``<id>.xml``, several annotators a picture       Senocak et al., CVPR 2018
``music_videos``        ``MUSIC_solo_videos.json``, ``MUSIC_duet_videos.json``,      Zhao et al., ECCV 2018, 2019
                        ``MUSIC21_solo_videos.json``
======================  ===========================================================  ==============================

Boxes leave every loader as ``x1 y1 x2 y2``, fractions of width and height, clipped to 0…1; boxes without area are
dropped and listed in ``Annotations.dropped``. A frame that is left without a box stays, because the file names it.
A row that cannot be read is an error that names the file and the row; with ``strict=False`` it is listed in
``Annotations.skipped`` instead, and all the good rows are kept.

``music_mix`` scores class-aware maps on such frames, ``trivial`` scores masks that know nothing.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from avlib.datasets.rows import FAR, attempted, expect, read_json, shown, value_of
from avlib.errors import unknown
from avlib.evaluate import localize
from avlib.evaluate.arrays import Values, floats

if TYPE_CHECKING:
    import pandas as pd

MUSIC_CATEGORIES = {
    1: "cello",
    3: "acoustic_guitar",
    8: "saxophone",
    10: "trumpet",
    11: "violin",
    12: "flute",
    13: "accordion",
}
"""Detector classes of ``solotest.json`` and ``duettest.json`` (DSOL's ``eval_duet.py``)."""

FLICKR_GRID = 256
"""The XML boxes of Flickr-SoundNet lie on a grid of this many cells a side."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Frame:
    """One annotated frame.

    Attributes:
        key: the file's own name for it.
        boxes: ``x1 y1 x2 y2``, fractions of width and height; empty where nothing was annotated.
        categories: the class of each box, a key of ``Annotations.classes``; -1 where the file names none.
        size: height and width (px) of the picture that was annotated, or None where the file does not say.
    """

    key: str
    boxes: tuple[Box, ...]
    categories: tuple[int, ...]
    size: tuple[int, int] | None = None

    def to_masks(self, size: int = 224) -> Tensor:
        """bool ``mask_NHW``, one of ``size`` × ``size`` px a box: corners cut to whole pixels, far edge excluded."""
        if not self.boxes:
            return torch.zeros(0, size, size, dtype=torch.bool)
        return torch.from_numpy(localize.boxes_to_mask(list(self.boxes), size))

    def union(self, size: int = 224) -> Tensor:
        """bool ``mask_HW``: the pixels of any box."""
        return self.to_masks(size).any(0)

    def class_masks(self, size: int = 224) -> dict[int, Tensor]:
        """bool ``mask_HW`` of each class that is annotated: the union of its boxes."""
        mask_NHW = self.to_masks(size)
        category_N = torch.tensor(self.categories, dtype=torch.int64)
        return {category: mask_NHW[category_N == category].any(0) for category in sorted(set(self.categories))}

    def consensus(self, size: int = 224, votes: int = 2) -> Tensor:
        """float ``weight_HW`` = min(number of boxes over the pixel / ``votes``, 1): annotators' agreement.

        Source: Senocak et al., CVPR 2018, with the two votes of the public evaluation code.
        """
        if not self.boxes:
            return torch.zeros(size, size, dtype=torch.float64)
        return torch.from_numpy(localize.consensus(self.to_masks(size), votes))


@dataclass(frozen=True)
class Annotations:
    """The frames of one file.

    Attributes:
        name: the file's name.
        frames: in the file's order.
        classes: what each category number means; empty where the file only numbers them.
        dropped: one line a box without area.
        skipped: one line a row that could not be read (only with ``strict=False``).
    """

    name: str
    frames: tuple[Frame, ...]
    classes: Mapping[int, str] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def annotated(self) -> tuple[Frame, ...]:
        """The frames with at least one box: those that a score can be computed on."""
        return tuple(frame for frame in self.frames if frame.boxes)

    @property
    def box_count(self) -> int:
        """How many boxes were kept."""
        return sum(len(frame.boxes) for frame in self.frames)

    def table(self) -> pd.DataFrame:
        """One row a box (frame, category, class, x1, y1, x2, y2); a frame without a box has none."""
        import pandas as pd

        rows = [
            (frame.key, category, self.classes.get(category, ""), *box)
            for frame in self.frames
            for box, category in zip(frame.boxes, frame.categories, strict=True)
        ]
        return pd.DataFrame(rows, columns=["frame", "category", "class", "x1", "y1", "x2", "y2"])

    def report(self) -> str:
        """One line: what was read and what was not."""
        empty = len(self.frames) - len(self.annotated)
        return (
            f"{self.name}: {len(self.frames)} frames, {self.box_count} boxes; {empty} frames without a box, "
            f"{len(self.dropped)} boxes without area dropped, {len(self.skipped)} unreadable rows skipped"
        )


@dataclass(frozen=True)
class Video:
    """One video of a list: its id and the instruments played in it (two for a duet)."""

    id: str
    instruments: tuple[str, ...]


def vggss(path: Path | str, strict: bool = True) -> Annotations:
    """VGG-SS: one frame a clip (5 s into it), key ``<video>_<start>``, classes numbered in alphabetical order.

    Raises FileNotFoundError; ValueError for a file that is not JSON or, if ``strict``, has unreadable rows.
    """
    rows = expect(read_json(path), list, path, "a list of clips")
    names = sorted({row["class"] for row in rows if isinstance(row, dict) and isinstance(row.get("class"), str)})
    number = {name: i for i, name in enumerate(names)}

    def read(row: Any) -> _Row:
        category = number[value_of(row, "class", str)]
        boxes = [_numbers(box) for box in value_of(row, "bbox", list)]
        return _Row(value_of(row, "file", str), boxes, [category] * len(boxes))

    keyed = ((str(row.get("file", i)) if isinstance(row, dict) else str(i), row) for i, row in enumerate(rows))
    return _collect(path, keyed, read, dict(enumerate(names)), strict)


def music(path: Path | str, strict: bool = True) -> Annotations:
    """DSOL's boxes for MUSIC frames (sounding instruments only), key ``<video>_0_1000/frame_<second>/<number>.jpg``.

    The file spells width ``wdith``; both spellings are read. Many frames have no box.
    Raises FileNotFoundError; ValueError for a file that is not JSON or, if ``strict``, has unreadable rows.
    """

    def read(item: tuple[str, Any]) -> _Row:
        key, row = item
        boxes = value_of(row, "bbox", list)
        width = value_of(row, "width" if "width" in row else "wdith", int)
        categories = [value_of(box, "category_id", int) for box in boxes]
        corners = [_corners(value_of(box, "normbox", list)) for box in boxes]
        return _Row(key, corners, categories, (value_of(row, "height", int), width))

    return _collect_keyed(path, read, MUSIC_CATEGORIES, strict)


def audioset(path: Path | str, strict: bool = True) -> Annotations:
    """DSOL's boxes for AudioSet frames, key ``<video>/<second>``; its thirteen classes are numbers without names.

    Raises FileNotFoundError; ValueError for a file that is not JSON or, if ``strict``, has unreadable rows.
    """

    def read(item: tuple[str, Any]) -> _Row:
        key, row = item
        boxes = value_of(row, "bbox", list)
        corners = [_corners(value_of(box, "normbox", list)) for box in boxes]
        return _Row(key, corners, [value_of(box, "category", int) for box in boxes])

    return _collect_keyed(path, read, {}, strict)


def flickr(folder: Path | str, strict: bool = True) -> Annotations:
    """Flickr-SoundNet: one XML file a picture, one ``bbox`` an annotator, corners on a grid of 256 cells.

    Read a box's ``xmin ymin xmax ymax`` where its children are so named, else its last four children in order.
    Raises FileNotFoundError for a folder without XML files; if ``strict``, ValueError for an unreadable file.
    """
    files = sorted(Path(folder).glob("*.xml"))
    if not files:
        raise FileNotFoundError(f"{folder}: no .xml annotations there")

    def read(file: Path) -> _Row:
        boxes = [_xml_box(box) for box in ElementTree.parse(file).getroot().iter("bbox")]
        return _Row(file.stem, boxes, [-1] * len(boxes))

    return _collect(folder, ((file.name, file) for file in files), read, {}, strict)


def music_videos(path: Path | str) -> tuple[Video, ...]:
    """A MUSIC list: every video id with its instruments; a duet's key ``"flute violin"`` gives two.

    Raises FileNotFoundError; ValueError, which names the file and the key, for anything but lists of ids.
    """
    groups = expect(read_json(path), dict, path, "an object").get("videos")
    if not isinstance(groups, dict):
        raise ValueError(f"{path}: no object under the key 'videos'")
    found = []
    for key, ids in groups.items():
        if not isinstance(ids, list) or not all(isinstance(id_, str) and id_ for id_ in ids):
            raise ValueError(f"{path}: {key!r} is not a list of video ids")
        found += [Video(id_, tuple(key.split())) for id_ in ids]
    return tuple(found)


@dataclass(frozen=True)
class MixScore:
    """Class-aware scores over frames with several things.

    Attributes:
        ciou: success, AUC and mean of the class-aware CIoU.
        nsa: mean non-sounding area; NaN where no frame has a silent class.
        without_box: frames that the file names but that have no box: not judged.
        without_map: keys of annotated frames that no map was given for: not judged either.
    """

    ciou: localize.Localisation
    nsa: float
    without_box: int
    without_map: tuple[str, ...]


def music_mix(
    annotations: Annotations,
    maps: Mapping[str, Values],
    classes: Sequence[int],
    side: int = 224,
    rule: localize.RuleName = "max",
    value: float = 0.2,
    thresholds: Sequence[float] = (0.3,),
    scale: float = 3.0,
) -> MixScore:
    """CIoU, its AUC and NSA of class-aware score maps on the benchmark's own frames.

    Args:
        maps: frame key → scores ``map_KYX``, at any size, before the softmax over classes.
        classes: the category of each of the K maps.
        rule, value: heat map to mask; DSOL takes 0.2 × maximum on duets, 0.5 × maximum on synthetic mixtures.
        scale: of the softmax over classes, which comes before the maps are resized to ``side``, as in DSOL's code.

    The annotated classes of a frame count as sounding, all others as silent. NSA uses 0.2 as it is (DSOL).
    Raises ValueError for maps of another number of classes, for a category without a map, and if no frame is judged.
    """
    ciou_B, nsa_B, missing = [], [], []
    for frame in annotations.annotated:
        if frame.key not in maps:
            missing.append(frame.key)
            continue
        score_1KYX = floats(maps[frame.key], f"map of {frame.key}", 3)[None]
        if score_1KYX.shape[1] != len(classes):
            raise ValueError(f"{frame.key}: {score_1KYX.shape[1]} maps for {len(classes)} classes")
        truth_1KYX, sounding_1K = _truth(frame, classes, side)
        map_1KYX = localize.resize(localize.class_softmax(score_1KYX, scale), side)
        mask_1KYX = localize.to_mask(map_1KYX, rule, value)
        ciou_B.append(localize.class_ciou(mask_1KYX, truth_1KYX, sounding_1K)[0])
        nsa_B.append(localize.nsa(map_1KYX, sounding_1K)[0])
    if not ciou_B:
        raise ValueError(f"{annotations.name}: none of its {len(missing)} annotated frames has a map")
    silent_B = np.array(nsa_B)[~np.isnan(nsa_B)]
    return MixScore(
        localize.success(ciou_B, thresholds),
        float(silent_B.mean()) if len(silent_B) else math.nan,
        len(annotations) - len(annotations.annotated),
        tuple(missing),
    )


def trivial(
    annotations: Annotations, truth: str = "union", side: int = 224, thresholds: Sequence[float] = (0.3, 0.5)
) -> pd.DataFrame:
    """What masks score that know nothing of sound or picture: one row a mask (system, cIoU@t, AUC, count).

    ``truth``: "union" of a frame's boxes, each "class" of it by itself, or annotators' "consensus".
    Raises ValueError for another truth, or where no frame has a box.
    """
    import pandas as pd

    blind = {
        "whole image": localize.whole_image(side),
        "centre disc, 50 %": localize.centre_disc(side, 0.5),
        "centre disc, 25 %": localize.centre_disc(side, 0.25),
        "centre box, 50 %": localize.centre_box(side, 0.5),
    }
    mask_RP = torch.from_numpy(np.stack(list(blind.values()))).flatten(1).float()
    scores = [_fixed_ciou(mask_RP, _truths(frame, truth, side)) for frame in annotations.annotated]
    if not scores:
        raise ValueError(f"{annotations.name}: no frame has a box")
    rows = []
    for name, ciou_B in zip(blind, torch.cat(scores).T, strict=True):
        result = localize.success(ciou_B, thresholds)
        rates = {f"cIoU@{t:g}": rate for t, rate in result.success.items()}
        rows.append({"system": name, **rates, "AUC": result.auc, "count": result.count, "skipped": result.skipped})
    return pd.DataFrame(rows)


def _fixed_ciou(mask_RP: Tensor, truth_BYX: Tensor) -> Tensor:
    """``ciou_BR`` of the same flattened masks against every truth: ``localize.ciou`` as two matrix products."""
    truth_BP = truth_BYX.flatten(1).float()
    outside_BR = (truth_BP == 0).float() @ mask_RP.T
    return (truth_BP @ mask_RP.T) / (truth_BP.sum(1, keepdim=True) + outside_BR)


def _truth(frame: Frame, classes: Sequence[int], side: int) -> tuple[Tensor, Tensor]:
    """bool ``truth_1KYX`` and ``sounding_1K`` of one frame."""
    truth_1KYX = torch.zeros(1, len(classes), side, side, dtype=torch.bool)
    for category, mask_YX in frame.class_masks(side).items():
        if category not in classes:
            raise ValueError(f"{frame.key}: category {category} is annotated, but the maps are of {list(classes)}")
        truth_1KYX[0, list(classes).index(category)] = mask_YX
    sounding_K = torch.tensor([category in frame.categories for category in classes])
    return truth_1KYX, sounding_K[None]


def _truths(frame: Frame, truth: str, side: int) -> Tensor:
    """``truth_BYX``, one or (by class) several a frame."""
    if truth == "union":
        return frame.union(side)[None]
    if truth == "class":
        return torch.stack(list(frame.class_masks(side).values()))
    if truth == "consensus":
        return frame.consensus(side)[None]
    raise unknown("truth", truth, ("union", "class", "consensus"))


@dataclass(frozen=True)
class _Row:
    key: str
    boxes: list[Box]
    categories: list[int]
    size: tuple[int, int] | None = None


def _collect_keyed(
    path: Path | str, read: Callable[[tuple[str, Any]], _Row], classes: Mapping[int, str], strict: bool
) -> Annotations:
    rows = expect(read_json(path), dict, path, "an object of frames")
    return _collect(path, ((key, (key, row)) for key, row in rows.items()), read, classes, strict)


def _collect(
    path: Path | str,
    items: Iterable[tuple[str, Any]],
    read: Callable[[Any], _Row],
    classes: Mapping[int, str],
    strict: bool,
) -> Annotations:
    """Read every row; note what fails instead of stopping at the first."""
    rows, faults = attempted(items, read)
    if faults and strict:
        raise ValueError(f"{path}: {len(faults)} of {len(faults) + len(rows)} rows are unreadable: {shown(faults)}")
    frames, dropped = [], []
    for row in rows:
        kept = [(_clip(box), category) for box, category in zip(row.boxes, row.categories, strict=True)]
        dropped += [f"{row.key}: {box}" for box, (fitted, _) in zip(row.boxes, kept, strict=True) if not _area(fitted)]
        kept = [(box, category) for box, category in kept if _area(box)]
        frames.append(Frame(row.key, tuple(box for box, _ in kept), tuple(c for _, c in kept), row.size))
    skipped = [f"{label}: {error}" for label, error in faults]
    return Annotations(Path(path).name, tuple(frames), classes, tuple(dropped), tuple(skipped))


def _numbers(box: Any) -> Box:
    shown = reprlib.repr(box)
    if not isinstance(box, list) or len(box) != 4 or not all(type(x) in (int, float) for x in box):
        raise ValueError(f"{shown} is not four numbers")
    if not all(abs(x) < FAR for x in box):  # NaN neither; a whole number may have any length
        raise ValueError(f"{shown} is not finite, or beyond {FAR:g}")
    x1, y1, x2, y2 = (float(x) for x in box)
    return x1, y1, x2, y2


def _corners(normbox: Any) -> Box:
    x, y, width, height = _numbers(normbox)
    return x, y, x + width, y + height


def _xml_box(element: ElementTree.Element) -> Box:
    text = {child.tag: child.text for child in element}
    named = [text.get(tag) for tag in ("xmin", "ymin", "xmax", "ymax")]
    edges = named if None not in named else [child.text for child in element][-4:]
    x1, y1, x2, y2 = _numbers([float(edge or "nan") / FLICKR_GRID for edge in edges])
    return x1, y1, x2, y2


def _clip(box: Box) -> Box:
    x1, y1, x2, y2 = (min(max(edge, 0.0), 1.0) for edge in box)
    return x1, y1, x2, y2


def _area(box: Box) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
