"""Look, Listen and Learn (Arandjelović & Zisserman, ICCV 2017): do this picture and this sound belong together?"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avlib import losses
from avlib.audio import LogMel
from avlib.distributed import gather
from avlib.encoders import AudioSmall, AudioVGG, ImageSmall, ImageVGG, pool_max
from avlib.errors import unknown
from avlib.types import Batch, Embedding

PAIRS = ("choice", "all", "cyclic")


class Fusion(nn.Module):
    """Two fully connected layers on a picture and a sound side by side: the logit that they belong together.

    The first layer of ``[v; a]`` is the sum of a layer of v and a layer of a. So all B² pairs of a batch cost two
    small products and one broadcast sum, not B² passes. Normalising v and a first puts the two on one scale; without
    it the larger of them drowns the other, and the loss stays on its plateau at ln 2 much longer. So does it with the
    paper's 128 hidden units; there, millions of pairs made up for it.
    """

    def __init__(self, dim: int, hidden: int = 512):
        super().__init__()
        self.image = nn.Sequential(nn.BatchNorm1d(dim), nn.Linear(dim, hidden))
        self.audio = nn.Sequential(nn.BatchNorm1d(dim), nn.Linear(dim, hidden, bias=False))
        self.output = nn.Linear(hidden, 1)

    def pairs(self, image_BD: Tensor, audio_BD: Tensor) -> Tensor:
        """Logit of each picture with the sound of the same row, (B,)."""
        return self.output(torch.relu(self.image(image_BD) + self.audio(audio_BD))).squeeze(-1)

    def all_pairs(self, image_BD: Tensor, audio_BD: Tensor) -> Tensor:
        """Logit of picture i with sound j, (B, B)."""
        return self.output(torch.relu(self.image(image_BD)[:, None] + self.audio(audio_BD)[None, :])).squeeze(-1)


class LookListenLearn(nn.Module):
    """Two towers, max-pooled over their maps, and a fusion net that says whether picture and sound correspond.

    The paper's last layer has two outputs and a softmax; one logit and a sigmoid is the same function.

    Args:
        dim: coordinates of each tower's embedding (512 in the paper).
        full: the paper's VGG-like towers instead of the small ones.
        hop: samples from one frame of the spectrogram to the next.
        pairs: what is asked. ``"cyclic"``: B true and B false pairs, as many as the paper; that clip i then hears clip
            i + shift is ours, the paper draws each false pair independently. ``"all"``: all B² pairs of a batch, true
            and false ones weighted alike. ``"choice"``: besides, which of the batch's sounds is a picture's own, and
            which picture a sound's (InfoNCE on the same logits). Ours too: a question about the hardest false pairs,
            which leaves the plateau in a fraction of the steps.

    Raises:
        ValueError: other ``pairs``; when trained, a single clip, which has no false pair.
    """

    def __init__(self, dim: int = 128, width: int = 32, full: bool = False, hop: int = 160, pairs: str = "choice"):
        super().__init__()
        if pairs not in PAIRS:
            raise unknown("pairs of Look, Listen and Learn", pairs, PAIRS)
        self.mel = LogMel(hop=hop)
        self.image = ImageVGG() if full else ImageSmall(width, dim)
        self.audio = AudioVGG() if full else AudioSmall(width, dim)
        self.fusion = Fusion(512 if full else dim)
        self.pairs = pairs

    def maps(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """image_BDYX and audio_BDFL of both towers; reads the picture and the sound, nothing else."""
        return self.image(batch.frame_BCHW), self.audio(self.mel(batch.wave_BS))

    def embed(self, batch: Batch) -> Embedding:
        """Maps of both towers and their maxima over the cells."""
        image_BDYX, audio_BDFL = self.maps(batch)
        return Embedding(pool_max(image_BDYX), pool_max(audio_BDFL), image_BDYX, audio_BDFL)

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """Logit that picture i and sound j belong together, (B, M)."""
        assert pictures.image_BD is not None and sounds.audio_BD is not None
        return self.fusion.all_pairs(pictures.image_BD, sounds.audio_BD)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Binary cross-entropy of true and false pairs, ln 2 while the net knows nothing; and of a choice, ln B."""
        if len(batch) < 2:
            raise ValueError("Look, Listen and Learn needs at least two clips a batch: one clip has no false pair")
        image_BD, audio_BD = (gather(pool_max(cells)) for cells in self.maps(batch))
        if self.pairs == "cyclic":
            return {"loss": self.cyclic(image_BD, audio_BD, step)}
        logit_BB = self.fusion.all_pairs(image_BD, audio_BD)
        belong = losses.correspondence(logit_BB)
        if self.pairs == "all":
            return {"loss": belong}
        choose = losses.info_nce(logit_BB, 1.0)
        return {"loss": belong + choose, "belong": belong.detach(), "choose": choose.detach()}

    def cyclic(self, image_BD: Tensor, audio_BD: Tensor, step: int) -> Tensor:
        """The binary cross-entropy of each clip with its own sound and with that of another, one shift for all."""
        shift = losses.random_shift(len(image_BD), torch.Generator().manual_seed(step))
        true_B = self.fusion.pairs(image_BD, audio_BD)
        false_B = self.fusion.pairs(image_BD, audio_BD.roll(shift, 0))
        label_B = torch.cat([torch.ones_like(true_B), torch.zeros_like(false_B)])
        return losses.correspondence(torch.cat([true_B, false_B]), label_B)
