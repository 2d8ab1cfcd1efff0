"""The default pack, made of what installed packages bring: drawings, recorded notes, photographs, synthetic voices."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from avlib.world import drawings, language, sounds, speech
from avlib.world.packs import BACKDROP, PICTURE, Pack, Picture, SoundBank, bank, pictures, shown
from avlib.world.sounds import Voice

COUNTS = (60, 15, 25)
"""Recordings of a class in train, val and test."""


class Thing(NamedTuple):
    """Its drawings (``"hand:codes"``), the families it belongs to, outermost first, and how it sounds."""

    drawings: tuple[str, ...]
    families: tuple[str, ...]
    voice: Voice


_e = drawings.emojis
_WIND, _KEYS, _STRINGS, _STRUCK = (("instrument", kind) for kind in ("wind", "keys", "strings", "percussion"))
# fmt: off
THINGS: dict[str, Thing] = {
    "trumpet": Thing((*_e("1F3BA"), "material:F1096"), _WIND, Voice((56,), 55, 82)),
    "violin": Thing((*_e("1F3BB"), "material:F060F"), _STRINGS, Voice((40,), 57, 88)),
    "guitar": Thing(
        (*_e("1F3B8"), "material:F0771", "material:F02C4", "fontawesome:F7A6", "lucide:E564"),
        _STRINGS, Voice((29, 30), 40, 69),
    ),
    "banjo": Thing(_e("1FA95"), _STRINGS, Voice((105,), 52, 79, decay=0.4)),
    "piano": Thing(
        (*_e("1F3B9"), "material:F067D", "lucide:E566", "lucide:E565"), _KEYS, Voice((0, 1), 40, 86, decay=0.8),
    ),
    "saxophone": Thing((*_e("1F3B7"), "material:F0609"), _WIND, Voice((65, 66), 46, 74)),
    "accordion": Thing(_e("1FA97"), _KEYS, Voice((21,), 53, 82)),
    "flute": Thing(_e("1FA88"), _WIND, Voice((73,), 64, 92)),
    "horn": Thing((*_e("1F4EF"), "material:F0DB4"), _WIND, Voice((60,), 40, 72)),
    "drum": Thing(
        (*_e("1F941", "1FA98"), "fontawesome:F569", "lucide:E562"),
        _STRUCK, Voice((0, 16, 40), -4, 4, keys=(36, 38, 40, 41, 45, 48)),
    ),
    "maracas": Thing(_e("1FA87"), _STRUCK, Voice((0,), -5, 5, keys=(69, 70, 82), strokes=3)),
    "bell": Thing(
        (*_e("1F514", "1F6CE"), "material:F009A", "fontawesome:F562", "lucide:E05D"),
        _STRUCK, Voice((14,), 58, 84, decay=0.8),
    ),
    "church": Thing(
        (*_e("26EA"), "material:F0144", "fontawesome:F51D", "lucide:E3E5"), ("building",), Voice((19,), 43, 76),
    ),
    "bird": Thing(
        (*_e("1F426", "1F54A"), "material:F15C6", "fontawesome:F520", "lucide:E3C9"),
        ("animal", "bird"), Voice((123,), 36, 47, steady=True),
    ),
    "telephone": Thing(
        (*_e("260E", "1F4DE"), "material:F0602", "fontawesome:F095"),
        ("machine", "household"), Voice((124,), 82, 93, steady=True),
    ),
    "helicopter": Thing(
        (*_e("1F681"), "material:F0AC2", "fontawesome:F533"), ("machine", "vehicle"),
        Voice((125,), 8, 108, steady=True),
    ),
    "clapping": Thing((*_e("1F44F"), "fontawesome:E1A8"), ("human",), Voice((126,), 8, 108, steady=True)),
    "sea": Thing(
        (*_e("1F30A"), "material:F1A81", "fontawesome:F773"), ("nature", "water"), Voice((122,), 66, 86, steady=True),
    ),
    "clock": Thing(
        (*_e("23F0", "1F570"), "fontawesome:F017", "lucide:E03A"),
        ("machine", "household"), Voice((0,), -5, 5, keys=(33, 75, 76, 77), strokes=2),
    ),
    "game": Thing(
        (*_e("1F47E", "1F3AE"), "material:F0BC9", "fontawesome:F11B", "lucide:E0E3"),
        ("machine", "toy"), Voice((80,), 52, 90),
    ),
}
# fmt: on

# drawing: (where its mouth is, percent of its side; split)
HEADS = {
    "openmoji:1F636": ((50, 70), 0), "twemoji:1F466-1F3FD": ((50, 77), 0), "twemoji:1F475": ((50, 77), 0),
    "noto:1F467": ((50, 66), 0), "noto:1F9D1": ((50, 66), 0), "twemoji:1F934-1F3FC": ((50, 77), 0),
    "openmoji:1F472": ((50, 75), 0),
    "twemoji:1F636": ((50, 70), 1), "noto:1F469": ((50, 66), 1), "twemoji:1F471": ((50, 77), 1),
    "noto:1F636": ((50, 70), 2), "twemoji:1F469-1F3FE": ((50, 77), 2), "noto:1F934": ((50, 70), 2),
    "twemoji:1F474": ((50, 77), 2),
}  # fmt: skip
_SKINS = ((0.98, 0.86, 0.45), (0.87, 0.67, 0.44), (0.66, 0.45, 0.3))
"""Colours (RGB) of the heads of which a hand draws only lines."""

# place: (photograph inside scikit-image or scikit-learn, what one hears there)
PLACES = {
    "temple": ("sklearn:china.jpg", "stream"),
    "garden": ("sklearn:flower.jpg", "crickets"),
    "café": ("skimage:coffee.png", "murmur"),
    "workshop": ("skimage:motorcycle_left.png", "hum"),
    "lawn": ("skimage:grass.png", "wind"),
    "path": ("skimage:gravel.png", "crackle"),
    "wall": ("skimage:brick.png", "rain"),
    "launch pad": ("skimage:rocket.jpg", "rumble"),
}
_EVEN = ((0.0, 0.0, 1.0, 0.55), (0.0, 0.57, 0.4, 1.0), (0.42, 0.57, 1.0, 1.0))
REGIONS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "temple": ((0.03, 0.0, 0.62, 0.53), (0.0, 0.55, 0.26, 1.0), (0.27, 0.55, 0.62, 1.0)),
    "garden": ((0.0, 0.0, 0.5, 1.0), (0.51, 0.76, 0.8, 1.0), (0.51, 0.0, 1.0, 0.75)),
    "café": ((0.0, 0.0, 0.49, 1.0), (0.5, 0.64, 1.0, 1.0), (0.5, 0.0, 1.0, 0.62)),
    "workshop": ((0.0, 0.0, 0.5, 1.0), (0.52, 0.0, 1.0, 0.4), (0.52, 0.42, 1.0, 1.0)),
    "lawn": _EVEN,
    "path": _EVEN,
    "wall": _EVEN,
    "launch pad": ((0.0, 0.1, 0.47, 1.0), (0.48, 0.7, 1.0, 1.0), (0.48, 0.1, 1.0, 0.68)),
}
"""Parts of each photograph (left, top, right, bottom) that train, val and test show: apart, yet all show the place."""
_TINT = {"lawn": (0.55, 1.0, 0.42), "path": (1.0, 0.93, 0.8), "wall": (1.0, 0.62, 0.5)}
"""Three of the photographs are grey; a tint makes them what they show."""

LICENCES = (
    *drawings.licences(name for thing in THINGS.values() for name in thing.drawings),
    sounds.LICENCE,
    speech.LICENCE,
    "Photographs shipped with scikit-image: brick and gravel (CC0, cc0textures.com), grass (CC0, linolafett), coffee "
    "(CC0, Rachel Michetti), rocket (public domain, SpaceX), motorcycle (D. Scharstein et al., Middlebury stereo "
    "benchmark 2014)",
    "Photographs shipped with scikit-learn: china and flower (CC BY 2.0, danielbuechele and vultilion, flickr.com)",
)


def drawn(names: Sequence[Sequence[str]]) -> dict[str, Any]:
    """All ``picture_…`` fields of a pack and its ``hands``, from the drawings of each class, held out by drawing."""
    number = {name: n for n, name in enumerate(dict.fromkeys(chain.from_iterable(names)))}
    rows = [
        Picture(image, label, split, number[name], form, drawings.hand_of(name))
        for label, held in enumerate(drawings.hold_out(names))
        for name, split in held
        for form, image in drawings.sheet(name, PICTURE).items()
    ]
    return {"hands": tuple(drawings.HANDS), **shown(rows)}


def recordings() -> SoundBank:
    """Notes and effects of every thing."""
    rows = []
    for label, (name, thing) in enumerate(THINGS.items()):
        generator = np.random.default_rng([7, *name.encode()])
        rows += [(wave, label, split) for wave, split in sounds.notes(thing.voice, COUNTS, generator)]
    return bank(rows)


def _photograph(source: str) -> Image.Image:
    """A photograph inside an installed package, which need not be imported for it."""
    package, file = source.split(":")
    name, folder = {"sklearn": ("sklearn", "datasets/images"), "skimage": ("skimage", "data")}[package]
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the photograph {file} comes with {name}, which is not installed")
    return Image.open(Path(spec.origin).parent / folder / file)


@lru_cache(maxsize=1)
def backdrops() -> tuple[tuple[str, ...], Tensor, Tensor, Tensor]:
    """places, backdrop_MCHW, label_M, split_M: square crops of the photographs, each split from a region of its own."""
    rows = []
    for label, (place, (source, _)) in enumerate(PLACES.items()):
        image = _photograph(source).convert("RGB")
        generator = np.random.default_rng([11, label])
        for split, (region, count) in enumerate(zip(REGIONS[place], (6, 2, 3), strict=True)):
            for _ in range(count):
                crop = np.asarray(_crop(image, region, generator), np.float64) * np.array(_TINT.get(place, (1, 1, 1)))
                rows.append((np.clip(crop, 0, 255).astype(np.uint8), label, split))
    return tuple(PLACES), *pictures(rows, 3, BACKDROP)


def _crop(image: Image.Image, region: tuple[float, ...], generator: np.random.Generator) -> Image.Image:
    """A square within the region, of 70 to 100 % of its shorter side, one in two mirrored."""
    left, top, right, bottom = (round(f * s) for f, s in zip(region, image.size * 2, strict=True))
    side = int(generator.uniform(0.7, 1.0) * min(right - left, bottom - top))
    x, y = int(generator.integers(left, right - side + 1)), int(generator.integers(top, bottom - side + 1))
    crop = image.crop((x, y, x + side, y + side)).resize((BACKDROP, BACKDROP), Image.Resampling.LANCZOS)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if generator.integers(2) else crop


@lru_cache(maxsize=1)
def ambience() -> tuple[tuple[str, ...], SoundBank]:
    """places, and what one hears there: (3, 1, 2) recordings a place in train, val and test."""
    rows = []
    for label, (_, kind) in enumerate(PLACES.values()):
        for split, count in enumerate((3, 1, 2)):
            for n in range(count):
                rows.append((sounds.texture(kind, np.random.default_rng([13, label, split, n])), label, split))
    return tuple(PLACES), bank(rows)


@lru_cache(maxsize=1)
def faces() -> dict[str, Any]:
    """All ``faces_…`` fields of a pack: heads without a mouth, split by head."""
    rows = [
        (drawings.head(name, mouth, _SKINS[n % len(_SKINS)], PICTURE), drawings.hand_of(name), split)
        for n, (name, (mouth, split)) in enumerate(HEADS.items())
    ]
    image_MCHW, hand_M, split_M = pictures(rows, 4, PICTURE)
    return {"faces_MCHW": image_MCHW, "faces_split_M": split_M, "faces_hand_M": hand_M}


def build() -> Pack:
    """The whole pack; the same bytes each time."""
    classes = tuple(THINGS)
    places, backdrop_MCHW, backdrop_label_M, backdrop_split_M = backdrops()
    speech_bank, voice_M, phrases, words = language.spoken(classes, places)
    return Pack(
        name="orchestra", classes=classes, families=tuple(thing.families for thing in THINGS.values()), places=places,
        **drawn([thing.drawings for thing in THINGS.values()]),
        backdrop_MCHW=backdrop_MCHW, backdrop_label_M=backdrop_label_M, backdrop_split_M=backdrop_split_M,
        sounds=recordings(), ambience=ambience()[1], **faces(),
        speech=speech_bank, voice_M=voice_M, phrases=phrases, words=words, licences=LICENCES,
    )  # fmt: skip
