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
from avlib.world import colours, language
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

    ``side``, ``x``, ``y`` are fractions of the frame, ``angle`` degrees, ``gain``, ``ambience`` and ``noise`` dB, times
    s, ``tempo`` notes/s, ``hue`` a fraction of a turn, ``warp`` log of width over height and shear. ``note_BNE`` are
    rows of the sound bank (of speech, where the preset speaks), ``recording_B`` of the ambience; ``turn_B`` and
    ``hiss_B`` say where in the recording and in the noise a clip begins, 0…1; ``chunk_BE`` is the caption, in chunks of
    `avlib.world.language`.
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
    hue_BN: Tensor
    colour_BN: Tensor
    warp_BN2: Tensor
    motion_BN: Tensor
    phase_BN3: Tensor
    note_BNE: Tensor
    onset_BNE: Tensor
    tempo_BN: Tensor
    gain_BN: Tensor
    shift_B: Tensor
    chunk_BE: Tensor
    place_B: Tensor
    backdrop_B: Tensor
    crop_B2: Tensor
    mirror_B: Tensor
    plain_B: Tensor
    wall_B3: Tensor
    light_B: Tensor
    ambience_B: Tensor
    recording_B: Tensor
    turn_B: Tensor
    noise_B: Tensor
    hiss_B: Tensor


class Rows:
    """Which rows of a bank belong to a label in a split, as a table that a draw can index.

    Raises ValueError when a label has none, naming it.
    """

    def __init__(self, label_M: Tensor, split_M: Tensor, split: int, names: tuple[str, ...], what: str):
        found = [((label_M == k) & (split_M == split)).nonzero().flatten() for k in range(len(names))]
        for name, rows in zip(names, found, strict=True):
            if len(rows) == 0:
                raise ValueError(f"the pack has no {what} for {name!r} in split {('train', 'val', 'test')[split]!r}")
        self.every = [row for rows in found for row in rows.tolist()]
        self.count_K = torch.tensor([len(rows) for rows in found])
        self.row_KM = torch.nn.utils.rnn.pad_sequence(found, batch_first=True)

    def pick(self, label: Tensor, u: Tensor) -> Tensor:
        """A row for each label, chosen by ``u`` in [0, 1); the shapes of the two are the same."""
        return self.row_KM[label, (u * self.count_K[label]).long()]


SPLITS = ("train", "val", "test")


def _forms(drawing_M: Tensor, form_M: Tensor) -> Tensor:
    """The rows of each picture's silhouette and of its outline, its own where there is none, (M, 2)."""
    drawings = drawing_M.tolist()
    row = {key: m for m, key in enumerate(zip(drawings, form_M.tolist(), strict=True))}
    found = [[row.get((drawing, form), m) for form in (1, 2)] for m, drawing in enumerate(drawings)]
    return torch.tensor(found, dtype=torch.int64).view(-1, 2)


class Cast:
    """The rows of a pack that a split may use: pictures, notes, backdrops, ambience, faces and voices.

    Args:
        hands, voices: whose drawings and voices, see `Preset`: ``"own"``, ``"known"`` or ``"new"``.
    """

    def __init__(self, pack: Pack, split: str, hands: str = "own", voices: str = "own"):
        s = SPLITS.index(split)
        whose = {"own": s, "known": SPLITS.index("train"), "new": SPLITS.index("test")}
        # a picture is chosen as it was drawn first, in which form it is shown afterwards
        drawn_M = pack.picture_label_M.where(pack.picture_form_M == 0, -1)
        self.pictures = Rows(drawn_M, pack.picture_split_M, whose[hands], pack.classes, "picture")
        self.form_M2 = _forms(pack.picture_drawing_M, pack.picture_form_M)
        self.sounds = Rows(pack.sounds.label_M, pack.sounds.split_M, s, pack.classes, "sound")
        self.backdrops = Rows(pack.backdrop_label_M, pack.backdrop_split_M, s, pack.places, "backdrop")
        self.ambience = self._optional(pack.ambience.label_M, pack.ambience.split_M, s, pack.places, "ambience")
        zeros = torch.zeros_like(pack.faces_split_M)
        self.faces = self._optional(zeros, pack.faces_split_M, whose[hands], ("face",), "face")
        self.phrases = self._optional(pack.speech.label_M, pack.speech.split_M, whose[voices], pack.phrases, "speech")

    def shown(self, dials: Preset) -> tuple[int, ...]:
        """Every picture (or head, where the preset has them) that a scene may show: rows of the pack."""
        if dials.faces:
            return tuple(self.need("faces").every)
        rows = self.pictures.every
        forms = self.form_M2[rows].flatten().tolist() if dials.forms else []
        return tuple(dict.fromkeys((*rows, *forms)))

    @staticmethod
    def _optional(label_M: Tensor, split_M: Tensor, split: int, names: tuple[str, ...], what: str) -> Rows | None:
        return Rows(label_M, split_M, split, names, what) if len(label_M) and names else None

    def need(self, what: str) -> Rows:
        """The rows of an optional part; ValueError where the pack has none."""
        rows: Rows | None = getattr(self, what)
        if rows is None:
            raise ValueError(f"this pack has no {what}: choose a preset that needs none, or another pack")
        return rows


def class_order(count: int, seed: int) -> Tensor:
    """In which order the dials ``classes``, ``zipf``, ``mute`` and ``companion`` count a pack's classes, (K,)."""
    return Draws(torch.tensor([0]), seed, "classes").order("class", count)[0] if seed else torch.arange(count)


def _available(dials: Preset, count: int) -> int:
    """How many classes take part; ValueError where they are too few for the things and an unseen source."""
    available = min(dials.classes or count, count)
    needed = (3 if dials.companion else 1) * dials.things[1] + 1
    if available - dials.mute < needed:
        what = f"{dials.things[1]} things{' with companions' * dials.companion} and an unseen one"
        raise ValueError(f"{what} need {needed} classes that sound; classes={available}, mute={dials.mute}")
    return available


def _categories(draws: Draws, dials: Preset, available: int) -> Tensor:
    """Classes of the things and of the unseen source, none twice: Zipf weights; ``twins`` are all of one class."""
    slots = dials.things[1] + 1
    weight_BK = (1.0 / (torch.arange(available).double() + 1.0) ** dials.zipf).repeat(len(draws.key_B), 1)
    u_BN = draws("category", slots).double()
    chosen = []
    for n in range(slots):
        if n == slots - 1:
            weight_BK[:, available - dials.mute :] = 0.0
        total_BK = weight_BK.cumsum(1)
        pick_B = (total_BK < u_BN[:, n, None] * total_BK[:, -1:]).sum(1).clamp(max=available - 1)
        chosen.append(pick_B)
        taken_B3 = pick_B[:, None] + torch.tensor([0, 1, -1] if dials.companion else [0])
        weight_BK = weight_BK.scatter(1, taken_B3 % available, 0.0)
    category_BN = torch.stack(chosen, 1)
    if dials.twins:
        category_BN[:, : slots - 1] = category_BN[:, :1]
    return category_BN


def _accompany(
    draws: Draws, category_BN: Tensor, visible_BN: Tensor, heard_BN: Tensor, available: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Beside each thing a silent one of the class that follows its own, before or behind it."""
    lead_BN = category_BN[:, :-1]
    first_BN = draws("companion", lead_BN.shape[1]) < 0.5
    leads_BN2 = torch.stack([first_BN, ~first_BN], 2)
    pair_BN2 = torch.where(leads_BN2, lead_BN[..., None], (lead_BN[..., None] + 1) % available)
    category_BN = torch.cat([pair_BN2.flatten(1), category_BN[:, -1:]], 1)
    return category_BN, visible_BN.repeat_interleave(2, 1), (leads_BN2 & heard_BN[..., None]).flatten(1)


def _positions(draws: Draws, dials: Preset, things: int) -> tuple[Tensor, Tensor, Tensor]:
    """Centres and sides: one thing stands anywhere, several in different quarters (or halves) of the picture."""
    side_BN = draws.between("side", dials.side, things)
    u_BN, v_BN = draws("x", things), draws("y", things)
    # so far from the frame's edges that no drift leads across them
    low_BN = (side_BN / 2 + dials.drift + 0.02 * (things == 1)).clamp(max=0.5)
    if things == 1:
        return low_BN + (1 - 2 * low_BN) * u_BN, low_BN + (1 - 2 * low_BN) * v_BN, side_BN
    cell_BN = draws.order("cell", 4)[:, :things]
    column_BN, row_BN = (cell_BN % 2).float(), (cell_BN // 2).float()
    x_BN = 0.27 + 0.46 * column_BN + 0.14 * (u_BN - 0.5)
    y_BN = 0.27 + 0.46 * row_BN + 0.14 * (v_BN - 0.5)
    return x_BN.clamp(low_BN, 1 - low_BN), y_BN.clamp(low_BN, 1 - low_BN), side_BN


def _onsets(draws: Draws, dials: Preset, slots: int, seconds: float) -> tuple[Tensor, Tensor]:
    """When notes begin (s), from LEAD before the clip to LEAD after it, and the tempo they keep (notes/s)."""
    fastest = 1.15 * dials.tempo[1]
    ahead = math.ceil((seconds + LEAD + dials.onset_from) * fastest) + 1
    behind = math.ceil(max(LEAD - dials.onset_from, 0.0) * fastest) + 1
    tempo_BN1 = draws.between("tempo", dials.tempo, slots, 1)
    gap_BNE = (0.6 + 0.8 * draws("gap", slots, ahead + behind)) / tempo_BN1
    anchor_BN1 = 0.35 * draws("anchor", slots, 1) - dials.onset_from
    if dials.steady:
        tempo_BN1 = torch.full_like(tempo_BN1, sum(dials.tempo) / 2)
        gap_BNE, anchor_BN1 = (1 / tempo_BN1).expand_as(gap_BNE), anchor_BN1[:, :1].expand_as(anchor_BN1)
    after_BNE = anchor_BN1 + gap_BNE[..., :ahead].cumsum(2)
    before_BNE = anchor_BN1 - gap_BNE[..., ahead:].cumsum(2)
    onset_BNE = torch.cat([before_BNE.flip(2), anchor_BN1, after_BNE], 2)
    outside_BNE = (onset_BNE < -LEAD) | (onset_BNE > seconds + LEAD)
    return onset_BNE.masked_fill(outside_BNE, float("nan")), tempo_BN1[..., 0]


def _who_sounds(draws: Draws, dials: Preset, things: int) -> tuple[Tensor, Tensor]:
    """Which slots are there and which are heard; any slot may be the one that sounds."""
    present_B1 = draws.integer("things", dials.things)[:, None]
    visible_BN = torch.arange(things)[None, :] < present_B1
    rank_BN = draws("rank", things).masked_fill(~visible_BN, 2.0).argsort(1).argsort(1)
    heard_B1 = draws.integer("sounding", dials.sounding)[:, None]
    return visible_BN, (rank_BN < heard_B1) & visible_BN


def _flaws(draws: Draws, dials: Preset, sounding_BN: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sounds from outside the picture, dubbing, and a shift in time (s)."""
    faulty_B = draws("voiceover") < dials.voiceover
    unseen_B = (draws("offscreen") < dials.offscreen) | faulty_B | dials.speech
    sounding_BN = torch.cat([sounding_BN & ~faulty_B[:, None], unseen_B[:, None]], 1)
    size_B = draws.between("shift", (dials.shift_from, dials.shift))
    return sounding_BN, faulty_B, torch.where(draws("late") < 0.5, size_B, -size_B)


def _pictures(draws: Draws, dials: Preset, cast: Cast, category_BN: Tensor) -> Tensor:
    """Rows of the pictures of things (of heads, where they talk): the drawing first, then its form."""
    things = category_BN.shape[1]
    if dials.faces:
        heads = cast.need("faces")
        count = int(heads.count_K[0])
        return heads.row_KM[0][draws.order("picture", count)[:, torch.arange(things) % count]]
    picture_BN = cast.pictures.pick(category_BN, draws("picture", things))
    form_BN1 = (2 * draws("form", things)).long()[..., None]
    other_BN = cast.form_M2[picture_BN].gather(2, form_BN1)[..., 0]
    return torch.where(draws("formed", things) < dials.forms, other_BN, picture_BN)


def _who(draws: Draws, dials: Preset, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Class, presence and sounding of each slot, the unseen source last; dubbed or not, and the shift in time."""
    available = _available(dials, count)
    category_BN = _categories(draws, dials, available)
    visible_BN, heard_BN = _who_sounds(draws, dials, dials.things[1])
    if dials.companion:
        category_BN, visible_BN, heard_BN = _accompany(draws, category_BN, visible_BN, heard_BN, available)
    heard_BN = heard_BN & (category_BN[:, :-1] < available - dials.mute)
    sounding_BN, faulty_B, shift_B = _flaws(draws, dials, heard_BN)
    visible_BN = torch.cat([visible_BN, torch.zeros_like(visible_BN[:, :1])], 1)
    return class_order(count, dials.class_seed)[category_BN], visible_BN, sounding_BN, faulty_B, shift_B


def _sounds(
    draws: Draws, dials: Preset, pack: Pack, cast: Cast, category_BN: Tensor, chunk_BE: Tensor, seconds: float
) -> tuple[Tensor, Tensor, Tensor]:
    """What each slot plays or says (rows of a bank), when (s), and at which tempo (notes/s)."""
    slots = category_BN.shape[1]
    onset_BNE, tempo_BN = _onsets(draws, dials, slots, seconds)
    if dials.faces:
        note_BNE, onset_BNE = language.talk(draws, pack, cast.need("phrases").row_KM, slots, seconds, LEAD)
    elif dials.speech:
        note_BNE, onset_BNE = language.speak(draws, pack, cast.need("phrases").row_KM, chunk_BE, slots)
    else:
        u_BNE = draws("note", slots, onset_BNE.shape[2])
        note_BNE = cast.sounds.pick(category_BN[..., None].expand_as(u_BNE), u_BNE)
    return note_BNE, onset_BNE, tempo_BN


def _background(draws: Draws, dials: Preset, pack: Pack, cast: Cast) -> dict[str, Tensor]:
    """What is behind the things, to see and to hear. Each latent is a draw of its own, so none gives away another."""
    place_B = draws.integer("place", (0, len(pack.places) - 1))
    off_B = torch.full_like(draws("light"), -200.0)
    quiet = dials.ambience is None
    return {
        "place_B": place_B,
        "backdrop_B": cast.backdrops.pick(place_B, draws("backdrop")),
        "crop_B2": draws("crop", 2),
        "mirror_B": draws("mirror") < 0.5,
        "plain_B": draws("plain") >= dials.backdrop,
        "wall_B3": 0.35 + 0.5 * draws("wall", 3),
        "light_B": draws.between("light", dials.light),
        "ambience_B": off_B if dials.ambience is None else dials.ambience + draws.between("ambience", (-3, 3)),
        "recording_B": -torch.ones_like(place_B) if quiet else cast.need("ambience").pick(place_B, draws("recording")),
        "turn_B": draws("turn"),
        "noise_B": off_B if dials.noise is None else dials.noise + draws.between("noise", (-3, 3)),
        "hiss_B": draws("hiss"),
    }


def draw(pack: Pack, cast: Cast, dials: Preset, split: str, seed: int, index_B: Tensor, seconds: float) -> Scene:
    """The latents of the scenes ``index_B`` (int64): a pure function of pack, dials, split, seed and index."""
    draws = Draws(index_B, seed, split)
    things = dials.slots
    category_BN, visible_BN, sounding_BN, faulty_B, shift_B = _who(draws, dials, len(pack.classes))
    picture_BN = _pictures(draws, dials, cast, category_BN[:, :things])
    hue_BN = dials.hue * draws("hue", things)
    if dials.faces:
        category_BN = torch.full_like(category_BN, len(pack.classes))
        colour_BN = torch.full_like(picture_BN, -1)
    else:
        colour_BN = colours.index_of(pack.picture_hue_M[picture_BN] + hue_BN, pack.picture_chroma_M[picture_BN])
    x_BN, y_BN, side_BN = _positions(draws, dials, things)
    behind = _background(draws, dials, pack, cast)
    chunk_BE = language.compose(
        draws, pack, category_BN[:, :things], visible_BN[:, :things], colour_BN, behind["place_B"], behind["plain_B"]
    )
    note_BNE, onset_BNE, tempo_BN = _sounds(draws, dials, pack, cast, category_BN, chunk_BE, seconds)
    return Scene(
        index_B=index_B, category_BN=category_BN, visible_BN=visible_BN, sounding_BN=sounding_BN, faulty_B=faulty_B,
        picture_BN=picture_BN, x_BN=x_BN, y_BN=y_BN, side_BN=side_BN,
        angle_BN=draws.between("angle", (-dials.tilt, dials.tilt), things),
        flip_BN=draws("flip", things) < 0.5,
        hue_BN=hue_BN, colour_BN=colour_BN, warp_BN2=draws.between("warp", (-dials.warp, dials.warp), things, 2),
        motion_BN=draws.integer("motion", (0, len(MOTIONS) - 1), things), phase_BN3=draws("phase", things, 3),
        note_BNE=note_BNE, onset_BNE=onset_BNE, tempo_BN=tempo_BN,
        gain_BN=draws.between("gain", dials.gain, things + 1), shift_B=shift_B, chunk_BE=chunk_BE,
        **behind,
    )  # fmt: skip
