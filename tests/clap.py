"""A clip to test wrappings with: a white flash and a beep, in any container that FFmpeg writes, whole or awkward."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from avlib.media import Clip
from avlib.types import SAMPLE_RATE

FPS, RATE, WIDE, HIGH = 25, 48_000, 64, 48
WRAPPINGS = {  # ending: (format, picture, sound, options)
    ".mp4": ("mp4", "libx264", "aac", {}),
    ".mov": ("mov", "libx264", "aac", {}),
    ".mkv": ("matroska", "libx264", "aac", {}),
    ".webm": ("webm", "libvpx", "libopus", {}),
    ".avi": ("avi", "mpeg4", "libmp3lame", {}),
    ".mpg": ("mpeg", "mpeg1video", "mp2", {}),
    ".vob": ("vob", "mpeg2video", "ac3", {}),
    ".ts": ("mpegts", "libx264", "aac", {}),
    ".m2ts": ("mpegts", "mpeg2video", "mp2", {"mpegts_m2ts_mode": "1"}),
    ".flv": ("flv", "libx264", "aac", {}),
    ".wmv": ("asf", "wmv2", "wmav2", {}),
    ".nut": ("nut", "mpeg4", "mp2", {}),
}


def picture(white: bool) -> np.ndarray:
    """image_HWC uint8."""
    return np.full((HIGH, WIDE, 3), 255 if white else 0, np.uint8)


def write(
    path: Path,
    seconds: float = 4.0,
    events: tuple[float, ...] = (2.0,),
    late: float = 0.0,
    clock: float = 0.0,
    shown: Callable[[int], bool] = lambda n: True,
    hole: tuple[float, float] = (0.0, 0.0),
    image: Callable[[bool], np.ndarray] = picture,
    aspect: Fraction = Fraction(1),
    turn: int = 0,
) -> Path:
    """Write a clip; its name's ending says which wrapping.

    Args:
        events: when it flashes and beeps, s, each for 0.2 s.
        late: s, by which all pictures come later.
        clock: where the file's clock begins, s.
        shown: which frames there are, of 25 a second; the others leave the one before on the screen.
        hole: from when to when there is no sound, s.
        image: the picture of a flash (True) and of darkness.
        aspect: width over height of a pixel.
        turn: degrees counterclockwise that a player has to turn the picture.
    """
    form, seen, heard, options = WRAPPINGS[path.suffix]
    with av.open(str(path), "w", format=form, options=dict(options)) as container:
        quick = {"deadline": "realtime", "cpu-used": "8"} if seen == "libvpx" else {}
        films: Any = container.add_stream(seen, rate=FPS, options=quick)
        high, wide, _ = image(False).shape
        films.width, films.height, films.pix_fmt = wide, high, "yuv420p"
        films.codec_context.sample_aspect_ratio = aspect
        if turn:
            films.set_display_rotation(turn)
        sounds: Any = container.add_stream(heard, rate=RATE, layout="stereo")
        sounds.bit_rate = 128_000
        lit = [(n, any(a <= n / FPS + 1e-9 < a + 0.2 for a in events)) for n in range(round(seconds * FPS)) if shown(n)]
        packets = _pictures(films, [(n, image(white)) for n, white in lit], clock + late)
        packets += _sounds(sounds, seconds, events, clock, hole)
        for _, packet in sorted(packets, key=lambda pair: pair[0]):
            container.mux(packet)
    return path


def _pictures(stream: Any, images: list[tuple[int, np.ndarray]], shift: float) -> list[tuple[float, Any]]:
    packets = []
    for n, image_HWC in images:
        frame = av.VideoFrame.from_ndarray(image_HWC, format="rgb24")
        frame.pts, frame.time_base = n, Fraction(1, FPS)
        packets += stream.encode(frame)
    return [_moved(packet, shift) for packet in [*packets, *stream.encode()]]


def _sounds(
    stream: Any, seconds: float, events: tuple[float, ...], clock: float, hole: tuple[float, float]
) -> list[tuple[float, Any]]:
    time_S = np.arange(round(seconds * RATE)) / RATE
    loud_S = np.any([(a <= time_S) & (time_S < a + 0.2) for a in events], 0)
    wave_CS = np.tile(0.5 * np.sin(2 * np.pi * 1000 * time_S) * loud_S, (2, 1)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(wave_CS, format="fltp", layout="stereo")
    frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
    packets = [*stream.encode(frame), *stream.encode()]
    kept = [p for p in packets if not hole[0] <= float(p.pts * p.time_base) < hole[1]]
    return [_moved(packet, clock) for packet in kept]


def _moved(packet: Any, shift: float) -> tuple[float, Any]:
    ticks = round(shift / packet.time_base)
    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
    return float(packet.dts * packet.time_base), packet


def noticed(clip: Clip) -> tuple[float, float]:
    """When the flash and the beep begin in a clip that was read, s."""
    light = (clip.video_TCHW.mean((1, 2, 3)) > 0.4).nonzero()
    noise = (clip.wave_S.abs() > 0.1).nonzero()
    return float(light[0]) / clip.fps, float(noise[0]) / SAMPLE_RATE
