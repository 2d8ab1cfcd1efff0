"""Spoken captions: the annotation files of three sets of pictures that somebody describes aloud.

===============  ============================================================  ====================================
loader           file                                                          published with
===============  ============================================================  ====================================
``places``       a list of Places Audio Captions, such as ``train.json``       Harwath et al., NeurIPS 2016
``flickr8k``     ``wav2capt.txt``, ``wav2spk.txt`` and the text of Flickr8k    Harwath & Glass, ASRU 2015
``speech_coco``  a folder of ``<image>_<caption>_<speaker>_….json`` a split    Havard, Besacier & Rosec, GLU 2017
===============  ============================================================  ====================================

No recording and no picture is opened, but each must be there. A row that cannot be read, that comes twice or whose
media are missing is an error that names the file and the row; with ``strict=False`` such rows are left out, and one
line in the log counts them. `batch` reads sound and pictures.
"""

from __future__ import annotations

import codecs
import logging
import math
import os
import reprlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from avlib import datasets as sets
from avlib import media
from avlib.datasets.rows import FAR, attempted, expect, read_json, shown, value_of
from avlib.errors import unknown
from avlib.types import SAMPLE_RATE, Batch, Truth, Word

FLICKR_SPLITS = ("train", "dev", "test")
COCO_SPLITS = ("train", "val")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SpokenCaption:
    """A picture and a recording that describes it.

    Attributes:
        image, wav: the files.
        text: what is said; for Places, what a recogniser understood.
        speaker: the set's own name or number of the voice.
        utterance: the recording's own name, unique in its list.
        split: the list that it stands in.
        words: each word with its times (s), where the set knows them.
    """

    image: Path
    wav: Path
    text: str
    speaker: str
    utterance: str
    split: str = ""
    words: tuple[Word, ...] = ()


def places(
    path: Path | str, images: Path | str | None = None, audio: Path | str | None = None, strict: bool = True
) -> tuple[SpokenCaption, ...]:
    """Places Audio Captions: the captions of one list, whose split is the file's name without its ending.

    Args:
        images, audio: the folders of pictures and recordings; else the file's ``image_base_path`` and
            ``audio_base_path``, which count from the file's own folder unless they are absolute.

    Raises:
        FileNotFoundError: no such file; if ``strict``, a picture or a recording is missing.
        ValueError: not such a list; if ``strict``, a row that cannot be read, or an ``uttid`` that comes twice.

    Source: DAVEnet's ``dataloaders/image_caption_dataset.py``. It reads ``wav`` and ``image`` of a row; the names of
    ``uttid``, ``speaker`` and ``asr_text`` could not be checked on a copy of the set.
    """
    path = Path(path)
    data = expect(read_json(path), dict, path, "an object")
    rows = expect(data.get("data"), list, f"{path}, key 'data'", "a list of captions")
    pictures, wavs = (
        Path(given or path.parent / expect(data.get(key), str, f"{path}, key {key!r}", "the name of a folder"))
        for given, key in ((images, "image_base_path"), (audio, "audio_base_path"))
    )

    def read(row: Any) -> tuple[str, SpokenCaption]:
        image, wav, text, speaker, key = (
            value_of(row, k, str) for k in ("image", "wav", "asr_text", "speaker", "uttid")
        )
        return key, SpokenCaption(_there(pictures, image), _there(wavs, wav), text, speaker, key, path.stem)

    return tuple(_read(path, ((f"data[{n}]", row) for n, row in enumerate(rows)), read, strict).values())


def flickr8k(
    folder: Path | str, split: str = "train", images: Path | str | None = None, strict: bool = True
) -> tuple[SpokenCaption, ...]:
    """Flickr8k Audio Captions: the captions of one split, in the order of ``wav2capt.txt``.

    Args:
        folder: holds ``wavs/``, ``wav2capt.txt``, ``wav2spk.txt``, ``Flickr8k.token.txt`` and the lists
            ``Flickr_8k.<split>Images.txt``, each in it or in its ``flickr_audio/`` or ``Flickr8k_text/``.
        split: "train", "dev" or "test".
        images: the folder of pictures; else ``Flicker8k_Dataset/`` (spelled so) or ``Images/``.

    Raises:
        FileNotFoundError: no such file or folder; if ``strict``, a picture or a recording is missing.
        ValueError: another split, or one without captions; if ``strict``, a line that cannot be read or comes twice, a
            recording without text or speaker.

    Source: Harwath & Glass, ASRU 2015; the form of the lines is what public readers of the set take, not its own
    description.
    """
    if split not in FLICKR_SPLITS:
        raise unknown("split", split, FLICKR_SPLITS)
    folder = Path(folder)
    speakers = _table(_find(folder, "wav2spk.txt"), "a recording and a speaker", 2, strict)
    texts = _table(_find(folder, "Flickr8k.token.txt"), "a picture#number, a tab and a text", 2, strict, "\t")
    listed = _table(_find(folder, f"Flickr_8k.{split}Images.txt"), "a picture", 1, strict)
    wavs, pictures = _find(folder, "wavs"), Path(images or _find(folder, "Flicker8k_Dataset", "Images"))

    def read(fields: list[str]) -> SpokenCaption | None:
        wav, image, key = fields[0], fields[1], fields[1] + fields[2]
        if image not in listed:
            return None
        if key not in texts or wav not in speakers:
            raise ValueError(f"no speaker for {wav!r}" if key in texts else f"no text for {key!r}")
        files = _there(pictures, image), _there(wavs, wav)
        return SpokenCaption(*files, texts[key], speakers[wav], Path(wav).stem, split)

    table = _find(folder, "wav2capt.txt")
    found = _table(table, "a recording, a picture and #number", 3, strict, make=read).values()
    if not any(found):
        raise ValueError(f"{table} holds no captions of the {split} pictures")
    return tuple(caption for caption in found if caption)


def speech_coco(
    folder: Path | str, split: str = "train", images: Path | str | None = None, strict: bool = True
) -> tuple[SpokenCaption, ...]:
    """SpeechCOCO: the captions of one split with the times of their words, in the order of the files' names.

    Args:
        folder: holds ``train2014/`` and ``val2014/``, each with ``wav/`` and ``json/``.
        split: "train" or "val".
        images: what holds MS COCO's ``train2014/COCO_train2014_<image>.jpg``; else ``folder`` itself.

    Raises:
        FileNotFoundError: no annotations; if ``strict``, a picture or a recording is missing.
        ValueError: another split; if ``strict``, a file that cannot be read, a ``captionID`` that comes twice.

    Source: the set's ``README.rst`` and ``speechcoco.py`` (Havard), not a whole file of it. They do not state the unit
    of ``duration``, so that is not read; by the numbers shown there the times count with the changed speed.
    """
    if split not in COCO_SPLITS:
        raise unknown("split", split, COCO_SPLITS)
    place, pictures = Path(folder) / f"{split}2014", Path(images or folder) / f"{split}2014"
    files, _ = sets.listed(place / "json", lambda file: file.suffix == ".json")
    if not files:
        raise FileNotFoundError(f"{place / 'json'}: no .json annotations there")

    def read(file: Path) -> tuple[str, SpokenCaption]:
        row = read_json(file)
        image, key = value_of(row, "imgID", int), str(value_of(row, "captionID", int))
        if file.stem.split("_")[:2] != [str(image), key]:
            raise ValueError(f"holds caption {key} of picture {image}")
        said = value_of(row, "synthesisedCaption", str), value_of(row, "speaker", str), file.stem, split
        seen = _there(pictures, f"COCO_{split}2014_{image:012d}.jpg")
        words = _words(value_of(row, "timecode", list))
        return key, SpokenCaption(seen, _there(place / "wav", f"{file.stem}.wav"), *said, words)

    return tuple(_read(place / "json", ((file.name, file) for file in files), read, strict).values())


def batch(
    captions: Sequence[SpokenCaption], size: int = 224, seconds: float = 20.48, rows: Sequence[int] | None = None
) -> Batch:
    """Sound, picture and (as truth) text and words of captions.

    Args:
        size: side of ``image_BCHW``, px: the square in the middle of each picture.
        seconds: length of ``wave_BS``: a longer recording is cut, a shorter one is followed by silence. The words end
            where the sound is cut.
        rows: which of the captions, all unless stated; ``index_B`` holds these numbers.

    Raises:
        FileNotFoundError, MediaError: a picture or a recording is missing, damaged or silent; it is named.
        ValueError: no captions, no pixels or no time.

    Source: Harwath et al., ECCV 2018, whose code takes 2048 frames of 10 ms; it pads the spectrogram instead.
    """
    index = list(range(len(captions)) if rows is None else rows)
    if not index or size < 1 or not (math.isfinite(seconds) and round(seconds * SAMPLE_RATE) >= 1):
        raise ValueError(f"a batch needs captions, pixels and time, not {len(index)} of {size} px and {seconds} s")
    chosen = [captions[row] for row in index]
    wave_BS = torch.zeros(len(index), round(seconds * SAMPLE_RATE))
    for row_S, caption in zip(wave_BS, chosen, strict=True):
        wave_S = media.read_audio(caption.wav)[: len(row_S)]
        row_S[: len(wave_S)] = wave_S
    words = tuple(
        tuple(Word(w.text, w.start, min(w.end, seconds)) for w in c.words if w.start < seconds) for c in chosen
    )
    timed = any(caption.words for caption in chosen)
    truth = Truth(caption=tuple(caption.text for caption in chosen), words=words if timed else None)
    image_BCHW = torch.stack([_picture(caption.image, size) for caption in chosen])
    return Batch(torch.tensor(index, dtype=torch.int64), wave_BS, image_BCHW, truth=truth)


def _picture(path: Path, size: int) -> Tensor:
    """image_CHW, float 0…1: the square in the middle, ``size`` px a side."""
    image_CHW = media.read_image(path)[:3].float() / 255
    height, width = image_CHW.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square_1CHW = image_CHW[None, :, top : top + side, left : left + side]
    return functional.interpolate(square_1CHW, (size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)


def _words(timecode: list[Any]) -> tuple[Word, ...]:
    """The words of ``[ms, kind, value]`` marks, which say where something begins; those of no length are left out.

    A word ends with the last syllable that began before the next word, or where a silence begins: with the phoneme
    that the mark SIL ends, else at that mark. Source: ``Timecode.s_parse`` of ``speechcoco.py``.
    """
    words: list[Word] = []
    said, ms, syllable, phoneme, bare = ("", 0.0), 0.0, 0.0, 0.0, True
    for mark in timecode:
        if not isinstance(mark, list) or len(mark) != 3 or type(mark[0]) not in (int, float):
            raise ValueError(f"{reprlib.repr(mark)} is not a time, a kind and a value")
        ms, kind, value = mark
        if not 0 <= ms < FAR or not isinstance(value, str):
            raise ValueError(f"{reprlib.repr(mark)} has no text, or its time cannot be")
        if kind in ("WORD", "SIL"):
            words += _word(*said, syllable if kind == "WORD" else ms if bare else phoneme)
            said = (value, ms) if kind == "WORD" else ("", 0.0)
        elif kind == "SYL":
            syllable, bare = ms, True
        elif kind == "PHO":
            phoneme, bare = ms, False
    return tuple(words + _word(*said, ms))


def _word(text: str, begin: float, end: float) -> list[Word]:
    """A word from and to so many ms; nothing where there is no text or no length."""
    if text and end < begin:
        raise ValueError(f"the word {reprlib.repr(text)} ends at {end:g} ms and begins at {begin:g} ms")
    return [Word(text, begin / 1000, end / 1000)] if text and end > begin else []


def _table(
    path: Path,
    form: str,
    columns: int,
    strict: bool,
    between: str | None = None,
    make: Callable[[list[str]], Any] = lambda fields: fields[-1],
) -> dict[str, Any]:
    """The first field of each line of a text in UTF-8 → what ``make`` makes of them all: the last, unless stated."""
    lines = enumerate(path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines(), 1)

    def read(line: bytes) -> tuple[str, Any]:
        fields = [field.strip() for field in line.decode().split(between, columns)]
        if len(fields) != columns or not all(fields):
            raise ValueError(f"{reprlib.repr(line)} is not {form}")
        return fields[0], make(fields)

    return _read(path, ((f"line {n}", line) for n, line in lines if line.strip()), read, strict)


def _read(
    path: Path, items: Iterable[tuple[str, Any]], read: Callable[[Any], tuple[str, Any]], strict: bool
) -> dict[str, Any]:
    """Key → value of every labelled row; note what fails, or has another's key, instead of stopping at the first."""
    found: dict[str, Any] = {}

    def keep(item: Any) -> None:
        key, value = read(item)
        if key in found:
            raise ValueError(f"{reprlib.repr(key)} stands there twice")
        found[key] = value

    _, faults = attempted(items, keep)
    if faults:
        text = f"{path}: {len(faults)} rows cannot be read: {shown(faults)}"
        if strict:
            lost = all(isinstance(error, FileNotFoundError) for _, error in faults)
            raise FileNotFoundError(text) if lost else ValueError(text)
        _log.warning("%s", text)
    if not found:
        raise ValueError(f"{path} lists nothing that can be read")
    return found


def _there(folder: Path, name: str) -> Path:
    """A file below a folder.

    Raises ValueError for a name that leads elsewhere; FileNotFoundError.
    """
    if not name.strip() or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"{reprlib.repr(name)} is not a file within {folder}")
    if not os.path.isfile(folder / name):
        raise FileNotFoundError(f"there is no file {folder / name}")
    return folder / name


def _find(folder: Path, *names: str) -> Path:
    """The first that is there, in a folder or where the two archives of Flickr8k put it."""
    for place in (folder, folder / "flickr_audio", folder / "Flickr8k_text"):
        for name in names:
            if (place / name).exists():
                return place / name
    raise FileNotFoundError(f"{folder}: no {' or '.join(names)} there, nor in flickr_audio or Flickr8k_text")
