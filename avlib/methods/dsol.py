"""Discriminative Sounding Objects Localisation (Hu, Qian et al., NeurIPS 2020), stage one: a dictionary of things.

Its labels come from `avlib.methods.dsol_dictionary`, between steps; stage two is `avlib.methods.dsol_mixtures`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib import losses, matching
from avlib.audio import LogMel
from avlib.distributed import gather, roll
from avlib.encoders import AudioResNet, AudioSmall, ImageAligned, ImageResNet18, pool_max, pool_mean
from avlib.matching import unit
from avlib.types import Batch, Embedding


class Ear(nn.Module):
    """A sound as a vector, wave_BS -> audio_BD, and a head that names its cluster."""

    def __init__(self, clusters: int, dim: int, width: int, full: bool, hop: int):
        super().__init__()
        inputs = 512 if full else dim
        self.mel, self.net = LogMel(hop=hop), AudioResNet() if full else AudioSmall(width, dim)
        self.output = nn.Sequential(nn.BatchNorm1d(inputs), nn.ReLU(), nn.Linear(inputs, dim))
        self.head = nn.Linear(dim, clusters)

    def forward(self, wave_BS: Tensor) -> Tensor:
        return self.output(pool_max(self.net(self.mel(wave_BS))))


class SoundingObjects(nn.Module):
    """Localise what sounds in solo scenes, cut it out, cluster what was cut out, and name picture and sound by cluster.

    Where we differ from the paper. *Localising*: all B² pairs of a batch are told apart, binary and as InfoNCE (theirs:
    pairs drawn one by one, binary), by a soft maximum over cells (a hard one); w starts at 10 and has a bias (5, none).
    *The object*: cells of the space that sight and sound share, of length 1 (the visual net's own features, raw); the
    mask begins at m > 0.2 (0.05). *Naming*: goes on while localising, at half the weight (epochs of one and of the
    other by turns, at the full weight); the head sees the object (the pooled picture); the ear also practises on sums
    of two sounds. Small nets, small pictures without augmentation, one-cycle AdamW (ResNet-18, 224 px, Adam 1e-4).

    Args:
        clips: how many solo scenes are clustered, the first ones; scenes beyond them only teach where.
        clusters: K, entries of the dictionary.
        whole: pool the whole picture instead of the masked object.
        floor: an object is where the sounding area exceeds this, and one cell around.
        hop: samples from one frame of the spectrogram to the next.
    """

    label_M: Tensor
    entry_KD: Tensor

    def __init__(
        self, clips: int, clusters: int = 8, dim: int = 64, width: int = 16, full: bool = False,
        whole: bool = False, floor: float = 0.2, hop: int = 160,
    ):  # fmt: skip
        super().__init__()
        if clips < 1:
            raise ValueError(f"the dictionary needs a finite number of solo scenes, not clips={clips}")
        self.whole, self.floor = whole, floor
        self.image = ImageResNet18(dim, stride=16) if full else ImageAligned(width, dim)
        self.output = nn.Sequential(nn.BatchNorm2d(dim), nn.ReLU(), nn.Conv2d(dim, dim, 1))
        self.head, self.ear = nn.Linear(dim, clusters), Ear(clusters, dim, width, full, hop)
        self.scale, self.shift = nn.Parameter(torch.tensor(10.0)), nn.Parameter(torch.tensor(0.0))
        self.register_buffer("label_M", torch.full((clips,), -1))
        self.register_buffer("entry_KD", torch.zeros(clusters, dim))

    def maps(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """look_BDYX, cells of length 1, and audio_BD."""
        return unit(self.output(self.image(batch.frame_BCHW))), self.ear(batch.wave_BS)

    def pairs(self, look_BDYX: Tensor, audio_BD: Tensor) -> Tensor:
        """Logit that picture i holds the source of sound j: logit_BB, of the clips of all processes."""
        return self.matched(gather(look_BDYX), gather(unit(audio_BD)))

    def matched(self, look_BDYX: Tensor, audio_MD: Tensor) -> Tensor:
        """The same by cells and sounds of length 1, by a soft maximum over cells: logit_BM."""
        return self.scale * matching.soft_max_over_cells(look_BDYX, audio_MD, 8.0) + self.shift

    def area(self, look_BDYX: Tensor, audio_BD: Tensor) -> Tensor:
        """Where the sound comes from, m = σ(w·cos + b): area_BYX."""
        return (self.scale * matching.heatmap(look_BDYX, unit(audio_BD)) + self.shift).sigmoid()

    def objects(self, look_BDYX: Tensor, area_BYX: Tensor) -> Tensor:
        """The thing that sounds, as the mean over all cells of those within its mask: object_BD."""
        return pool_mean(look_BDYX if self.whole else look_BDYX * matching.dilate(area_BYX > self.floor)[:, None])

    def embed(self, batch: Batch) -> Embedding:
        """The sounding object, the sound, and the map of the picture."""
        look_BDYX, audio_BD = self.maps(batch)
        return Embedding(self.objects(look_BDYX, self.area(look_BDYX, audio_BD)), unit(audio_BD), look_BDYX)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Which sound is from this picture and, once there are labels, which cluster."""
        if len(batch) < 2:
            raise ValueError("sounding objects need at least 2 clips a batch: one clip has no false pair")
        look_BDYX, audio_BD = self.maps(batch)
        logit_BB = self.pairs(look_BDYX, audio_BD)
        parts = {"place": losses.correspondence(logit_BB), "pair": losses.info_nce(logit_BB, 1.0)}
        label_B = self.labels(batch)
        if bool((label_B >= 0).all()):
            object_BD = self.objects(look_BDYX, self.area(look_BDYX, audio_BD))
            parts |= self.naming(batch.wave_BS, object_BD, audio_BD, label_B)
        return {"loss": torch.stack(list(parts.values())).sum()} | parts

    def labels(self, batch: Batch) -> Tensor:
        """Pseudo-label of each clip, int64; -1 where there is none yet, and beyond the clips that are clustered."""
        last = len(self.label_M) - 1
        return self.label_M[batch.index_B.clamp(max=last)].masked_fill(batch.index_B > last, -1)

    def naming(self, wave_BS: Tensor, object_BD: Tensor, audio_BD: Tensor, label_B: Tensor) -> dict[str, Tensor]:
        """Which cluster is seen, which is heard, and which two are in the sum of a clip's sound and another's."""
        half_BK = functional.one_hot(label_B, len(self.entry_KD)) / 2
        see = functional.cross_entropy(self.head(self.scale.detach() * unit(object_BD)), label_B)
        hear = functional.cross_entropy(self.ear.head(audio_BD), label_B)
        both_BK = self.ear.head(self.ear(wave_BS + roll(wave_BS, 1)))
        both = functional.cross_entropy(both_BK, half_BK + roll(half_BK, 1))
        return {"see": see / 2, "hear": hear / 2, "sum": both / 2}
