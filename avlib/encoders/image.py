"""Encoders of still pictures."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import ResNet, resnet18, vgg16_bn

from avlib.encoders.pool import check_input, conv_block, halvings


class ImageSmall(nn.Module):
    """A picture in a few milliseconds: image_BCHW (0…1, RGB) -> map_BDYX.

    Halving 3×3 blocks of ``width``, 2·``width``, 4·``width`` … channels (at most four times), one more at full
    resolution of the map, then a linear 1×1 layer, so that cells may be negative. The first normalisation puts the
    pixels on a common scale, whatever the data; it has no gains to learn, so a picture never needs a gradient, which
    would cost a tenth of a step.

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
        self.input = nn.BatchNorm2d(3, affine=False)
        self.blocks = nn.Sequential(
            *(conv_block(i, o, 2) for i, o in zip([3, *widths[:-1]], widths, strict=True)),
            conv_block(widths[-1], 4 * width),
        )
        self.output = nn.Conv2d(4 * width, dim, 1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        check_input("ImageSmall", image_BCHW, "image_BCHW", 3, (self.stride, self.stride))
        return self.output(self.blocks(self.input(image_BCHW)))


class ImageAligned(nn.Module):
    """A map to find places with: image_BCHW (0…1, RGB) -> map_BDYX whose cells lie in the middle of their pixels.

    Halving 4×4 blocks of ``width``, 2·``width`` … channels (at most four times), two 3×3 blocks at the map's
    resolution, then a linear 1×1 layer. At stride 4 a cell sees 26 px, the whole of a small thing: one that saw much
    more could answer for a thing from beside it. A 3×3 kernel of stride 2 looks at pixel 2n, left of and above the
    middle of its two pixels; three of those move a map by 3.5 px, which costs a thing of 24 px a third of its IoU.

    Args:
        width: channels of the first block.
        dim: coordinates of each cell, D.
        stride: px per cell, 2, 4, 8 or 16; 64 px at stride 4 give 16×16 cells.

    Raises:
        ValueError: a stride that is none of these; when called: not three channels, a picture smaller than a cell.
    """

    def __init__(self, width: int = 16, dim: int = 64, stride: int = 4) -> None:
        super().__init__()
        self.stride = stride
        widths = [width * min(2**n, 4) for n in range(halvings(stride, "ImageAligned", 16))]
        last = 4 * width
        self.input = nn.BatchNorm2d(3, affine=False)
        self.blocks = nn.Sequential(
            *(_normalised(i, o, 4, 2) for i, o in zip([3, *widths[:-1]], widths, strict=True)),
            _normalised(widths[-1], last, 3, 1),
            _normalised(last, last, 3, 1),
        )
        self.output = nn.Conv2d(last, dim, 1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        check_input("ImageAligned", image_BCHW, "image_BCHW", 3, (self.stride, self.stride))
        return self.output(self.blocks(self.input(image_BCHW)))


def _normalised(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class Vgg(nn.Module):
    """The tower of L3 and AVE: four blocks of two 3×3 convolutions, halved after the first three: (B, C, H, W) -> map.

    64, 128, 256 and 512 channels; 224×224 px give 28×28 cells, a 257×199 spectrogram 32×24.

    Args:
        channels: of the input.
        first_stride: 2 for AVE-Net and AVOL-Net (14×14 and 16×12 cells).
        width: channels of the first block.

    Raises:
        ValueError: when called, other channels, or an input smaller than a cell.

    Source: Arandjelović & Zisserman, Look, Listen and Learn, ICCV 2017; Objects that Sound, ECCV 2018.
    """

    def __init__(self, channels: int, first_stride: int = 1, width: int = 64) -> None:
        super().__init__()
        self.channels, self.least = channels, 8 * first_stride
        layers: list[nn.Module] = []
        inputs = channels
        for block in range(4):
            outputs = width * 2**block
            layers += [conv_block(inputs, outputs, first_stride if block == 0 else 1), conv_block(outputs, outputs)]
            layers += [nn.MaxPool2d(2)] if block < 3 else []
            inputs = outputs
        self.layers = nn.Sequential(*layers)

    def forward(self, picture_BCHW: Tensor) -> Tensor:
        check_input(type(self).__name__, picture_BCHW, "its input", self.channels, (self.least, self.least))
        return self.layers(picture_BCHW)


class ImageVGG(Vgg):
    """:class:`Vgg` on RGB: image_BCHW -> map_BDYX, D = 8·width; 4.7 M parameters at full width."""

    def __init__(self, first_stride: int = 1, width: int = 64) -> None:
        super().__init__(3, first_stride, width)


class ImageLayers(nn.Module):
    """Five convolutions and two fully connected layers, all of which can be read: image_BCHW -> name to map_BDYX.

    The names are ``conv5``, ``fc6`` and ``fc7``, AlexNet's. The last two look at each cell by itself (1×1).

    Args:
        width: channels of the first of the small convolutions: w, 2w, 4w, of stride 2, then 4w and 4w, of stride 1.
        full: AlexNet's convolutions of strides 4 and 1, its poolings, one of them before ``fc6``, and 4096 wide layers.

    Attributes:
        dim: channels of ``fc7``.
        grid: cells a side to which ``conv5`` is usually pooled.

    Raises:
        ValueError: when called: not three channels, a picture smaller than a cell (8 px, or 64).

    Source: Krizhevsky et al., NIPS 2012; each layer is normalised over the batch.
    """

    def __init__(self, width: int = 32, full: bool = False) -> None:
        super().__init__()
        self.dim, self.grid, self.least = (4096, 6, 64) if full else (4 * width, 3, 8)
        table = ALEXNET if full else [(width * times, 3, stride, False) for times, stride in SMALL]
        blocks: list[nn.Module] = [nn.BatchNorm2d(3, affine=False)]
        inputs = 3
        for outputs, kernel, stride, pooled in table:
            blocks += [_normalised(inputs, outputs, kernel, stride)] + [nn.MaxPool2d(3, 2)] * pooled
            inputs = outputs
        self.conv = nn.Sequential(*blocks)
        self.pool = nn.MaxPool2d(3, 2) if full else nn.Identity()
        self.fc6, self.fc7 = _normalised(inputs, self.dim, 1, 1), _normalised(self.dim, self.dim, 1, 1)

    def forward(self, image_BCHW: Tensor) -> dict[str, Tensor]:
        check_input("ImageLayers", image_BCHW, "image_BCHW", 3, (self.least, self.least))
        conv5 = self.conv(image_BCHW)
        fc6 = self.fc6(self.pool(conv5))
        return {"conv5": conv5, "fc6": fc6, "fc7": self.fc7(fc6)}


SMALL = ((1, 2), (2, 2), (4, 2), (4, 1), (4, 1))
"""Channels of each small convolution, in widths, and its stride."""
ALEXNET = ((96, 11, 4, True), (256, 5, 1, True), (384, 3, 1, False), (384, 3, 1, False), (256, 3, 1, False))
"""Channels, kernel and stride of each convolution, and whether its map is pooled."""


class ImageResNet18(nn.Module):
    """ResNet-18 without its head, from random weights: image_BCHW -> map_BDYX, D = 512 or ``dim``.

    Args:
        dim: coordinates after a linear 1×1 layer; None leaves 512 rectified channels.
        stride: px per cell, 32 or, with the last stage unstrided, 16 (224 px: 7×7 or 14×14 cells).

    Raises:
        ValueError: another stride; when called: not three channels, a picture smaller than a cell.

    Source: He et al., CVPR 2016, through torchvision.
    """

    def __init__(self, dim: int | None = None, stride: int = 32) -> None:
        super().__init__()
        if stride not in (16, 32):
            raise ValueError(f"ImageResNet18 needs a stride of 16 or 32, not {stride}")
        self.stride = stride
        self.layers = resnet_trunk(resnet18(weights=None), stride == 16)
        self.output = nn.Identity() if dim is None else nn.Conv2d(512, dim, 1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        check_input("ImageResNet18", image_BCHW, "image_BCHW", 3, (self.stride, self.stride))
        return self.output(self.layers(image_BCHW))


class ImageVGG16(nn.Module):
    """VGG-16 up to its last convolution and a linear 3×3 layer: image_BCHW -> map_BDYX, 16 px a cell; 19 M parameters.

    With normalisation after each convolution, since it starts from random weights; the paper starts from labels.

    Args:
        dim: coordinates of each cell, D; they may be negative.

    Raises:
        ValueError: when called, not three channels, a picture smaller than a cell.

    Source: Harwath et al., DAVEnet, ECCV 2018, as released; VGG-16 through torchvision.
    """

    def __init__(self, dim: int = 1024) -> None:
        super().__init__()
        self.layers = vgg16_bn(weights=None).features[:-1]
        self.output = nn.Conv2d(512, dim, 3, padding=1)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        check_input("ImageVGG16", image_BCHW, "image_BCHW", 3, (16, 16))
        return self.output(self.layers(image_BCHW))


def resnet_trunk(net: ResNet, unstride_last: bool = False) -> nn.Sequential:
    """A torchvision ResNet up to its pooling; ``unstride_last`` keeps the last stage at the size of the third."""
    if unstride_last:
        first = net.layer4[0]
        first.conv1.stride = (1, 1)
        first.downsample[0].stride = (1, 1)
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    return nn.Sequential(stem, net.layer1, net.layer2, net.layer3, net.layer4)
