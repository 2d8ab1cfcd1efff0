"""Sounds of things and places: recorded notes of the soundfont inside ``pretty_midi``, and textures made here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy import signal

from avlib.types import SAMPLE_RATE
from avlib.world.packs import level
from avlib.world.soundfont import Zone, general_midi, play

LICENCE = "Notes and effects: the soundfont TimGM6mb.sf2 by Tim Brechbill, GNU GPL, as shipped with pretty_midi"
DRUMS = 128
"""Bank of the drum kits."""


@dataclass(frozen=True)
class Voice:
    """How a thing is played.

    Attributes:
        programs: General MIDI programs, counted from 0, one of which plays a note; those of a drum kit, where ``keys``.
        low, high: lowest and highest note (MIDI numbers); of a drum, semitones up or down.
        keys: keys of the drum kit, one of which is struck.
        decay: time constant of a fall of the note on top of the font's own, s; 0 for none.
        strokes: how often it is struck in a note: maracas go to and fro, a clock ticks and tocks.
        steady: a noise that goes on: it starts anywhere within its loop and does not swell.
    """

    programs: tuple[int, ...]
    low: int
    high: int
    keys: tuple[int, ...] = ()
    decay: float = 0.0
    strokes: int = 1
    steady: bool = False


@cache
def _zones(bank: int, program: int) -> tuple[Zone, ...]:
    return general_midi().zones(bank, program)


def _steady(zone: Zone, generator: np.random.Generator) -> Zone:
    """The zone as an endless noise that starts anywhere."""
    start, end = zone.loop or (0, len(zone.wave_S))
    turned = np.roll(zone.wave_S[start:end], -int(generator.integers(end - start)))
    return replace(zone, wave_S=turned, loop=(0, end - start), envelope=(0.0, 0.0, 0.0, 0.0, 0.0))


def note(voice: Voice, key: float, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """One note or effect, levelled, (S,) at SAMPLE_RATE; ``key`` may lie between two keys.

    All layers that the font has for the key sound together.
    """
    program = int(generator.choice(voice.programs))
    struck = int(generator.choice(voice.keys)) if voice.keys else round(key)
    zones = _zones(DRUMS if voice.keys else 0, program)
    served = [zone for zone in zones if struck in zone.keys] or [min(zones, key=lambda z: abs(z.keys[0] - struck))]
    if voice.steady:
        served = [_steady(zone, generator) for zone in served]
    touch = float(generator.uniform(0.4, 1.0))
    sounding = struck + key if voice.keys else key
    layers = [play(zone, sounding, seconds, touch) for zone in served]
    wave = np.zeros(max(len(layer) for layer in layers))
    for layer in layers:
        wave[: len(layer)] += layer
    if voice.decay:
        wave *= np.exp(-np.arange(len(wave)) / (voice.decay * SAMPLE_RATE))
    return level(_again(wave, voice.strokes, seconds, generator))


def _again(wave: np.ndarray, strokes: int, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """The sound ``strokes`` times within ``seconds``, every other stroke a little softer."""
    whole = np.zeros(max(len(wave), round(seconds * SAMPLE_RATE) if strokes > 1 else 0))
    for stroke in range(strokes):
        at = round(stroke * len(whole) / strokes)
        part = wave[: len(whole) - at] * (1.0 if stroke % 2 == 0 else generator.uniform(0.6, 0.9))
        whole[at : at + len(part)] += part
    return whole


def notes(voice: Voice, counts: tuple[int, int, int], generator: np.random.Generator) -> list[tuple[np.ndarray, int]]:
    """(wave, split) of a thing: train, val and test each have pitches of their own.

    Of five neighbouring pitches (semitones, or quarter tones where the range is small) three are for train, one for
    val and one for test.
    """
    step = 1.0 if voice.high - voice.low >= 10 else 0.5
    pitches = np.arange(voice.low, voice.high + step / 2, step)
    shares = (
        np.isin(np.arange(len(pitches)) % 5, (0, 1, 3)),
        np.arange(len(pitches)) % 5 == 4,
        np.arange(len(pitches)) % 5 == 2,
    )
    made = []
    for split, count in enumerate(counts):
        for key in generator.permutation(np.resize(pitches[shares[split]], count)):
            detuned = float(key) + float(generator.uniform(-0.15, 0.15)) * step
            made.append((note(voice, detuned, float(generator.uniform(0.25, 0.8)), generator), split))
    return made


# ------------------------------------------------------------------------------------------------------ textures


@cache
def _bandpass(band: tuple[float, float]) -> np.ndarray:
    return signal.butter(2, band, "bandpass", fs=SAMPLE_RATE, output="sos")


def _noise(seconds: float, band: tuple[float, float], generator: np.random.Generator) -> np.ndarray:
    return signal.sosfilt(_bandpass(band), generator.standard_normal(round(seconds * SAMPLE_RATE)))


def _swell(seconds: float, rate: float, depth: float, generator: np.random.Generator) -> np.ndarray:
    """A slow random envelope around 1, ``rate`` changes a second."""
    knots = 1 + depth * generator.uniform(-1, 1, max(4, round(seconds * rate) + 2))
    return np.interp(np.linspace(0, len(knots) - 1, round(seconds * SAMPLE_RATE)), np.arange(len(knots)), knots)


def _grains(
    seconds: float, rate: float, band: tuple[float, float], length: float, generator: np.random.Generator
) -> np.ndarray:
    """``rate`` short bursts a second: drops, crackles, steps on gravel."""
    out, noise = np.zeros(round(seconds * SAMPLE_RATE)), _noise(seconds, band, generator)
    size = round(length * SAMPLE_RATE)
    shape = np.exp(-np.arange(size) / (size / 4))
    for at in generator.integers(0, len(out) - size, generator.poisson(rate * seconds)):
        out[at : at + size] += generator.uniform(0.2, 1) * shape * noise[at : at + size]
    return out


def _tones(seconds: float, hertz: float, generator: np.random.Generator) -> np.ndarray:
    """A hum: a low tone and its overtones, slightly unsteady."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    parts = [np.sin(2 * np.pi * hertz * k * t + generator.uniform(0, 6.28)) / k for k in (1, 2, 3, 5)]
    return np.sum(parts, 0) + 0.1 * _noise(seconds, (50, 600), generator)


def texture(kind: str, generator: np.random.Generator, seconds: float = 3.0) -> np.ndarray:
    """A steady sound of a place, levelled, (S,).

    Args:
        kind: wind, rain, hum, stream, crackle, rumble, traffic, crickets or murmur.
    """
    g = generator
    made = {
        "wind": lambda: _noise(seconds, (120, 700), g) * _swell(seconds, 1.2, 0.8, g),
        "rain": lambda: _noise(seconds, (1500, 7000), g) * 0.3 + _grains(seconds, 90, (1500, 6000), 0.01, g),
        "hum": lambda: _tones(seconds, g.uniform(48, 62), g),
        "stream": lambda: _noise(seconds, (500, 2500), g) * _swell(seconds, 9, 0.6, g),
        "crackle": lambda: _grains(seconds, 28, (700, 5000), 0.03, g),
        "rumble": lambda: _noise(seconds, (25, 110), g) * _swell(seconds, 2, 0.3, g),
        "traffic": lambda: _noise(seconds, (60, 300), g) * _swell(seconds, 0.7, 0.6, g),
        "crickets": lambda: _noise(seconds, (4300, 4700), g) * (_tones(seconds, g.uniform(14, 19), g) > 0),
        "murmur": lambda: _noise(seconds, (200, 1200), g) * _swell(seconds, 6, 0.9, g),
    }
    return level(made[kind](), fade=(0.0, 0.0))
