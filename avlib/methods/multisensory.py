"""Multisensory features (Owens & Efros, ECCV 2018), the alignment net: does what is heard happen just now?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from avlib import losses
from avlib.distributed import gather, own
from avlib.encoders.fused import Fused
from avlib.encoders.timed import in_bins
from avlib.errors import unknown
from avlib.types import Batch, Embedding

FALSE = ("shifted", "other")
SPANS = 6
"""Parts of time that the embeddings of the senses keep."""


class Multisensory(nn.Module):
    """One net that sees and hears from early on, and tells sound in time from sound of another time of the same clip.

    A batch holds two windows of each clip. Every picture is shown twice, with its own sound and with a false one; so
    half of all answers are yes. A linear layer gives each cell and moment a number; this *class activation map* is
    taken before pooling, and its mean over cells and time is the logit that the sound is in time.

    Each sense has an embedding for probes: the last map into which it alone went, its maximum over cells (of a sound,
    its columns), in SPANS parts of time. The two are of different width, since they share no space: which picture goes
    with which sound, only the joined net says, pair by pair. So it has no ``compare``; retrieval among n clips would
    take n² passes. That is the price of joining early.

    Args:
        false: the false sound of a picture, ``"shifted"``, that of the clip's other window, or ``"other"``, that of
            another clip (the pretext of random pairs).
        settings: of `Fused`: width, dim, stride, depth, early, fps.

    Raises:
        ValueError: another ``false``; when trained, a batch that does not hold two windows of each of two clips.
    """

    def __init__(self, false: str = "shifted", **settings: Any) -> None:
        super().__init__()
        if false not in FALSE:
            raise unknown("false sound of Multisensory", false, FALSE)
        self.false, self.net = false, Fused(**settings)
        dim = self.net.dim
        self.logit = nn.Sequential(nn.BatchNorm3d(dim), nn.ReLU(), nn.Conv3d(dim, 1, 1))

    def senses(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """map_BDTYX of the picture alone and audio_BDL of the sound alone; a picture is a film of one frame."""
        video_BTCHW = batch.frame_BCHW[:, None] if batch.video_BTCHW is None else batch.video_BTCHW
        return self.net.see(video_BTCHW), self.net.hear(batch.wave_BS, video_BTCHW.shape[1])

    def activation(self, map_BDTYX: Tensor, audio_BDL: Tensor) -> Tensor:
        """The class activation map, signed, of the maps of both senses, row by row: map_BTYX."""
        return self.logit(self.net.together(map_BDTYX, audio_BDL)[1]).squeeze(1)

    def forward(self, batch: Batch) -> Tensor:
        """The class activation map of clips with their own sound, map_BTYX; its mean is the logit of each."""
        return self.activation(*self.senses(batch))

    def embed(self, batch: Batch) -> Embedding:
        """Each sense alone; ``video_BDTYX`` and ``audio_BDFL`` (one band) are what `heat` needs."""
        map_BDTYX, audio_BDL = self.senses(batch)
        return Embedding(
            image_BD=in_bins(map_BDTYX.amax((3, 4)), SPANS).flatten(1),
            audio_BD=in_bins(audio_BDL, SPANS).flatten(1),
            audio_BDFL=audio_BDL[:, :, None],
            video_BDTYX=map_BDTYX,
        )

    def heat(self, found: Embedding) -> Tensor:
        """Where the sound comes from: the mean over time of the class activation map, map_BYX.

        The paper's figures show its magnitude; with its sign, a thing that moves otherwise than is heard stays dark.
        """
        assert found.video_BDTYX is not None and found.audio_BDFL is not None
        return self.activation(found.video_BDTYX, found.audio_BDFL[:, :, 0]).mean(1)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Binary cross-entropy of each picture with its own sound and with a false one; ln 2 for who knows nothing."""
        map_BDTYX, audio_BDL = self.senses(batch)
        other_BDL = own(gather(audio_BDL)[self.partners(gather(batch.index_B))])
        both_BDL = torch.cat([audio_BDL, other_BDL])
        logit_R = self.activation(torch.cat([map_BDTYX, map_BDTYX]), both_BDL).mean((1, 2, 3))
        label_R = torch.arange(len(logit_R), device=logit_R.device) < len(batch)
        right = ((logit_R > 0) == label_R).float().mean()
        return {"loss": losses.correspondence(logit_R, label_R), "right": right.detach()}

    def partners(self, index_B: Tensor) -> Tensor:
        """The row of each picture's false sound, int64 (B,), by clips; of two windows of another clip, either."""
        order_B = index_B.argsort(stable=True)
        pair_P2 = order_B.view(-1, 2) if len(order_B) % 2 == 0 else order_B[None, :0]
        clip_P2 = index_B[pair_P2]
        if len(pair_P2) < 2 or bool((clip_P2[:, 0] != clip_P2[:, 1]).any()) or bool((clip_P2.diff(dim=0) == 0).any()):
            raise ValueError(f"Multisensory needs two windows of each of two clips or more: {index_B.tolist()}")
        false_P2 = pair_P2.flip(1) if self.false == "shifted" else pair_P2.roll(1, 0)
        return torch.empty_like(order_B).scatter_(0, pair_P2.flatten(), false_P2.flatten())
