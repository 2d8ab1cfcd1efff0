"""Files as bytes: whether one is there and whole, and the parts of one that several were joined into.

Most formats state their length in their first bytes, yet the decoders read what is left of a cut file without a word.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

Source = str | os.PathLike[str] | bytes
_ENOUGH = 66_000
"""Bytes of a file's end that hold its last Ogg page; no page is longer."""


class MediaError(ValueError):
    """A media file that cannot be used; the message names the file and says why."""


def name_of(source: Source) -> str:
    """How messages call a source."""
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)


def opened(source: Source) -> BinaryIO:
    """The bytes of a source, to be read from their start."""
    return io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def check_rate(rate: float) -> None:
    """Raise MediaError unless ``rate``, in Hz, is above 0 and finite."""
    if not (math.isfinite(rate) and rate > 0):
        raise MediaError(f"rate must be above 0 Hz, not {rate}")


def check_there(source: Source) -> None:
    """Raise FileNotFoundError or, for a file of no bytes, MediaError."""
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise FileNotFoundError(f"there is no file {source}")
    if not (len(source) if isinstance(source, bytes) else os.path.getsize(source)):
        raise MediaError(f"{name_of(source)}: the file is empty")


# ---------------------------------------------------------------------------------------------------- whole or cut


def check_whole(source: Source) -> None:
    """Raise MediaError where the first bytes of a file say that it was longer. Live recordings state nothing."""
    check_there(source)
    with opened(source) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(64)
        stated = next((length(head, file, size) for starts, length in _STATED if starts(head)), None)
    if stated is not None and stated - size > 1:
        raise MediaError(f"{name_of(source)}: cut off, the file has {size} bytes of {stated}")


def _riff(head: bytes, file: BinaryIO, size: int) -> int | None:
    """WAV and AVI. Streamed files state 0 or the largest number, since their length is not known in advance."""
    stated = int.from_bytes(head[4:8], "little") + 8
    return stated if 8 < stated < 2**32 - 1 else None


def _rf64(head: bytes, file: BinaryIO, size: int) -> int | None:
    """A WAV of more than 4 GB: the first chunk holds the length."""
    return int.from_bytes(head[20:28], "little") + 8 if head[12:16] == b"ds64" else None


def _form(head: bytes, file: BinaryIO, size: int) -> int | None:
    """AIFF."""
    return int.from_bytes(head[4:8], "big") + 8


def _au(head: bytes, file: BinaryIO, size: int) -> int | None:
    """Sun's .au: where the sound begins, and its bytes."""
    begin, length = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
    return begin + length if length < 2**32 - 1 else None


def _w64(head: bytes, file: BinaryIO, size: int) -> int | None:
    """Sony's Wave64."""
    return int.from_bytes(head[16:24], "little")


def _caf(head: bytes, file: BinaryIO, size: int) -> int | None:
    """Apple's .caf: chunk after chunk, each with a name of four letters and its length."""
    at = 8
    while at + 12 <= size:
        file.seek(at)
        length = int.from_bytes(file.read(12)[4:], "big", signed=True)
        if length < 0:
            return None
        at += 12 + length
    return at


def _asf(head: bytes, file: BinaryIO, size: int) -> int | None:
    """.wmv and .asf: the properties of the file, within its header."""
    file.seek(0)
    start = file.read(8192)
    at = start.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    return int.from_bytes(start[at + 40 : at + 48], "little") or None if at >= 0 else None


def _matroska(head: bytes, file: BinaryIO, size: int) -> int | None:
    """.mkv and .webm: the header, then one segment; a number's first byte tells how many bytes it has (RFC 8794)."""

    def number(at: int) -> tuple[int | None, int]:
        file.seek(at)
        data = file.read(8)
        count = 9 - data[0].bit_length() if data and data[0] else 9
        if len(data) < count:
            return None, at
        value = int.from_bytes(data[:count], "big") - (1 << 7 * count)
        return (None if value == (1 << 7 * count) - 1 else value), at + count

    length, after = number(4)
    if length is None or length > size:
        return None
    file.seek(after + length)
    if file.read(4) != b"\x18\x53\x80\x67":
        return None
    length, after = number(after + length + 4)
    return None if length is None else after + length


def _boxes(head: bytes, file: BinaryIO, size: int) -> int | None:
    """.mp4 and .mov: box after box, each with its length and a name of four letters."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        data = file.read(16)
        length, name = int.from_bytes(data[:4], "big"), data[4:8]
        if length == 1:
            length = int.from_bytes(data[8:16], "big")
        if length < 8 or not name.isalnum():  # the last box may go to the end; what is no box is padding
            return None
        at += length
    return at


def _ogg(head: bytes, file: BinaryIO, size: int) -> int | None:
    """The last page tells its own length."""
    file.seek(max(0, size - _ENOUGH))
    tail = file.read()
    page = tail.rfind(b"OggS")
    if page < 0:
        return None
    segments = tail[page + 26] if page + 26 < len(tail) else 255
    return size - len(tail) + page + 27 + segments + sum(tail[page + 27 : page + 27 + segments])


_STATED: tuple[tuple[Callable[[bytes], bool], Callable[[bytes, BinaryIO, int], int | None]], ...] = (
    (lambda head: head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b"AVI "), _riff),
    (lambda head: head[:4] == b"RF64", _rf64),
    (lambda head: head[:4] == b"FORM" and head[8:11] == b"AIF", _form),
    (lambda head: head[:4] == b".snd", _au),
    (lambda head: head[:4] == b"\x1a\x45\xdf\xa3", _matroska),
    (lambda head: head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"), _boxes),
    (lambda head: head[:4] == b"OggS", _ogg),
    (lambda head: head[:4] == b"riff", _w64),
    (lambda head: head[:4] == b"caff", _caf),
    (lambda head: head[:4] == b"\x30\x26\xb2\x75", _asf),
)


# ---------------------------------------------------------------------------------------------------- joined files


class Part(NamedTuple):
    """One of the recordings that a file was joined from: its bytes, and its length in s where that is known."""

    begin: int
    end: int
    seconds: float | None


def parts(source: Source) -> tuple[bytes | None, list[Part]]:
    """The bytes of an .ogg or .mp3 and the recordings in it, usually one; (None, []) for other formats.

    libsndfile reads the first of them only. The length of an mp3 is counted, for the file does not always state it.

    Raises:
        MediaError: an mp3 that states more sound than it has.
    """
    with opened(source) as file:
        head = file.read(4)
        if head == b"OggS":
            data = head + file.read()
            return data, _links(data)
        if head[:3] == b"ID3" or (head[:1] == b"\xff" and _frame(head, 0)):
            data = head + file.read()
            return data, _songs(data, name_of(source))
    return None, []


def _links(data: bytes) -> list[Part]:
    """The links of an Ogg chain: one begins with every first page (flag 2) that follows another kind (RFC 3533)."""
    begins, first, at = [0], True, 0
    while (at := data.find(b"OggS", at)) >= 0 and at + 27 <= len(data):
        starts = bool(data[at + 5] & 2)
        if starts and not first:
            begins.append(at)
        first = starts
        segments = data[at + 26]
        at += 27 + segments + sum(data[at + 27 : at + 27 + segments])
    return [Part(a, b, None) for a, b in zip(begins, [*begins[1:], len(data)], strict=True)]


_BITRATES = {  # kbit/s by (MPEG 1, layer), ISO 11172-3 and 13818-3
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


_STARTS = re.compile(rb"\xff[\xe0-\xff]|ID3|TAG|APETAGEX")


def _frame(data: bytes, at: int) -> tuple[int, float] | None:
    """(bytes, seconds) of the MPEG audio frame that begins here, or None."""
    if len(data) < at + 4 or data[at] != 0xFF or data[at + 1] & 0xE0 != 0xE0:
        return None
    version, layer = data[at + 1] >> 3 & 3, 4 - (data[at + 1] >> 1 & 3)
    bits, hertz = data[at + 2] >> 4, data[at + 2] >> 2 & 3
    if version == 1 or layer == 4 or bits in (0, 15) or hertz == 3:
        return None
    rate = (44_100, 48_000, 32_000)[hertz] // (1 if version == 3 else 2 if version == 2 else 4)
    samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
    slot = 4 if layer == 1 else 1
    kilobits = _BITRATES[version == 3, min(layer, 3)][bits - 1]
    return (samples // 8 // slot * kilobits * 1000 // rate + (data[at + 2] >> 1 & 1)) * slot, samples / rate


def _tag(data: bytes, at: int) -> int:
    """The bytes of the ID3 or APE tag that begins here, or 0."""
    if data[at : at + 3] == b"ID3":
        a, b, c, d = data[at + 6 : at + 10].ljust(4, b"\0")
        return 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if data[at + 5 : at + 6] >= b"\x10" else 0)
    if data[at : at + 3] == b"TAG":
        return 128
    if data[at : at + 8] == b"APETAGEX":
        return 32 + int.from_bytes(data[at + 12 : at + 16], "little")
    return 0


def _stated_frames(data: bytes, at: int) -> int | None:
    """How many frames a song says it has, in its first one: 0 where that frame does not say, None for other frames."""
    for name, place in ((b"Xing", 8), (b"Info", 8), (b"VBRI", 14)):
        mark = data.find(name, at + 4, at + 48)
        if mark >= 0:
            counted = name == b"VBRI" or int.from_bytes(data[mark + 4 : mark + 8], "big") & 1
            return int.from_bytes(data[mark + place : mark + place + 4], "big") if counted else 0
    return None


def _songs(data: bytes, name: str) -> list[Part]:
    """The songs of an mp3: a new one begins after a tag, and with every frame that tells a length."""
    found: list[list[float]] = []  # begin, end, seconds, seconds that the song states
    at, fresh = 0, True
    while at < len(data):
        frame = _frame(data, at)
        if frame is None:
            fresh = fresh or bool(_tag(data, at))
            at = at + _tag(data, at) if _tag(data, at) else _next(data, at + 1)
            continue
        stated = _stated_frames(data, at)
        if fresh or stated is not None:
            found.append([at, at, 0.0, (stated or 0) * frame[1]])
        if stated is None:
            found[-1][2] += frame[1]
        at, fresh = at + frame[0], False
        found[-1][1] = min(at, len(data))
    for _, _, seconds, whole in found:
        if seconds < whole - 0.2:
            raise MediaError(f"{name}: cut off, it has {seconds:.2f} s of {whole:.2f} s of sound")
    return [Part(int(begin), int(end), seconds) for begin, end, seconds, _ in found]


def _next(data: bytes, at: int) -> int:
    """Where a tag begins, or two frames follow each other again; damage in between is left to the decoder."""
    for found in _STARTS.finditer(data, at):
        frame = _frame(data, found.start())
        after = found.start() + (frame[0] if frame else 0)
        if _tag(data, found.start()) or (frame and (after >= len(data) or _frame(data, after))):
            return found.start()
    return len(data)
