"""The two towers of Deep Multimodal Clustering, up to the cells that are clustered."""

from __future__ import annotations

from torch import Tensor, nn

from avlib.audio import LogMel
from avlib.encoders import AudioSmall, AudioVGG, ImageAligned, ImageVGG16
from avlib.types import Batch


class Towers(nn.Module):
    """A map of each sense, of one width: cells of the picture, and of the sound over frequency and time.

    They are normalised over the batch at the end, so that cells of both senses are alike in size. The full ones are the
    paper's: VGG-16 without its last pooling, here from random weights, and a VGG on the spectrogram.
    """

    def __init__(self, dim: int = 64, width: int = 16, full: bool = False, hop: int = 160) -> None:
        super().__init__()
        self.mel, self.dim = LogMel(hop=hop), 512 if full else dim
        self.image = ImageVGG16(self.dim) if full else ImageAligned(width, dim)
        self.audio = AudioVGG() if full else AudioSmall(width, dim)
        self.image_norm, self.audio_norm = nn.BatchNorm2d(self.dim), nn.BatchNorm2d(self.dim)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """image_BDYX and audio_BDFL; reads the picture and the sound, nothing else."""
        return self.image_norm(self.image(batch.frame_BCHW)), self.audio_norm(self.audio(self.mel(batch.wave_BS)))
