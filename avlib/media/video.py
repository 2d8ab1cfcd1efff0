"""Video files: pictures and sound in step, each where the file's time stamps place it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from avlib.media.sound import Heard, mono, placed
from avlib.media.source import MediaError, Source, check_rate, name_of
from avlib.media.streams import SLACK, Reader, av_opened, stream_of
from avlib.types import SAMPLE_RATE

_AHEAD = 5.0
"""Seconds by which a file may hold its sound before or behind its pictures."""
_FAR, _BEFORE = 3.0, 1.0
"""Seconds: a part that begins later is sought in its file, and read from so long before: decoders need a run-up."""
_STILL = 10.0
"""Seconds for which the last picture may stay, if its file says so."""
_ROUNDED = 1e-3
"""Seconds to which .mkv and .flv round their time stamps."""

Size = int | tuple[int, int] | None


class Clip(NamedTuple):
    """A decoded video: ``video_TCHW`` float 0…1, ``wave_S`` float −1…1, frames a second."""

    video_TCHW: Tensor
    wave_S: Tensor
    fps: float


def read_video(
    source: Source,
    fps: float | None = None,
    size: Size = None,
    start: float = 0.0,
    seconds: float | None = None,
    video_stream: int = 0,
    audio_stream: int = 0,
    rate: int = SAMPLE_RATE,
    allow_silent: bool = False,
) -> Clip:
    """Picture and sound of a video, in step: frame t and sample round(t / fps · rate) belong to the same moment.

    Time counts from the clip's beginning, whatever its clock says there. Before the first picture that one is shown
    already; where the sound has a hole, or has not begun, there is silence. Pictures are turned as their camera noted,
    and pixels that are not square become so.

    Args:
        fps: frames a second to return, each the one shown at that moment. None keeps the file's own rate; of a
            variable rate, the average: each moment shows the frame nearest to it.
        size: None keeps the file's; one number: scaled and centre-cropped to a square, px; two: height, width.
        start, seconds: the part to read, s; None reads to the end. Without ``fps`` it begins with the frame nearest to
            ``start``.
        video_stream, audio_stream: which tracks, each counted from 0. A cover picture is no video.
        rate: of the sound, Hz.
        allow_silent: return a sound track that cannot be heard instead of refusing it.

    Returns:
        ``Clip(video_TCHW, wave_S, fps)``. The sound is as long as the picture: padded with silence or cut.

    Raises:
        FileNotFoundError: no such file.
        MediaError: not a media file, cut off, damaged, a track is missing, silent sound (as in `read_audio`), no frame
            within the part asked for.
    """
    check_rate(rate)
    name, part = name_of(source), _Part(fps, size, start, seconds)
    part.check()
    found = _read(source, video_stream, audio_stream, part, seek=True) if start > _FAR else None
    seen, heard = found or _read(source, video_stream, audio_stream, part, seek=False) or (None, None)
    assert seen is not None and heard is not None  # without seeking, a part is always found
    video_TCHW = seen.video()
    length = round(len(video_TCHW) / seen.fps * rate)
    stretches = heard.stretches()
    if not stretches:
        if allow_silent:
            return Clip(video_TCHW, torch.zeros(length), seen.fps)
        raise MediaError(f"{name}: no sound {part.between()} (allow_silent=True takes it as it is)")
    return Clip(video_TCHW, placed(mono(stretches, name, allow_silent), rate, seen.begin, length), seen.fps)


def read_frames(source: Source, fps: float | None = None, size: Size = None, video_stream: int = 0) -> Tensor:
    """video_TCHW, float 0…1: the pictures of a whole video, whether it has sound or not; arguments as `read_video`.

    Raises:
        FileNotFoundError, MediaError: as `read_video`, but for what concerns sound.
    """
    name, part = name_of(source), _Part(fps, size, 0.0, None)
    part.check()
    with av_opened(source) as container:
        video = stream_of(container, "video", video_stream, name)
        seen = _Seen(video, part, name)
        video.thread_type = "AUTO"
        for _, frame, time in Reader(container, (video,), name).frames(math.inf):
            seen.add(frame, time)
        return seen.video()


class _Part(NamedTuple):
    """What is to be read, as in `read_video`."""

    fps: float | None
    size: Size
    start: float
    seconds: float | None

    def check(self) -> None:
        """Raise MediaError for a part that cannot be."""
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise MediaError(f"fps must be above 0, not {self.fps}")
        if not (math.isfinite(self.start) and self.start >= 0) or (self.seconds is not None and not self.seconds > 0):
            raise MediaError(f"start must be ≥ 0 s and seconds above 0, not {self.start} and {self.seconds}")
        if self.size is not None and min((self.size, self.size) if isinstance(self.size, int) else self.size) < 1:
            raise MediaError(f"size must be at least 1 px, not {self.size}")

    @property
    def end(self) -> float:
        """Time, s."""
        return math.inf if self.seconds is None else self.start + self.seconds

    def between(self) -> str:
        """From when to when, for messages."""
        return f"between {self.start} s and {'its end' if self.seconds is None else f'{self.end} s'}"


def _read(source: Source, video_stream: int, audio_stream: int, part: _Part, seek: bool) -> tuple[_Seen, Heard] | None:
    """Pictures and sound of a part; None where the format has no way to its beginning but from the file's."""
    name = name_of(source)
    with av_opened(source) as container:
        audio = stream_of(container, "audio", audio_stream, name)
        video = stream_of(container, "video", video_stream, name)
        reader = Reader(container, (video, audio), name)
        seen, heard = _Seen(video, part, name), Heard(name)
        video.thread_type = "AUTO"
        if seek and not reader.seek(part.start - _BEFORE):
            return None
        for stream, frame, time in reader.frames(part.end + _AHEAD):
            if stream is audio:
                heard.add(frame, time, after=part.start - seen.margin)
                if (heard.end or 0.0) > part.end + seen.margin:
                    reader.finish(audio)
            elif (frame.key_frame or not seek or seen.first is not None) and seen.add(frame, time):
                reader.finish(video)
            if seek and max(seen.first or 0.0, heard.first or 0.0) > part.start:
                return None
    return seen, heard


class _Seen:
    """The pictures of a part, as they are decoded; a frame is converted once it is known that it is shown.

    Attributes:
        fps: frames a second that come out.
        begin: time of the first of them, s.
        first: time of the first frame that was decoded, s; None before.
        margin: s, the sound that is needed before and after the part.
    """

    def __init__(self, stream: Any, part: _Part, name: str) -> None:
        # some formats state the ticks of their clock instead, 1,000 or 60,000 a second
        rates = [float(rate or 0) for rate in (stream.average_rate, stream.guessed_rate)]
        native = next((rate for rate in rates if 0 < rate < 1000), 0.0)
        self.fps = native if part.fps is None else float(part.fps)
        if self.fps <= 0:
            raise MediaError(f"{name}: its frame rate is not known; give fps")
        self.name, self._part, self._own = name, part, part.fps is None
        self._step = 1 / (native or self.fps)
        # of its own rate, the nearest frame; else the one on the screen, but for the rounding of its time stamp
        self._early = 0.5 if self._own else min(_ROUNDED, self._step / 4) * self.fps
        self.begin, self.margin = part.start, 0.5 / self.fps + 0.05
        self.first: float | None = None
        self._pixels = Pixels(stream.sample_aspect_ratio, part.size)
        self._held: Any = None
        self._time = 0.0
        self._count: int | None = None
        self._shown: list[tuple[Tensor, int]] = []
        """(image_HWC uint8, the frames that it fills)."""
        self._filled = 0

    def add(self, frame: Any, time: float | None) -> bool:
        """Take the next frame, which begins at ``time`` s; whether the part is complete."""
        if time is None:
            time = 0.0 if self._held is None else self._time + self._step
        if self.first is None:
            self.first = time
            self._set_grid(time)
        self._fill(math.ceil((time - self.begin) * self.fps - self._early))
        self._held, self._time = frame, time
        return self._filled == self._count

    def _set_grid(self, time: float) -> None:
        """The frames of the clip lie on those of the file, if these are to be kept."""
        if self._own:
            frames = (self._part.start - time) * self.fps
            # at the beginning, up to a frame of sound before the first picture is left out; pictures are not doubled
            self.begin = time + (math.ceil(frames - 1e-3) if frames < 0 else round(frames)) / self.fps
        if self._part.seconds is not None:
            ticks = (self._part.end - self.begin) * self.fps
            self._count = max(1, math.ceil(ticks - 1e-6) if self._own else math.floor(ticks + 1e-6))

    def _fill(self, count: int) -> None:
        """Show the held frame until there are ``count``."""
        more = (count if self._count is None else min(count, self._count)) - self._filled
        if self._held is not None and more > 0:
            self._shown.append((self._pixels(self._held), more))
            self._filled += more

    def video(self) -> Tensor:
        """All of it, as video_TCHW."""
        if self._held is None or self._time < self._part.start - SLACK:
            raise MediaError(f"{self.name}: no frame {self._part.between()}")
        last = max(self._step, min(_STILL, float((self._held.duration or 0) * self._held.time_base)))
        ticks = (self._time + last - self.begin) * self.fps
        if self._own:
            count = max(self._filled + 1, round(ticks))
        else:
            count = max(1, self._count or math.floor(ticks + 1e-6))
        self._fill(count)
        shown = [n for n, (_, times) in enumerate(self._shown) for _ in range(times)][:count]
        high, wide, _ = self._shown[0][0].shape
        video_TCHW = torch.empty(len(shown), 3, high, wide)
        for t, n in enumerate(shown):
            if t and shown[t - 1] == n:
                video_TCHW[t] = video_TCHW[t - 1]
            else:
                video_TCHW[t] = self._shown[n][0].permute(2, 0, 1)
                video_TCHW[t] /= 255
        return video_TCHW


class Pixels:
    """From a decoded frame to image_HWC uint8: square pixels, turned as it is shown, scaled and cropped.

    Pictures that change their size midway are brought to that of the first.

    Args:
        aspect: width over height of a pixel, where the file says it.
        size: as in `read_video`.
    """

    def __init__(self, aspect: Any, size: Size) -> None:
        from av.video.reformatter import VideoReformatter

        self._aspect = float(aspect or 1) or 1.0
        self._size = (size, size) if isinstance(size, int) else size
        self._convert = VideoReformatter().reformat

    def __call__(self, frame: Any) -> Tensor:
        turned, across, down = _turn(frame)
        wide, high = round(frame.width * self._aspect), frame.height
        shown = (wide, high) if turned else (high, wide)
        self._size = self._size or shown
        to_high, to_wide = self._size
        scale = max(to_high / shown[0], to_wide / shown[1])
        shown = max(to_high, round(shown[0] * scale)), max(to_wide, round(shown[1] * scale))
        high, wide = (shown[1], shown[0]) if turned else shown
        image_HWC = torch.from_numpy(self._scaled(frame, wide, high))
        image_HWC = image_HWC.transpose(0, 1) if turned else image_HWC
        flips = [axis for axis, flip in enumerate((down, across)) if flip]
        image_HWC = image_HWC.flip(flips) if flips else image_HWC
        top, left = (shown[0] - to_high) // 2, (shown[1] - to_wide) // 2
        return image_HWC[top : top + to_high, left : left + to_wide].contiguous()

    def _scaled(self, frame: Any, width: int, height: int) -> Any:
        if (width, height) == (frame.width, frame.height):
            return self._convert(frame, format="rgb24").to_ndarray()
        return self._convert(frame, width=width, height=height, format="rgb24", interpolation="AREA").to_ndarray()


def _turn(frame: Any) -> tuple[bool, bool, bool]:
    """Whether a frame is shown with its axes exchanged, and then mirrored across and down, by its display matrix."""
    import numpy as np

    found = frame.side_data.get("DISPLAYMATRIX")
    if found is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(found), np.int32)[:5].tolist()  # x' = ax + cy, y' = bx + dy
    turned = abs(b) > abs(a)
    return (True, c < 0, b < 0) if turned else (False, a < 0, d < 0)
