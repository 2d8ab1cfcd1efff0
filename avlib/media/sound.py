"""Sound from files: mixed to one channel, at one rate, each stretch of it at its time."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from avlib.media.source import MediaError, Source, check_rate, check_whole, name_of, parts
from avlib.media.streams import SLACK, Reader, av_opened, stream_of
from avlib.types import SAMPLE_RATE

_SLIP = 0.02
"""Seconds that sound may be off its time stamps, which some formats round, before it is placed anew."""
_FAINT = 2.0**-14
"""Two steps of 16 bits (−84 dB): what never exceeds them is the noise of a converter."""
_CANCELLED = 1e-3
"""Mixing keeps this much of the channels where they cancel each other out (−60 dB)."""
_BLOCK = 2**20
"""Samples that are read at once: what a header promises is not set aside beforehand."""


class Stretch(NamedTuple):
    """Sound without a break: wave_CS at ``rate`` Hz, from ``time`` s on."""

    time: float
    wave_CS: Tensor
    rate: int


def read_audio(source: Source, rate: int = SAMPLE_RATE, track: int = 0, allow_silent: bool = False) -> Tensor:
    """The sound of an audio or video file, mono, as wave_S: float, −1…1, at ``rate`` Hz.

    It begins with the track's first sample. Files that were joined are read one after the other; where the track has
    a hole, there is silence.

    Args:
        source: a path, or the bytes of a file.
        track: which audio track, counted from 0, where the file has several.
        allow_silent: return a track that cannot be heard instead of refusing it.

    Raises:
        FileNotFoundError: no such file.
        MediaError: not a media file, cut off, damaged, no such track, NaN or infinite samples, a rate of 0; silent: at
            no time louder than −84 dB, or channels that cancel each other out.
    """
    check_rate(rate)
    check_whole(source)
    stretches = _by_soundfile(source) if track == 0 else None
    if stretches is None:
        with av_opened(source) as container:
            reader = Reader(container, (stream_of(container, "audio", track, name_of(source)),), name_of(source))
            heard = Heard(name_of(source))
            for _, frame, time in reader.frames():
                heard.add(frame, time)
        stretches = heard.stretches()
    return placed(mono(stretches, name_of(source), allow_silent), rate)


# ------------------------------------------------------------------------------------------------------- libsndfile


def _by_soundfile(source: Source) -> list[Stretch] | None:
    """The sound, or None where libsndfile does not know the format or reads less than there is."""
    data, joined = parts(source)
    if data is None or len(joined) < 2:
        whole = _soundfile(source, joined[0].seconds if joined else None)
        return None if whole is None else [Stretch(0.0, *whole)]
    stretches, time = [], 0.0
    for part in joined:
        found = _soundfile(data[part.begin : part.end], part.seconds)
        if found is None:
            return None
        stretches.append(Stretch(time, *found))
        time += found[0].shape[1] / found[1]
    return stretches


def _soundfile(source: Source, seconds: float | None) -> tuple[Tensor, int] | None:
    """(wave_CS, Hz) of a file that should hold so many seconds; None is to be asked of libsndfile's own header."""
    import numpy as np
    import soundfile

    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            stated, rate, counted = file.frames, file.samplerate, not file.subtype.startswith("MPEG")
            blocks = [file.read(_BLOCK, dtype="float32", always_2d=True)]
            while len(blocks[-1]) == _BLOCK:
                blocks.append(file.read(_BLOCK, dtype="float32", always_2d=True))
    except (soundfile.LibsndfileError, RuntimeError):
        return None
    wave_SC = np.concatenate(blocks)
    if rate <= 0:
        raise MediaError(f"{name_of(source)}: its sampling rate is {rate} Hz")
    if seconds is not None and len(wave_SC) < (seconds - SLACK) * rate:
        return None
    if counted and 0 < stated < 2**62 and len(wave_SC) < stated - SLACK * rate:
        short, whole = len(wave_SC) / rate, stated / rate
        raise MediaError(f"{name_of(source)}: cut off, {short:.2f} s of {whole:.2f} s of sound could be read")
    return torch.from_numpy(wave_SC).T, rate


# ------------------------------------------------------------------------------------------------------------- PyAV


class Heard:
    """Frames of sound as they are decoded, in stretches: rate, channels or clock change between two of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._form: tuple[Any, ...] = ()
        self._planar: Any = None
        self._runs: list[tuple[float, int, list[Tensor]]] = []
        self.first: float | None = None
        self.end: float | None = None
        """s, of the first frame's beginning and the last one's end; None where there was none yet."""

    def add(self, frame: Any, time: float | None, after: float = -math.inf) -> None:
        """Append a frame that begins at ``time`` s (None: where the last ended), unless it ends before ``after``."""
        import av

        if frame.sample_rate <= 0:
            raise MediaError(f"{self.name}: its sampling rate is {frame.sample_rate} Hz")
        due = self.end or 0.0
        apart = self.end is None or (time is not None and abs(time - due) > _SLIP)
        due = time if apart and time is not None else due
        self.first = due if self.first is None else self.first
        self.end = due + frame.samples / frame.sample_rate
        if self.end <= after:
            return
        form = (frame.sample_rate, frame.layout.name, frame.format.name)
        if form != self._form or apart:
            self._form, self._planar = form, av.AudioResampler(format="fltp")
            self._runs.append((due, frame.sample_rate, []))
        self._runs[-1][2].extend(torch.from_numpy(part.to_ndarray()) for part in self._planar.resample(frame))

    def stretches(self) -> list[Stretch]:
        """What was heard."""
        return [Stretch(time, torch.cat(pieces, 1), rate) for time, rate, pieces in self._runs if pieces]


def mono(stretches: Sequence[Stretch], name: str, allow_silent: bool) -> list[Stretch]:
    """The channels mixed into one, as (1, S).

    Raises:
        MediaError: no samples, NaN or infinite ones, and unless ``allow_silent``, nothing to be heard.
    """
    if not sum(wave_CS.shape[1] for _, wave_CS, _ in stretches):
        raise MediaError(f"{name}: its sound has no samples")
    bad = sum(int((~wave_CS.isfinite()).sum()) for _, wave_CS, _ in stretches)
    if bad:
        raise MediaError(f"{name}: {bad} samples are NaN or infinite")
    mixed = [Stretch(time, wave_CS.mean(0, keepdim=True), rate) for time, wave_CS, rate in stretches]
    if not allow_silent:
        _check_heard(stretches, mixed, name)
    return mixed


def _check_heard(stretches: Sequence[Stretch], mixed: Sequence[Stretch], name: str) -> None:
    as_is = "(allow_silent=True takes it as it is)"
    loudest = max(float(wave_CS.abs().max()) for _, wave_CS, _ in stretches if wave_CS.numel())
    peak = max(float(wave_CS.abs().max()) for _, wave_CS, _ in mixed if wave_CS.numel())
    if not loudest:
        raise MediaError(f"{name}: its sound is silent, every sample is 0 {as_is}")
    if loudest <= _FAINT:
        raise MediaError(f"{name}: its sound is silent, no sample is above the last bits of 16 {as_is}")
    before = sum(float(wave_CS.double().square().mean(0).sum()) for _, wave_CS, _ in stretches)
    after = sum(float(wave_CS.double().square().sum()) for _, wave_CS, _ in mixed)
    if peak <= _FAINT or after < _CANCELLED**2 * before:
        raise MediaError(f"{name}: its sound is silent when mixed, for its channels cancel each other out {as_is}")


def placed(stretches: Sequence[Stretch], rate: int, begin: float | None = None, length: int | None = None) -> Tensor:
    """wave_S at ``rate`` Hz, each stretch at its time and silence between them.

    Args:
        stretches: of one channel, from `mono`.
        begin: time of the first sample, s; None is that of the first stretch.
        length: in samples; None goes to the end of the last stretch.
    """
    from avlib.audio import resample

    begin = stretches[0].time if begin is None else begin
    waves = [
        (round((time - begin) * rate), resample(wave_CS[0], native, rate))
        for time, wave_CS, native in stretches
        if wave_CS.numel()
    ]
    if length is None:
        length = max(first + len(wave_S) for first, wave_S in waves)
    if len(waves) == 1 and waves[0][0] == 0 and len(waves[0][1]) == length:
        return waves[0][1]
    whole_S = torch.zeros(length)
    for first, wave_S in waves:
        kept_S = wave_S[max(0, -first) : max(0, length - first)]
        whole_S[max(0, first) : max(0, first) + len(kept_S)] = kept_S
    return whole_S
