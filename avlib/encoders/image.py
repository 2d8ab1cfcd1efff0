"""Encoders of still pictures."""

from __future__ import annotations

from torch import Tensor, nn

from avlib.encoders.pool import check_input, conv_block, halvings


class ImageSmall(nn.Module):
    """A picture in a few milliseconds: image_BCHW (0…1, RGB) -> map_BDYX.

    Halving 3×3 blocks of ``width``, 2·``width``, 4·``width`` … channels (at most four times), one more at full
    resolution of the map, then a linear 1×1 layer, so that cells may be negative. The first normalisation puts the
    pixels on a common scale, whatever the data.

    Args:
        width: channels of the first block.
        dim: coordinates of each cell, D.
        stride: px per cell, 2, 4, 8 or 16; 64 px at stride 8 give 8×8 cells.

    Raises:
        ValueError: a stride that is none of these; when called: not three channels, a picture smaller than a cell.
    """

    def __init__(self, width: int = 32, dim: int = 128, stride: int = 8) -> None:
        super().__init__()
        self.stride = stride
        widths = [width * min(2**n, 4) for n in range(halvings(stride, "ImageSmall", 16))]
        self.input = nn.BatchNorm2d(3)
        self.blocks = nn.Sequential(
            *(conv_block(i, o, 2) for i, o in zip([3, *widths[:-1]], widths, strict=True)),
            conv_block(widths[-1], 4 * width),
        )
        self.output = nn.Conv2d(4 * width, dim, 1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        check_input("ImageSmall", image_BCHW, "image_BCHW", 3, (self.stride, self.stride))
        return self.output(self.blocks(self.input(image_BCHW)))
