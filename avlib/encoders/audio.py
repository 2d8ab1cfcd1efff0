"""Encoders of log-mel spectrograms, seen as pictures with frequency up and time to the right."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock

from avlib.encoders.image import Vgg, resnet_trunk
from avlib.encoders.pool import check_input, conv_block, halvings


class AudioSmall(nn.Module):
    """A log-mel spectrogram in a few milliseconds: mel_BFL -> map_BDFL.

    The same net as :class:`avlib.encoders.ImageSmall` on one channel: time and frequency are halved together. The
    first normalisation standardises the spectrogram over the training set.

    Args:
        width: channels of the second block (the first has half as many).
        dim: coordinates of each cell, D.
        stride: mel bands and frames per cell, 2, 4, 8 or 16; 64×100 at stride 8 give 8×13 cells.

    Raises:
        ValueError: a stride that is none of these; when called: not three axes, a spectrogram smaller than a cell.
    """

    def __init__(self, width: int = 32, dim: int = 128, stride: int = 8) -> None:
        super().__init__()
        self.stride = stride
        widths = [max(width * 2**n // 2, 1) for n in range(halvings(stride, "AudioSmall", 16))]
        self.input = nn.BatchNorm2d(1, affine=False)
        self.blocks = nn.Sequential(
            *(conv_block(i, o, 2) for i, o in zip([1, *widths[:-1]], widths, strict=True)),
            conv_block(widths[-1], 4 * width),
        )
        self.output = nn.Conv2d(4 * width, dim, 1)

    def forward(self, mel_BFL: Tensor) -> Tensor:
        check_input("AudioSmall", mel_BFL, "mel_BFL", None, (self.stride, self.stride))
        return self.output(self.blocks(self.input(mel_BFL.unsqueeze(1))))


class AudioVGG(Vgg):
    """:class:`avlib.encoders.image.Vgg` on one channel: mel_BFL -> map_BDFL, D = 8·width; 4.7 M parameters."""

    def __init__(self, first_stride: int = 1, width: int = 64) -> None:
        super().__init__(1, first_stride, width)

    def forward(self, mel_BFL: Tensor) -> Tensor:
        check_input("AudioVGG", mel_BFL, "mel_BFL", None, (self.least, self.least))
        return super().forward(mel_BFL.unsqueeze(1))


class AudioConv9(nn.Module):
    """The nine-layer audio net of AVID: mel_BFL -> map_BDFL, D = 512; 257×200 give 17×13 cells.

    A 7×7 convolution of stride 2, then four blocks of two 3×3 convolutions with 64, 128, 256, 512 channels and strides
    2, 2, 2, 1. Pool it with :func:`avlib.encoders.pool_max`.

    Source: Morgado et al., Audio-Visual Instance Discrimination, CVPR 2021.
    """

    def __init__(self) -> None:
        super().__init__()
        stem = nn.Sequential(nn.Conv2d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        sizes = [(64, 64, 2), (64, 128, 2), (128, 256, 2), (256, 512, 1)]
        blocks = [nn.Sequential(conv_block(i, o, s), conv_block(o, o)) for i, o, s in sizes]
        self.layers = nn.Sequential(stem, *blocks)

    def forward(self, mel_BFL: Tensor) -> Tensor:
        check_input("AudioConv9", mel_BFL, "mel_BFL", None, (16, 16))
        return self.layers(mel_BFL.unsqueeze(1))


class AudioResNet(nn.Module):
    """A ResNet of basic blocks on one channel: mel_BFL -> map_BDFL, D = 512.

    Args:
        depth: 9 (one block a stage, SeLaVi) or 18 (two, XDC and the sounding-object methods).
        stride: cells per 32 or, with the last stage unstrided, 16 bands and frames.

    Raises:
        ValueError: another depth or stride; when called: not three axes, a spectrogram smaller than a cell.
    """

    def __init__(self, depth: int = 18, stride: int = 32) -> None:
        super().__init__()
        if depth not in (9, 18) or stride not in (16, 32):
            raise ValueError(f"AudioResNet needs a depth of 9 or 18 and a stride of 16 or 32, not {depth} and {stride}")
        net = ResNet(BasicBlock, [1 if depth == 9 else 2] * 4)
        net.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
        self.stride = stride
        self.layers = resnet_trunk(net, stride == 16)

    def forward(self, mel_BFL: Tensor) -> Tensor:
        check_input("AudioResNet", mel_BFL, "mel_BFL", None, (self.stride, self.stride))
        return self.layers(mel_BFL.unsqueeze(1))
