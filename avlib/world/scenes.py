"""Latents of scene i: who, where, when, how loud, and what is wrong with it.

Every number is a hash of (seed, split, index, name of the latent), never a draw from a generator that remembers. So
scene i is the same in any batch, in any order and on any machine, and turning one dial leaves the other latents alone.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avlib.types import _Moves
from avlib.world import language
from avlib.world.packs import Pack
from avlib.world.presets import Preset

MOTIONS = ("pulse", "hop", "shake", "swing")
LEAD = 1.0
"""Phrases begin this long (s) before a clip and end this long after it: a shifted sound never starts from silence."""

Words = npt.NDArray[np.uint32]
_word = np.uint32


def _mix(h: Words) -> Words:
    """Murmur3's finaliser: every bit of the input changes half of the output's. Products wrap at 32 bits."""
    h = (h ^ (h >> _word(16))) * _word(0x85EBCA6B)
    h = (h ^ (h >> _word(13))) * _word(0xC2B2AE35)
    return h ^ (h >> _word(16))


@lru_cache(maxsize=256)
def _slots(name: str, count: int) -> Words:
    """Words that stand for a latent and its ``count`` places, (count,)."""
    return _mix(np.arange(count, dtype=_word) * _word(0x9E3779B1) + _word(zlib.crc32(name.encode())))


class Draws:
    """Uniform numbers in [0, 1) that depend on nothing but (seed, split, index, name).

    >>> u_BN = Draws(torch.tensor([7, 8]), seed=0, split="train")("side", 3)
    >>> u_BN.shape
    torch.Size([2, 3])
    """

    def __init__(self, index_B: Tensor, seed: int, split: str):
        stream = _word(zlib.crc32(f"{seed}/{split}".encode()))
        index = index_B.numpy()
        low, high = (index & 0xFFFFFFFF).astype(_word), (index >> 32 & 0xFFFFFFFF).astype(_word)
        self.key_B = _mix(_mix(low ^ stream) ^ high ^ _word(0x9E3779B9))

    def __call__(self, name: str, *shape: int) -> Tensor:
        h = _mix(_mix(self.key_B[:, None] ^ _slots(name, math.prod(shape))) + _word(0x7F4A7C15))
        return torch.from_numpy((h >> _word(8)).astype(np.float32) * np.float32(2.0**-24)).view(-1, *shape)

    def between(self, name: str, bounds: tuple[float, float], *shape: int) -> Tensor:
        """Uniform within ``bounds``."""
        return bounds[0] + (bounds[1] - bounds[0]) * self(name, *shape)

    def integer(self, name: str, bounds: tuple[int, int], *shape: int) -> Tensor:
        """Whole numbers, both bounds included."""
        return bounds[0] + (self(name, *shape) * (bounds[1] - bounds[0] + 1)).long()

    def order(self, name: str, count: int) -> Tensor:
        """A random order of ``count`` things for each clip."""
        return self(name, count).argsort(1)


@dataclass(frozen=True)
class Scene(_Moves):
    """What `render` needs to know. The last slot of N is the unseen source; slots paint in order.

    ``side``, ``x``, ``y`` are fractions of the frame, ``angle`` and ``tilt`` degrees, ``gain`` dB, times s.
    ``note_BNE`` are rows of the sound bank (of speech, where the preset speaks).
    ``chunk_BE`` is the caption, see `avlib.world.language`.
    """

    index_B: Tensor
    category_BN: Tensor
    visible_BN: Tensor
    sounding_BN: Tensor
    faulty_B: Tensor
    picture_BN: Tensor
    x_BN: Tensor
    y_BN: Tensor
    side_BN: Tensor
    angle_BN: Tensor
    flip_BN: Tensor
    motion_BN: Tensor
    phase_BN3: Tensor
    note_BNE: Tensor
    onset_BNE: Tensor
    gain_BN: Tensor
    shift_B: Tensor
    place_B: Tensor
    backdrop_B: Tensor
    crop_B3: Tensor
    plain_B: Tensor
    hue_B3: Tensor
    light_B: Tensor
    ambience_B: Tensor
    noise_B: Tensor
    chunk_BE: Tensor


class Rows:
    """Which rows of a bank belong to a label in a split, as a table that a draw can index.

    Raises ValueError when a label has none, naming it.
    """

    def __init__(self, label_M: Tensor, split_M: Tensor, split: int, names: tuple[str, ...], what: str):
        found = [((label_M == k) & (split_M == split)).nonzero().flatten() for k in range(len(names))]
        for name, rows in zip(names, found, strict=True):
            if len(rows) == 0:
                raise ValueError(f"the pack has no {what} for {name!r} in split {('train', 'val', 'test')[split]!r}")
        self.count_K = torch.tensor([len(rows) for rows in found])
        self.row_KM = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)

    def pick(self, label: Tensor, u: Tensor) -> Tensor:
        """A row for each label, chosen by ``u`` in [0, 1); the shapes of the two are the same."""
        return self.row_KM[label, (u * self.count_K[label]).long()]


SPLITS = ("train", "val", "test")


class Cast:
    """The rows of a pack that one split may use: pictures, notes, backdrops, ambience, faces and voices."""

    def __init__(self, pack: Pack, split: str):
        s = SPLITS.index(split)
        self.pictures = Rows(pack.picture_label_M, pack.picture_split_M, s, pack.classes, "picture")
        self.sounds = Rows(pack.sounds.label_M, pack.sounds.split_M, s, pack.classes, "sound")
        self.backdrops = Rows(pack.backdrop_label_M, pack.backdrop_split_M, s, pack.places, "backdrop")
        self.ambience = self._optional(pack.ambience.label_M, pack.ambience.split_M, s, pack.places, "ambience")
        zeros = torch.zeros_like(pack.faces_split_M)
        self.faces = self._optional(zeros, pack.faces_split_M, s, ("face",), "face")
        self.phrases = self._optional(pack.speech.label_M, pack.speech.split_M, s, pack.phrases, "speech")

    @staticmethod
    def _optional(label_M: Tensor, split_M: Tensor, split: int, names: tuple[str, ...], what: str) -> Rows | None:
        return Rows(label_M, split_M, split, names, what) if len(label_M) and names else None

    def need(self, what: str) -> Rows:
        """The rows of an optional part; ValueError where the pack has none."""
        rows: Rows | None = getattr(self, what)
        if rows is None:
            raise ValueError(f"this pack has no {what}: choose a preset that needs none, or another pack")
        return rows


def _categories(draws: Draws, dials: Preset, count: int, slots: int) -> Tensor:
    """Classes of the slots: Zipf weights, without repetition (the unseen source differs too) unless ``twins``."""
    available = min(dials.classes or count, count)
    if available < slots:
        raise ValueError(f"{slots - 1} things and an unseen one need {slots} classes; classes={available}")
    weight_BK = (1.0 / (torch.arange(available) + 1.0) ** dials.zipf).double().repeat(len(draws.key_B), 1)
    u_BN = draws("category", slots).double()
    chosen = []
    for n in range(slots):
        total_BK = weight_BK.cumsum(1)
        pick_B = (total_BK < u_BN[:, n, None] * total_BK[:, -1:]).sum(1).clamp(max=available - 1)
        chosen.append(pick_B)
        weight_BK = weight_BK.scatter(1, pick_B[:, None], 0.0)
    category_BN = torch.stack(chosen, 1)
    if dials.twins:
        category_BN[:, : slots - 1] = category_BN[:, :1]
    return category_BN


def _positions(draws: Draws, dials: Preset, things: int) -> tuple[Tensor, Tensor, Tensor]:
    """Centres and sides: one thing stands anywhere, several in different quarters (or halves) of the picture."""
    side_BN = draws.between("side", dials.side, things)
    half_BN = side_BN / 2
    u_BN, v_BN = draws("x", things), draws("y", things)
    if things == 1:
        low_BN, high_BN = half_BN + 0.02, 1 - half_BN - 0.02
        return low_BN + (high_BN - low_BN) * u_BN, low_BN + (high_BN - low_BN) * v_BN, side_BN
    cell_BN = draws.order("cell", 4)[:, :things]
    column_BN, row_BN = (cell_BN % 2).float(), (cell_BN // 2).float()
    x_BN = 0.27 + 0.46 * column_BN + 0.14 * (u_BN - 0.5)
    y_BN = 0.27 + 0.46 * row_BN + 0.14 * (v_BN - 0.5)
    return x_BN, y_BN, side_BN


def _onsets(draws: Draws, dials: Preset, slots: int, seconds: float) -> Tensor:
    """When notes begin (s), from LEAD before the clip to LEAD after it; one always falls into its first 0.35 s."""
    ahead = int((seconds + LEAD) * dials.tempo[1]) + 1
    behind = int(LEAD * dials.tempo[1]) + 1
    tempo_BN1 = draws.between("tempo", dials.tempo, slots, 1)
    gap_BNE = (0.6 + 0.8 * draws("gap", slots, ahead + behind)) / tempo_BN1
    anchor_BN1 = 0.35 * draws("anchor", slots, 1)
    after_BNE = anchor_BN1 + gap_BNE[..., :ahead].cumsum(2)
    before_BNE = anchor_BN1 - gap_BNE[..., ahead:].cumsum(2)
    onset_BNE = torch.cat([before_BNE.flip(2), anchor_BN1, after_BNE], 2)
    return onset_BNE.masked_fill((onset_BNE < -LEAD) | (onset_BNE > seconds + LEAD), float("nan"))


def _who_sounds(draws: Draws, dials: Preset, things: int) -> tuple[Tensor, Tensor]:
    """Which slots are there and which are heard; any slot may be the one that sounds."""
    present_B1 = draws.integer("things", dials.things)[:, None]
    visible_BN = torch.arange(things)[None, :] < present_B1
    rank_BN = draws("rank", things).masked_fill(~visible_BN, 2.0).argsort(1).argsort(1)
    heard_B1 = draws.integer("sounding", dials.sounding)[:, None]
    return visible_BN, (rank_BN < heard_B1) & visible_BN


def _notes(
    draws: Draws, dials: Preset, pack: Pack, cast: Cast, category_BN: Tensor, chunk_BE: Tensor, seconds: float
) -> tuple[Tensor, Tensor]:
    """Rows of the sound bank (or of speech) for each note of each slot, and when they begin (s)."""
    slots = category_BN.shape[1]
    if dials.speech:
        return language.speak(draws, pack, cast.need("phrases").row_KM, chunk_BE, slots)
    if dials.faces:
        return language.talk(draws, pack, cast.need("phrases").row_KM, slots, seconds, LEAD)
    onset_BNE = _onsets(draws, dials, slots, seconds)
    u_BNE = draws("note", *onset_BNE.shape[1:])
    return cast.sounds.pick(category_BN[..., None].expand_as(u_BNE), u_BNE), onset_BNE


def _flaws(draws: Draws, dials: Preset, sounding_BN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sounds from outside the picture, dubbing, and a shift in time (s)."""
    faulty_B = draws("voiceover") < dials.voiceover
    unseen_B = (draws("offscreen") < dials.offscreen) | faulty_B | dials.speech
    sounding_BN = torch.cat([sounding_BN & ~faulty_B[:, None], unseen_B[:, None]], 1)
    size_B = draws.between("shift", (dials.shift_from, dials.shift))
    return sounding_BN, faulty_B, torch.where(draws("late") < 0.5, size_B, -size_B)


def draw(pack: Pack, cast: Cast, dials: Preset, split: str, seed: int, index_B: Tensor, seconds: float) -> Scene:
    """The latents of the scenes ``index_B`` (int64): a pure function of pack, dials, split, seed and index."""
    draws = Draws(index_B, seed, split)
    things = dials.things[1]
    slots = things + 1
    category_BN = _categories(draws, dials, len(pack.classes), slots)
    visible_BN, heard_BN = _who_sounds(draws, dials, things)
    sounding_BN, faulty_B, shift_B = _flaws(draws, dials, heard_BN)
    hidden_B1 = torch.zeros(len(index_B), 1, dtype=torch.bool)
    visible_BN = torch.cat([visible_BN, hidden_B1], 1)
    x_BN, y_BN, side_BN = _positions(draws, dials, things)
    u_BN = draws("picture", things)
    if dials.faces:
        picture_BN = cast.need("faces").row_KM[0][
            draws.order("picture", int(cast.need("faces").count_K[0]))[:, :things]
        ]
        category_BN = torch.full_like(category_BN, len(pack.classes))
    else:
        picture_BN = cast.pictures.pick(category_BN[:, :things], u_BN)
    place_B, plain_B = draws.integer("place", (0, len(pack.places) - 1)), draws("plain") >= dials.backdrop
    colour_BN = torch.full_like(picture_BN, -1)
    chunk_BE = language.compose(
        draws, pack, category_BN[:, :things], visible_BN[:, :things], colour_BN, place_B, plain_B
    )
    note_BNE, onset_BNE = _notes(draws, dials, pack, cast, category_BN, chunk_BE, seconds)
    far = torch.full((len(index_B),), -200.0)
    return Scene(
        index_B=index_B, category_BN=category_BN, visible_BN=visible_BN, sounding_BN=sounding_BN, faulty_B=faulty_B,
        picture_BN=picture_BN, x_BN=x_BN, y_BN=y_BN, side_BN=side_BN,
        angle_BN=draws.between("angle", (-dials.tilt, dials.tilt), things),
        flip_BN=draws("flip", things) < 0.5,
        motion_BN=draws.integer("motion", (0, len(MOTIONS) - 1), things),
        phase_BN3=draws("phase", things, 3),
        note_BNE=note_BNE, onset_BNE=onset_BNE, gain_BN=draws.between("gain", dials.gain, slots), shift_B=shift_B,
        place_B=place_B, backdrop_B=cast.backdrops.pick(place_B, draws("backdrop")), crop_B3=draws("crop", 3),
        plain_B=plain_B, hue_B3=0.35 + 0.5 * draws("hue", 3),
        light_B=draws.between("light", dials.light),
        ambience_B=far if dials.ambience is None else dials.ambience + draws.between("ambience", (-3, 3)),
        noise_B=far if dials.noise is None else dials.noise + draws.between("noise", (-3, 3)),
        chunk_BE=chunk_BE,
    )  # fmt: skip
