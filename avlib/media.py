"""Audio, video and picture files: the only place that decodes them, and that encodes whole ones.

Sound is read by libsndfile (through ``soundfile``) where it knows the format, else by FFmpeg (through PyAV); video by
PyAV. Both come inside their wheels, so nothing has to be installed on the system. What is wrong with a file is said
with its name and with the tracks that it does have.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from avlib import files
from avlib.errors import unknown
from avlib.types import SAMPLE_RATE

Source = str | os.PathLike[str] | bytes
Format = Literal["wav", "ogg", "mp3", "flac"]
_SUBTYPE = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
_SLACK = 0.2
"""Seconds by which a whole track may fall short of the length that its header states (a frame of sound: up to 0.13)."""


class MediaError(ValueError):
    """A media file that cannot be used; the message names the file and says why."""


class Clip(NamedTuple):
    """A decoded video: ``video_TCHW`` float 0…1, ``wave_S`` float −1…1, frames a second."""

    video_TCHW: Tensor
    wave_S: Tensor
    fps: float


# ------------------------------------------------------------------------------------------------------------ sound


def read_audio(source: Source, rate: int = SAMPLE_RATE, track: int = 0, allow_silent: bool = False) -> Tensor:
    """The sound of an audio or video file, mono, as wave_S: float, −1…1, at ``rate`` Hz.

    Args:
        source: a path, or the bytes of a file.
        track: which audio track, counted from 0, where the file has several.
        allow_silent: return a track that is zero throughout instead of refusing it.

    Raises:
        FileNotFoundError: no such file.
        MediaError: not a media file, cut off, no such track, silent, NaN or infinite samples, a rate of 0.
    """
    _check_rate(rate, "rate")
    wave_CS, native = _read_soundfile(source) if track == 0 else (None, 0)
    if wave_CS is None:
        wave_CS, native, _ = _read_av_audio(source, track, 0.0, None)
    return _mono(wave_CS, native, rate, name_of(source), allow_silent)


def name_of(source: Source) -> str:
    """How messages call a source."""
    return f"<{len(source)} bytes>" if isinstance(source, bytes) else str(source)


def _mono(wave_CS: Tensor, native: int, rate: int, name: str, allow_silent: bool) -> Tensor:
    from avlib.audio import resample

    if native <= 0:
        raise MediaError(f"{name}: its sampling rate is {native} Hz")
    if not wave_CS.shape[1]:
        raise MediaError(f"{name}: its sound has no samples")
    if not wave_CS.isfinite().all():
        raise MediaError(f"{name}: {int((~wave_CS.isfinite()).sum())} samples are NaN or infinite")
    if not allow_silent and not wave_CS.any():
        raise MediaError(f"{name}: its sound is silent, every sample is 0 (allow_silent=True takes it as it is)")
    return resample(wave_CS.mean(0), native, rate)


def _read_soundfile(source: Source) -> tuple[Tensor | None, int]:
    """(wave_CS, Hz), or None where libsndfile does not know the format."""
    import soundfile

    _check_whole(source)
    try:
        with soundfile.SoundFile(io.BytesIO(source) if isinstance(source, bytes) else source) as file:
            stated, rate = file.frames, file.samplerate
            wave_SC = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError):
        return None, 0
    if 0 < stated < 2**62 and len(wave_SC) < stated - _SLACK * rate:
        short, whole = len(wave_SC) / max(rate, 1), stated / max(rate, 1)
        raise MediaError(f"{name_of(source)}: cut off, {short:.2f} s of {whole:.2f} s of sound could be read")
    return torch.from_numpy(wave_SC).T, rate


def _check_there(source: Source) -> None:
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise FileNotFoundError(f"there is no file {source}")
    if not (len(source) if isinstance(source, bytes) else os.path.getsize(source)):
        raise MediaError(f"{name_of(source)}: the file is empty")


def _ends(source: Source) -> tuple[bytes, bytes, int]:
    """The first bytes of a file, its last 66,000 (an Ogg page is no longer), and its length."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        head, size = file.read(12), file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 66_000))
        return head, file.read(), size


def _check_whole(source: Source) -> None:
    """WAV and Ogg state their length, yet libsndfile reads what is left of a cut file without a word."""
    _check_there(source)
    head, tail, size = _ends(source)
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        stated = int.from_bytes(head[4:8], "little") + 8
        # streamed files state 0 or the largest number, since their length is not known in advance
        if 8 < stated < 2**32 - 1 and stated - size > 1:
            raise MediaError(f"{name_of(source)}: cut off, the file has {size} bytes of {stated}")
    page = tail.rfind(b"OggS") if head[:4] == b"OggS" else -1
    if page >= 0:
        segments = tail[page + 26] if page + 26 < len(tail) else 255
        if page + 27 + segments + sum(tail[page + 27 : page + 27 + segments]) > len(tail):
            raise MediaError(f"{name_of(source)}: cut off in the middle of its last page")


# ------------------------------------------------------------------------------------------------------------ PyAV


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    """The file, opened by FFmpeg; what FFmpeg finds wrong, on opening or later, becomes a MediaError."""
    import av

    _check_there(source)
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
            if container.format.name == "tty":  # FFmpeg would play a text file as a film of its letters
                raise MediaError(f"{name_of(source)}: not a media file but a text")
            yield container
    except av.FFmpegError as error:
        raise MediaError(f"{name_of(source)}: not a media file, or damaged or cut off ({error.strerror})") from error


def tracks(source: Source) -> tuple[str, ...]:
    """What a file holds, one line a track, e.g. ``"video 0: h264, 640×480"`` and ``"audio 0: aac, 44100 Hz"``."""
    with _opened(source) as container:
        return _tracks(container)


def _tracks(container: Any) -> tuple[str, ...]:
    lines = [f"video {n}: {s.codec_context.name}, {s.width}×{s.height}" for n, s in enumerate(container.streams.video)]
    return (*lines, *(f"audio {n}: {s.codec_context.name}, {s.rate} Hz" for n, s in enumerate(container.streams.audio)))


def _stream(container: Any, kind: Literal["video", "audio"], number: int, name: str) -> Any:
    streams = getattr(container.streams, kind)
    if not 0 <= number < len(streams):
        has = "; ".join(_tracks(container)) or "neither video nor audio"
        what = f"no {kind} track" if not streams else f"no {kind} track {number}"
        raise MediaError(f"{name}: {what}. It has {has}")
    return streams[number]


def _check_decoded(stream: Any, got: float, start: float, seconds: float | None, name: str) -> None:
    """Decoding a cut file stops early and says nothing; an MP4's stated length tells. Other formats only guess it."""
    if "mp4" not in stream.container.format.name or stream.duration is None:
        return
    first = float((stream.start_time or 0) * stream.time_base)
    whole = first + float(stream.duration * stream.time_base)
    wanted = whole if seconds is None else min(whole, start + seconds)
    if got < wanted - _SLACK:
        raise MediaError(f"{name}: cut off, its {stream.type} ends at {got:.2f} s of {whole:.2f} s")


def _read_av_audio(source: Source, track: int, start: float, seconds: float | None) -> tuple[Tensor, int, float]:
    """(wave_CS, Hz, time of the first sample in s), from ``start`` for ``seconds`` (None: to the end)."""
    import av

    pieces, begin, end = [], None, 0.0
    with _opened(source) as container:
        stream = _stream(container, "audio", track, name_of(source))
        rate = int(stream.rate or 0)
        if rate <= 0:
            raise MediaError(f"{name_of(source)}: audio track {track} has a sampling rate of {rate} Hz")
        if start > 0:
            container.seek(int(start / stream.time_base), stream=stream)
        planar = av.AudioResampler(format="fltp")
        for frame in container.decode(stream):
            time = float(frame.time or 0.0)
            begin = time if begin is None else begin
            end = time + frame.samples / rate
            if end > start:
                pieces += [torch.from_numpy(part.to_ndarray()) for part in planar.resample(frame)]
                begin = time if len(pieces) == 1 else begin
            if seconds is not None and end >= start + seconds:
                break
        _check_decoded(stream, end, start, seconds, name_of(source))
    return (torch.cat(pieces, 1) if pieces else torch.zeros(1, 0)), rate, begin or 0.0


# ------------------------------------------------------------------------------------------------------------ video


def read_video(
    source: Source,
    fps: float | None = None,
    size: int | tuple[int, int] | None = None,
    start: float = 0.0,
    seconds: float | None = None,
    video_stream: int = 0,
    audio_stream: int = 0,
    rate: int = SAMPLE_RATE,
    allow_silent: bool = False,
) -> Clip:
    """Picture and sound of a video, in step: frame t and sample round(t / fps · rate) belong to the same moment.

    Args:
        fps: frames a second to return, each the one shown at that moment; None keeps the file's own rate.
        size: None keeps the file's; one number: scaled and centre-cropped to a square, px; two: height, width.
        start, seconds: the part to read, s; None reads to the end.
        video_stream, audio_stream: which tracks, each counted from 0.
        rate: of the sound, Hz.
        allow_silent: return a sound track that is zero throughout instead of refusing it.

    Returns:
        ``Clip(video_TCHW, wave_S, fps)``. The sound is as long as the picture: padded with silence or cut.

    Raises:
        FileNotFoundError: no such file.
        MediaError: not a media file, cut off, a track is missing, silent sound, no frame within the part asked for.
    """
    _check_rate(rate, "rate")
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise MediaError(f"fps must be above 0, not {fps}")
    if not (math.isfinite(start) and start >= 0) or (seconds is not None and not seconds > 0):
        raise MediaError(f"start must be ≥ 0 s and seconds above 0, not {start} and {seconds}")
    with _opened(source) as container:
        _stream(container, "audio", audio_stream, name_of(source))
        stream = _stream(container, "video", video_stream, name_of(source))
        native = float(stream.average_rate or stream.guessed_rate or 0)
        frames = _frames(container, stream, size, start, seconds, name_of(source))
    video_TCHW = _at_rate(frames, native if fps is None else fps, start, seconds, name_of(source), fps is None)
    shown = native if fps is None else float(fps)
    wave_CS, heard, begin = _read_av_audio(source, audio_stream, start, len(video_TCHW) / shown)
    wave_S = _mono(wave_CS, heard, rate, name_of(source), allow_silent)
    first = round((begin - start) * rate)
    wave_S = F.pad(wave_S, (first, 0)) if first > 0 else wave_S[-first:]
    length = round(len(video_TCHW) / shown * rate)
    return Clip(video_TCHW, F.pad(wave_S, (0, max(0, length - len(wave_S))))[:length], shown)


def _frames(
    container: Any, stream: Any, size: int | tuple[int, int] | None, start: float, seconds: float | None, name: str
) -> list[tuple[float, Tensor]]:
    """(time in s, image_CHW uint8) of every frame from the last one before ``start`` on."""
    stream.thread_type = "AUTO"
    if start > 0:
        container.seek(int(start / stream.time_base), stream=stream)
    frames: list[tuple[float, Tensor]] = []
    end = 0.0
    for frame in container.decode(stream):
        time = float(frame.time or 0.0)
        end = time + 1 / float(stream.average_rate or 25)
        if seconds is not None and time >= start + seconds:
            break
        if time <= start:
            frames.clear()  # shown before the part begins; only the last such frame is still on the screen
        frames.append((time, _picture(frame, size)))
    else:
        _check_decoded(stream, end, start, seconds, name)
    return frames


def _picture(frame: Any, size: int | tuple[int, int] | None) -> Tensor:
    """A frame as image_CHW uint8, scaled with its proportions kept and cropped in the middle."""
    if size is None:
        return torch.from_numpy(frame.to_ndarray(format="rgb24")).permute(2, 0, 1)
    high, wide = (size, size) if isinstance(size, int) else size
    if min(high, wide) < 1:
        raise MediaError(f"size must be at least 1 px, not {size}")
    scale = max(high / frame.height, wide / frame.width)
    width, height = max(wide, round(frame.width * scale)), max(high, round(frame.height * scale))
    image_HWC = frame.reformat(width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()
    top, left = (height - high) // 2, (width - wide) // 2
    return torch.from_numpy(image_HWC[top : top + high, left : left + wide].copy()).permute(2, 0, 1)


def _at_rate(
    frames: list[tuple[float, Tensor]], fps: float, start: float, seconds: float | None, name: str, every: bool
) -> Tensor:
    """video_TCHW: every frame, or at each tick of ``fps`` the frame on the screen."""
    shown = [time for time, _ in frames]
    end = shown[-1] if shown else 0.0
    if not frames or (seconds is not None and end < start - _SLACK):
        raise MediaError(f"{name}: no frame between {start} s and {'its end' if seconds is None else start + seconds}")
    if fps <= 0:
        raise MediaError(f"{name}: its frame rate is not known; give fps")
    if every:
        picked = list(range(len(frames)))
    else:
        # the last frame stays on the screen for as long as those before it did
        last = (shown[-1] - shown[0]) / max(1, len(shown) - 1)
        length = end + last - start if seconds is None else seconds
        ticks = torch.arange(max(1, math.floor(length * fps + 1e-6))) / fps + start
        times = torch.tensor(shown, dtype=torch.float64)
        picked = (torch.searchsorted(times, ticks.double() + 1e-6, right=True) - 1).clamp(min=0).tolist()
    return torch.stack([frames[n][1] for n in picked]).float() / 255


# --------------------------------------------------------------------------------------------------------- encoding


def _check_rate(rate: float, name: str) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise MediaError(f"{name} must be above 0 Hz, not {rate}")


def _checked(wave_S: Tensor, rate: int) -> Tensor:
    _check_rate(rate, "rate")
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
    return files.write(path, encode_wav(wave_S, rate), "the recording")


def _pil(image_CHW: Tensor) -> Any:
    from PIL import Image

    if image_CHW.ndim != 3 or image_CHW.shape[0] not in (3, 4):
        raise MediaError(f"a picture to encode must be image_CHW of 3 or 4 channels, not {tuple(image_CHW.shape)}")
    if image_CHW.is_floating_point():
        if not image_CHW.isfinite().all():
            raise MediaError("a picture to encode holds NaN or infinite values")
        image_CHW = (image_CHW.detach() * 255).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(image_CHW.permute(1, 2, 0).contiguous().cpu().numpy())


def encode_jpeg(image_CHW: Tensor, quality: int = 85) -> bytes:
    """The bytes of a JPEG; image_CHW is float 0…1 or uint8, RGB (a fourth channel, alpha, is laid on white)."""
    from PIL import Image

    file, image = io.BytesIO(), _pil(image_CHW)
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def encode_png(image_CHW: Tensor) -> bytes:
    """The bytes of a PNG; image_CHW is float 0…1 or uint8, RGB or RGBA."""
    file = io.BytesIO()
    _pil(image_CHW).save(file, "PNG", optimize=True)
    return file.getvalue()


def read_image(source: Source) -> Tensor:
    """A picture file as image_CHW: uint8 RGBA, alpha 255 where the file has none; turned as its camera noted.

    Raises:
        FileNotFoundError: no such file.
        MediaError: not a picture, or cut off.
    """
    import numpy as np
    from PIL import Image, ImageOps

    _check_there(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            whole = np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise MediaError(f"{name_of(source)}: not a picture, or damaged or cut off ({error})") from error
    return torch.from_numpy(whole.copy()).permute(2, 0, 1)


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
            frame = av.VideoFrame.from_image(_pil(image_CHW))
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        if sound is not None and wave_S is not None:
            wave = _checked(wave_S, rate).numpy()[None]
            frame_A = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            frame_A.sample_rate, frame_A.time_base, frame_A.pts = rate, Fraction(1, rate), 0  # else it comes late
            container.mux(sound.encode(frame_A))
            container.mux(sound.encode())
    return files.write(path, file.getvalue(), "the video")
