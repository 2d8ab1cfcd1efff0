"""Deep Multimodal Clustering in its simplified form: soft k-means of both maps, and contrastive distances of centres.

Of Hu, Nie & Li (CVPR 2019) too, as released by its authors; later papers on sounding objects compare with it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avlib.distributed import gather
from avlib.losses import full_precision, off_diagonal
from avlib.methods.dmc_clusters import Components, distances, euclidean
from avlib.methods.dmc_towers import Towers
from avlib.types import Batch, Embedding


class SimplifiedClustering(nn.Module):
    """A sound's centres are to lie near one of its own picture's centres, and far from all of other pictures'.

    Where we differ from the release. All B² pairs of a batch, true and false ones weighted alike (theirs: pairs drawn
    one by one). Small nets from random weights.

    Args:
        sounds: clusters of the sound; in the release as many as classes are heard, one.
        things: clusters of the picture, those and one for the background.
        rounds, sharpness: see `avlib.methods.dmc_clusters.euclidean`.
        margin: distance from which on false pairs are far enough.
        width, full, hop: see `avlib.methods.dmc_towers.Towers`.

    Raises:
        ValueError: when trained, a single clip.
    """

    def __init__(
        self, sounds: int = 2, things: int = 3, rounds: int = 4, sharpness: float = 30.0, margin: float = 5.0,
        width: int = 16, full: bool = False, hop: int = 160,
    ):  # fmt: skip
        super().__init__()
        self.sounds, self.things, self.rounds, self.sharpness, self.margin = sounds, things, rounds, sharpness, margin
        self.towers = Towers(width=width, full=full, hop=hop)

    def split(self, map_BDYX: Tensor, sense: str) -> tuple[Tensor, Components]:
        """cell_BPD of a map, and its components; ``sense`` is ``"image"`` or ``"audio"``."""
        cell_BPD = map_BDYX.flatten(2).transpose(1, 2)
        clusters = self.things if sense == "image" else self.sounds
        return cell_BPD, euclidean(cell_BPD, clusters, self.rounds, self.sharpness)

    def embed(self, batch: Batch) -> Embedding:
        """Centres side by side, and both maps."""
        image_BDYX, audio_BDFL = self.towers(batch)
        (_, seen), (_, heard) = self.split(image_BDYX, "image"), self.split(audio_BDFL, "audio")
        return Embedding(seen.centre_BKD.flatten(1), heard.centre_BKD.flatten(1), image_BDYX, audio_BDFL)

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """Minus the distance of each sound's centres from the nearest one of each picture's, their mean: (B, M)."""
        assert pictures.image_BD is not None and sounds.audio_BD is not None
        return -nearest(*self.centres(pictures.image_BD, sounds.audio_BD))

    def centres(self, image_BD: Tensor, audio_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Centres of pictures and of sounds, one below the other: (B, K, D) and (M, J, D)."""
        return image_BD.unflatten(1, (self.things, -1)), audio_BD.unflatten(1, (self.sounds, -1))

    def heat(self, found: Embedding) -> Tensor:
        """map_BYX, minus each cell's distance from the nearest centre of the sound."""
        assert found.image_BDYX is not None and found.audio_BD is not None
        heard_BJD = found.audio_BD.unflatten(1, (self.sounds, -1))
        cell_BPD = found.image_BDYX.flatten(2).transpose(1, 2)
        return -distances(cell_BPD, heard_BJD).amin(2).unflatten(1, found.image_BDYX.shape[2:])

    def parts(self, found: Embedding) -> tuple[Tensor, None, Tensor]:
        """share_BKYX, where each cluster of the picture lies, and match_BK, minus how far it is from the sound's."""
        assert found.image_BDYX is not None and found.audio_BDFL is not None
        seen, heard = self.split(found.image_BDYX, "image")[1], self.split(found.audio_BDFL, "audio")[1]
        return seen.over(found.image_BDYX), None, -distances(seen.centre_BKD, heard.centre_BKD).amin(2)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Own centres near, others' at least a margin away."""
        if len(batch) < 2:
            raise ValueError("simplified clustering needs at least two clips a batch: one clip has no false pair")
        found = self.embed(batch)
        assert found.image_BD is not None and found.audio_BD is not None
        return {"loss": apart(nearest(*self.centres(gather(found.image_BD), gather(found.audio_BD))), self.margin)}


def nearest(image_BKD: Tensor, audio_MJD: Tensor) -> Tensor:
    """Mean over a sound's centres of the distance to the nearest of a picture's centres, of all pairs: (B, M)."""
    (clips, things, dim), (others, sounds, _) = image_BKD.shape, audio_MJD.shape
    flat = torch.cdist(image_BKD.reshape(-1, dim), audio_MJD.reshape(-1, dim)).clamp(min=1e-5)
    return flat.view(clips, things, others, sounds).amin(1).mean(2)


@full_precision
def apart(distance_BB: Tensor, margin: float) -> Tensor:
    """½·mean d² of own pairs (the diagonal) + ½·mean max(margin - d, 0)² of all others.

    Source: the contrastive loss of the released simplified form; that all others count is ours.
    """
    false_BM = off_diagonal(distance_BB)
    return (distance_BB.diagonal().square().mean() + (margin - false_BM).clamp(min=0).square().mean()) / 2
