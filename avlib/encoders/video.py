"""Encoders of video clips: video_BTCHW -> map_BDTYX."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models.video import VideoResNet, mc3_18, r2plus1d_18

from avlib.encoders.pool import check_input, conv_block, halvings


class _SpaceThenTime(nn.Module):
    """A 3×3 convolution in every frame, then one over three frames in every cell."""

    def __init__(self, inputs: int, outputs: int, time_stride: int) -> None:
        super().__init__()
        self.space = conv_block(inputs, outputs, 2)
        conv = nn.Conv3d(outputs, outputs, (3, 1, 1), (time_stride, 1, 1), (1, 0, 0), bias=False)
        self.time = nn.Sequential(conv, nn.BatchNorm3d(outputs), nn.ReLU(inplace=True))

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        clips, frames = video_BTCHW.shape[:2]
        # Two-dimensional convolutions over all frames at once run several times faster on a CPU than 1×3×3 ones.
        cell = self.space(video_BTCHW.flatten(0, 1)).unflatten(0, (clips, frames))
        return self.time(cell.transpose(1, 2)).transpose(1, 2)


class VideoSmall(nn.Module):
    """A (2+1)D net in a few milliseconds a clip: video_BTCHW (0…1, RGB) -> map_BDTYX.

    Blocks of a 3×3 convolution in space (stride 2) and one over three frames, with ``width``, 2·``width``, 4·``width``
    … channels (at most four times), then a linear 1×1×1 layer. Time is kept unless ``time_stride`` is given: whoever
    pools it away cannot tell *when* something happened.

    Args:
        width: channels of the first block.
        dim: coordinates of each cell, D.
        stride: px per cell, 2, 4, 8 or 16.
        time_stride: frames per cell, 1, 2, or 4; the last blocks halve the time.

    Raises:
        ValueError: another stride; when called: not (clips, frames, 3, H, W), or smaller than a cell.

    Source: Tran et al., CVPR 2018 (the factorised convolution).
    """

    def __init__(self, width: int = 16, dim: int = 128, stride: int = 8, time_stride: int = 1) -> None:
        super().__init__()
        blocks = halvings(stride, "VideoSmall", 16)
        if time_stride not in (1, 2, 4) or time_stride > stride:
            raise ValueError(f"VideoSmall needs a time_stride of 1, 2 or 4, at most its stride, not {time_stride}")
        self.stride = stride
        widths = [width * min(2**n, 4) for n in range(blocks)]
        halved = time_stride.bit_length() - 1
        self.input = nn.BatchNorm3d(3, affine=False)
        self.blocks = nn.Sequential(
            *(
                _SpaceThenTime(i, o, 2 if n >= blocks - halved else 1)
                for n, (i, o) in enumerate(zip([3, *widths[:-1]], widths, strict=True))
            )
        )
        self.output = nn.Conv3d(widths[-1], dim, 1)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        _check_video("VideoSmall", video_BTCHW, self.stride)
        scaled = self.input(video_BTCHW.transpose(1, 2)).transpose(1, 2)
        return self.output(self.blocks(scaled).transpose(1, 2))


def _check_video(owner: str, video_BTCHW: Tensor, least: int) -> None:
    if video_BTCHW.ndim != 5 or 0 in video_BTCHW.shape:
        raise ValueError(f"{owner} needs video_BTCHW (clips, frames, 3, H, W), not shape {tuple(video_BTCHW.shape)}")
    check_input(owner, video_BTCHW.flatten(0, 1), "video_BTCHW, frame by frame,", 3, (least, least))


class _Torchvision(nn.Module):
    def __init__(self, net: VideoResNet, dim: int | None) -> None:
        super().__init__()
        self.layers = nn.Sequential(net.stem, net.layer1, net.layer2, net.layer3, net.layer4)
        self.output = nn.Identity() if dim is None else nn.Conv3d(512, dim, 1)

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        _check_video(type(self).__name__, video_BTCHW, 16)
        return self.output(self.layers(video_BTCHW.transpose(1, 2)))


class VideoR2Plus1D18(_Torchvision):
    """R(2+1)D-18 from random weights: video_BTCHW -> map_BDTYX, D = 512 or ``dim``, T/8 and 16 px a cell; 31.3 M.

    Source: Tran et al., A Closer Look at Spatiotemporal Convolutions, CVPR 2018, through torchvision.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(r2plus1d_18(weights=None), dim)


class VideoMC3(_Torchvision):
    """MC3-18 from random weights: video_BTCHW -> map_BDTYX, D = 512 or ``dim``, all T kept and 16 px a cell; 11.5 M.

    Source: Tran et al., CVPR 2018, through torchvision.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(mc3_18(weights=None), dim)
