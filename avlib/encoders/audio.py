"""Encoders of log-mel spectrograms, seen as pictures with frequency up and time to the right."""

from __future__ import annotations

from torch import Tensor, nn

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
        self.input = nn.BatchNorm2d(1)
        self.blocks = nn.Sequential(
            *(conv_block(i, o, 2) for i, o in zip([1, *widths[:-1]], widths, strict=True)),
            conv_block(widths[-1], 4 * width),
        )
        self.output = nn.Conv2d(4 * width, dim, 1)

    def forward(self, mel_BFL: Tensor) -> Tensor:
        check_input("AudioSmall", mel_BFL, "mel_BFL", None, (self.stride, self.stride))
        return self.output(self.blocks(self.input(mel_BFL.unsqueeze(1))))
