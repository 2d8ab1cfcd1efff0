"""The default pack, made of what installed packages bring: drawings, recorded notes, photographs, synthetic voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from avlib.types import Word
from avlib.world import drawings, sounds, speech
from avlib.world.packs import BACKDROP, PICTURE, Pack, SoundBank, bank, level, pictures
from avlib.world.sounds import Voice
from avlib.world.speech import Speaker

COUNTS = (56, 12, 22)
"""Recordings of a class in train, val and test."""

# name: (its drawings, how it sounds)
THINGS: dict[str, tuple[tuple[str, ...], Voice]] = {
    "trumpet": (("1F3BA",), Voice(56, 58, 82)),
    "violin": (("1F3BB",), Voice(40, 60, 88)),
    "guitar": (("1F3B8",), Voice(30, 42, 68)),
    "banjo": (("1FA95",), Voice(105, 55, 79, decay=0.35)),
    "piano": (("1F3B9",), Voice(0, 40, 84, decay=0.6)),
    "saxophone": (("1F3B7",), Voice(66, 48, 72)),
    "accordion": (("1FA97",), Voice(21, 55, 79)),
    "flute": (("1FA88",), Voice(73, 65, 91)),
    "drum": (("1F941",), Voice(None, -3, 3, keys=(38, 40, 41, 43, 45, 47))),
    "maracas": (("1FA87",), Voice(None, -4, 4, keys=(69, 70, 82))),
    "bell": (("1F514", "1F6CE"), Voice(14, 58, 82, decay=0.7)),
    "bird": (("1F426", "1F426-200D-2B1B"), Voice(123, 52, 76)),
    "telephone": (("260E",), Voice(124, 54, 72)),
    "helicopter": (("1F681",), Voice(125, 52, 68)),
    "clapping": (("1F44F",), Voice(126, 54, 70)),
    "sea": (("1F30A",), Voice(122, 50, 74)),
    "clock": (("23F0", "1F570"), Voice(115, 64, 88, decay=0.1)),
    "game": (("1F47E",), Voice(80, 60, 90)),
}  # fmt: skip
TINTS = (
    (0, ((0.0, 1.0), (0.03, 1.0), (-0.03, 1.0), (0.015, 0.85))),
    (1, ((0.02, 0.95), (-0.02, 0.9))),
    (2, ((-0.015, 1.0), (0.04, 0.92))),
)  # fmt: skip
"""(split, (turn of the hue, brightness) …): no split shows a drawing in the tints of another."""

# place: (photograph inside scikit-image or scikit-learn, what one hears there)
PLACES = {
    "temple": ("sklearn:china.jpg", "murmur"),
    "garden": ("sklearn:flower.jpg", "crickets"),
    "café": ("skimage:coffee.png", "hum"),
    "workshop": ("skimage:motorcycle_left.png", "traffic"),
    "lawn": ("skimage:grass.png", "wind"),
    "path": ("skimage:gravel.png", "crackle"),
    "wall": ("skimage:brick.png", "rain"),
    "launch pad": ("skimage:rocket.jpg", "stream"),
}
_TINT = {"lawn": (0.55, 1.0, 0.42), "path": (1.0, 0.93, 0.8), "wall": (1.0, 0.62, 0.5)}
"""Three of the photographs are grey; a tint makes them what they show."""

SPEAKERS = (
    Speaker("en-us", 150, 45), Speaker("en", 165, 55), Speaker("en-us+f3", 160, 60),
    Speaker("en+m7", 145, 40), Speaker("en-us+f2", 155, 50),
)  # fmt: skip
SPEAKER_SPLIT = (0, 0, 0, 1, 2)
LICENCES = (
    drawings.LICENCE,
    sounds.LICENCE,
    speech.LICENCE,
    "Photographs brick, grass, gravel (CC0, via ambientCG/Poly Haven), coffee (CC0, Rachel Michetti), motorcycle "
    "(CC0, D. Scharstein), rocket (CC0, SpaceX), as shipped with scikit-image",
    "Photographs china and flower: CC BY, as shipped with scikit-learn",
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
    package, file = source.split(":")
    if package == "sklearn":
        import sklearn

        return Image.open(Path(sklearn.__file__).parent / "datasets" / "images" / file)
    import skimage

    return Image.open(Path(skimage.__file__).parent / "data" / file)


def backdrops() -> tuple[tuple[str, ...], Tensor, Tensor, Tensor]:
    """places, backdrop_MCHW, label_M, split_M: crops of the photographs; val and test crops come from other parts."""
    rows = []
    for label, (place, (source, _)) in enumerate(PLACES.items()):
        image = _photograph(source).convert("RGB")
        generator = np.random.default_rng([11, label])
        # the left 60 % of a photograph are for training, the next 20 % for val, the last for test
        for split, (low, high), count in ((0, (0.0, 0.6), 6), (1, (0.55, 0.8), 2), (2, (0.75, 1.0), 3)):
            for _ in range(count):
                side = int(generator.uniform(0.24, 0.45 if split else 0.6) * image.width)
                side = min(side, image.height, int((high - low) * image.width))
                left = int(generator.uniform(low * image.width, max(high * image.width - side, low * image.width + 1)))
                top = int(generator.uniform(0, image.height - side + 1))
                crop = image.crop((left, top, left + side, top + side))
                pixels = np.asarray(crop.resize((BACKDROP, BACKDROP), Image.Resampling.LANCZOS), np.float64)
                tinted = np.clip(pixels * np.array(_TINT.get(place, (1, 1, 1))), 0, 255)
                rows.append((tinted.astype(np.uint8), label, split))
    return tuple(PLACES), *pictures(rows, 3, BACKDROP)


def ambience() -> tuple[tuple[str, ...], SoundBank]:
    """places, and what one hears there: (3, 1, 2) recordings a place in train, val and test."""
    rows = []
    for label, (_, kind) in enumerate(PLACES.values()):
        for split, count in enumerate((3, 1, 2)):
            for n in range(count):
                rows.append((sounds.texture(kind, np.random.default_rng([13, label, split, n])), label, split))
    return tuple(PLACES), bank(rows)


def faces() -> tuple[Tensor, Tensor]:
    """face_MCHW, split_M: heads without a mouth in several tints."""
    head = drawings.emoji("1F636", PICTURE)
    tints = [(k / 11, 1.0 - 0.05 * (k % 3), (0, 0, 1, 0, 2)[k % 5]) for k in range(11)]
    image_MCHW, _, split_M = pictures(
        [(drawings.tinted(head, hue, value), 0, s) for hue, value, s in tints], 4, PICTURE
    )
    return image_MCHW, split_M


def spoken(classes: tuple[str, ...]) -> tuple[SoundBank, Tensor, tuple[str, ...], tuple[tuple[Word, ...], ...]]:
    """speech, voice_M, phrases and words: three phrases a class, said by every speaker."""

    def with_article(name: str) -> str:
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"

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
