"""What a method that must tell *when* needs: an eye for change, and pooling that keeps time."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.encoders.video import VideoSmall, _check_video, _SpaceThenTime


class VideoChange(VideoSmall):
    """:class:`VideoSmall` on six channels, each frame and how it differs from the one before: -> map_BDTYX, all T kept.

    With frames alone the net has to find differences before it sees any motion, and in the first few hundred steps it
    does not. The first frame differs from nothing.

    Args:
        width: channels of the first block, twice and four times as many in later ones.
        dim: coordinates of each cell, D.
        stride: px per cell, 2, 4, 8 or 16.

    Raises:
        ValueError: another stride; when called: not (clips, frames, 3, H, W), or smaller than a cell.
    """

    def __init__(self, width: int = 16, dim: int = 128, stride: int = 8) -> None:
        super().__init__(width, dim, stride)
        self.input = nn.BatchNorm3d(6, affine=False)
        self.blocks[0] = _SpaceThenTime(6, width, 1)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        _check_video("VideoChange", video_BTCHW, self.stride)
        change_BTCHW = video_BTCHW.diff(dim=1, prepend=video_BTCHW[:, :1])
        both_BCTHW = torch.cat([video_BTCHW, change_BTCHW], 2).transpose(1, 2)
        cell_BTDYX = self.blocks(self.input(both_BCTHW).transpose(1, 2))
        return self.output(cell_BTDYX.transpose(1, 2))


def in_bins(map_BDT: Tensor, bins: int) -> Tensor:
    """Mean over ``bins`` equal spans of time: (B, D, T) -> (B, D, bins); one bin forgets when anything was."""
    return functional.adaptive_avg_pool1d(map_BDT, bins)
