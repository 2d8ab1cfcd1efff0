"""Encoders of spoken captions."""

from __future__ import annotations

from torch import Tensor, nn

from avlib.encoders.pool import check_input


class SpeechSmall(nn.Module):
    """Convolutions along time over a log-mel spectrogram: mel_BFL -> map_BDL, four frames a cell.

    One layer over all bands, three over 11 frames with two poolings between them, the last one linear; each cell sees
    0.77 s. 454 k parameters. Feed silence, not zeros, beyond the end of a caption, and count cells with :meth:`cells`.

    Args:
        bands: mel bands.
        dim: coordinates of each cell, D.
        width: channels of the first layer.

    Raises:
        ValueError: when called, another number of bands, not three axes, no frames.

    Source: after Harwath et al., DAVEnet, ECCV 2018.
    """

    def __init__(self, bands: int = 40, dim: int = 128, width: int = 64) -> None:
        super().__init__()
        self.bands = bands
        self.input = nn.BatchNorm2d(1, affine=False)
        self.layers = nn.Sequential(
            nn.Conv1d(bands, width, 1),
            nn.ReLU(inplace=True),
            nn.Conv1d(width, dim, 11, padding=5),
            nn.ReLU(inplace=True),
            nn.MaxPool1d(3, 2, 1),
            nn.Conv1d(dim, dim, 11, padding=5),
            nn.ReLU(inplace=True),
            nn.MaxPool1d(3, 2, 1),
            nn.Conv1d(dim, dim, 11, padding=5),
        )

    def forward(self, mel_BFL: Tensor) -> Tensor:
        check_input("SpeechSmall", mel_BFL, "mel_BFL", self.bands, (1,))
        return self.layers(self.input(mel_BFL[:, None])[:, 0])

    @staticmethod
    def cells(frames_B: Tensor) -> Tensor:
        """How many cells hold the true frames of each caption: frames / 4, rounded up."""
        return (frames_B + 3) // 4
