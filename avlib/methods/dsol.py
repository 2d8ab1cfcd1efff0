"""Discriminative Sounding Objects Localisation (Hu, Qian et al., NeurIPS 2020): who sounds at the cocktail party?

More lines than the other methods: two stages, three kinds of target, and the hook that makes the labels between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib import losses, matching
from avlib.audio import LogMel
from avlib.clustering import kmeans
from avlib.distributed import gather, roll
from avlib.encoders import AudioResNet, AudioSmall, ImageAligned, ImageResNet18, pool_max, pool_mean
from avlib.types import Batch, Embedding


def dilate(mask_BYX: Tensor) -> Tensor:
    """Each lit cell lights its four neighbours; cells on the border light none (as released). bool -> bool."""
    inner_BYX = functional.pad(mask_BYX[:, 1:-1, 1:-1].float(), (1, 1, 1, 1))
    cross_11YX = inner_BYX.new_tensor([[0, 1, 0], [1, 1, 1], [0, 1, 0]])[None, None]
    return mask_BYX | (functional.conv2d(inner_BYX[:, None], cross_11YX, padding=1)[:, 0] > 0)


def unit(value_BD: Tensor) -> Tensor:
    """Length 1 along the second axis; zeros stay zeros."""
    return functional.normalize(value_BD, dim=1, eps=1e-8)


class Ear(nn.Module):
    """A sound as a vector, wave_BS -> audio_BD, and a head that names its cluster."""

    def __init__(self, clusters: int, dim: int, width: int, full: bool):
        super().__init__()
        self.mel, self.net = LogMel(), AudioResNet() if full else AudioSmall(width, dim)
        inputs = 512 if full else dim
        self.output = nn.Sequential(nn.BatchNorm1d(inputs), nn.ReLU(), nn.Linear(inputs, dim))
        self.head = nn.Linear(dim, clusters)

    def forward(self, wave_BS: Tensor) -> Tensor:
        return self.output(pool_max(self.net(self.mel(wave_BS))))


class SoundingObjects(nn.Module):
    """Stage one makes a dictionary of things from solo scenes; stage two finds which of them sound in a mixture.

    Where we differ from the paper: all B² pairs of a batch are told apart (binary and as InfoNCE), by a soft maximum
    over cells; naming goes on while localising; the dictionary lies in the space that sight and sound share, its
    entries centred and of one length; the ear also practises on sums of two sounds; in stage two the eye stands still.
    The paper's offset c₀ adds c₀·m to every class alike, which no softmax over classes sees: left out.

    Args:
        clips: how many solo scenes there are; each has a pseudo-label, -1 before the first clustering.
        clusters: K, entries of the dictionary.
        gate: multiply class maps by the sounding area (stage two); without it silent things are not filtered.
        whole: pool the whole picture instead of the masked object.
        quarters: in stage two, each quarter of a foreign picture is a negative, as for the paper's collages.
        floor: an object is where the sounding area exceeds this, and one cell around.
    """

    label_M: Tensor
    entry_KD: Tensor
    mixing: Tensor

    def __init__(
        self, clips: int, clusters: int = 8, dim: int = 64, width: int = 16, full: bool = False,
        gate: bool = True, whole: bool = False, quarters: bool = False, floor: float = 0.2,
    ):  # fmt: skip
        super().__init__()
        if clips < 1:
            raise ValueError(f"pseudo-labels need a finite number of solo scenes, not clips={clips}")
        self.gate, self.whole, self.quarters, self.floor = gate, whole, quarters, floor
        self.image = ImageResNet18(dim, stride=16) if full else ImageAligned(width, dim)
        self.output = nn.Sequential(nn.BatchNorm2d(dim), nn.ReLU(), nn.Conv2d(dim, dim, 1))
        self.head = nn.Linear(dim, clusters)
        self.ear = Ear(clusters, dim, width, full)
        self.teacher = deepcopy(self.ear).requires_grad_(False)
        self.scale, self.shift = nn.Parameter(torch.tensor(10.0)), nn.Parameter(torch.tensor(0.0))
        self.contrast = nn.Parameter(torch.tensor(12.0))
        self.register_buffer("label_M", torch.full((clips,), -1))
        self.register_buffer("entry_KD", torch.zeros(clusters, dim))
        self.register_buffer("mixing", torch.tensor(False))

    def train(self, mode: bool = True) -> SoundingObjects:
        """As usual, but what stage two keeps still keeps its statistics too."""
        super().train(mode)
        for still in (self.image, self.output) if self.mixing else ():
            still.eval()
        self.teacher.eval()
        return self

    def maps(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """look_BDYX, cells of length 1, and audio_BD."""
        return unit(self.output(self.image(batch.frame_BCHW))), self.ear(batch.wave_BS)

    def area(self, look_BDYX: Tensor, audio_BD: Tensor) -> Tensor:
        """Where the sound comes from, m = σ(w·cos + b): area_BYX."""
        return (self.scale * matching.heatmap(look_BDYX, unit(audio_BD)) + self.shift).sigmoid()

    def objects(self, look_BDYX: Tensor, area_BYX: Tensor) -> Tensor:
        """The thing that sounds, as the mean over all cells of those within its mask: object_BD."""
        return pool_mean(look_BDYX if self.whole else look_BDYX * dilate(area_BYX > self.floor)[:, None])

    def embed(self, batch: Batch) -> Embedding:
        """The sounding object, the sound, and the map of the picture."""
        look_BDYX, audio_BD = self.maps(batch)
        return Embedding(self.objects(look_BDYX, self.area(look_BDYX, audio_BD)), unit(audio_BD), look_BDYX)

    def scores(self, look_BDYX: Tensor, area_BYX: Tensor) -> Tensor:
        """S_k = R_k·m with R_k = c·⟨cell, entry k⟩: score_BKYX."""
        entry_KD = unit(self.entry_KD)
        entry_KD = unit(entry_KD - entry_KD.mean(0))
        score_BKYX = self.contrast * torch.einsum("bdyx,kd->bkyx", look_BDYX, entry_KD)
        return score_BKYX * area_BYX[:, None] if self.gate else score_BKYX

    def class_maps(self, batch: Batch) -> Tensor:
        """score_BKYX of each entry of the dictionary, before any softmax."""
        look_BDYX, audio_BD = self.maps(batch)
        return self.scores(look_BDYX, self.area(look_BDYX, audio_BD))

    @torch.no_grad()
    def heard(self, batch: Batch) -> Tensor:
        """q, what the ear of stage one believes to hear: prob_BK."""
        return self.teacher.head(self.teacher(batch.wave_BS)).softmax(1)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Stage one: which sound is from this picture and, once there are labels, which cluster. Stage two: KL(q‖p̂).

        Raises:
            ValueError: a single clip, which has no false pair.
        """
        if len(batch) < 2:
            raise ValueError("sounding objects need at least 2 clips a batch: one clip has no false pair")
        look_BDYX, audio_BD = self.maps(batch)
        logit_BB = self.pairs(look_BDYX, audio_BD)
        apart = self.quarters and bool(self.mixing)
        parts = {"place": self.quiet(logit_BB, look_BDYX, audio_BD) if apart else losses.correspondence(logit_BB)}
        area_BYX = self.area(look_BDYX, audio_BD)
        if self.mixing:
            seen_BK = pool_mean(self.scores(look_BDYX, area_BYX))
            parts["agree"] = losses.kl_distillation(self.heard(batch), seen_BK)
        else:
            parts["pair"] = losses.info_nce(logit_BB, 1.0)
            label_B = self.labels(batch)
            if bool((label_B >= 0).all()):
                object_BD = self.scale.detach() * unit(self.objects(look_BDYX, area_BYX))
                parts["see"] = functional.cross_entropy(self.head(object_BD), label_B) / 2
                parts["hear"] = functional.cross_entropy(self.ear.head(audio_BD), label_B) / 2
                parts["sum"] = self.two_at_once(batch.wave_BS, label_B) / 2
        return {"loss": torch.stack(list(parts.values())).sum()} | parts

    def labels(self, batch: Batch) -> Tensor:
        """Pseudo-label of each solo clip, int64, -1 where there is none yet.

        Raises:
            ValueError: a clip beyond those that the method was built for.
        """
        if int(batch.index_B.max()) >= len(self.label_M):
            raise ValueError(f"clip {int(batch.index_B.max())} has no label: there are {len(self.label_M)} solo clips")
        return self.label_M[batch.index_B]

    def pairs(self, look_BDYX: Tensor, audio_BD: Tensor) -> Tensor:
        """Logit that picture i holds the source of sound j, by a soft maximum over cells: logit_BB, of all clips."""
        look_BDYX, audio_BD = gather(look_BDYX), gather(unit(audio_BD))
        return self.scale * matching.soft_max_over_cells(look_BDYX, audio_BD, 8.0) + self.shift

    def quiet(self, logit_BB: Tensor, look_BDYX: Tensor, audio_BD: Tensor) -> Tensor:
        """Binary cross-entropy that asks each quarter of a foreign picture to be quiet (collages of four)."""
        parts = [part for half in look_BDYX.chunk(2, 2) for part in half.chunk(2, 3)]
        foreign = [losses.off_diagonal(self.pairs(part, audio_BD)) for part in parts]
        true, false = functional.softplus(-logit_BB.diagonal()), functional.softplus(torch.stack(foreign))
        return (true.mean() + false.mean()) / 2

    def two_at_once(self, wave_BS: Tensor, label_B: Tensor) -> Tensor:
        """Cross-entropy of the sum of two clips' sounds against both their clusters, half and half."""
        half_BK = functional.one_hot(label_B, len(self.entry_KD)) / 2
        heard_BK = self.ear.head(self.ear(wave_BS + roll(wave_BS, 1)))
        return functional.cross_entropy(heard_BK, half_BK + roll(half_BK, 1))

    def begin_mixtures(self, object_MD: Tensor, label_M: Tensor) -> None:
        """Close stage one: D_k is the mean object of cluster k, the ear's belief is kept, the eye stands still.

        Raises:
            ValueError: a clip without a label: nothing was clustered yet.
        """
        if int(label_M.min()) < 0:
            raise ValueError("the dictionary needs clustered clips: run a Recluster hook in stage one first")
        total_KD = torch.zeros_like(self.entry_KD).index_add_(0, label_M, object_MD)
        self.entry_KD.copy_(total_KD / label_M.bincount(minlength=len(total_KD)).clamp(min=1)[:, None])
        self.teacher.load_state_dict(self.ear.state_dict())
        self.image.requires_grad_(False)
        self.output.requires_grad_(False)
        self.mixing.fill_(True)
        self.train(self.training)


class Recluster:
    """A hook: every ``period`` steps, cluster the objects of all solo clips anew, and let the heads begin again."""

    def __init__(self, clips: Callable[[], Iterable[Batch]], period: int, seed: int = 0):
        self.clips, self.period, self.seed = clips, period, seed

    def __call__(self, method: nn.Module, batch: Batch, step: int) -> None:
        if step % self.period == 0:
            assert isinstance(method, SoundingObjects)
            object_MD, index_M = self.objects(method)
            generator = torch.Generator().manual_seed(self.seed + step)
            found = kmeans(unit(object_MD), len(method.entry_KD), generator, restarts=10)
            method.label_M[index_M] = found.label_N
            method.head.reset_parameters()
            method.ear.head.reset_parameters()

    @torch.no_grad()
    def objects(self, method: SoundingObjects) -> tuple[Tensor, Tensor]:
        """object_MD and index_M of all clips."""
        device, training = method.entry_KD.device, method.training
        method.eval()
        rows = [(method.embed(batch.to(device)).image_BD, batch.index_B.to(device)) for batch in self.clips()]
        method.train(training)
        object_MD, index_M = (torch.cat(column) for column in zip(*rows, strict=True))
        return object_MD, index_M

    def finish(self, method: SoundingObjects) -> None:
        """Fill the dictionary from today's objects and the last labels: stage two may begin."""
        object_MD, index_M = self.objects(method)
        method.begin_mixtures(object_MD, method.label_M[index_M])
