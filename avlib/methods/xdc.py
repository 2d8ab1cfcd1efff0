"""Cross-modal Deep Clustering (Alwassel et al., NeurIPS 2020): the clusters of one sense are the labels of the other.

Clips are clustered anew between steps, by `avlib.rounds.Rounds`. No pair is told from another: there are no negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.audio import LogMel
from avlib.clustering import contingency, kmeans
from avlib.encoders import AudioResNet, AudioSmall, ImageResNet18, ImageSmall, pool_mean
from avlib.errors import unknown
from avlib.matching import unit
from avlib.types import Batch, Embedding

ROUTES: dict[str, dict[str, tuple[str, ...]]] = {
    "single": {"image": ("image",), "audio": ("audio",)},
    "multi": {"image": ("image", "audio"), "audio": ("image", "audio")},
    "concat": {"image": ("both",), "audio": ("both",)},
    "cross": {"image": ("audio",), "audio": ("image",)},
}
"""Whose clusters each sense learns: in SDC, MDC, CDC and XDC."""
SETS = ("image", "audio", "both")
"""What is clustered: the picture's features, the sound's, and the two side by side."""


class CrossClusters(nn.Module):
    """Two towers, and a linear head for each set of clusters that a sense learns.

    Where we differ from the paper. Still pictures, small nets at ``cpu``; rounds of equal length (until the validation
    loss is level); a clip weighs one over the size of its cluster, on average DeepCluster's even draw of clusters; each
    sense's features have length 1 before they are clustered, or the longer ones would rule both.

    Args:
        clips: M, how many there are; each has a label in each of `SETS`.
        clusters: K, clusters in each set.
        route: ``"single"`` (SDC), ``"multi"`` (MDC), ``"concat"`` (CDC) or ``"cross"`` (XDC), see `ROUTES`.
        fresh: do heads begin anew in each round? The numbers of clusters mean something else each time.

    Raises:
        ValueError: an unknown route; fewer clips than clusters.
    """

    image_label_M: Tensor
    audio_label_M: Tensor
    both_label_M: Tensor
    image_centre_KD: Tensor
    audio_centre_KD: Tensor

    def __init__(
        self, clips: int, clusters: int = 40, route: str = "cross", fresh: bool = True,
        dim: int = 128, width: int = 16, full: bool = False, hop: int = 160,
    ):  # fmt: skip
        super().__init__()
        if route not in ROUTES:
            raise unknown("route of cross-modal clustering", route, ROUTES)
        if not 1 <= clusters <= clips:
            raise ValueError(f"{clips} clips cannot form {clusters} clusters")
        dim = 512 if full else dim
        self.route, self.clusters, self.fresh = ROUTES[route], clusters, fresh
        self.mel = LogMel(hop=hop)
        self.image = ImageResNet18(dim) if full else ImageSmall(width, dim)
        self.audio = AudioResNet() if full else AudioSmall(width, dim)
        names = [f"{sense} from {by}" for sense, bys in self.route.items() for by in bys]
        self.heads = nn.ModuleDict({name: nn.Linear(dim, clusters) for name in names})
        for by in SETS:
            self.register_buffer(f"{by}_label_M", torch.full((clips,), -1))
        for sense in ("image", "audio"):
            self.register_buffer(f"{sense}_centre_KD", torch.zeros(clusters, dim))

    def embed(self, batch: Batch) -> Embedding:
        """Means over the cells of either tower: image_BD and audio_BD, two spaces with nothing in common."""
        return Embedding(pool_mean(self.image(batch.frame_BCHW)), pool_mean(self.audio(self.mel(batch.wave_BS))))

    def relabel(self, found: Embedding, index_M: Tensor, generator: torch.Generator) -> None:
        """Cluster all clips by each sense and by both, and let the heads begin anew."""
        rows = {"image": unit(found.image_BD), "audio": unit(found.audio_BD)}  # type: ignore[arg-type]
        for by in SETS:
            value_MD = torch.cat([rows["image"], rows["audio"]], 1) if by == "both" else rows[by]
            groups = kmeans(value_MD, self.clusters, generator)
            getattr(self, f"{by}_label_M")[index_M] = groups.label_N
            if by != "both":
                getattr(self, f"{by}_centre_KD").copy_(groups.centre_KD)
        if self.fresh:
            for head in self.heads.values():
                head.reset_parameters()  # type: ignore[operator]

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Cross-entropy of each head with the clusters that it learns, ln K at first."""
        found = self.embed(batch)
        parts = {}
        for name, head in self.heads.items():
            sense, by = name.split(" from ")
            label_M = getattr(self, f"{by}_label_M")
            label_B, weight_K = label_M[batch.index_B], balance(label_M, self.clusters)
            loss_B = functional.cross_entropy(head(getattr(found, f"{sense}_BD")), label_B, reduction="none")
            parts[name] = (weight_K[label_B] * loss_B).mean()
        return {"loss": torch.stack(list(parts.values())).sum()} | parts

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """How much oftener the clusters of picture i and sound j met in training than by luck: (B, M), nats."""
        seen_B, heard_M = (
            torch.cdist(unit(value_BD), centre_KD).argmin(1)  # type: ignore[arg-type]
            for value_BD, centre_KD in (
                (pictures.image_BD, self.image_centre_KD), (sounds.audio_BD, self.audio_centre_KD),
            )
        )  # fmt: skip
        met_KK = contingency(self.image_label_M, self.audio_label_M, self.clusters, self.clusters).double() + 0.5
        luck_KK = met_KK.sum(1, keepdim=True) * met_KK.sum(0) / met_KK.sum()
        return (met_KK / luck_KK).log()[seen_B][:, heard_M]


def balance(label_M: Tensor, clusters: int) -> Tensor:
    """weight_K of each cluster, in inverse proportion to its size, 1 on average over clips; 0 for an empty one."""
    size_K = label_M.bincount(minlength=clusters)
    return torch.where(size_K > 0, len(label_M) / (size_K.clamp(min=1) * (size_K > 0).sum()), 0.0)
