"""From a waveform to pictures of sound, and back.

Beside the letters of :mod:`avlib.types`, ``G`` counts the bins of a Fourier transform where ``F`` means mel bands, and
``P`` the samples of one window, and ``Q`` the real and imaginary parts of the bins, in turn.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.types import RATE

MelScale = Literal["htk", "slaney"]

CACHED_SAMPLES = 2**20
"""Windowed samples that :class:`LogMel` works on at once on a CPU (4 MB)."""


def check_wave(wave: Tensor, name: str = "wave") -> Tensor:
    """Return ``wave`` if it can be a sound: floating point, not empty, every sample finite.

    Raises:
        TypeError: not a floating-point tensor.
        ValueError: no samples, or NaN or infinite samples; the message names ``name`` and the rows concerned.
    """
    if not isinstance(wave, Tensor) or not wave.is_floating_point():
        kind = wave.dtype if isinstance(wave, Tensor) else type(wave).__name__
        raise TypeError(f"{name} must be a floating-point tensor, not {kind}")
    if wave.ndim == 0 or wave.numel() == 0:
        raise ValueError(f"{name} of shape {tuple(wave.shape)} has no samples")
    # One finite sum proves that every sample is finite, at a tenth of the price of looking at each.
    if not bool(torch.isfinite(wave.detach().sum())):
        bad = ~torch.isfinite(wave.detach())
        if bool(bad.any()):
            rows = "" if wave.ndim == 1 else f", in rows {bad.flatten(1).any(1).nonzero().flatten().tolist()[:8]}"
            raise ValueError(f"{name} holds {int(bad.sum())} NaN or infinite samples{rows}")
    return wave


def check_rate(rate: float, name: str = "rate") -> float:
    """Return ``rate`` (Hz) if it is positive and finite, else raise ValueError."""
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"{name} must be a positive number of Hz, not {rate!r}")
    return rate


def hz_to_mel(hz: Tensor, scale: MelScale = "htk") -> Tensor:
    """Frequency in Hz to mel: 2595·log10(1 + f/700) for "htk"; linear below 1 kHz, then logarithmic for "slaney"."""
    if scale == "htk":
        return 2595.0 * torch.log10(1.0 + hz / 700.0)
    if scale == "slaney":
        return torch.where(
            hz < 1000.0, hz * 0.015, 15.0 + torch.log(hz.clamp(min=1e-9) / 1000.0) * (27.0 / math.log(6.4))
        )
    raise ValueError(f"unknown mel scale {scale!r}; there are: htk, slaney")


def mel_to_hz(mel: Tensor, scale: MelScale = "htk") -> Tensor:
    """Inverse of :func:`hz_to_mel`."""
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    if scale == "slaney":
        return torch.where(mel < 15.0, mel / 0.015, 1000.0 * torch.exp((mel - 15.0) * (math.log(6.4) / 27.0)))
    raise ValueError(f"unknown mel scale {scale!r}; there are: htk, slaney")


def mel_filters(
    bands: int,
    rate: float,
    n_fft: int,
    fmin: float = 0.0,
    fmax: float | None = None,
    scale: MelScale = "htk",
    normalise: bool = False,
) -> Tensor:
    """Triangles over the bins of a Fourier transform, equally wide in mel: filter_FG, float64.

    Args:
        fmin, fmax: Hz; ``None`` is half the rate.
        normalise: give every triangle the same area (librosa's default) rather than the same height (torchaudio's).

    Raises:
        ValueError: a rate of 0, a band limit outside 0…rate/2, no bands.
    """
    fmax = check_rate(rate) / 2 if fmax is None else fmax
    if bands < 1:
        raise ValueError(f"bands must be at least 1, not {bands}")
    if not 0 <= fmin < fmax <= rate / 2:
        raise ValueError(
            f"mel bands need 0 <= fmin < fmax <= {rate / 2:g} Hz (half the rate), not {fmin:g} and {fmax:g}"
        )
    hz_G = torch.linspace(0, rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    limits = hz_to_mel(torch.tensor([fmin, fmax], dtype=torch.float64), scale)
    edge = mel_to_hz(torch.linspace(float(limits[0]), float(limits[1]), bands + 2, dtype=torch.float64), scale)
    low, centre, high = edge[:-2, None], edge[1:-1, None], edge[2:, None]
    filter_FG = torch.minimum((hz_G - low) / (centre - low), (high - hz_G) / (high - centre)).clamp(min=0)
    return filter_FG * (2.0 / (high - low)) if normalise else filter_FG


class LogMel(nn.Module):
    """Log-mel spectrogram: wave_BS -> mel_BFL = ln(mel power + floor), ``rate / hop`` frames a second.

    Frames are centred on samples 0, hop, 2·hop … (the signal is mirrored at its ends) and the last one, which would
    be centred on the end, is dropped: 1 s at 16 kHz gives 100 frames. The power is that of ``torchaudio``'s
    ``MelSpectrogram`` (and of ``librosa``'s with the same mel scale and ``pad_mode="reflect"``).

    Args:
        bands: mel bands.
        rate: Hz.
        n_fft, window, hop: samples; the window is a periodic Hann window.
        fmin, fmax: Hz; ``None`` is half the rate.
        floor: added to the power, so that silence is ln(floor); see :attr:`silence`.
        scale, normalise: see :func:`mel_filters`.

    Raises:
        ValueError: a rate of 0, a window longer than the transform, a hop below 1; when called: a wave that is not
            two-dimensional, too short, or not finite (looked at on the CPU only, where it is free).
    """

    filter_QF: Tensor
    window_P: Tensor

    def __init__(
        self,
        bands: int = 64,
        rate: float = RATE,
        n_fft: int = 512,
        window: int = 400,
        hop: int = 160,
        fmin: float = 0.0,
        fmax: float | None = None,
        floor: float = 1e-6,
        scale: MelScale = "htk",
        normalise: bool = False,
    ) -> None:
        super().__init__()
        if not 0 < window <= n_fft or hop < 1:
            raise ValueError(f"need 0 < window <= n_fft and hop >= 1, not window {window}, n_fft {n_fft}, hop {hop}")
        if floor <= 0:
            raise ValueError(f"floor must be positive, not {floor}")
        self.n_fft, self.hop, self.floor = n_fft, hop, floor
        filter_FG = mel_filters(bands, rate, n_fft, fmin, fmax, scale, normalise)
        # One row for the real and one for the imaginary part of each bin: squaring and summing them is then part of
        # the matrix product, without a pass of its own over the spectrum.
        self.register_buffer("filter_QF", filter_FG.repeat_interleave(2, 1).t().float().contiguous(), persistent=False)
        left = (n_fft - window) // 2
        padded_P = functional.pad(torch.hann_window(window), (left, n_fft - window - left))
        self.register_buffer("window_P", padded_P, persistent=False)

    @property
    def silence(self) -> float:
        """The value of a silent cell: pad with this, never with 0."""
        return math.log(self.floor)

    def power(self, wave_BS: Tensor) -> Tensor:
        """Mel power before the floor and the logarithm: mel_BFL."""
        self._check(wave_BS)
        frames = wave_BS.shape[1] // self.hop
        # A few clips at a time stay in the processor's cache, which halves the time; a GPU takes them all at once.
        rows = max(1, CACHED_SAMPLES // (frames * self.n_fft)) if wave_BS.device.type == "cpu" else len(wave_BS)
        with torch.autocast(wave_BS.device.type, enabled=False):
            power_BLF = torch.cat([self._frames_power(part_BS) for part_BS in wave_BS.split(rows)])
        return power_BLF.transpose(1, 2)

    def forward(self, wave_BS: Tensor) -> Tensor:
        return (self.power(wave_BS) + self.floor).log()

    def _frames_power(self, wave_BS: Tensor) -> Tensor:
        mirrored_BS = mirror(wave_BS.to(self.window_P.dtype), self.n_fft // 2)
        frame_BLP = mirrored_BS.unfold(1, self.n_fft, self.hop)[:, : wave_BS.shape[1] // self.hop]
        spectrum_BLG = torch.fft.rfft(frame_BLP * self.window_P)
        return torch.view_as_real(spectrum_BLG).flatten(2).square() @ self.filter_QF

    def _check(self, wave_BS: Tensor) -> None:
        if wave_BS.ndim != 2 or wave_BS.shape[0] == 0:
            raise ValueError(
                f"LogMel needs wave_BS (clips, samples), at least one clip, not shape {tuple(wave_BS.shape)}"
            )
        least = max(self.n_fft // 2 + 1, self.hop)
        if wave_BS.shape[1] < least:
            raise ValueError(f"LogMel needs at least {least} samples a clip, not {wave_BS.shape[1]}")
        if wave_BS.device.type == "cpu" and not torch.compiler.is_compiling():
            check_wave(wave_BS, "wave_BS")


def mirror(wave_BS: Tensor, samples: int) -> Tensor:
    """Prolong both ends by their mirror image, the end sample itself not repeated (numpy's "reflect")."""
    left_BS, right_BS = wave_BS[:, 1 : samples + 1].flip(1), wave_BS[:, -samples - 1 : -1].flip(1)
    return torch.cat([left_BS, wave_BS, right_BS], 1)
