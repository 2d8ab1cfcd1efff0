"""Encoders of spoken captions."""

from __future__ import annotations

from torch import Tensor, nn

from avlib.encoders.pool import check_input


def _along_time(inputs: int, outputs: int, width: int) -> list[nn.Module]:
    conv = nn.Conv1d(inputs, outputs, width, padding=width // 2, bias=False)
    return [conv, nn.BatchNorm1d(outputs), nn.ReLU(inplace=True)]


class SpeechSmall(nn.Module):
    """Convolutions along time over a log-mel spectrogram: mel_BFL -> map_BDL, four frames a cell.

    One layer over all bands, then three over 9, 7 and 5 frames, the last one linear, so that cells may be negative;
    each of the first two is pooled by two. A cell sees 63 frames, 1.26 s at a hop of 20 ms. Feed silence, not zeros,
    beyond the end of a caption, and count cells with :meth:`cells`.

    Args:
        bands: mel bands.
        dim: coordinates of each cell, D.
        width: channels of the first layer; the others have twice as many.

    Raises:
        ValueError: when called, another number of bands, not three axes, no frames.

    Source: after Harwath et al., DAVEnet, ECCV 2018. Ours are the early pooling, which halves the cost, and the
    normalisation after each layer.
    """

    def __init__(self, bands: int = 40, dim: int = 128, width: int = 64) -> None:
        super().__init__()
        self.bands = bands
        self.input = nn.BatchNorm2d(1, affine=False)
        self.layers = nn.Sequential(
            *_along_time(bands, width, 1),
            nn.MaxPool1d(3, 2, 1),
            *_along_time(width, 2 * width, 9),
            nn.MaxPool1d(3, 2, 1),
            *_along_time(2 * width, 2 * width, 7),
            nn.Conv1d(2 * width, dim, 5, padding=2),
        )

    def forward(self, mel_BFL: Tensor) -> Tensor:
        check_input("SpeechSmall", mel_BFL, "mel_BFL", self.bands, (1,))
        return self.layers(self.input(mel_BFL[:, None])[:, 0])

    @staticmethod
    def cells(frames_B: Tensor) -> Tensor:
        """How many cells hold the true frames of each caption: frames / 4, rounded up."""
        return (frames_B + 3) // 4


class SpeechDAVEnet(nn.Module):
    """The paper's five convolutions over a log-mel spectrogram: mel_BFL -> map_BDL, D = 8·width, 16 frames a cell.

    One layer over all bands, then four over 11, 17, 17 and 17 frames, each followed by ReLU and pooled by two, so that
    cells are never negative; a cell sees 265 frames, 2.65 s at the paper's hop of 10 ms. 16 M parameters at full width.

    Args:
        bands: mel bands.
        width: channels of the first layer.

    Raises:
        ValueError: when called, another number of bands, not three axes, no frames.

    Source: Harwath et al., DAVEnet, ECCV 2018, as released (dharwath/DAVEnet-pytorch).
    """

    def __init__(self, bands: int = 40, width: int = 128) -> None:
        super().__init__()
        self.bands = bands
        self.input = nn.BatchNorm2d(1)
        layers: list[nn.Module] = [nn.Conv1d(bands, width, 1), nn.ReLU(inplace=True)]
        for inputs, outputs, frames in ((1, 2, 11), (2, 4, 17), (4, 4, 17), (4, 8, 17)):
            layers += [nn.Conv1d(inputs * width, outputs * width, frames, padding=frames // 2), nn.ReLU(inplace=True)]
            layers += [nn.MaxPool1d(3, 2, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, mel_BFL: Tensor) -> Tensor:
        check_input("SpeechDAVEnet", mel_BFL, "mel_BFL", self.bands, (1,))
        return self.layers(self.input(mel_BFL[:, None])[:, 0])

    @staticmethod
    def cells(frames_B: Tensor) -> Tensor:
        """How many cells hold the true frames of each caption: frames / 16, rounded up."""
        return (frames_B + 15) // 16
