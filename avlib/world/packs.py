"""What things look and sound like: a pack holds pictures and sounds per class, compiled to one ``.safetensors`` file.

A compiled pack loads without the packages that its assets came from, so it travels to another machine as one file.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from avlib import files
from avlib.types import SAMPLE_RATE, Word, _Moves
from avlib.world import colours

PICTURE, BACKDROP = 96, 192
"""Sides of the pictures of things and of the backdrops, px."""

_ZIP = ":zip:"
"""What follows the name of a packed tensor in a file; its shape comes after that."""
_DENSEST = 1032
"""So many bytes at most come out of one that zlib packed."""
_ANY = 2**31


class PackError(ValueError):
    """A pack that cannot be built or read; the message names the file or the class."""


@dataclass(frozen=True)
class SoundBank(_Moves):
    """M recordings, one after the other.

    Attributes:
        data_S: int16, ``SAMPLE_RATE`` Hz.
        start_M, length_M: int64, samples.
        label_M: int64, class (or place, or phrase).
        split_M: int64, 0 train, 1 val, 2 test.
    """

    data_S: Tensor
    start_M: Tensor
    length_M: Tensor
    label_M: Tensor
    split_M: Tensor

    def __len__(self) -> int:
        return int(self.start_M.shape[0])

    def wave(self, row: int) -> Tensor:
        """One recording as float, -1…1, (S,)."""
        start, length = int(self.start_M[row]), int(self.length_M[row])
        return self.data_S[start : start + length].float() / 32768


@dataclass(frozen=True)
class Pack(_Moves):
    """Everything a scene can be made of.

    Attributes:
        classes: things that sound.
        places: kinds of backdrop.
        families: the groups that each class belongs to, outermost first; () where unknown.
        hands: who drew the pictures, or ``("photograph",)``.
        picture_MCHW: uint8 RGBA, straight alpha, each thing centred and filling its square.
        picture_label_M, picture_split_M: int64, class and split; all forms of a drawing are in one split.
        picture_drawing_M: int64, which drawing this is; its forms share the number.
        picture_form_M: int64, index into `avlib.world.drawings.FORMS`; 0, as drawn, is there of each drawing.
        picture_hand_M: int64, index into ``hands``.
        picture_hue_M, picture_chroma_M: the one colour of a picture, see `avlib.world.colours.dominant`.
        backdrop_MCHW: uint8 RGB photographs.
        sounds: label = class; all at one level, so that loudness tells nothing.
        ambience: label = place.
        faces_MCHW: uint8 RGBA, heads without a mouth; the renderer paints one.
        faces_split_M, faces_hand_M: int64, by head; index into ``drawings.HANDS``.
        speech: label = phrase; the rows of a phrase are its voices, in the same order for all phrases.
        phrases: what is said, the chunks of `avlib.world.language`: "here is", "a red", "trumpet" …
        words: for each row of ``speech``, its words and their times (s).
        licences: one line a source: what, who, licence.
        photographic: are the pictures photographs that fill their square, or cut-outs?
    """

    name: str
    classes: tuple[str, ...]
    families: tuple[tuple[str, ...], ...]
    places: tuple[str, ...]
    hands: tuple[str, ...]
    picture_MCHW: Tensor
    picture_label_M: Tensor
    picture_split_M: Tensor
    picture_drawing_M: Tensor
    picture_form_M: Tensor
    picture_hand_M: Tensor
    picture_hue_M: Tensor
    picture_chroma_M: Tensor
    backdrop_MCHW: Tensor
    backdrop_label_M: Tensor
    backdrop_split_M: Tensor
    sounds: SoundBank
    ambience: SoundBank
    faces_MCHW: Tensor
    faces_split_M: Tensor
    faces_hand_M: Tensor
    speech: SoundBank
    voice_M: Tensor
    phrases: tuple[str, ...]
    words: tuple[tuple[Word, ...], ...]
    licences: tuple[str, ...]
    photographic: bool = False

    def drawings(self, rows_M: Tensor) -> tuple[int, int, int]:
        """How many drawings there are in train, val and test among the pictures that the mask ``rows_M`` names."""
        train, val, test = (
            len(self.picture_drawing_M[rows_M & (self.picture_split_M == s)].unique()) for s in range(3)
        )
        return train, val, test

    @cached_property
    def sha256(self) -> str:
        """Hash of all content, whatever file it came from."""
        tensors, text = _flatten(self)
        digest = hashlib.sha256(text.encode())
        for name in sorted(tensors):
            digest.update(name.encode())
            digest.update(tensors[name].contiguous().cpu().numpy().tobytes())
        return digest.hexdigest()


# ------------------------------------------------------------------------------------- making the parts of a pack


def level(wave_S: np.ndarray, rms: float = 0.1, fade: tuple[float, float] = (0.005, 0.05)) -> np.ndarray:
    """Fade both ends (s) and set the RMS of what is audible; a silent wave stays silent, a peak is kept below 1."""
    wave_S = np.asarray(wave_S, np.float64).copy()
    for length, part in ((fade[0], slice(None)), (fade[1], slice(None, None, -1))):
        count = min(round(length * SAMPLE_RATE), len(wave_S))
        wave_S[part][:count] *= np.linspace(0, 1, count, endpoint=False)
    loud = np.abs(wave_S) > 0.05 * max(np.abs(wave_S).max(initial=0.0), 1e-9)
    if loud.any():
        wave_S *= rms / max(float(np.sqrt(np.mean(wave_S[loud] ** 2))), 1e-9)
    return wave_S * min(1.0, 0.99 / max(np.abs(wave_S).max(initial=0.0), 1e-9))


def bank(recordings: Iterable[tuple[np.ndarray, int, int]]) -> SoundBank:
    """A bank of (wave_S in -1…1, label, split)."""
    rows = list(recordings)
    whole = [(np.clip(wave, -1, 1) * 32767).round().astype(np.int16) for wave, _, _ in rows]
    length = np.array([len(wave) for wave in whole], np.int64)
    return SoundBank(
        data_S=torch.from_numpy(np.concatenate(whole) if whole else np.zeros(0, np.int16)),
        start_M=torch.from_numpy(np.cumsum(length) - length),
        length_M=torch.from_numpy(length),
        label_M=torch.tensor([label for _, label, _ in rows], dtype=torch.int64),
        split_M=torch.tensor([split for _, _, split in rows], dtype=torch.int64),
    )


@dataclass(frozen=True)
class Picture:
    """A picture of a thing, (H, W, 4) uint8, and which drawing (or photograph) it is, in which form, by which hand."""

    image: np.ndarray
    label: int
    split: int
    drawing: int
    form: int = 0
    hand: int = 0


def shown(rows: Sequence[Picture]) -> dict[str, Any]:
    """All ``picture_…`` fields of a pack."""
    numbers = {
        f"picture_{name}_M": torch.tensor([getattr(row, name) for row in rows], dtype=torch.int64)
        for name in ("label", "split", "drawing", "form", "hand")
    }
    image_MCHW = torch.stack([torch.from_numpy(np.array(row.image)).permute(2, 0, 1) for row in rows]).contiguous()
    hue_M, chroma_M = colours.dominant(image_MCHW)
    return {"picture_MCHW": image_MCHW, **numbers, "picture_hue_M": hue_M, "picture_chroma_M": chroma_M}


def pictures(rows: Sequence[tuple[np.ndarray, int, int]], channels: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """(image_HWC uint8, label, split) rows as image_MCHW, label_M, split_M."""
    stack = [torch.from_numpy(np.array(image)).permute(2, 0, 1) for image, _, _ in rows]
    image_MCHW = torch.stack(stack) if stack else torch.zeros(0, channels, side, side, dtype=torch.uint8)
    label_M = torch.tensor([label for _, label, _ in rows], dtype=torch.int64)
    return image_MCHW.contiguous(), label_M, torch.tensor([split for _, _, split in rows], dtype=torch.int64)


# ------------------------------------------------------------------------------------------------ one file a pack


def _flatten(pack: Pack) -> tuple[dict[str, Tensor], str]:
    """All tensors under dotted names, and everything else as JSON."""
    tensors: dict[str, Tensor] = {}
    rest: dict[str, object] = {}
    for field in fields(pack):
        value = getattr(pack, field.name)
        if isinstance(value, SoundBank):
            tensors |= {f"{field.name}.{part.name}": getattr(value, part.name) for part in fields(value)}
        elif isinstance(value, Tensor):
            tensors[field.name] = value
        elif field.name == "words":
            rest["words"] = [[[w.text, w.start, w.end] for w in row] for row in value]
        else:
            rest[field.name] = value
    return tensors, json.dumps(rest, ensure_ascii=False, sort_keys=True)


def _packed(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Sounds and pictures zipped, the two bytes of a sample apart; anything else as it is."""
    if value.dtype not in (torch.uint8, torch.int16) or not len(value):
        return name, value
    bytes_NE = value.contiguous().cpu().numpy().reshape(-1, 1).view(np.uint8)
    raw = zlib.compress(np.ascontiguousarray(bytes_NE.T).tobytes(), 1 if value.ndim == 1 else 6)
    return f"{name}{_ZIP}{'x'.join(map(str, value.shape))}", torch.frombuffer(bytearray(raw), dtype=torch.uint8)


def _unpacked(name: str, value: Tensor) -> tuple[str, Tensor]:
    """Inverse of `_packed`."""
    if _ZIP not in name:
        return name, value
    name, text = name.split(_ZIP)
    shape = [int(n) for n in text.split("x")]
    count, unpacker = math.prod(shape), zlib.decompressobj()
    if not 0 < count <= _DENSEST * value.numel():
        raise ValueError(f"{name} cannot hold {text} numbers in {value.numel()} bytes")
    raw = unpacker.decompress(value.numpy().tobytes(), 2 * count + 1)  # never more than the shape asks for
    if len(raw) not in (count, 2 * count) or not unpacker.eof:
        raise ValueError(f"{name} does not hold {text} numbers, as it says")
    bytes_NE = np.ascontiguousarray(np.frombuffer(bytearray(raw), np.uint8).reshape(-1, count).T)
    return name, torch.from_numpy(bytes_NE.view(np.uint8 if bytes_NE.shape[1] == 1 else np.int16)).view(shape)


def _tuples(value: Any) -> Any:
    """JSON's lists as tuples, at any depth."""
    return tuple(_tuples(part) for part in value) if isinstance(value, list | tuple) else value


def _unflatten(tensors: dict[str, Tensor], rest: dict[str, Any]) -> Pack:
    """Inverse of `_flatten`; whatever is left over or lacking is an error."""
    made: dict[str, Any] = {}
    banks = {field.name: [part.name for part in fields(SoundBank)] for field in fields(Pack) if "Bank" in field.type}
    names = [f"{bank}.{part}" for bank, parts in banks.items() for part in parts]
    names += [field.name for field in fields(Pack) if field.type == "Tensor"]
    texts = [field.name for field in fields(Pack) if field.name not in {*banks, *names}]
    differ = [n for found, known in ((tensors, names), (rest, texts)) for n in sorted(found.keys() ^ set(known))]
    if differ:
        raise ValueError(f"lacks, or should not have, {', '.join(differ)}")
    made |= {bank: SoundBank(**{part: tensors[f"{bank}.{part}"] for part in parts}) for bank, parts in banks.items()}
    made |= {name: value for name, value in tensors.items() if "." not in name}
    made |= {name: _tuples(value) for name, value in rest.items()}
    words = tuple(tuple(Word(*word) for word in row) for row in made.pop("words"))
    return Pack(**made, words=words)


def _check_texts(pack: Pack) -> None:
    """Raise ValueError where a name is none, or there are not as many as there should be."""
    for name in ("classes", "places", "hands", "phrases", "licences", "families"):
        value = getattr(pack, name)
        rows = value if name == "families" else (value,)
        if not isinstance(value, tuple) or not all(
            isinstance(row, tuple) and all(isinstance(text, str) for text in row) for row in rows
        ):
            raise ValueError(f"{name} is not made of texts")
    if not isinstance(pack.name, str) or not isinstance(pack.photographic, bool):
        raise ValueError("name is no text, or photographic is neither true nor false")
    for words in pack.words:
        for word in words:
            if not isinstance(word.text, str) or not all(isinstance(t, int | float) for t in (word.start, word.end)):
                raise ValueError(f"{word} is not a text with two times")
    if len(pack.families) != len(pack.classes) or len(pack.words) != len(pack.speech):
        raise ValueError("there are not as many families as classes, or as many rows of words as of speech")


def _indices(pack: Pack) -> Iterator[tuple[str, Tensor, int, int]]:
    """Every column of whole numbers: its name, itself, how many rows it should have, and what each is below."""
    for kind, kinds in (("picture", pack.classes), ("backdrop", pack.places)):
        rows = len(getattr(pack, f"{kind}_MCHW"))
        yield f"{kind}_label_M", getattr(pack, f"{kind}_label_M"), rows, len(kinds)
        yield f"{kind}_split_M", getattr(pack, f"{kind}_split_M"), rows, 3
    for part, below in (("drawing", _ANY), ("form", _ANY), ("hand", len(pack.hands))):
        yield f"picture_{part}_M", getattr(pack, f"picture_{part}_M"), len(pack.picture_MCHW), below
    yield "faces_split_M", pack.faces_split_M, len(pack.faces_MCHW), 3
    yield "faces_hand_M", pack.faces_hand_M, len(pack.faces_MCHW), _ANY
    yield "voice_M", pack.voice_M, len(pack.speech), _ANY
    for name, below in (("sounds", len(pack.classes)), ("ambience", len(pack.places)), ("speech", len(pack.phrases))):
        bank = getattr(pack, name)
        bounds = {"start_M": len(bank.data_S) + 1, "length_M": len(bank.data_S) + 1, "label_M": below, "split_M": 3}
        yield from ((f"{name}.{part}", getattr(bank, part), len(bank), bound) for part, bound in bounds.items())


def _check(pack: Pack) -> None:
    """Raise ValueError where the parts of a pack do not fit each other; the message names the part."""
    rows = len(pack.picture_MCHW)
    shapes: dict[str, tuple[Tensor, torch.dtype, tuple[int, ...]]] = {
        "picture_MCHW": (pack.picture_MCHW, torch.uint8, (rows, 4, PICTURE, PICTURE)),
        "backdrop_MCHW": (pack.backdrop_MCHW, torch.uint8, (len(pack.backdrop_MCHW), 3, BACKDROP, BACKDROP)),
        "faces_MCHW": (pack.faces_MCHW, torch.uint8, (len(pack.faces_MCHW), 4, PICTURE, PICTURE)),
        "picture_hue_M": (pack.picture_hue_M, torch.float32, (rows,)),
        "picture_chroma_M": (pack.picture_chroma_M, torch.float32, (rows,)),
    }
    banks = {name: getattr(pack, name) for name in ("sounds", "ambience", "speech")}
    shapes |= {f"{n}.data_S": (bank.data_S, torch.int16, (bank.data_S.numel(),)) for n, bank in banks.items()}
    _check_texts(pack)
    numbers = tuple(_indices(pack))
    shapes |= {name: (value, torch.int64, (count,)) for name, value, count, _ in numbers}
    for name, (value, dtype, shape) in shapes.items():
        if value.dtype != dtype or value.shape != shape:
            raise ValueError(f"{name} is {value.dtype} of {tuple(value.shape)}, not {dtype} of {shape}")
    for name, value, count, below in numbers:
        if count and not 0 <= int(value.min()) <= int(value.max()) < below:
            raise ValueError(f"{name} holds numbers outside 0…{below - 1}")
    for name, bank in banks.items():
        if len(bank) and int((bank.start_M + bank.length_M).max()) > len(bank.data_S):
            raise ValueError(f"a recording of {name} ends after its last sample")


def save(pack: Pack, path: Path | str) -> Path:
    """Write one file, sounds and pictures zipped; the old one stays until the new one is whole.

    Beside the content it holds its ``sha256``, which `read` compares.

    Raises:
        OSError: it cannot be written; names pack and file.
    """
    tensors, text = _flatten(pack)
    # with the rest, and not beside it: safetensors writes several texts in an order of chance
    text = json.dumps(json.loads(text) | {"sha256": pack.sha256}, ensure_ascii=False, sort_keys=True)
    tensors = dict(_packed(name, value) for name, value in tensors.items())
    # a copy of each: two parts of a pack may be the same tensor
    whole = {name: value.contiguous().cpu().clone() for name, value in tensors.items()}
    return files.write(path, to_bytes(whole, {"pack": text}), f"the pack {pack.name!r}")


def is_pack(path: Path) -> bool:
    """Does the file say that it is a compiled pack?"""
    try:
        with safe_open(path, "pt") as file:
            return "pack" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read(path: Path | str) -> Pack:
    """A compiled pack.

    Raises:
        FileNotFoundError: no such file.
        PackError: the file is damaged, or not a pack, or its parts do not fit each other.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no compiled pack {path}")
    try:
        with safe_open(path, "pt") as file:
            text = json.loads((file.metadata() or {}).get("pack", "null"))
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not isinstance(text, dict):
            raise ValueError("it says nothing of a pack")
        sha256 = text.pop("sha256", None)
        pack = _unflatten(dict(_unpacked(name, value) for name, value in stored.items()), text)
        _check(pack)
        if sha256 not in (None, pack.sha256):
            raise ValueError("its content is not what was written")
    except (SafetensorError, TypeError, ValueError, OSError, RuntimeError, OverflowError, zlib.error) as error:
        raise PackError(f"{path} is not a compiled pack, or is damaged: {error}") from error
    return pack
