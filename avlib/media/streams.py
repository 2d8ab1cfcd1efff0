"""What FFmpeg (PyAV) tells of a file, and its packets and frames with their times."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from avlib.media.source import MediaError, Source, check_whole, name_of

Kind = Literal["video", "audio"]
_log = logging.getLogger(__name__)
SLACK = 0.2
"""Seconds by which a track may fall short of the length that the file states (a frame of sound: up to 0.13)."""
_JUMP = 1.0
"""Seconds back that no clock goes, but that of the next file where several were joined."""
_GAP = 10.0
"""Seconds forward that count as another clock, in the formats whose clock may change (.ts, .mpg, .ogg)."""
_LONGEST = 3600.0
"""Seconds without any picture or sound that are believed."""
_BAD = 0.02
"""Share of a track's packets that may be damaged; one always may."""
_TELLS = ("mp4", "flv", "flac")
"""Formats whose header states seconds."""
_COUNTED = ("aac", "ac3", "eac3", "dts", "flac", "loas", "mp3")
"""Formats without time stamps: FFmpeg makes some up, at the rate of the first frame."""


@contextmanager
def av_opened(source: Source) -> Iterator[Any]:
    """The file, opened by FFmpeg; what FFmpeg finds wrong, on opening or later, becomes a MediaError."""
    import av

    check_whole(source)
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source)) as container:
            if container.format.name == "tty":  # FFmpeg would play a text file as a film of its letters
                raise MediaError(f"{name_of(source)}: not a media file but a text")
            yield container
    except av.FFmpegError as error:
        raise MediaError(f"{name_of(source)}: not a media file, or damaged or cut off ({error.strerror})") from error


def tracks(source: Source) -> tuple[str, ...]:
    """What a file holds, one line a track, e.g. ``"video 0: h264, 640×480"`` and ``"audio 0: aac, 44100 Hz"``."""
    with av_opened(source) as container:
        return _tracks(container)


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _tracks(container: Any) -> tuple[str, ...]:
    pictures = [s for s in container.streams.video if _is_cover(s)]
    films = [s for s in container.streams.video if not _is_cover(s)]
    return (
        *(f"video {n}: {s.codec_context.name}, {s.width}×{s.height}" for n, s in enumerate(films)),
        *(f"audio {n}: {s.codec_context.name}, {s.rate} Hz" for n, s in enumerate(container.streams.audio)),
        *(f"a cover picture: {s.codec_context.name}, {s.width}×{s.height}" for s in pictures),
    )


def stream_of(container: Any, kind: Kind, number: int, name: str) -> Any:
    """Track ``number`` of a kind; a cover picture is no video."""
    streams = [s for s in getattr(container.streams, kind) if kind == "audio" or not _is_cover(s)]
    if not 0 <= number < len(streams):
        has = "; ".join(_tracks(container)) or "neither video nor audio"
        what = f"no {kind} track" if not streams else f"no {kind} track {number}"
        raise MediaError(f"{name}: {what}. It has {has}")
    return streams[number]


@dataclass
class _Track:
    """Where the reading of one track stands."""

    stream: Any
    packets: int = 0
    bad: int = 0
    begun: bool = False
    """Whether there were frames already."""
    part: int = 0
    """Which of several joined files, each with its own clock."""
    clock: float | None = None
    """Time of the last packet, s, on the file's own clock."""
    done: bool = False


@dataclass
class Reader:
    """The frames of some tracks of an open file, in the order of the file, with their times.

    Time is counted in s from the beginning of the clip, which is the container's own start. Where files with clocks
    of their own were joined, each goes on where the one before it ended.

    Args:
        container: from `av_opened`.
        streams: the tracks to decode; `finish` says that no more is wanted of one.
        name: of the file, for messages.

    Attributes:
        changes: whether the format's clock may change midway.
        counted: whether time is that of the samples so far.
        begin: the container's start, s; a start just below 0 is the priming of a sound codec, which is not heard.
        reached: time at which the last packet of any track ends, s.
        sought: whether it reads from the middle.
    """

    container: Any
    streams: tuple[Any, ...]
    name: str
    begin: float = 0.0
    reached: float = 0.0
    sought: bool = False
    changes: bool = field(init=False)
    counted: bool = field(init=False)
    shifts: list[float] = field(default_factory=lambda: [0.0])

    def __post_init__(self) -> None:
        from av.format import Flags

        self.changes = bool(self.container.format.flags & Flags.ts_discont.value)
        self.counted = self.container.format.name in _COUNTED
        start = (self.container.start_time or 0) / 1e6
        self.begin = 0.0 if -0.1 < start < 0 else start
        self.tracks = {stream.index: _Track(stream) for stream in self.streams}

    def seek(self, time: float) -> bool:
        """Go to a key frame at or before ``time`` (s); False where the format cannot."""
        import av

        stream = self.streams[0]
        try:
            self.container.seek(int((self.begin + time) / stream.time_base), stream=stream)
        except av.FFmpegError:
            return False
        self.sought = True
        return True

    def finish(self, stream: Any) -> None:
        """Decode no more of a track."""
        self.tracks[stream.index].done = True

    def frames(self, until: float | None = None) -> Iterator[tuple[Any, Any, float | None]]:
        """(stream, frame, time in s; None where the file does not tell), until all tracks are finished.

        Args:
            until: packets from this time on are not looked at, s; None reads to the end and checks that it is there.

        Raises:
            MediaError: too many damaged packets, a clock that jumps, a file that ends before it says.
        """
        for packet in self.container.demux():
            track = self.tracks.get(packet.stream.index)
            time = self._placed(packet, track)
            if until is not None and time is not None and time > until:
                break
            if track is None or track.done:
                continue
            for frame in self._decoded(packet, track):
                at = None if frame.pts is None or self.counted else float(frame.pts * frame.time_base) - self.begin
                yield track.stream, frame, at
            if all(track.done for track in self.tracks.values()):
                break
        else:
            self._check_end()
        self._check_damage()

    def _placed(self, packet: Any, track: _Track | None) -> float | None:
        """The time of a packet (s), whose stamps are moved to the clock of the first of several joined files."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return None
        base, length = packet.time_base, float((packet.duration or 0) * packet.time_base)
        if self.changes and packet.pts is not None and abs(packet.pts - stamp) * base > _GAP:
            packet.pts = stamp  # where files were joined, the last picture of one may bear a stamp of the next
        clock = float(stamp * base)
        if track is not None:
            self._follow(track, clock, length)
            shift = self.shifts[track.part]
            if shift:
                packet.pts = None if packet.pts is None else packet.pts + round(shift / base)
                packet.dts = None if packet.dts is None else packet.dts + round(shift / base)
            clock += shift
        shown = clock if packet.pts is None else float(packet.pts * base)
        self.reached = max(self.reached, shown + length - self.begin)
        return clock - self.begin

    def _follow(self, track: _Track, clock: float, length: float) -> None:
        """Note a track's clock; where it jumps, the track belongs to the next of the joined files."""
        if track.clock is not None:
            jump = clock - track.clock
            if jump < -_JUMP or (jump > _GAP and self.changes):
                track.part += 1
                if track.part == len(self.shifts):
                    self.shifts.append(self.shifts[-1] - jump + length)
            elif jump > _LONGEST:
                raise MediaError(f"{self.name}: damaged, its clock jumps from {track.clock:.1f} s to {clock:.1f} s")
        track.clock = clock

    def _decoded(self, packet: Any, track: _Track) -> list[Any]:
        """The frames of a packet; none of a damaged one."""
        import av

        if packet.dts is not None and not packet.size:  # so .ogv says that the picture stays; no decoder takes it
            return []
        track.packets += packet.size > 0
        try:
            frames = packet.decode()
        except av.FFmpegError:
            track.bad += not self.sought or track.begun  # the first packets after a leap lack what came before
            return []
        track.begun = track.begun or bool(frames)
        return frames

    def _check_damage(self) -> None:
        for track in self.tracks.values():
            if not track.bad:
                continue
            bad = min(track.bad, track.packets)  # what a decoder still holds can fail too, at the end
            what = f"{bad} of {track.packets} packets of its {track.stream.type} cannot be decoded"
            if track.bad > max(1, _BAD * track.packets):
                raise MediaError(f"{self.name}: damaged, {what}")
            _log.warning("%s: %s; they are left out", self.name, what)

    def _check_end(self) -> None:
        """Decoding a cut file stops early and says nothing."""
        stated = (self.container.duration or 0) / 1e6
        told = any(name in self.container.format.name for name in _TELLS)
        if told and self.reached < stated - SLACK:
            raise MediaError(f"{self.name}: cut off, it ends at {self.reached:.2f} s of {stated:.2f} s")
