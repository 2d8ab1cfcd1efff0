"""Packs of real recordings and photographs: ``esc``, ``photos``, and anyone's own folder.

Sounds are cut into audible parts of at most 2 s, all at one level; parts of one source recording stay in one split.
What a source lacks (backdrops, voices, faces) comes from the default pack.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from scipy.sparse.csgraph import connected_components

from avlib import datasets, media
from avlib.datasets import caltech101, esc50
from avlib.types import SAMPLE_RATE
from avlib.world import drawings, language, orchestra, sounds, speech
from avlib.world.packs import BACKDROP, PICTURE, Pack, PackError, Picture, SoundBank, bank, level, pictures, shown
from avlib.world.sounds import Voice

LONGEST, SHORTEST, GAP = 2.0, 0.1, 0.3
"""s: of a part of a recording, at most and at least, and the quiet that ends it."""
QUIET = 40.0
"""dB below its loudest 20 ms at which a recording counts as quiet."""
PARTS = 4
"""At most so many parts of a recording, the longest ones."""
MOST = 60
"""At most so many photographs of a class."""

# category of ESC-50: (the thing that is drawn, the code points of its emoji)
ESC: dict[str, tuple[str, str]] = {
    "dog": ("dog", "1F415"), "rooster": ("rooster", "1F413"), "pig": ("pig", "1F416"), "cow": ("cow", "1F404"),
    "frog": ("frog", "1F438"), "cat": ("cat", "1F408"), "hen": ("hen", "1F414"), "insects": ("bee", "1F41D"),
    "sheep": ("sheep", "1F411"), "crow": ("crow", "1F426-200D-2B1B"), "rain": ("rain cloud", "1F327"),
    "sea_waves": ("sea", "1F30A"), "crackling_fire": ("fire", "1F525"), "crickets": ("cricket", "1F997"),
    "chirping_birds": ("bird", "1F426"), "water_drops": ("water drop", "1F4A7"), "wind": ("wind", "1F32C"),
    "pouring_water": ("tap", "1F6B0"), "toilet_flush": ("toilet", "1F6BD"), "thunderstorm": ("thunderstorm", "26C8"),
    "crying_baby": ("baby", "1F476"), "sneezing": ("sneeze", "1F927"), "clapping": ("clapping", "1F44F"),
    "breathing": ("breath", "1FAC1"), "coughing": ("cough", "1F637"), "footsteps": ("footstep", "1F463"),
    "laughing": ("laugh", "1F602"), "brushing_teeth": ("toothbrush", "1FAA5"), "snoring": ("snore", "1F634"),
    "drinking_sipping": ("drink", "1F964"), "door_wood_knock": ("door", "1F6AA"),
    "mouse_click": ("computer mouse", "1F5B1"), "keyboard_typing": ("keyboard", "2328"),
    "door_wood_creaks": ("creaking house", "1F3DA"), "can_opening": ("can", "1F96B"),
    "washing_machine": ("laundry", "1F9FA"), "vacuum_cleaner": ("sweeper", "1F9F9"),
    "clock_alarm": ("alarm clock", "23F0"), "clock_tick": ("clock", "1F570"), "glass_breaking": ("glass", "1F377"),
    "helicopter": ("helicopter", "1F681"), "chainsaw": ("log", "1FAB5"), "siren": ("siren", "1F6A8"),
    "car_horn": ("car", "1F697"), "engine": ("engine", "E1C8"), "train": ("train", "1F682"),
    "church_bells": ("church", "26EA"), "airplane": ("airplane", "2708"), "fireworks": ("firework", "1F386"),
    "hand_saw": ("saw", "1FA9A"),
}  # fmt: skip

# thing: (its folder in Caltech-101, its category in ESC-50, how the soundfont plays it where no recording is at hand)
PHOTOS: dict[str, tuple[str, str, Voice | None]] = {
    "dog": ("dalmatian", "dog", None),
    "rooster": ("rooster", "rooster", None),
    "helicopter": ("helicopter", "helicopter", None),
    "airplane": ("airplanes", "airplane", None),
    "car": ("car_side", "car_horn", None),
    "motorbike": ("Motorbikes", "engine", None),
    "metronome": ("metronome", "clock_tick", None),
    "bird": ("pigeon", "chirping_birds", orchestra.THINGS["bird"].voice),
    "telephone": ("cellphone", "", orchestra.THINGS["telephone"].voice),
    "revolver": ("revolver", "", Voice((127,), 52, 76)),
    "piano": ("grand_piano", "", orchestra.THINGS["piano"].voice),
    "accordion": ("accordion", "", orchestra.THINGS["accordion"].voice),
    "saxophone": ("saxophone", "", orchestra.THINGS["saxophone"].voice),
    "guitar": ("electric_guitar", "", orchestra.THINGS["guitar"].voice),
    "mandolin": ("mandolin", "", Voice((25,), 67, 91, decay=0.25)),
    "euphonium": ("euphonium", "", Voice((58,), 36, 62)),
}
FAMILIES: dict[tuple[str, ...], tuple[str, ...]] = {
    ("animal", "mammal"): ("dog", "pig", "cow", "cat", "sheep"),
    ("animal", "bird"): ("rooster", "hen", "crow", "bird"),
    ("animal", "other"): ("frog", "bee", "cricket"),
    ("nature", "weather"): ("rain cloud", "wind", "thunderstorm"),
    ("nature", "water"): ("sea", "water drop"),
    ("nature", "fire"): ("fire",),
    ("human", "voice"): ("baby", "sneeze", "breath", "cough", "laugh", "snore"),
    ("human", "body"): ("clapping", "footstep", "toothbrush", "drink"),
    ("household", "water"): ("tap", "toilet", "laundry"),
    ("household", "thing"): ("door", "creaking house", "can", "glass"),
    ("machine", "household"): (
        "computer mouse", "keyboard", "sweeper", "alarm clock", "clock", "metronome", "telephone",
    ),
    ("machine", "vehicle"): ("helicopter", "car", "engine", "train", "airplane", "motorbike"),
    ("machine", "tool"): ("log", "saw"),
    ("machine", "signal"): ("siren", "firework", "revolver"),
    ("building",): ("church",),
    ("instrument", "strings"): ("guitar", "mandolin"),
    ("instrument", "keys"): ("piano", "accordion"),
    ("instrument", "wind"): ("saxophone", "euphonium"),
}  # fmt: skip
"""The groups that things of these packs belong to, outermost first."""
ALIKE = 0.98
"""Normalised correlation of grey values from which two photographs count as one, taken twice."""
TEXTURES = ("hum", "traffic", "murmur", "wind")
"""What one hears in one's own places, in their order."""

_SHARE = (0.6, 0.15, 0.25)
_IGNORED = (".txt", ".md", ".csv", ".json", ".db", ".ini")
_log = logging.getLogger(__name__)
Item = TypeVar("Item")
Row = tuple[np.ndarray, int, int]
"""A picture or a sound, its class and its split."""


# ------------------------------------------------------------------------------------------------ parts and splits


def active_parts(wave_S: np.ndarray, shortest: float = SHORTEST) -> list[np.ndarray]:
    """The audible parts of a recording, each at most `LONGEST` s, in their order; [] where it is silent.

    A part ends where the sound stays `QUIET` dB below the recording's loudest 20 ms for `GAP` s; one of less than
    ``shortest`` s is left out.
    """
    hop = SAMPLE_RATE // 50
    frame_LH = np.resize(wave_S, (-(-len(wave_S) // hop), hop)) if len(wave_S) >= hop else wave_S[None]
    loud_L = np.sqrt((frame_LH.astype(np.float64) ** 2).mean(1))
    heard = np.nonzero(loud_L > max(loud_L.max() * 10 ** (-QUIET / 20), 1e-5))[0]
    if not len(heard):
        return []
    found = []
    for run in np.split(heard, np.nonzero(np.diff(heard) > GAP * 50)[0] + 1):
        start, end = int(run[0]) * hop, min((int(run[-1]) + 1) * hop, len(wave_S))
        pieces = max(1, -(-(end - start) // round(LONGEST * SAMPLE_RATE)))
        found += [part for part in np.array_split(wave_S[start:end], pieces) if len(part) >= shortest * SAMPLE_RATE]
    longest = sorted(range(len(found)), key=lambda n: -len(found[n]))[:PARTS]
    return [found[n] for n in sorted(longest)]


def spread(items: Sequence[Item]) -> list[tuple[Item, int]]:
    """(item, split) pairs: 60 % train, 15 % val, 25 % test and at least one each; of one or two, test repeats them."""
    count = len(items)
    if count < 3:
        return [(items[0], 0), (items[-1], 1), (items[-1], 2)]
    test = max(1, round(_SHARE[2] * count))
    val = max(1, round(_SHARE[1] * count))
    order = np.random.default_rng(count).permutation(count)  # neighbours in a folder are often alike
    return [(items[int(k)], 2 if n < test else 1 if n < test + val else 0) for n, k in enumerate(order)]


def _fold_splits(train_folds: Sequence[int]) -> dict[int, int]:
    """Split of each fold: the last one left is for test, the one before for val (the same one, where one is left)."""
    wrong = sorted(set(train_folds) - set(esc50.FOLDS))
    if wrong or not train_folds:
        raise ValueError(f"train_folds must be some of {esc50.FOLDS}, not {tuple(train_folds)}")
    rest = [fold for fold in esc50.FOLDS if fold not in train_folds]
    if not rest:
        raise ValueError("train_folds takes all five folds; none is left for val and test")
    left = dict.fromkeys(rest[:-1], 1) | {rest[-1]: 2}
    return dict.fromkeys(train_folds, 0) | left


@lru_cache(maxsize=512)
def _heard(clip: esc50.Clip) -> tuple[np.ndarray, ...]:
    """The audible parts of a recording, levelled; kept, since each choice of folds asks for them again."""
    return tuple(level(part).astype(np.float32) for part in active_parts(esc50.wave(clip).numpy()))


def _clip_rows(clips: Iterable[esc50.Clip], label: int, splits: dict[int, int]) -> Iterator[Row]:
    """(part, label, split) of the audible parts of recordings."""
    for clip in clips:
        for part in _heard(clip):
            yield part, label, splits[clip.fold]
            if splits[clip.fold] == 2 and 1 not in splits.values():
                yield part, label, 1


def _families(classes: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The groups that each class belongs to; () of one that no table knows."""
    known = {name: group for group, names in FAMILIES.items() for name in names}
    return tuple(known.get(name, ()) for name in classes)


def _photographed(rows: Sequence[Picture]) -> dict[str, Any]:
    """The ``picture_…`` fields and ``hands`` of photographs, whose colours are not those of the thing alone."""
    made = shown(rows)
    return made | {"hands": ("photograph",), "picture_chroma_M": torch.zeros_like(made["picture_chroma_M"])}


def _assemble(
    name: str, classes: Sequence[str], seen: dict[str, Any], recorded: SoundBank, licences: Iterable[str], **rest: Any
) -> Pack:
    """A pack of these pictures and sounds; ``rest`` replaces what comes from the default pack."""
    for label, title in enumerate(classes):
        for split, part in enumerate(("train", "val", "test")):
            if not ((recorded.label_M == label) & (recorded.split_M == split)).any():
                raise PackError(f"pack {name}: class {title!r} has no sounds for {part}")
    if "places" not in rest:
        places, backdrop_MCHW, backdrop_label_M, backdrop_split_M = orchestra.backdrops()
        rest |= {"places": places, "backdrop_MCHW": backdrop_MCHW, "ambience": orchestra.ambience()[1]}
        rest |= {"backdrop_label_M": backdrop_label_M, "backdrop_split_M": backdrop_split_M}
        licences = (*licences, *(line for line in orchestra.LICENCES if line.startswith("Photographs")))
    said, voice_M, phrases, words = language.spoken(tuple(classes), tuple(rest["places"]))
    return Pack(
        name=name, classes=tuple(classes), families=_families(classes), **seen, sounds=recorded, **orchestra.faces(),
        speech=said, voice_M=voice_M, phrases=phrases, words=words,
        licences=tuple(dict.fromkeys((*licences, *drawings.licences(orchestra.HEADS), speech.LICENCE))), **rest,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------- the packs


def esc(folder: Path | None = None, train_folds: Sequence[int] = (1, 2, 3), only_esc10: bool | None = None) -> Pack:
    """The recordings of ESC-50, or of ESC-10, with drawings by three hands for each class, one of them in each split.

    Args:
        folder: where ESC-50 is; else ``$AVLIB_DATA``, else the hub.
        train_folds: the official folds to train on; of those left the last is for test, the others are for val (with
            one left, val and test are the same).
        only_esc10: True keeps the ten classes of ESC-10.

    Raises:
        FileNotFoundError: no data; the message says how to get them.
        ValueError: wrong folds, a class missing from a fold.
        MediaError: a recording that cannot be read.
    """
    splits = _fold_splits(train_folds)
    clips = esc50.clips(folder, only_esc10)
    esc50.check_folds(clips)
    known = [category for category in ESC if any(clip.category == category for clip in clips)]
    strange = sorted({clip.category for clip in clips} - set(ESC))
    if strange:
        raise PackError(f"pack esc: no drawing for the classes {', '.join(strange)}")
    heard = [
        row
        for label, category in enumerate(known)
        for row in _clip_rows((c for c in clips if c.category == category), label, splits)
    ]
    names = [tuple(filter(drawings.is_drawn, drawings.emojis(ESC[category][1]))) for category in known]
    licences = (f"Recordings: {datasets.source('esc50').licence}", *drawings.licences(chain(*names)), sounds_note())
    return _assemble("esc", [ESC[category][0] for category in known], orchestra.drawn(names), bank(heard), licences)


def sounds_note() -> str:
    """The line of a pack whose places are heard as textures."""
    return "Ambience: textures synthesised by avlib"


def _photograph(path: Path, side: int) -> np.ndarray:
    """The square in the middle of a photograph, (side, side, 4) uint8."""
    image_HWC = media.read_image(path).permute(1, 2, 0).numpy()
    square = min(image_HWC.shape[:2])
    top, left = (image_HWC.shape[0] - square) // 2, (image_HWC.shape[1] - square) // 2
    image = Image.fromarray(image_HWC).crop((left, top, left + square, top + square))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def alike(images: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """Groups of pictures (one side) that are `ALIKE`, as they are or mirrored: they belong into one split."""
    grey_MN = np.stack([image[..., :3].astype(np.float32).mean(2).ravel() for image in images])
    grey_MN -= grey_MN.mean(1, keepdims=True)
    grey_MN /= np.maximum(np.linalg.norm(grey_MN, axis=1, keepdims=True), 1e-9)
    side = images[0].shape[0]
    mirrored_MN = grey_MN.reshape(-1, side, side)[:, :, ::-1].reshape(len(images), -1)
    twins_MM = np.maximum(grey_MN @ grey_MN.T, grey_MN @ mirrored_MN.T) > ALIKE
    count, group_M = connected_components(twins_MM, directed=False)
    return [[images[int(n)] for n in np.nonzero(group_M == k)[0]] for k in range(count)]


def _backdrops(groups: dict[str, list[np.ndarray]]) -> dict[str, object]:
    """places, backdrops and an ambience of textures, from the pictures of each place."""
    rows = [(image[..., :3], k, s) for k, place in enumerate(groups) for image, s in spread(groups[place])]
    heard = [
        (sounds.texture(TEXTURES[k % len(TEXTURES)], np.random.default_rng([17, k, split, n])), k, split)
        for k in range(len(groups))
        for split, count in enumerate((3, 1, 2))
        for n in range(count)
    ]
    backdrop_MCHW, label_M, split_M = pictures(rows, 3, BACKDROP)
    made = {"places": tuple(groups), "backdrop_MCHW": backdrop_MCHW, "backdrop_label_M": label_M}
    return made | {"backdrop_split_M": split_M, "ambience": bank(heard)}


def photos(folder: Path | None = None, train_folds: Sequence[int] = (1, 2, 3)) -> Pack:
    """Photographs of Caltech-101 of things that can be heard: in recordings of ESC, or played by the soundfont.

    Things of which no photograph or no sound is at hand are left out; the pack's ``licences`` name them. The backdrops
    are those of the default pack: Caltech's own BACKGROUND_Google shows guitars, helicopters and printed pages.

    Args:
        folder: where Caltech-101 and ESC-50 are; else ``$AVLIB_DATA``, else they are downloaded.
        train_folds: as for `esc`.

    Raises:
        FileNotFoundError: no data; the message says how to get them.
        MediaError: a photograph or a recording that cannot be read.
    """
    splits = _fold_splits(train_folds)
    files = caltech101.photographs(folder)
    clips = esc50.clips(folder)
    recorded = {clip.category for clip in clips}
    used = {
        name: PHOTOS[name] for name, (part, category, voice) in PHOTOS.items()
        if part in files and (voice or category in recorded)
    }  # fmt: skip
    rows: list[Picture] = []
    heard: list[Row] = []
    for label, (name, (part, category, voice)) in enumerate(used.items()):
        twins = alike([_photograph(path, PICTURE) for path in files[part][:MOST]])
        rows += [
            Picture(image, label, s, len(rows) + n)
            for n, (image, s) in enumerate((i, s) for group, s in spread(twins) for i in group)
        ]
        if category in recorded:
            heard += list(_clip_rows((c for c in clips if c.category == category), label, splits))
        elif voice is not None:
            generator = np.random.default_rng([19, *name.encode()])
            heard += [(wave, label, s) for wave, s in sounds.notes(voice, orchestra.COUNTS, generator)]
    licences = [f"Photographs: {datasets.source('caltech101').licence}", sounds.LICENCE, sounds_note()]
    licences.append(f"Recordings: {datasets.source('esc50').licence}")
    if "mandolin" in used:
        licences.append("The mandolin is heard on the soundfont's steel-string guitar, which is the nearest it has")
    absent = [name for name in PHOTOS if name not in used]
    if absent:
        licences.append(f"Left out, since a sound or a photograph of it is not at hand: {', '.join(absent)}")
        _log.info("pack photos: left out, since a sound or a photograph is not at hand: %s", ", ".join(absent))
    return _assemble("photos", list(used), _photographed(rows), bank(heard), licences, photographic=True)


# --------------------------------------------------------------------------------------------------- own folders


def _is_media(file: Path) -> bool:
    """Not notes and the like."""
    return file.suffix.lower() not in _IGNORED


def _own_files(folder: Path) -> tuple[dict[str, dict[str, list[Path]]], Counter[str]]:
    """part (images, sounds, backdrops) → class or place → files; and how many of what else there is."""
    found: dict[str, dict[str, list[Path]]] = {}
    skipped = Counter[str]()
    for part in ("images", "sounds", "backdrops"):
        if part != "backdrops" and not (folder / part).is_dir():
            raise FileNotFoundError(f"no folder {folder / part}; a pack needs images/<class>/* and sounds/<class>/*")
        found[part], others = datasets.by_folder(folder / part, _is_media)
        loose, _ = datasets.listed(folder / part, _is_media)
        if part == "backdrops" and loose:
            found[part]["backdrop"] = found[part].get("backdrop", []) + loose
        elif loose:
            others["files outside of a class"] += len(loose)
        skipped += others
    for name in chain([folder.name], *found.values()):
        if name.encode("utf-8", "ignore").decode() != name:
            raise PackError(f"the folder {name!r} in {str(folder)!r} has a name that is not in UTF-8: rename it")
    return found, skipped


def _classes(folder: Path, found: dict[str, dict[str, list[Path]]]) -> list[str]:
    """Every class that has pictures or sounds; each must have both."""
    names = sorted({*found["images"], *found["sounds"]})
    for name in names:
        for part in ("images", "sounds"):
            if not found[part].get(name):
                raise PackError(f"class {name!r} has no {part}: {folder / part / name} is empty or missing")
    if len(names) < 2:
        raise PackError(f"{folder} holds {len(names)} classes; a pack needs two or more")
    return names


def _own_picture(path: Path) -> tuple[np.ndarray, bool]:
    """(PICTURE, PICTURE, 4) and whether it is a photograph: one with transparent parts is a cut-out."""
    image_HWC = media.read_image(path).permute(1, 2, 0).numpy()
    if not image_HWC[..., 3].any():
        raise PackError(f"{path} is transparent throughout")
    if (image_HWC[..., 3] == 255).all():
        return _photograph(path, PICTURE), True
    return drawings.square(Image.fromarray(image_HWC), PICTURE), False


def _say_shared(folder: Path, found: dict[str, dict[str, list[Path]]]) -> None:
    """Name the classes and places that have too few files for three splits."""
    few = [f"{name} ({part})" for part in found for name, files in found[part].items() if 0 < len(files) < 3]
    if few:
        _log.warning("%s: fewer than three files, so that splits share them: %s", folder, ", ".join(few))


def folder(path: Path, shortest: float = SHORTEST) -> Pack:
    """Anyone's own: ``images/<class>/*``, ``sounds/<class>/*`` and, if wanted, ``backdrops/<place>/*``.

    Pictures with transparent parts are cut-outs; the others are photographs, of which the middle square is kept.
    The splits are by file. A class with fewer than three files shows or plays one of them in several splits; a line in
    the log names it. Another line counts what was skipped: links that lead nowhere, folders in folders, notes.

    Args:
        path: the folder; ``~`` is one's home.
        shortest: s, how long a part of a sound must be heard to be used.

    Raises:
        FileNotFoundError: ``images`` or ``sounds`` is missing.
        PackError: fewer than two classes, a class without pictures or sounds, a sound that is too short, a name that is
            not in UTF-8.
        MediaError: a file that cannot be read; each is named.
        ValueError: a shortest part of no length, or above `LONGEST`.
    """
    path = Path(path).expanduser()
    if not 0 < shortest <= LONGEST:
        raise ValueError(f"shortest={shortest} s must be above 0 and at most {LONGEST}")
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}")
    found, skipped = _own_files(path)
    datasets.say_skipped(path, skipped)
    classes = _classes(path, found)
    _say_shared(path, found)
    rows, opaque = _own_pictures([found["images"][name] for name in classes])
    heard = _own_sounds([found["sounds"][name] for name in classes], shortest)
    places = {place: files for place, files in found["backdrops"].items() if files}
    behind = {place: [_photograph(file, BACKDROP) for file in files] for place, files in places.items()}
    rest = _backdrops(behind) if behind else {}
    title = path.name or path.resolve().name
    licences = (f"Pictures and sounds: the folder {title}, whose owner says who may use them", sounds_note())
    seen = _photographed(rows)
    return _assemble(f"folder:{title}", classes, seen, bank(heard), licences, photographic=opaque, **rest)


def _own_pictures(files: Sequence[Sequence[Path]]) -> tuple[list[Picture], bool]:
    """The pictures of each class, and whether any of them is a photograph."""
    rows, photographs = [], []
    for label, paths in enumerate(files):
        for path, split in spread(paths):
            image, photograph = _own_picture(path)
            rows.append(Picture(image, label, split, label * 100_000 + paths.index(path)))
            photographs.append(photograph)
    return rows, any(photographs)


def _own_sounds(files: Sequence[Sequence[Path]], shortest: float) -> list[Row]:
    """The audible parts of the sounds of each class."""
    rows: list[Row] = []
    for label, paths in enumerate(files):
        for path, split in spread(paths):
            parts = active_parts(media.read_audio(path).numpy(), shortest)
            if not parts:
                raise PackError(f"{path}: no part of it is heard for {shortest} s; a smaller `shortest` takes less")
            rows += [(level(part), label, split) for part in parts]
    return rows
