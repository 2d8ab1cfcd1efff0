"""The default pack, made of what installed packages bring: drawings, recorded notes, photographs, synthetic voices."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from avlib.types import Word
from avlib.world import drawings, sounds, speech
from avlib.world.packs import BACKDROP, PICTURE, Pack, SoundBank, bank, level, pictures, with_article
from avlib.world.sounds import Voice
from avlib.world.speech import Speaker

COUNTS = (60, 15, 25)
"""Recordings of a class in train, val and test."""

# name: (its drawings, how it sounds)
THINGS: dict[str, tuple[tuple[str, ...], Voice]] = {
    "trumpet": (("1F3BA",), Voice((56,), 55, 82)),
    "violin": (("1F3BB",), Voice((40,), 57, 88)),
    "guitar": (("1F3B8",), Voice((29, 30), 40, 69)),
    "banjo": (("1FA95",), Voice((105,), 52, 79, decay=0.4)),
    "piano": (("1F3B9",), Voice((0, 1), 40, 86, decay=0.8)),
    "saxophone": (("1F3B7",), Voice((65, 66), 46, 74)),
    "accordion": (("1FA97",), Voice((21,), 53, 82)),
    "flute": (("1FA88",), Voice((73,), 64, 92)),
    "harp": (("1FA89",), Voice((46,), 48, 84, decay=0.5)),
    "drum": (("1F941",), Voice((0, 16, 40), -4, 4, keys=(36, 38, 40, 41, 45, 48))),
    "maracas": (("1FA87",), Voice((0,), -5, 5, keys=(69, 70, 82), strokes=3)),
    "bell": (("1F514", "1F6CE"), Voice((14,), 58, 84, decay=0.8)),
    "church": (("26EA",), Voice((19,), 43, 76)),
    "bird": (("1F426", "1F426-200D-2B1B"), Voice((123,), 36, 47, steady=True)),
    "telephone": (("260E",), Voice((124,), 82, 93, steady=True)),
    "helicopter": (("1F681",), Voice((125,), 8, 108, steady=True)),
    "clapping": (("1F44F",), Voice((126,), 8, 108, steady=True)),
    "sea": (("1F30A",), Voice((122,), 66, 86, steady=True)),
    "clock": (("23F0", "1F570"), Voice((0,), -5, 5, keys=(33, 75, 76, 77), strokes=2)),
    "game": (("1F47E",), Voice((80,), 52, 90)),
}  # fmt: skip
TINTS = (
    (0, ((0.0, 1.0), (0.03, 1.0), (-0.03, 1.0), (0.015, 0.85))),
    (1, ((0.02, 0.95), (-0.02, 0.9))),
    (2, ((-0.015, 1.0), (0.04, 0.92))),
)  # fmt: skip
"""(split, (turn of the hue, brightness) …): no split shows a drawing in the tints of another."""

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
    "garden": ((0.0, 0.0, 0.52, 1.0), (0.48, 0.76, 0.8, 1.0), (0.53, 0.0, 1.0, 0.75)),
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

SPEAKERS = (
    Speaker("en-us", 150, 45),
    Speaker("en", 165, 55),
    Speaker("en-us+f3", 160, 60),
    Speaker("en+m3", 155, 35),
    Speaker("en+m7", 145, 40),
    Speaker("en-us+f2", 155, 50),
)
SPEAKER_SPLIT = (0, 0, 0, 0, 1, 2)
LICENCES = (
    drawings.LICENCE,
    sounds.LICENCE,
    speech.LICENCE,
    "Photographs shipped with scikit-image: brick and gravel (CC0, cc0textures.com), grass (CC0, linolafett), coffee "
    "(CC0, Rachel Michetti), rocket (public domain, SpaceX), motorcycle (D. Scharstein et al., Middlebury stereo "
    "benchmark 2014)",
    "Photographs shipped with scikit-learn: china and flower (CC BY 2.0, danielbuechele and vultilion, flickr.com)",
)


def things() -> list[tuple[np.ndarray, int, int]]:
    """(picture, class, split) rows: the splits share drawings, since most things have one, but no tint of them."""
    rows = []
    for label, (codes, _) in enumerate(THINGS.values()):
        for code in codes:
            image = drawings.emoji(code, PICTURE)
            rows += [(drawings.tinted(image, *tint), label, split) for split, tints in TINTS for tint in tints]
    return rows


def recordings() -> SoundBank:
    """Notes and effects of every thing."""
    rows = []
    for label, (name, (_, voice)) in enumerate(THINGS.items()):
        generator = np.random.default_rng([7, *name.encode()])
        rows += [(wave, label, split) for wave, split in sounds.notes(voice, COUNTS, generator)]
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
def faces() -> tuple[Tensor, Tensor]:
    """face_MCHW, split_M: heads without a mouth in several tints."""
    head = drawings.emoji("1F636", PICTURE)
    tints = [(k / 11, 1.0 - 0.05 * (k % 3), (0, 0, 1, 0, 2)[k % 5]) for k in range(11)]
    image_MCHW, _, split_M = pictures(
        [(drawings.tinted(head, hue, value), 0, s) for hue, value, s in tints], 4, PICTURE
    )
    return image_MCHW, split_M


@lru_cache(maxsize=4)
def spoken(classes: tuple[str, ...]) -> tuple[SoundBank, Tensor, tuple[str, ...], tuple[tuple[Word, ...], ...]]:
    """speech, voice_M, phrases and words: three phrases a class, said by every speaker."""

    phrases = tuple(f"{start}{with_article(name)}" for name in classes for start in ("", "and ", "here is "))
    said = speech.say_all([(phrase, who) for who in SPEAKERS for phrase in phrases])
    voice_M = torch.arange(len(SPEAKERS)).repeat_interleave(len(phrases))
    rows = [
        (level(wave, fade=(0.002, 0.01)), n % len(phrases), SPEAKER_SPLIT[n // len(phrases)])
        for n, (wave, _) in enumerate(said)
    ]
    return bank(rows), voice_M, phrases, tuple(words for _, words in said)


def build() -> Pack:
    """The whole pack; the same bytes each time."""
    classes = tuple(THINGS)
    picture_MCHW, picture_label_M, picture_split_M = pictures(things(), 4, PICTURE)
    places, backdrop_MCHW, backdrop_label_M, backdrop_split_M = backdrops()
    faces_MCHW, faces_split_M = faces()
    speech_bank, voice_M, phrases, words = spoken(classes)
    return Pack(
        name="orchestra", classes=classes, places=places,
        picture_MCHW=picture_MCHW, picture_label_M=picture_label_M, picture_split_M=picture_split_M,
        backdrop_MCHW=backdrop_MCHW, backdrop_label_M=backdrop_label_M, backdrop_split_M=backdrop_split_M,
        sounds=recordings(), ambience=ambience()[1], faces_MCHW=faces_MCHW, faces_split_M=faces_split_M,
        speech=speech_bank, voice_M=voice_M, phrases=phrases, words=words, licences=LICENCES,
    )  # fmt: skip
