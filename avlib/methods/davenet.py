"""Spoken captions (Harwath et al., NIPS 2016, ACL 2017, ECCV 2018): a picture and its description, spoken, no text.

Each cell of a picture and each moment of a sentence has a vector. A pair's matchmap holds all their products, and its
score is what one of several poolings makes of it: own pairs shall score above those of other clips.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from avlib import losses
from avlib.audio import LogMel
from avlib.distributed import gather
from avlib.encoders import ImageSmall, ImageVGG16, SpeechDAVEnet, SpeechSmall, pool_mean
from avlib.errors import unknown
from avlib.matching import all_pairs, cosine, unit
from avlib.types import Batch, Embedding

POOLINGS = ("MISA", "SISA", "SIMA", "pooled")
"""How a matchmap becomes a score; ``"pooled"`` has none: the cosine of both maps' means, after the system of 2016."""
RIVALS = ("choice", "random", "semi-hard", "hardest", "all")
"""Whom an own pair has to beat: all others at once (InfoNCE), or impostors by a margin."""


class SpokenCaptions(nn.Module):
    """Two towers whose cells are compared one by one.

    Where we differ from the paper. The cells have length 1, and their products are scaled by a number that is learnt:
    of free length, they leave the plateau at chance later. The loss is a choice among the batch; the
    paper's margin against one random impostor is ``rivals="random"``. Small towers at ``cpu``, none of them started
    from labels.

    Args:
        pooling: one of `POOLINGS`.
        rivals: one of `RIVALS`.
        dim: coordinates of each cell (1024 in the paper).
        full: the paper's towers instead of the small ones.
        hop: samples from one frame of the spectrogram to the next.
        scale: what cosines are multiplied with at first.
        gap: the margin.

    Raises:
        ValueError: other ``pooling`` or ``rivals``; when trained, a single clip, which has no rival.
    """

    def __init__(
        self, pooling: str = "MISA", rivals: str = "choice", dim: int = 128, width: int = 32, full: bool = False,
        hop: int = 160, scale: float = 20.0, gap: float = 1.0,
    ):  # fmt: skip
        super().__init__()
        if pooling not in POOLINGS:
            raise unknown("pooling of a matchmap", pooling, POOLINGS)
        if rivals not in RIVALS:
            raise unknown("rivals of a spoken caption", rivals, RIVALS)
        self.pooling, self.rivals, self.gap = pooling, rivals, gap
        self.mel = LogMel(bands=40, hop=hop)
        self.image = ImageVGG16() if full else ImageSmall(width, dim)
        self.speech = SpeechDAVEnet() if full else SpeechSmall(40, dim)
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def maps(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """image_BDYX and speech_BDL, cells of length 1; cells of silence after the last sound are 0."""
        mel_BFL = self.mel(batch.wave_BS)
        place_L = torch.arange(1, mel_BFL.shape[2] + 1, device=mel_BFL.device)
        frames_B = ((mel_BFL > self.mel.silence + 1e-3).any(1) * place_L).amax(1).clamp(min=1)
        speech_BDL = unit(self.speech(mel_BFL))
        there_BL = torch.arange(speech_BDL.shape[2], device=mel_BFL.device) < self.speech.cells(frames_B)[:, None]
        return unit(self.image(batch.frame_BCHW)), speech_BDL * there_BL[:, None]

    def embed(self, batch: Batch) -> Embedding:
        """Both maps, and their means over the cells (of the sentence: over those before its end)."""
        image_BDYX, speech_BDL = self.maps(batch)
        audio_BD = pool_mean(speech_BDL, spoken(speech_BDL))
        return Embedding(pool_mean(image_BDYX), audio_BD, image_BDYX, speech_BDL=speech_BDL)

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """Score of picture i with sentence j, (B, M)."""
        assert pictures.image_BDYX is not None and sounds.speech_BDL is not None
        return self.score(pictures.image_BDYX, sounds.speech_BDL)

    def score(self, image_BDYX: Tensor, speech_MDL: Tensor) -> Tensor:
        """sim_BM of every picture with every sentence, before the scale."""
        there_ML = spoken(speech_MDL)
        if self.pooling == "pooled":
            return cosine(pool_mean(image_BDYX), pool_mean(speech_MDL, there_ML))
        return all_pairs(image_BDYX, speech_MDL, self.pooling, there_ML.sum(1))  # type: ignore[arg-type]

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The choice among the batch, ln B at chance; or the hinge of both directions, 2·gap at equal scores."""
        if len(batch) < 2:
            raise ValueError("spoken captions need at least two clips a batch: one clip has no rival")
        sim_BB = self.score(*(gather(cells) for cells in self.maps(batch))) * self.log_scale.exp()
        if self.rivals == "choice":
            return {"loss": losses.info_nce(sim_BB, 1.0)}
        return {"loss": losses.margin_rank(sim_BB, self.gap, self.rivals, torch.Generator().manual_seed(step))}


def spoken(speech_BDL: Tensor) -> Tensor:
    """Which cells of speech_BDL lie before the end of the sentence: bool there_BL, one at least. The others are 0."""
    there_BL = (speech_BDL != 0).any(1).flip(1).cumsum(1).flip(1) > 0
    return there_BL | (torch.arange(there_BL.shape[1], device=there_BL.device) == 0)
