"""Sounds of things and places: notes of the General MIDI soundfont inside ``pretty_midi``, textures made here."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import signal

from avlib.types import RATE
from avlib.world.packs import level

LICENCE = "Notes and effects: TimGM6mb.sf2 by Tim Brechbill, as shipped with pretty_midi; GPL-2.0"
DRUMS = 128


@dataclass(frozen=True)
class Voice:
    """How a thing is played: a program (or drum keys), the range of its notes, and how its sound dies away.

    Attributes:
        program: General MIDI program, counted from 0; None plays the drum kit.
        low, high: lowest and highest note (MIDI numbers).
        decay: time constant of the note's end, s; 0 sustains.
        keys: keys of the drum kit that may be struck; ``low`` and ``high`` then bound their transposition.
    """

    program: int | None
    low: int
    high: int
    decay: float = 0.0
    keys: tuple[int, ...] = ()


@dataclass(frozen=True)
class _Zone:
    """A recording of the soundfont and the keys it serves."""

    wave: np.ndarray
    rate: float
    root: float
    loop: tuple[int, int] | None
    keys: range


@lru_cache(maxsize=1)
def _soundfont():  # type: ignore[no-untyped-def]
    import pretty_midi
    from sf2utils.sf2parse import Sf2File

    # it reads on demand, so its file has to stay open
    return Sf2File(io.BytesIO((Path(pretty_midi.__file__).parent / "TimGM6mb.sf2").read_bytes()))


@contextmanager
def _quiet() -> Iterator[None]:
    """sf2utils warns of every short loop of the font."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@cache
def _zones(program: int | None) -> tuple[_Zone, ...]:
    """All recordings of a program, or of the drum kit."""
    bank, number = (DRUMS, 0) if program is None else (0, program)
    with _quiet():
        presets = _soundfont().presets
        preset = next(p for p in presets if getattr(p, "bank", None) == bank and p.preset == number)
        parts = [(bag, part) for bag in preset.bags if bag.instrument for part in bag.instrument.bags if part.sample]
        return tuple(_zone(bag, part) for bag, part in parts)


def _zone(bag: Any, part: Any) -> _Zone:
    sample = part.sample
    low, high = part.key_range or bag.key_range or (0, 127)
    wave = np.frombuffer(sample.raw_sample_data, np.int16).astype(np.float64) / 32768
    root = part.base_note if part.base_note is not None else sample.original_pitch
    loop = (int(sample.start_loop), int(sample.end_loop)) if sample.end_loop > sample.start_loop + 16 else None
    return _Zone(wave, float(sample.sample_rate), float(root), loop, range(low, high + 1))


def _played(zone: _Zone, semitones: float, seconds: float, loop: bool) -> np.ndarray:
    """The zone's recording, transposed and, where it may be, looped."""
    ratio = 2 ** (semitones / 12) * zone.rate / RATE
    wave = zone.wave[: max(round(seconds * RATE * ratio) + 64, zone.loop[1] + 64 if zone.loop else 0)]
    if ratio > 1:  # what lies above the new Nyquist frequency would fold back
        wave = signal.sosfiltfilt(signal.butter(6, min(0.9 / ratio, 0.95), output="sos"), wave)
    at = np.arange(round(seconds * RATE)) * ratio
    if loop and zone.loop and zone.loop[1] <= len(wave) - 1:
        start, end = zone.loop
        over = at >= end
        at[over] = start + (at[over] - start) % (end - start)
    at = at[at < len(wave) - 1]
    low = at.astype(int)
    return wave[low] + (wave[low + 1] - wave[low]) * (at - low)


def note(voice: Voice, key: float, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """One note or effect, levelled, (S,) at RATE; ``key`` may lie between two keys.

    A drum is struck on one of its keys and transposed by ``key``; an instrument uses the recording made for that key.
    """
    zones = _zones(voice.program)
    if voice.keys:
        struck = int(generator.choice(voice.keys))
        fitting = [zone for zone in zones if struck in zone.keys]
        zone = fitting[int(generator.integers(len(fitting)))]
        semitones = key + struck - zone.root
    else:
        fitting = [zone for zone in zones if round(key) in zone.keys] or list(zones)
        zone = fitting[int(generator.integers(len(fitting)))]
        semitones = key - zone.root
    wave = _played(zone, semitones, seconds, loop=not voice.keys)
    if voice.decay:
        wave = wave * np.exp(-np.arange(len(wave)) / (voice.decay * RATE))
    return level(wave)


def notes(voice: Voice, counts: tuple[int, int, int], generator: np.random.Generator) -> list[tuple[np.ndarray, int]]:
    """(wave, split) of a thing: train, val and test play different pitches, a third of a semitone apart at least."""
    made = []
    for split, count in enumerate(counts):
        for _ in range(count):
            key = generator.integers(voice.low, voice.high + 1) + (0.0, 0.33, 0.67)[split]
            seconds = generator.uniform(0.25, 0.75)
            wave = note(voice, float(key), float(seconds), generator)
            made.append((wave, split))
    return made


# ------------------------------------------------------------------------------------------------------ textures


def _noise(seconds: float, band: tuple[float, float], generator: np.random.Generator) -> np.ndarray:
    white = generator.standard_normal(round(seconds * RATE))
    return signal.sosfilt(signal.butter(2, band, "bandpass", fs=RATE, output="sos"), white)


def _swell(seconds: float, rate: float, depth: float, generator: np.random.Generator) -> np.ndarray:
    """A slow random envelope around 1, ``rate`` changes a second."""
    knots = 1 + depth * generator.uniform(-1, 1, max(4, round(seconds * rate) + 2))
    return np.interp(np.linspace(0, len(knots) - 1, round(seconds * RATE)), np.arange(len(knots)), knots)


def _grains(
    seconds: float, rate: float, band: tuple[float, float], length: float, generator: np.random.Generator
) -> np.ndarray:
    """``rate`` short bursts a second: drops, crackles, steps on gravel."""
    out = np.zeros(round(seconds * RATE))
    size = round(length * RATE)
    shape = np.exp(-np.arange(size) / (size / 4))
    for at in generator.integers(0, len(out) - size, generator.poisson(rate * seconds)):
        out[at : at + size] += generator.uniform(0.2, 1) * shape * _noise(length, band, generator)[:size]
    return out


def _tones(seconds: float, hertz: float, generator: np.random.Generator) -> np.ndarray:
    """A hum: a low tone and its overtones, slightly unsteady."""
    t = np.arange(round(seconds * RATE)) / RATE
    parts = [np.sin(2 * np.pi * hertz * k * t + generator.uniform(0, 6.28)) / k for k in (1, 2, 3, 5)]
    return np.sum(parts, 0) + 0.1 * _noise(seconds, (50, 600), generator)


def texture(kind: str, generator: np.random.Generator, seconds: float = 3.0) -> np.ndarray:
    """A steady sound of a place, levelled, (S,): wind, rain, hum, stream, crackle, traffic, crickets or murmur."""
    g = generator
    made = {
        "wind": lambda: _noise(seconds, (120, 700), g) * _swell(seconds, 1.2, 0.8, g),
        "rain": lambda: _noise(seconds, (1500, 7000), g) * 0.3 + _grains(seconds, 90, (1500, 6000), 0.01, g),
        "hum": lambda: _tones(seconds, g.uniform(48, 62), g),
        "stream": lambda: _noise(seconds, (500, 2500), g) * _swell(seconds, 9, 0.6, g),
        "crackle": lambda: _grains(seconds, 28, (700, 5000), 0.03, g),
        "traffic": lambda: _noise(seconds, (60, 300), g) * _swell(seconds, 0.7, 0.6, g),
        "crickets": lambda: _noise(seconds, (4300, 4700), g) * (_tones(seconds, g.uniform(14, 19), g) > 0),
        "murmur": lambda: _noise(seconds, (200, 1200), g) * _swell(seconds, 6, 0.9, g),
    }
    return level(made[kind](), fade=(0.0, 0.0))
