"""One net for pictures and sound: an eye, an ear, a layer that joins them cell by cell, and layers above it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from avlib.audio import LogMel
from avlib.encoders.audio import AudioSmall
from avlib.encoders.timed import VideoChange
from avlib.types import SAMPLE_RATE

COLUMNS = 8
"""Frames of the spectrogram for one of the video; the ear halves time three times, so one column stays for each."""


class Residual(nn.Module):
    """x + two convolutions of it, one over 3×3 cells and one over three frames: map_BDTYX -> map_BDTYX, of one size."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm3d(dim),
            nn.ReLU(),
            nn.Conv3d(dim, dim, (1, 3, 3), 1, (0, 1, 1), bias=False),
            nn.BatchNorm3d(dim),
            nn.ReLU(),
            nn.Conv3d(dim, dim, (3, 1, 1), 1, (1, 0, 0)),
        )

    def forward(self, map_BDTYX: Tensor) -> Tensor:
        return map_BDTYX + self.layers(map_BDTYX)


class Join(nn.Module):
    """What is heard at each moment, put beside what is seen in every cell then, and a 1×1×1 layer on both.

    A layer of ``[v; a]`` is the sum of a layer of v and a layer of a; so a picture is not gone through again for each
    sound that it is tried with, and a sound is not gone through for each cell.
    """

    def __init__(self, image: int, audio: int, dim: int) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.BatchNorm3d(image), nn.Conv3d(image, dim, 1))
        self.audio = nn.Sequential(nn.BatchNorm1d(audio), nn.Conv1d(audio, dim, 1, bias=False))

    def forward(self, map_BDTYX: Tensor, audio_BDL: Tensor) -> Tensor:
        return (self.image(map_BDTYX) + self.audio(audio_BDL)[..., None, None]).relu()


class Fused(nn.Module):
    """Pictures and sound as one map over time and space, all T and the cells of the eye kept: -> last_BDTYX.

    The paper's net hears the waveform, has 3×3×3 convolutions, and pools more and more; this one hears a log-mel
    spectrogram, and takes space and time by turns.

    Args:
        width: channels of the eye's first block.
        dim: channels of the eye's map and of all above it.
        heard: channels of the ear's columns.
        stride: px a cell.
        depth: residual blocks.
        early: join the senses below these blocks, or above: the same layers, and as many weights. Late, blocks see
            only the picture, and nothing over time or space lies above the join.
        fps: frames a second of the videos.
    """

    def __init__(
        self, width: int = 8, dim: int = 32, heard: int = 24, stride: int = 8, depth: int = 2, early: bool = True,
        fps: float = 10.0,
    ):  # fmt: skip
        super().__init__()
        self.dim, self.early = dim, early
        self.mel = LogMel(hop=round(SAMPLE_RATE / fps / COLUMNS))
        self.eye, self.ear = VideoChange(width, dim, stride), AudioSmall(2 * width, heard)
        self.join = Join(dim, heard, dim)
        self.blocks = nn.Sequential(*(Residual(dim) for _ in range(depth)))

    def see(self, video_BTCHW: Tensor) -> Tensor:
        """The last map into which only the picture went: map_BDTYX."""
        map_BDTYX = self.eye(video_BTCHW)
        return map_BDTYX if self.early else self.blocks(map_BDTYX)

    def hear(self, wave_BS: Tensor, frames: int) -> Tensor:
        """The last columns into which only the sound went, one a video frame: audio_BDL."""
        return functional.adaptive_max_pool1d(self.ear(self.mel(wave_BS)).mean(2), frames)

    def together(self, map_BDTYX: Tensor, audio_BDL: Tensor) -> tuple[Tensor, Tensor]:
        """From the maps of `see` and `hear`, row by row: the map where they are joined, and the last one."""
        joined_BDTYX = self.join(map_BDTYX, audio_BDL)
        return joined_BDTYX, self.blocks(joined_BDTYX) if self.early else joined_BDTYX

    def forward(self, video_BTCHW: Tensor, wave_BS: Tensor) -> Tensor:
        return self.together(self.see(video_BTCHW), self.hear(wave_BS, video_BTCHW.shape[1]))[1]

    def pictures(self, video_BTCHW: Tensor, wave_BS: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Maps BDTYX for whoever needs features: before the senses are joined, where they are, and the last one.

        Args:
            wave_BS: what is heard meanwhile, such as a mixture; silence where left out.
        """
        frames = video_BTCHW.shape[1]
        if wave_BS is None:
            wave_BS = video_BTCHW.new_zeros(len(video_BTCHW), frames * COLUMNS * self.mel.hop)
        seen_BDTYX = self.see(video_BTCHW)
        return seen_BDTYX, *self.together(seen_BDTYX, self.hear(wave_BS, frames))
