"""Spoken phrases with exact word times, through espeak-ng.

Its output depends on what the process has said before, so `say_all` speaks in a process of its own, in order: the same
list always gives the same samples.
"""

from __future__ import annotations

import ctypes
import io
import json
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from avlib.types import SAMPLE_RATE, Word

LICENCE = "Speech: synthesised with eSpeak NG (GPL-3.0-or-later)"
_RETRIEVAL, _CHARS_UTF8, _SYLLABLE = 2, 1, 4
_EVENT_WORD, _EVENT_END = 1, 0
_PARAMETER_RATE, _PARAMETER_PITCH = 1, 3


@dataclass(frozen=True)
class Speaker:
    """A voice of espeak-ng, its speed (words a minute) and its pitch (0…100)."""

    voice: str
    speed: int
    pitch: int


SPEAKERS = (
    Speaker("en-us", 235, 45),
    Speaker("en-us+f3", 245, 58),
    Speaker("en+m3", 230, 35),
    Speaker("en-gb-scotland+m7", 240, 48),
    Speaker("en-029+f2", 235, 46),
    Speaker("en-us-nyc+m4", 250, 62),
    Speaker("en-gb-x-rp+f5", 225, 42),
    Speaker("en-gb-x-gbclan+m1", 240, 40),
    Speaker("en-gb-x-gbcwmd+m5", 235, 54),
    Speaker("en-us+linda", 240, 50),
    Speaker("en-029+m2", 245, 42),
    Speaker("en-gb-scotland+f4", 230, 50),
    Speaker("en+f1", 240, 62),
    Speaker("en-us+m8", 235, 55),
)
SPEAKER_SPLIT = (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2, 2)
"""Eight voices for train, two for val and four for test: no timbre (the part after the +) is in two splits."""


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))
_lock = threading.Lock()


@lru_cache(maxsize=1)
def _library() -> tuple[ctypes.CDLL, int]:
    import espeakng_loader

    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    rate = library.espeak_Initialize(_RETRIEVAL, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    if rate <= 0:
        raise RuntimeError("espeak-ng could not be started")
    return library, rate


def _synthesise(text: str, speaker: Speaker) -> tuple[np.ndarray, list[tuple[int, int]], int]:
    """Samples at espeak's own rate, (position in the text from 1, sample) of each word, and the rate."""
    library, rate = _library()
    pieces: list[np.ndarray] = []
    words: list[tuple[int, int]] = []

    def receive(wave, count, events):  # type: ignore[no-untyped-def]
        if wave and count > 0:
            pieces.append(np.ctypeslib.as_array(wave, (count,)).copy())
        n = 0
        while events[n].type != _EVENT_END:
            if events[n].type == _EVENT_WORD:
                words.append((events[n].text_position, events[n].sample))
            n += 1
        return 0

    with _lock:
        callback = _CALLBACK(receive)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else it starts from the clock
        library.espeak_SetSynthCallback(callback)
        if library.espeak_SetVoiceByName(speaker.voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {speaker.voice!r}")
        library.espeak_SetParameter(_PARAMETER_RATE, speaker.speed, 0)
        library.espeak_SetParameter(_PARAMETER_PITCH, speaker.pitch, 0)
        data = text.encode()
        library.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _CHARS_UTF8, None, None)
        library.espeak_Synchronize()
    whole = np.concatenate(pieces) if pieces else np.zeros(1, np.int16)
    return whole.astype(np.float64) / 32768, words, rate


def _words(text: str, marks: list[tuple[int, int]], rate: int, first: int, length: float) -> tuple[Word, ...]:
    """The words of a text by espeak's marks; where one of them has no mark, the whole text counts as one word.

    A word may have several marks ("dog2" has two: dog, two).
    """
    starts = []
    for match in re.finditer(r"\S+", text):
        inside = [sample for at, sample in marks if match.start() < at <= match.end()]
        if not inside:
            return (Word(text, 0.0, length),)
        starts.append(min(max(0.0, (min(inside) - first) / rate), length))
    return tuple(Word(w, a, b) for w, a, b in zip(text.split(), starts, [*starts[1:], length], strict=True))


def say(text: str, speaker: Speaker) -> tuple[np.ndarray, tuple[Word, ...]]:
    """A phrase: (S,) at SAMPLE_RATE without the silence at its ends, and its words with their times (s).

    Where espeak has nothing to say of the text (a sign without a name), nothing is heard and there are no words.

    Raises:
        ValueError: an unknown voice.
    """
    from scipy.signal import resample_poly

    wave, marks, rate = _synthesise(text, speaker)
    loud = np.nonzero(np.abs(wave) > 0.01)[0]
    if not len(loud):
        return np.zeros(1), ()
    first, last = int(loud[0]), int(loud[-1]) + 1
    common = math.gcd(SAMPLE_RATE, rate)
    resampled = resample_poly(
        wave[first:last], SAMPLE_RATE // common, rate // common, window=_lowpass(SAMPLE_RATE, rate)
    )
    return resampled, _words(text, marks, rate, first, (last - first) / rate)


@lru_cache(maxsize=2)
def _lowpass(up: int, down: int) -> np.ndarray:
    """The filter that resample_poly would design anew for each phrase."""
    from scipy.signal import firwin

    factor = max(up, down) // math.gcd(up, down)
    return firwin(20 * factor + 1, 1 / factor, window=("kaiser", 5.0))


def say_all(lines: Sequence[tuple[str, Speaker]]) -> list[tuple[np.ndarray, tuple[Word, ...]]]:
    """`say` for each (text, speaker), in a fresh process.

    Raises:
        RuntimeError: espeak-ng failed; its message is passed on.
    """
    asked = json.dumps([(text, asdict(speaker)) for text, speaker in lines]).encode()
    code = "from avlib.world.speech import _serve; _serve()"
    done = subprocess.run([sys.executable, "-c", code], input=asked, capture_output=True, env=_environment())
    if done.returncode:
        raise RuntimeError(f"espeak-ng failed: {done.stderr.decode(errors='replace').strip()[-400:]}")
    with np.load(io.BytesIO(done.stdout)) as file:
        words = json.loads(str(file["words"]))
        return [(file[f"wave{n}"], tuple(Word(*w) for w in row)) for n, row in enumerate(words)]


def _environment() -> dict[str, str]:
    """This process's, with a path on which avlib is found."""
    here = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}


def _serve() -> None:
    """The other side of `say_all`: lines on standard input, samples and words on standard output."""
    made = [say(text, Speaker(**who)) for text, who in json.load(sys.stdin)]
    words = json.dumps([[(w.text, w.start, w.end) for w in row] for _, row in made])
    np.savez(sys.stdout.buffer, words=words, **{f"wave{n}": wave for n, (wave, _) in enumerate(made)})  # type: ignore[arg-type]
