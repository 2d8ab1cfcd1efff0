"""Sound features written the obvious way: one frame, one band at a time."""

from __future__ import annotations

import cmath
import math

import numpy as np


def mel(hz: float) -> float:
    return 2595 * math.log10(1 + hz / 700)


def log_mel(wave: np.ndarray, bands: int, rate: int, n_fft: int, window: int, hop: int, floor: float) -> np.ndarray:
    """(bands, samples // hop), HTK mels of equal height, mirrored ends, periodic Hann window in the middle."""
    half = n_fft // 2
    padded = np.pad(wave.astype(np.float64), half, mode="reflect")
    step = mel(rate / 2) / (bands + 1)
    edges = [700 * (10 ** (k * step / 2595) - 1) for k in range(bands + 2)]
    left = (n_fft - window) // 2
    out = np.zeros((bands, len(wave) // hop))
    for frame in range(out.shape[1]):
        part = np.zeros(n_fft)
        for n in range(window):
            weight = 0.5 - 0.5 * math.cos(2 * math.pi * n / window)
            part[left + n] = weight * padded[frame * hop + left + n]
        power = [
            abs(sum(part[n] * cmath.exp(-2j * math.pi * g * n / n_fft) for n in range(n_fft))) ** 2
            for g in range(half + 1)
        ]
        for band in range(bands):
            low, centre, high = edges[band : band + 3]
            for g, value in enumerate(power):
                hz = g * rate / n_fft
                rising, falling = (hz - low) / (centre - low), (high - hz) / (high - centre)
                out[band, frame] += max(0.0, min(rising, falling)) * value
    return np.log(out + floor)


def zero_crossing_rate(wave: np.ndarray, frame: int, hop: int) -> list[float]:
    padded = np.pad(wave, frame // 2, mode="edge")
    rates = []
    for start in range(0, len(padded) - frame + 1, hop):
        negative = [v < -1e-10 for v in padded[start : start + frame]]
        rates.append(sum(a != b for a, b in zip(negative[1:], negative[:-1], strict=True)) / frame)
    return rates
