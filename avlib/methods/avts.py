"""Audio-Visual Temporal Synchronisation (Korbar, Tran & Torresani, NeurIPS 2018): is this sound in time?"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib import losses
from avlib.audio import LogMel
from avlib.distributed import gather
from avlib.encoders import AudioSmall, AudioVGG, VideoMC3, VideoR2Plus1D18
from avlib.encoders.timed import VideoChange, in_bins
from avlib.errors import unknown
from avlib.types import SAMPLE_RATE, Batch, Embedding

LOSSES = ("contrastive", "cross-entropy")
EYES = {"small": VideoChange, "MC3-18": VideoMC3, "R(2+1)D-18": VideoR2Plus1D18}
COLUMNS = 8
"""Frames of the spectrogram for one of the video; the ears halve time three times, so one column stays for each."""


class Synchronisation(nn.Module):
    """Two towers that keep time, and a distance that is small for a picture and a sound of the same moment.

    A batch holds several windows of each clip. What is seen in a window goes with what is heard in it; the sound of
    another clip is an *easy* negative, that of another window of the same clip a *hard* one, *super-hard* where the two
    overlap (others use these names otherwise); which of the latter two there are is up to the stream. Besides true
    pairs all easy and all hard ones of a batch are compared, each kind by its mean; the paper draws pairs.

    Towers are pooled over space and over frequency and keep ``bins`` spans of time. Each span is described by a few
    numbers, by the same linear layer; all together, in order, are the embedding, at length 1 where it is compared. The
    paper has a fully connected layer there, which mixes spans.

    Args:
        begin: the step from which hard negatives count: the curriculum's second stage. 0: from the first step on.
        hard: their share among negatives in that stage (the paper's, as we remember it); 0 for none, ever.
        loss: ``"contrastive"``, a margin on distances, or ``"cross-entropy"`` on both embeddings side by side.
        margin: how far apart false pairs shall be; unit vectors are at most 2 apart.
        bins: spans of time that are kept; with 1 there is no *when*.
        dim: coordinates of an embedding, a multiple of ``bins``.
        fps: frames a second of the videos.
        eye: ``"small"``, ``"MC3-18"`` or ``"R(2+1)D-18"``, the latter two with a VGG-like net for the sound.

    Raises:
        ValueError: another loss or eye, a share outside of 0…1, a dim that bins do not divide; a batch without a pair.
    """

    def __init__(
        self, begin: int = 0, hard: float = 0.25, loss: str = "contrastive", margin: float = 0.99, bins: int = 12,
        dim: int = 96, fps: float = 10.0, eye: str = "small", width: int = 8,
    ):  # fmt: skip
        super().__init__()
        if loss not in LOSSES:
            raise unknown("loss of AVTS", loss, LOSSES)
        if eye not in EYES:
            raise unknown("eye of AVTS", eye, EYES)
        if not 0 <= hard <= 1 or dim % bins:
            raise ValueError(f"hard={hard} must lie within 0…1, and bins={bins} divide dim={dim}")
        self.begin, self.hard, self.kind, self.margin, self.bins = begin, hard, loss, margin, bins
        self.mel = LogMel(hop=round(SAMPLE_RATE / fps / COLUMNS))
        small, cells = eye == "small", 4 * width if eye == "small" else 512
        self.eye = VideoChange(width, cells, 16) if small else EYES[eye]()
        self.ear = AudioSmall(2 * width, cells) if small else AudioVGG()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(cells), nn.Conv1d(cells, dim // bins, 1)) for _ in range(2)
        )
        if loss == "cross-entropy":
            self.sides = nn.ModuleList(nn.Linear(dim, 128) for _ in range(2))
            self.logit = nn.Linear(128, 1)

    def embed(self, batch: Batch) -> Embedding:
        """Embeddings of what is seen and heard, of length 1 if they are compared; a picture is a film of one frame."""
        video_BTCHW = batch.frame_BCHW[:, None] if batch.video_BTCHW is None else batch.video_BTCHW
        image_BDT = self.eye(video_BTCHW).amax((3, 4))
        audio_BDT = self.ear(self.mel(batch.wave_BS)).mean(2)
        image_BD, audio_BD = (
            head(in_bins(map_BDT, self.bins)).flatten(1)
            for head, map_BDT in zip(self.heads, (image_BDT, audio_BDT), strict=True)
        )
        if self.kind == "contrastive":
            image_BD, audio_BD = functional.normalize(image_BD), functional.normalize(audio_BD)
        return Embedding(image_BD, audio_BD)

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """How well picture i and sound j go together, (B, M): their distance, negated, or the logit that they do."""
        assert pictures.image_BD is not None and sounds.audio_BD is not None
        if self.kind == "contrastive":
            return -torch.cdist(pictures.image_BD, sounds.audio_BD)
        return self.joined(pictures.image_BD[:, None], sounds.audio_BD[None])

    def joined(self, image_PD: Tensor, audio_PD: Tensor) -> Tensor:
        """Logit of two embeddings side by side: a layer of ``[v; a]`` is the sum of a layer of v and one of a."""
        return self.logit((self.sides[0](image_PD) + self.sides[1](audio_PD)).relu()).squeeze(-1)

    def cost(self, image_PD: Tensor, audio_PD: Tensor, true: bool) -> Tensor:
        """Mean loss of pairs that are all true or all false."""
        label_P = torch.full(image_PD.shape[:1], float(true), device=image_PD.device)
        if self.kind == "contrastive":
            return losses.contrastive(image_PD, audio_PD, label_P, self.margin)
        return losses.correspondence(self.joined(image_PD, audio_PD), label_P)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """True pairs weigh as much as false ones; from step ``begin`` on, ``hard`` of these are of the same clip."""
        found = self.embed(batch)
        assert found.image_BD is not None and found.audio_BD is not None
        image_BD, audio_BD, index_B = gather(found.image_BD), gather(found.audio_BD), gather(batch.index_B)
        share = self.hard if step >= self.begin else 0.0
        same_BB = index_B[:, None] == index_B
        itself_BB = torch.eye(len(index_B), dtype=torch.bool, device=index_B.device)
        kinds = {"easy": (1 - share, ~same_BB), "hard": (share, same_BB & ~itself_BB)}
        parts = {"true": (1.0, self.cost(image_BD, audio_BD, True))}
        for name, (weight, false_BB) in kinds.items():
            if weight:
                seen_P, heard_P = false_BB.nonzero().unbind(1)
                if len(seen_P) == 0:
                    raise ValueError(f"AVTS got a batch without any {name} pair: clips {index_B.tolist()}")
                parts[name] = weight, self.cost(image_BD[seen_P], audio_BD[heard_P], False)
        total = torch.stack([weight * value for weight, value in parts.values()]).sum() / 2
        return {"loss": total} | {name: value.detach() for name, (_, value) in parts.items()}
