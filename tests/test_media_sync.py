"""Sight and sound of one moment stay together, whatever the file is wrapped in and however awkward its clock."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from avlib import media
from avlib.types import SAMPLE_RATE
from tests import clap

AWKWARD = {
    "plain": {},
    "clock": {"clock": 600.0},
    "late": {"late": 0.52},
    "variable": {"shown": lambda n: not 12 <= n < 38 or n % 5 == 0},
    "hole": {"hole": (0.8, 1.3)},
}
CANNOT_SAY = {".avi": ("clock", "late", "hole"), ".mpg": ("variable",), ".vob": ("variable",)}
"""FFmpeg writes these without: an .avi counts frames and bytes, an .mpg stamps one of many small pictures."""
READS = ({}, {"fps": 10}, {"fps": 25, "start": 0.7, "seconds": 2.5}, {"start": 1.0})


@pytest.mark.parametrize(
    ("ending", "kind"),
    [(ending, kind) for ending in clap.WRAPPINGS for kind in AWKWARD if kind not in CANNOT_SAY.get(ending, ())],
)
def test_flash_and_beep_stay_in_step(tmp_path: Path, ending: str, kind: str) -> None:
    path = clap.write(tmp_path / f"clap{ending}", **AWKWARD[kind])
    apart = -AWKWARD[kind].get("late", 0.0)
    for wanted in READS:
        clip = media.read_video(path, **wanted)
        flash, beep = clap.noticed(clip)
        frame = max(1 / clip.fps, 1 / clap.FPS)
        assert abs(beep - flash - apart) <= frame + 1e-3, wanted
        assert abs(beep + wanted.get("start", 0.0) - 2.0) <= 0.1, wanted


@pytest.mark.parametrize("ending", clap.WRAPPINGS)
def test_a_part_far_into_the_file(tmp_path: Path, ending: str) -> None:
    path = clap.write(tmp_path / f"long{ending}", 12.0, events=(2.0, 9.0), clock=0.0 if ending == ".avi" else 600.0)
    for fps in (None, 25):
        flash, beep = clap.noticed(media.read_video(path, fps=fps, start=7.3, seconds=3.0))
        assert abs(beep - flash) <= 1 / clap.FPS + 1e-3
        assert abs(beep - 1.7) <= 0.1


@pytest.mark.parametrize("ending", [".ts", ".mpg"])
def test_joined_films_go_on_where_the_first_ended(tmp_path: Path, ending: str) -> None:
    one = clap.write(tmp_path / f"one{ending}", 4.0, events=(1.0,)).read_bytes()
    two = clap.write(tmp_path / f"two{ending}", 4.0, events=(2.0,), clock=300.0).read_bytes()
    three = clap.write(tmp_path / f"three{ending}", 4.0, events=(3.0,)).read_bytes()
    clip = media.read_video(one + two + three, fps=25)
    assert len(clip.video_TCHW) / clip.fps == pytest.approx(12.0, abs=0.3)
    for begin, event in ((0, 1.0), (4, 6.0), (8, 11.0)):
        part = clip.video_TCHW[begin * 25 :], clip.wave_S[begin * SAMPLE_RATE :]
        flash, beep = clap.noticed(media.Clip(*part, clip.fps))
        assert begin + beep == pytest.approx(event, abs=0.2)
        assert abs(beep - flash) <= 1 / clap.FPS + 0.02


def test_the_length_is_that_of_the_clip(tmp_path: Path) -> None:
    path = clap.write(tmp_path / "late.ts", clock=600.0)
    assert media.read_video(path, fps=25).video_TCHW.shape == (100, 3, clap.HIGH, clap.WIDE)
    assert len(media.read_video(path).video_TCHW) == 100
    # a frame is returned for as much of it as there is: 4 s hold thirteen and a third of 0.3 s
    assert len(media.read_video(path, fps=10 / 3).video_TCHW) == 13
    with pytest.raises(media.MediaError, match=r"late\.ts: no frame between 9\.0 s and its end"):
        media.read_video(path, start=9.0)


# ------------------------------------------------------------------------------------------------ geometry


def corner(white: bool) -> np.ndarray:
    """The upper left quarter is red in a flash."""
    image_HWC = np.zeros((clap.HIGH, clap.WIDE, 3), np.uint8)
    image_HWC[: clap.HIGH // 2, : clap.WIDE // 2, 0] = 255 if white else 0
    return image_HWC


@pytest.mark.parametrize(
    ("turn", "where"), [(0, (0, 0)), (90, (1, 0)), (180, (1, 1)), (-90, (0, 1))], ids=["0", "90", "180", "-90"]
)
@pytest.mark.parametrize("size", [None, (24, 32)])
def test_pictures_are_turned_as_their_camera_noted(
    tmp_path: Path, turn: int, where: tuple[int, int], size: tuple[int, int] | None
) -> None:
    path = clap.write(tmp_path / "turned.mp4", 1.0, events=(0.0,), image=corner, turn=turn)
    video_TCHW = media.read_video(path, size=size).video_TCHW
    high, wide = size or ((clap.WIDE, clap.HIGH) if turn in (90, -90) else (clap.HIGH, clap.WIDE))
    assert video_TCHW.shape[2:] == (high, wide)
    red_22 = torch.nn.functional.adaptive_avg_pool2d(video_TCHW[1, :1], 2)[0]
    assert divmod(int(red_22.argmax()), 2) == where


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_pixels_become_square(tmp_path: Path, ending: str) -> None:
    path = clap.write(tmp_path / f"wide{ending}", 1.0, events=(0.0,), image=corner, aspect=Fraction(2))
    assert media.read_video(path).video_TCHW.shape[2:] == (clap.HIGH, 2 * clap.WIDE)
    # a square from the middle: the red quarter takes half of its height, and half of its width
    red_HW = media.read_video(path, size=48).video_TCHW[1, 0] > 0.5
    assert int(red_HW.any(0).sum()) == pytest.approx(24, abs=2)
    assert int(red_HW.any(1).sum()) == pytest.approx(24, abs=2)
