"""Whole sounds and films, encoded."""

from __future__ import annotations

import io
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from avlib import files
from avlib.errors import unknown
from avlib.media.pictures import to_pil
from avlib.media.source import MediaError, check_rate
from avlib.types import SAMPLE_RATE

Format = Literal["wav", "ogg", "mp3", "flac"]
_SUBTYPE = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
_CODECS = {".mp4": ("libx264", "aac"), ".webm": ("libvpx-vp9", "libopus")}


def _checked(wave_S: Tensor, rate: int) -> Tensor:
    check_rate(rate)
    if wave_S.ndim != 1 or not len(wave_S) or not wave_S.is_floating_point():
        shape = f"{tuple(wave_S.shape)} of {wave_S.dtype}"
        raise MediaError(f"a wave to encode must be wave_S, float, with at least one sample, not {shape}")
    if not wave_S.isfinite().all():
        raise MediaError(f"{int((~wave_S.isfinite()).sum())} samples to encode are NaN or infinite")
    return wave_S.detach().cpu().float().clamp(-1, 1)


def encode_audio(wave_S: Tensor, rate: int = SAMPLE_RATE, format: Format = "mp3", squeeze: float = 0.5) -> bytes:
    """The bytes of a mono sound file. MP3 and WAV play in every browser; samples beyond ±1 are clipped.

    Args:
        format: ``"wav"`` or ``"flac"`` (16 bits, lossless), ``"ogg"`` (Vorbis) or ``"mp3"``.
        squeeze: for the lossy ones, from 0, best, to 1, smallest.

    Raises:
        MediaError: NaN or infinite samples, no samples, a rate of 0 or one that the format does not have, an unknown
            format; the right ones are listed.
    """
    import soundfile

    if format not in _SUBTYPE:
        raise MediaError(str(unknown("audio format", format, _SUBTYPE)))
    wave, file = _checked(wave_S, rate).numpy(), io.BytesIO()
    # libsndfile refuses 1 itself
    level = {"compression_level": min(max(squeeze, 0.0), 0.999)} if format in ("ogg", "mp3") else {}
    try:
        soundfile.write(file, wave, rate, format=format.upper(), subtype=_SUBTYPE[format], **level)
    except (soundfile.LibsndfileError, RuntimeError, TypeError) as error:
        raise MediaError(f"sound of {rate} Hz cannot be written as {format}: {error}") from error
    return file.getvalue()


def encode_wav(wave_S: Tensor, rate: int = SAMPLE_RATE) -> bytes:
    """The bytes of a 16-bit WAV file; see `encode_audio`."""
    return encode_audio(wave_S, rate, "wav")


def write_wav(path: str | os.PathLike[str], wave_S: Tensor, rate: int = SAMPLE_RATE) -> Path:
    """Write a 16-bit WAV file; an existing one stays until the new one is whole."""
    return files.write(Path(path), encode_wav(wave_S, rate), "the recording")


def write_video(
    path: str | os.PathLike[str], video_TCHW: Tensor, wave_S: Tensor | None, fps: float, rate: int = SAMPLE_RATE
) -> Path:
    """Write an .mp4 (H.264 and AAC) or .webm (VP9 and Opus); width and height must be even.

    Raises:
        MediaError: NaN, no frames, odd sides, a rate of 0, what the codecs do not take, another ending of the name.
    """
    import av

    path = Path(path)
    if path.suffix not in _CODECS:
        raise MediaError(str(unknown("video format", path.suffix, _CODECS)))
    if video_TCHW.ndim != 4 or not len(video_TCHW) or video_TCHW.shape[-1] % 2 or video_TCHW.shape[-2] % 2:
        raise MediaError(f"a video to encode must be video_TCHW with even sides, not {tuple(video_TCHW.shape)}")
    if not video_TCHW.isfinite().all() or not (math.isfinite(fps) and fps > 0):
        raise MediaError(f"a video to encode must be finite and have fps above 0, not {fps}")
    wave = None if wave_S is None else _checked(wave_S, rate)
    try:
        data = _film(path.suffix, video_TCHW, wave, fps, rate)
    except (av.FFmpegError, ValueError, OverflowError, ZeroDivisionError) as error:
        high, wide = video_TCHW.shape[-2:]
        what = f"{wide}×{high} px at {fps} frames a second" + ("" if wave is None else f" with sound of {rate} Hz")
        raise MediaError(f"{path}: {what} cannot be written ({error})") from error
    return files.write(path, data, "the video")


def _film(suffix: str, video_TCHW: Tensor, wave_S: Tensor | None, fps: float, rate: int) -> bytes:
    import av

    file, (seen, heard), frames = io.BytesIO(), _CODECS[suffix], Fraction(fps).limit_denominator(1001)
    if not frames:
        raise ValueError("too slow")
    with av.open(file, "w", format=suffix[1:]) as container:
        picture: Any = container.add_stream(seen, rate=frames)
        picture.width, picture.height, picture.pix_fmt = video_TCHW.shape[3], video_TCHW.shape[2], "yuv420p"
        sound: Any = None if wave_S is None else container.add_stream(heard, rate=rate, layout="mono")
        for image_CHW in video_TCHW:
            container.mux(picture.encode(av.VideoFrame.from_image(to_pil(image_CHW))))
        container.mux(picture.encode())
        if sound is not None and wave_S is not None:
            frame = av.AudioFrame.from_ndarray(wave_S.numpy()[None], format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0  # else it comes late
            container.mux(sound.encode(frame))
            container.mux(sound.encode())
    return file.getvalue()
