"""Whole sounds and films, encoded."""

from __future__ import annotations

import io
import math
import os
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from avlib.errors import unknown
from avlib.media.files import MediaError, check_rate
from avlib.media.pictures import to_pil
from avlib.types import SAMPLE_RATE

Format = Literal["wav", "ogg", "mp3", "flac"]
_SUBTYPE = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}


def _checked(wave_S: Tensor, rate: int) -> Tensor:
    check_rate(rate)
    if wave_S.ndim != 1 or not len(wave_S):
        raise MediaError(f"a wave to encode must be wave_S with at least one sample, not {tuple(wave_S.shape)}")
    if not wave_S.isfinite().all():
        raise MediaError(f"{int((~wave_S.isfinite()).sum())} samples to encode are NaN or infinite")
    return wave_S.detach().cpu().float().clamp(-1, 1)


def encode_audio(wave_S: Tensor, rate: int = SAMPLE_RATE, format: Format = "mp3", squeeze: float = 0.5) -> bytes:
    """The bytes of a mono sound file. MP3 and WAV play in every browser; samples beyond ±1 are clipped.

    Args:
        format: ``"wav"`` or ``"flac"`` (16 bits, lossless), ``"ogg"`` (Vorbis) or ``"mp3"``.
        squeeze: for the lossy ones, from 0, best, to 1, smallest.

    Raises:
        MediaError: NaN or infinite samples, no samples, a rate of 0.
        ValueError: an unknown format; the right ones are listed.
    """
    import soundfile

    if format not in _SUBTYPE:
        raise unknown("audio format", format, _SUBTYPE)
    wave, file = _checked(wave_S, rate).numpy(), io.BytesIO()
    # libsndfile refuses 1 itself
    level = {"compression_level": min(max(squeeze, 0.0), 0.999)} if format in ("ogg", "mp3") else {}
    soundfile.write(file, wave, rate, format=format.upper(), subtype=_SUBTYPE[format], **level)
    return file.getvalue()


def encode_wav(wave_S: Tensor, rate: int = SAMPLE_RATE) -> bytes:
    """The bytes of a 16-bit WAV file; see `encode_audio`."""
    return encode_audio(wave_S, rate, "wav")


def write_wav(path: str | os.PathLike[str], wave_S: Tensor, rate: int = SAMPLE_RATE) -> Path:
    """Write a 16-bit WAV file; an existing one stays until the new one is whole."""
    return _write(Path(path), encode_wav(wave_S, rate))


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        half.write_bytes(data)
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)
    return path


def write_video(
    path: str | os.PathLike[str], video_TCHW: Tensor, wave_S: Tensor | None, fps: float, rate: int = SAMPLE_RATE
) -> Path:
    """Write an .mp4 (H.264 and AAC) or .webm (VP9 and Opus); width and height must be even.

    Raises:
        MediaError: NaN, no frames, odd sides, a rate of 0.
        ValueError: another ending of the name.
    """
    import av

    path = Path(path)
    codecs = {".mp4": ("libx264", "aac"), ".webm": ("libvpx-vp9", "libopus")}
    if path.suffix not in codecs:
        raise unknown("video format", path.suffix, codecs)
    if video_TCHW.ndim != 4 or not len(video_TCHW) or video_TCHW.shape[-1] % 2 or video_TCHW.shape[-2] % 2:
        raise MediaError(f"a video to encode must be video_TCHW with even sides, not {tuple(video_TCHW.shape)}")
    if not video_TCHW.isfinite().all() or not (math.isfinite(fps) and fps > 0):
        raise MediaError(f"a video to encode must be finite and have fps above 0, not {fps}")
    file = io.BytesIO()
    with av.open(file, "w", format=path.suffix[1:]) as container:
        picture: Any = container.add_stream(codecs[path.suffix][0], rate=Fraction(fps).limit_denominator(1001))
        picture.width, picture.height, picture.pix_fmt = video_TCHW.shape[3], video_TCHW.shape[2], "yuv420p"
        sound: Any = None if wave_S is None else container.add_stream(codecs[path.suffix][1], rate=rate, layout="mono")
        for image_CHW in video_TCHW:
            frame = av.VideoFrame.from_image(to_pil(image_CHW))
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        if sound is not None and wave_S is not None:
            wave = _checked(wave_S, rate).numpy()[None]
            frame_A = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame_A.sample_rate, frame_A.time_base, frame_A.pts = rate, Fraction(1, rate), 0  # else it comes late
            container.mux(sound.encode(frame_A))
            container.mux(sound.encode())
    return _write(path, file.getvalue())
