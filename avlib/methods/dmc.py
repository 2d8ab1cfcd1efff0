"""Deep Multimodal Clustering (Hu, Nie & Li, CVPR 2019): split what is seen and what is heard, and match the parts.

The clustering itself is in `avlib.methods.dmc_clusters`, the simplified form in `avlib.methods.dmc_simple`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib import losses
from avlib.distributed import gather
from avlib.errors import unknown
from avlib.matching import unit
from avlib.methods.dmc_clusters import TINY, Components, project, projected, squash
from avlib.methods.dmc_towers import Towers
from avlib.types import Batch, Embedding

MATCHES, PAIRS = ("components", "pooled"), ("choice", "all", "cyclic")


class MultimodalClustering(nn.Module):
    """K components of the picture and K of the sound; component k of one is to agree with component k of the other.

    Where we differ from the paper. By default all B² pairs of a batch are told apart, which sound is a picture's own
    and which picture a sound's (InfoNCE on the mean cosine, its scale learnt); theirs is a margin against one other
    clip. Small nets from random weights. The released loss layer compares unrelated components, and is not ported.

    Args:
        clusters: K.
        dim: coordinates of a component's view of a cell.
        rounds, sharpness: T and z, see `avlib.methods.dmc_clusters.projected`; one round shares nothing.
        shared: the same K projections for sight and sound, or each its own.
        match: ``"components"``, mean over k of the cosine of both components k; ``"pooled"``, the cosine of both sums
            over k, for which no component has a partner.
        pairs: ``"choice"``; or a margin on the mean cosine, ``"all"`` against all other clips, both ways, ``"cyclic"``
            against one, the sound of clip i + shift.
        gap: that margin, over K (the released one is K: 1 here).
        width, full, hop: see `Towers`; ``hop`` is samples from one frame of the spectrogram to the next.

    Raises:
        ValueError: another ``match`` or ``pairs``, no cluster; when trained, a single clip.
    """

    def __init__(
        self, clusters: int = 5, dim: int = 16, rounds: int = 3, sharpness: float = 1.0, shared: bool = True,
        match: str = "components", pairs: str = "choice", gap: float = 1.0,
        width: int = 16, full: bool = False, hop: int = 160,
    ):  # fmt: skip
        super().__init__()
        for name, value, known in (("match", match, MATCHES), ("pairs", pairs, PAIRS)):
            if value not in known:
                raise unknown(f"{name} of Deep Multimodal Clustering", value, known)
        if clusters < 1:
            raise ValueError(f"Deep Multimodal Clustering needs at least one cluster, not {clusters}")
        self.rounds, self.sharpness, self.match, self.pairs, self.gap = rounds, sharpness, match, pairs, gap
        self.towers = Towers(width=width, full=full, hop=hop)
        weights = [torch.randn(clusters, dim, self.towers.dim) / math.sqrt(dim) for _ in range(1 if shared else 2)]
        self.weights = nn.ParameterList(weights)
        self.scale = nn.Parameter(torch.tensor(10.0))

    def split(self, map_BDYX: Tensor, sense: str) -> tuple[Tensor, Components]:
        """view_BPKD of the cells of a map, and its components; ``sense`` is ``"image"`` or ``"audio"``."""
        weight_KDC = self.weights[-1 if sense == "audio" else 0]
        view_BPKD = project(squash(map_BDYX.flatten(2).transpose(1, 2)), weight_KDC)
        return view_BPKD, projected(view_BPKD, self.rounds, self.sharpness)

    def side_by_side(self, part_BKD: Tensor) -> Tensor:
        """value_BD of length 1, whose dot product with that of another is how well the K parts of both match."""
        if self.match == "pooled":
            return unit(part_BKD.sum(1))
        return functional.normalize(part_BKD, dim=2, eps=TINY).flatten(1) / math.sqrt(part_BKD.shape[1])

    def embed(self, batch: Batch) -> Embedding:
        """Components side by side, so that the cosine of picture and sound is their match; and both maps."""
        image_BDYX, audio_BDFL = self.towers(batch)
        (_, seen), (_, heard) = self.split(image_BDYX, "image"), self.split(audio_BDFL, "audio")
        vectors = self.side_by_side(seen.centre_BKD), self.side_by_side(heard.centre_BKD)
        return Embedding(*vectors, image_BDYX, audio_BDFL)

    def heat(self, found: Embedding) -> Tensor:
        """map_BYX, how well each cell matches the sound, every component of it weighted with the cell's share."""
        assert found.image_BDYX is not None and found.audio_BD is not None
        view_BPKD, (_, share_BPK) = self.split(found.image_BDYX, "image")
        clips, _, parts, dim = view_BPKD.shape
        if self.match == "pooled":
            mixed_BPD = torch.einsum("bpkd,bpk->bpd", view_BPKD, share_BPK)
            heat_BP = functional.cosine_similarity(mixed_BPD, found.audio_BD[:, None], dim=2, eps=TINY)
        else:
            part_B1KD = found.audio_BD.view(clips, 1, parts, dim)
            heat_BP = (functional.cosine_similarity(view_BPKD, part_B1KD, dim=3, eps=TINY) * share_BPK).sum(2)
        return heat_BP.unflatten(1, found.image_BDYX.shape[2:])

    def parts(self, found: Embedding) -> tuple[Tensor, Tensor, Tensor]:
        """share_BKYX and share_BKFL, where each component lies in picture and sound, and match_BK, their cosine."""
        assert found.image_BDYX is not None and found.audio_BDFL is not None
        seen, heard = self.split(found.image_BDYX, "image")[1], self.split(found.audio_BDFL, "audio")[1]
        match_BK = functional.cosine_similarity(seen.centre_BKD, heard.centre_BKD, dim=2, eps=TINY)
        return seen.over(found.image_BDYX), heard.over(found.audio_BDFL), match_BK

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Which sound is from this picture, by how well their components match."""
        if len(batch) < 2:
            raise ValueError("Deep Multimodal Clustering needs at least two clips a batch: one clip has no false pair")
        found = self.embed(batch)
        assert found.image_BD is not None and found.audio_BD is not None
        match_BB = gather(found.image_BD) @ gather(found.audio_BD).t()
        if self.pairs == "choice":
            return {"loss": losses.info_nce(self.scale * match_BB, 1.0)}
        if self.pairs == "all":
            return {"loss": losses.margin_rank(match_BB, self.gap, "all")}
        shift = losses.random_shift(len(match_BB), torch.Generator().manual_seed(step))
        return {"loss": losses.margin(match_BB.diagonal(), match_BB.roll(-shift, 1).diagonal(), self.gap)}
