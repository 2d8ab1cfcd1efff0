"""What stage one of Discriminative Sounding Objects Localisation does between its steps: cluster what was cut out."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from avlib.clustering import kmeans
from avlib.matching import unit
from avlib.methods.dsol import SoundingObjects
from avlib.rounds import everything
from avlib.types import Batch


class Recluster:
    """A hook: every ``period`` steps, cluster the objects of all solo clips anew, and let both heads begin again.

    D_k, entry k of the dictionary, is the mean object of cluster k.

    Args:
        clips: hands out all solo clips, a batch at a time.
        period: steps from one clustering to the next.
        seed: of the k-means++ seeds; one run of this seed gives one set of labels.
    """

    def __init__(self, clips: Callable[[], Iterable[Batch]], period: int, seed: int = 0):
        self.clips, self.period, self.seed = clips, period, seed

    def __call__(self, method: nn.Module, batch: Batch, step: int) -> None:
        if step % self.period == 0:
            assert isinstance(method, SoundingObjects)
            object_MD, index_M = objects(method, self.clips())
            generator = torch.Generator().manual_seed(self.seed + step)
            found = kmeans(unit(object_MD), len(method.entry_KD), generator, restarts=10)
            method.label_M[index_M] = found.label_N
            method.entry_KD.copy_(means(object_MD, found.label_N, len(method.entry_KD)))
            method.head.reset_parameters()
            method.ear.head.reset_parameters()

    def finish(self, method: SoundingObjects) -> None:
        """At the end of stage one, renew the dictionary: the last labels, today's objects.

        Raises:
            ValueError: a clip without a label: nothing was clustered yet.
        """
        object_MD, index_M = objects(method, self.clips())
        method.entry_KD.copy_(means(object_MD, method.label_M[index_M], len(method.entry_KD)))


def objects(method: SoundingObjects, clips: Iterable[Batch]) -> tuple[Tensor, Tensor]:
    """object_MD and index_M of all clips, the method in evaluation mode."""
    found, index_M = everything(method, clips)
    assert found.image_BD is not None
    return found.image_BD, index_M


def means(object_MD: Tensor, label_M: Tensor, clusters: int) -> Tensor:
    """entry_KD, the mean object of each cluster; zeros for an empty one.

    Raises:
        ValueError: a clip without a label.
    """
    if int(label_M.min()) < 0:
        raise ValueError("the dictionary needs clustered clips: run a Recluster hook in stage one first")
    total_KD = object_MD.new_zeros(clusters, object_MD.shape[1]).index_add_(0, label_M, object_MD)
    return total_KD / label_M.bincount(minlength=clusters).clamp(min=1)[:, None]
