"""Ambient sound (Owens et al., ECCV 2016): a picture predicts what its surroundings sound like on average.

A sound is summed up by statistics that say nothing of when something happens, and these by a few labels. One still
picture is enough to predict those, for whom recognises what would sound so. No label of a person is needed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.encoders import ImageLayers, pool_max, pool_mean
from avlib.methods.ambient_targets import Targets
from avlib.types import Batch, Embedding


class AmbientSound(nn.Module):
    """A picture network with one output for each bit, cluster or number that sums up the sound.

    Where we differ from the paper. Both fully connected layers look at each cell by itself, and the mean over the cells
    comes after them, so that a map of each output (`class_maps`) lies over the picture and its mean is the output; in
    the paper, as we remember it, they follow a grid of cells. Small layers at ``cpu``.

    Args:
        targets: what is predicted; fitted before training.
        width: channels of the first small layer.
        full: the paper's layers instead of the small ones.
    """

    def __init__(self, targets: Targets, width: int = 32, full: bool = False) -> None:
        super().__init__()
        self.targets = targets
        self.image = ImageLayers(width, full)
        self.head = nn.Linear(self.image.dim, targets.outputs)

    def layers(self, batch: Batch) -> dict[str, Tensor]:
        """What probes read, name to (B, D): the fifth convolution by its largest values and on a coarse grid, then
        both fully connected layers by their means."""
        found = self.image(batch.frame_BCHW)
        grid = functional.adaptive_max_pool2d(found["conv5"], self.image.grid).flatten(1)
        return {"max5": pool_max(found["conv5"]), "pool5": grid} | {n: pool_mean(found[n]) for n in ("fc6", "fc7")}

    def embed(self, batch: Batch) -> Embedding:
        """The last hidden layer, its mean and its map; for the sound stands what is to be predicted of it."""
        map_BDYX = self.image(batch.frame_BCHW)["fc7"]
        return Embedding(pool_mean(map_BDYX), self.targets(batch), map_BDYX)

    def class_maps(self, map_BDYX: Tensor) -> Tensor:
        """cam_BKYX of every output; its mean over the cells is the logit (class activation maps)."""
        cam_BKYX = torch.einsum("kd,bdyx->bkyx", self.head.weight, map_BDYX)
        return cam_BKYX + self.head.bias[:, None, None]

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """score_BM: how well the target of sound j fits picture i: its log-likelihood, or minus its squared error."""
        assert pictures.image_BD is not None and sounds.audio_BD is not None
        return likelihood(self.head(pictures.image_BD), sounds.audio_BD, self.targets.labeler)

    def heat(self, found: Embedding) -> Tensor:
        """map_BYX: the maps of all outputs, each weighed by how far the clip's own target is above its mean."""
        assert found.image_BDYX is not None and found.audio_BD is not None
        above_BK = found.audio_BD - self.targets.mean_K
        return torch.einsum("bk,bkyx->byx", above_BK, self.class_maps(found.image_BDYX))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Σ of K binary cross-entropies, cross-entropy, or the mean squared error, the mean over the clips."""
        target_BK, labeler = self.targets(batch), self.targets.labeler
        logit_BK = self.head(pool_mean(self.image(batch.frame_BCHW)["fc7"])).float()
        if labeler == "regression":
            return {"loss": functional.mse_loss(logit_BK, target_BK)}
        if labeler == "clusters":
            return {"loss": functional.cross_entropy(logit_BK, target_BK)}
        return {"loss": functional.binary_cross_entropy_with_logits(logit_BK, target_BK) * target_BK.shape[1]}


def likelihood(logit_BK: Tensor, target_MK: Tensor, labeler: str) -> Tensor:
    """score_BM: how well the outputs of picture i fit the target of sound j, see `AmbientSound.compare`."""
    if labeler == "bits":
        return functional.logsigmoid(logit_BK) @ target_MK.t() + functional.logsigmoid(-logit_BK) @ (1 - target_MK).t()
    if labeler == "clusters":
        return logit_BK.log_softmax(1) @ target_MK.t()
    return -torch.cdist(logit_BK, target_MK).square()
