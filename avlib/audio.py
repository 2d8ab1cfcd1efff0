"""From a waveform to pictures of sound, and back.

Beside the letters of :mod:`avlib.types`, ``G`` counts the bins of a Fourier transform where ``F`` means mel bands, and
``P`` the samples of one window, and ``Q`` the real and imaginary parts of the bins, in turn.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.types import SAMPLE_RATE

LARGEST_FILTER = 1_000_000
"""Most coefficients of the filters of :func:`resample`: the product of both rates without their common divisors."""
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
        rate: float = SAMPLE_RATE,
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


def stft(wave_BS: Tensor, n_fft: int = 512, hop: int = 128) -> Tensor:
    """Short-time Fourier transform, centred, periodic Hann window: wave_BS -> complex (B, n_fft/2 + 1, S/hop + 1).

    Raises:
        ValueError: not (clips, samples), too short to mirror at the ends, not finite, a hop that leaves gaps, an odd
            ``n_fft`` (the spectrum would not tell it from the even number below, so it could not be inverted).
    """
    check_wave(wave_BS, "wave_BS")
    if n_fft % 2:
        raise ValueError(f"stft needs an even n_fft so that it can be inverted, not {n_fft}")
    if not 0 < hop <= n_fft // 2:
        raise ValueError(f"stft needs 0 < hop <= n_fft / 2 so that it can be inverted, not hop {hop}, n_fft {n_fft}")
    if wave_BS.ndim != 2 or wave_BS.shape[1] <= n_fft // 2:
        raise ValueError(f"stft needs wave_BS with more than {n_fft // 2} samples, not shape {tuple(wave_BS.shape)}")
    window_P = torch.hann_window(n_fft, dtype=wave_BS.dtype, device=wave_BS.device)
    return torch.stft(wave_BS, n_fft, hop, window=window_P, return_complex=True)


def istft(spectrum_BFL: Tensor, hop: int = 128, length: int | None = None) -> Tensor:
    """Inverse of :func:`stft`: complex (B, n_fft/2 + 1, frames) -> wave_BS of ``length`` samples."""
    if spectrum_BFL.ndim != 3 or not spectrum_BFL.is_complex():
        raise ValueError(f"istft needs a complex spectrum_BFL, not {spectrum_BFL.dtype} {tuple(spectrum_BFL.shape)}")
    n_fft = 2 * (spectrum_BFL.shape[1] - 1)
    window_P = torch.hann_window(n_fft, dtype=spectrum_BFL.real.dtype, device=spectrum_BFL.device)
    return torch.istft(spectrum_BFL, n_fft, hop, window=window_P, length=length)


def resample(wave: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """Change the sampling rate of (…, samples) by windowed-sinc interpolation; ceil(S · to / from) samples come out.

    Two rates with hardly a common divisor, as 44,099 and 16,000 Hz, would need a filter for each of 16,000 phases; such
    waves go through one Fourier transform of the whole instead, which cuts off sharply at half the lower rate.

    Raises:
        ValueError: a rate that is not positive, an empty or not finite wave.
    """
    check_rate(from_rate, "from_rate")
    check_rate(to_rate, "to_rate")
    check_wave(wave)
    if from_rate == to_rate:
        return wave
    from torchaudio.functional import resample as by_sinc  # here alone: it doubles the time to import this module

    ratio = Fraction(int(to_rate), int(from_rate))
    if ratio.numerator * ratio.denominator > LARGEST_FILTER:
        return _resample_whole(wave, ratio)
    return by_sinc(wave, int(from_rate), int(to_rate))


def _resample_whole(wave: Tensor, ratio: Fraction) -> Tensor:
    """Resample by its spectrum; silence is added up to a length that the ratio divides, which keeps the ends apart."""
    before = wave.shape[-1]
    periods = -(-(before + 64) // ratio.denominator)
    spectrum = torch.fft.rfft(functional.pad(wave, (0, periods * ratio.denominator - before)))
    resampled = torch.fft.irfft(spectrum, periods * ratio.numerator) * float(ratio)
    return resampled[..., : math.ceil(before * ratio)]


def compand(wave: Tensor, mu: float = 255.0) -> Tensor:
    """Logarithmic compression sgn(x)·ln(1 + mu·|x|)/ln(1 + mu): odd, 0 -> 0, ±1 -> ±1 (Owens & Efros, ECCV 2018)."""
    return wave.sign() * torch.log1p(mu * wave.abs()) / math.log1p(mu)


def expand(companded: Tensor, mu: float = 255.0) -> Tensor:
    """Inverse of :func:`compand`."""
    return companded.sign() * torch.expm1(companded.abs() * math.log1p(mu)) / mu


def mfcc(
    wave_BS: Tensor, rate: float, n_fft: int = 512, hop: int = 512, bands: int = 40, first: int = 1, last: int = 12
) -> Tensor:
    """Mel-frequency cepstral coefficients ``first``…``last``: wave_BS -> (B, last - first + 1, S/hop + 1).

    Those of librosa's defaults: centred frames, zeros beyond the ends, Slaney mels of equal area, decibels with an
    80 dB floor under each clip's loudest cell, orthonormal cosine transform. The defaults are the ESC baselines'
    (Piczak, ACM MM 2015), which leave out coefficient 0.

    Raises:
        ValueError: a rate of 0, coefficients beyond the bands, an empty or not finite wave, not (clips, samples).
    """
    check_wave(wave_BS, "wave_BS")
    if wave_BS.ndim != 2:
        raise ValueError(f"mfcc needs wave_BS (clips, samples), not shape {tuple(wave_BS.shape)}")
    if not 0 <= first <= last < bands:
        raise ValueError(f"mfcc needs 0 <= first <= last < bands, not {first}, {last} and {bands}")
    filter_FG = mel_filters(bands, rate, n_fft, scale="slaney", normalise=True).to(wave_BS)
    window_P = torch.hann_window(n_fft, dtype=wave_BS.dtype, device=wave_BS.device)
    spectrum = torch.stft(wave_BS, n_fft, hop, window=window_P, pad_mode="constant", return_complex=True)
    decibel_BFL = 10 * (filter_FG @ spectrum.abs().square()).clamp(min=1e-10).log10()
    decibel_BFL = decibel_BFL.maximum(decibel_BFL.amax((1, 2), keepdim=True) - 80)
    order, band = torch.arange(first, last + 1, dtype=torch.float64)[:, None], torch.arange(bands)
    cosine = torch.cos(math.pi / bands * (band + 0.5) * order) * math.sqrt(2 / bands)
    return torch.where(order == 0, cosine / math.sqrt(2), cosine).to(wave_BS) @ decibel_BFL


def zero_crossing_rate(wave_BS: Tensor, frame: int = 512, hop: int = 512) -> Tensor:
    """Share of samples at which the sign changes, in centred frames: wave_BS -> (B, S/hop + 1). As in librosa."""
    check_wave(wave_BS, "wave_BS")
    if wave_BS.ndim != 2 or frame < 2 or hop < 1:
        raise ValueError(f"zero_crossing_rate got shape {tuple(wave_BS.shape)}, frame {frame}, hop {hop}")
    padded = functional.pad(wave_BS[:, None], (frame // 2, frame // 2), mode="replicate")[:, 0]
    frame_BLP = padded.unfold(1, frame, hop) < -1e-10
    return (frame_BLP[..., 1:] != frame_BLP[..., :-1]).sum(-1) / frame


def pad_frames(mel_BFL: Tensor, frames: int, value: float) -> Tensor:
    """Prolong or cut to ``frames``; ``value`` is that of silence (:attr:`LogMel.silence`), since 0 can be loud."""
    return functional.pad(mel_BFL[..., :frames], (0, max(0, frames - mel_BFL.shape[-1])), value=value)


class Standardise(nn.Module):
    """Subtract the training set's mean and divide by its deviation, per coordinate (axis 1): (B, F, …) -> the same.

    Call :meth:`fit` once on training data; a constant coordinate keeps a deviation of 1. ``groups`` (slices of
    axis 1) are divided by the square root of their size besides, so that every group weighs the same.

    Raises:
        ValueError: used before :meth:`fit`, another number of coordinates, NaN in the training data.
    """

    mean_F: Tensor
    deviation_F: Tensor

    def __init__(self, coordinates: int, groups: tuple[slice, ...] = ()) -> None:
        super().__init__()
        self.groups = groups
        self.register_buffer("mean_F", torch.full((coordinates,), float("nan")))
        self.register_buffer("deviation_F", torch.ones(coordinates))

    def fit(self, train: Tensor) -> Standardise:
        """Measure ``train`` (B, F, …) in float64."""
        self._check(train)
        row_FN = train.detach().double().transpose(0, 1).flatten(1)
        if not bool(row_FN.isfinite().all()):
            raise ValueError("Standardise cannot be fitted to NaN or infinite values")
        deviation_F = row_FN.std(1, correction=0)
        # Rounding leaves a constant coordinate with a deviation that is tiny, not zero.
        constant_F = deviation_F <= 1e-9 * row_FN.abs().amax(1)
        deviation_F = torch.where(constant_F, 1.0, deviation_F)
        for group in self.groups:
            deviation_F[group] *= math.sqrt(len(deviation_F[group]))
        self.mean_F.copy_(row_FN.mean(1))
        self.deviation_F.copy_(deviation_F)
        return self

    def forward(self, value: Tensor) -> Tensor:
        self._check(value)
        if bool(self.mean_F[:1].isnan().any()):
            raise ValueError("Standardise must be fitted to training data before it is used")
        shape = (1, -1) + (1,) * (value.ndim - 2)
        return (value - self.mean_F.view(shape)) / self.deviation_F.view(shape)

    def _check(self, value: Tensor) -> None:
        if value.ndim < 2 or value.shape[1] != len(self.mean_F) or value.numel() == 0:
            raise ValueError(f"Standardise needs (B, {len(self.mean_F)}, …), not shape {tuple(value.shape)}")


def _erb(hz: Tensor) -> Tensor:
    return 9.265 * torch.log1p(hz / (24.7 * 9.265))


def erb_centres(points: int, fmin: float, fmax: float) -> Tensor:
    """``points`` frequencies (Hz, float64) from ``fmin`` to ``fmax``, equally spaced on the ear's ERB scale."""
    low, high = (float(v) for v in _erb(torch.tensor([fmin, fmax], dtype=torch.float64)))
    return 24.7 * 9.265 * torch.expm1(torch.linspace(low, high, points, dtype=torch.float64) / 9.265)


def cochlear_filters(samples: int, rate: float, bands: int = 30, fmin: float = 20.0, fmax: float = 10_000.0) -> Tensor:
    """Half-cosine filters on the ERB scale, with a low- and a high-pass at the ends: filter_FG.

    There are bands + 2 of them, in float64. The squared gains of all filters sum to 1 at every frequency, so filtering
    twice and adding the bands up gives the signal back.

    Raises:
        ValueError: a rate of 0, an upper limit above half the rate, fewer than two bands.

    Source: McDermott & Simoncelli, Neuron 2011; as used by Owens et al., ECCV 2016.
    """
    check_rate(rate)
    if bands < 2 or not 0 < fmin < fmax <= rate / 2:
        raise ValueError(f"cochlear_filters got bands {bands}, {fmin:g}…{fmax:g} Hz at a rate of {rate:g} Hz")
    hz_G = torch.arange(samples // 2 + 1, dtype=torch.float64) * (rate / samples)
    erb_G, edge = _erb(hz_G), _erb(erb_centres(bands + 2, fmin, fmax))
    low, high = edge[:-2, None], edge[2:, None]
    gain = torch.cos(math.pi * (erb_G - (low + high) / 2) / (high - low))
    gain = torch.where((erb_G > low) & (erb_G < high), gain, 0.0)
    below, above = (1 - gain[0] ** 2).clamp(min=0).sqrt(), (1 - gain[-1] ** 2).clamp(min=0).sqrt()
    below, above = torch.where(erb_G < edge[1], below, 0.0), torch.where(erb_G > edge[-2], above, 0.0)
    return torch.cat([below[None], gain, above[None]])


def cochleagram(
    wave_BS: Tensor,
    rate: float,
    bands: int = 30,
    fmin: float = 20.0,
    fmax: float | None = None,
    envelope_rate: float = 400.0,
    power: float = 0.3,
) -> Tensor:
    """Compressed envelopes of the ear's frequency bands: wave_BS -> envelope_BFL.

    F is bands + 2 and L is S · envelope_rate / rate. Filtering is circular; the magnitude of each band's analytic
    signal is raised to ``power``, brought to
    ``envelope_rate`` (Hz) and clipped at 0. ``fmax`` is 10 kHz or half the rate, whichever is lower.

    Raises:
        ValueError: as :func:`cochlear_filters`; an empty or not finite wave, not (clips, samples), under two frames.

    Source: McDermott & Simoncelli, Neuron 2011.
    """
    check_wave(wave_BS, "wave_BS")
    samples = wave_BS.shape[-1]
    frames = round(samples * check_rate(envelope_rate, "envelope_rate") / check_rate(rate))
    if wave_BS.ndim != 2 or not 2 <= frames <= samples:
        raise ValueError(f"cochleagram cannot make {frames} frames of a wave of shape {tuple(wave_BS.shape)}")
    limit = min(10_000.0, rate / 2) if fmax is None else fmax
    filter_FG = cochlear_filters(samples, rate, bands, fmin, limit).to(wave_BS.device)
    # Double precision: the 0.3th power would lift single-precision noise of 1e-7 to a hundredth.
    spectrum_BG = torch.fft.rfft(wave_BS.double())
    rows = [_band_envelope(spectrum_BG * gain_G, samples, frames, power) for gain_G in filter_FG]
    return torch.stack(rows, 1).to(wave_BS.dtype)


def _band_envelope(spectrum_BG: Tensor, samples: int, frames: int, power: float) -> Tensor:
    once = torch.full((spectrum_BG.shape[1],), 2.0, dtype=torch.float64, device=spectrum_BG.device)
    once[0] = 1.0
    if samples % 2 == 0:
        once[-1] = 1.0
    analytic_BS = torch.fft.ifft(spectrum_BG * once, n=samples)
    slow_BG = torch.fft.rfft(analytic_BS.abs() ** power)[:, : frames // 2 + 1]
    return torch.fft.irfft(slow_BG, n=frames).clamp(min=0) * (frames / samples)


OFFSETS = (1, 2, 3, 5)
"""Between which neighbours texture statistics correlate the bands."""


def texture_groups(bands: int = 32, modulations: int = 10) -> dict[str, slice]:
    """Where each kind of number lies in :func:`texture_statistics`; ``bands`` counts the two end bands as well."""
    sizes = {
        "mean": bands,
        "variation": bands,
        "correlation": sum(bands - o for o in OFFSETS),
        "modulation": modulations * bands,
        "loudness": 1,
    }
    end = torch.tensor(list(sizes.values())).cumsum(0).tolist()
    return {name: slice(e - sizes[name], e) for name, e in zip(sizes, end, strict=True)}


def modulation_filters(frames: int, rate: float, bands: int, low: float, high: float, q: float) -> Tensor:
    """Half-cosine filters, ``bands`` centres equally spaced in octaves from ``low`` to ``high`` Hz: (bands, G)."""
    hz_G = torch.arange(frames // 2 + 1, dtype=torch.float64) * (rate / frames)
    centre = 2 ** torch.linspace(math.log2(low), math.log2(high), bands, dtype=torch.float64)[:, None]
    gain = torch.cos(math.pi * (hz_G - centre) / (2 * centre / q))
    gain = torch.where((hz_G - centre).abs() < centre / q, gain, 0.0)
    inner = min(3, (bands - 1) // 2)
    flat = (hz_G >= centre[inner]) & (hz_G <= centre[-1 - inner])
    level = (gain**2).sum(0)[flat].mean() if bool(flat.any()) else torch.tensor(1.0)
    return gain / level.sqrt()


def texture_statistics(
    envelope_BFL: Tensor,
    envelope_rate: float = 400.0,
    modulations: int = 10,
    modulation_range: tuple[float, float] = (0.5, 200.0),
    q: float = 1.0,
    divide: bool = True,
) -> Tensor:
    """What a sound is like on average, whenever things happen in it: envelope_BFL -> (B, 502) for 32 bands.

    Mean and coefficient of variation of each band, correlation with its neighbours at distances 1, 2, 3, 5, power in
    ``modulations`` bands of modulation (Hz) over the variance, and the loudness (median norm over time, one number);
    :func:`texture_groups` says which is where. ``divide`` divides the envelopes by the loudness first.

    Raises:
        ValueError: not three axes, fewer than two frames, modulation faster than half the envelope's rate.

    Source: McDermott & Simoncelli, Neuron 2011; the selection of Owens et al., ECCV 2016.
    """
    low, high = modulation_range
    if envelope_BFL.ndim != 3 or envelope_BFL.shape[1] <= max(OFFSETS) or envelope_BFL.shape[2] < 2:
        raise ValueError(f"texture_statistics needs envelope_BFL with 6 bands or more, not {tuple(envelope_BFL.shape)}")
    if not 0 < low < high <= envelope_rate / 2:
        raise ValueError(
            f"modulation_range {modulation_range} Hz must rise and end at {envelope_rate / 2:g} Hz or below"
        )
    wide_BFL = envelope_BFL.double()
    loudness_B = wide_BFL.norm(dim=1).quantile(0.5, dim=1)
    wide_BFL = wide_BFL / loudness_B.clamp(min=1e-9)[:, None, None] if divide else wide_BFL
    mean_BF = wide_BFL.mean(2)
    centred_BFL = wide_BFL - mean_BF[..., None]
    variance_BF = centred_BFL.square().mean(2)
    pairs = [
        (centred_BFL[:, :-o] * centred_BFL[:, o:]).mean(2) / (variance_BF[:, :-o] * variance_BF[:, o:] + 1e-30).sqrt()
        for o in OFFSETS
    ]
    filter_KG = modulation_filters(wide_BFL.shape[2], envelope_rate, modulations, low, high, q).to(wide_BFL.device)
    modulation = [(power_BF / (variance_BF + 1e-12)).sqrt() for power_BF in _band_powers(centred_BFL, filter_KG)]
    variation_BF = (variance_BF / (mean_BF.square() + 1e-12)).sqrt()
    return torch.cat([mean_BF, variation_BF, *pairs, *modulation, loudness_B[:, None]], 1).to(envelope_BFL.dtype)


def _band_powers(envelope_BFL: Tensor, filter_KG: Tensor) -> list[Tensor]:
    spectrum_BFG = torch.fft.rfft(envelope_BFL)
    frames = envelope_BFL.shape[2]
    return [torch.fft.irfft(spectrum_BFG * gain_G, n=frames).square().mean(2) for gain_G in filter_KG]
