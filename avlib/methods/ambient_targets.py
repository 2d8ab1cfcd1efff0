"""What a picture is to predict of its sound (Owens et al., ECCV 2016): statistics, and labels made of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.audio import Standardise
from avlib.clustering import kmeans, principal_axes
from avlib.encoders.ear import Ear
from avlib.errors import unknown
from avlib.types import Batch

SUMMARIES = ("texture", "spectrum", "colours")
"""All statistics of the sound; its mean spectrum alone; or, without a sound, the picture's own colours."""
LABELERS = ("bits", "clusters", "regression")
"""The signs of principal coordinates; the nearest of some centres; or the numbers themselves."""
GRID = 4
"""Colours are means over so many rows and columns."""


class Targets(nn.Module):
    """What a picture is to predict, fitted once to the clips of training (`fit`): batch -> target_BK.

    Args:
        ear: may be that of several targets.
        summary: one of `SUMMARIES`.
        labeler: one of `LABELERS`.
        outputs: K, bits or clusters; a regression has as many as the summary.
        balanced: does each kind of statistic weigh the same, whatever its number and scale? The raw numbers otherwise.

    Raises:
        ValueError: an unknown summary or labeler.
    """

    ear: tuple[Ear]
    axis_KD: Tensor
    mean_K: Tensor

    def __init__(
        self, ear: Ear, summary: str = "texture", labeler: str = "bits", outputs: int = 30, balanced: bool = True
    ) -> None:
        super().__init__()
        if summary not in SUMMARIES:
            raise unknown("summary of a sound", summary, SUMMARIES)
        if labeler not in LABELERS:
            raise unknown("labeler of summaries", labeler, LABELERS)
        self.summary, self.labeler, self.balanced = summary, labeler, balanced
        self.ear, groups = (ear,), ear.groups  # in a tuple: a module in it is no part of this one
        self.means = groups["mean"]
        size = {"texture": ear.sizes[0], "spectrum": self.means.stop, "colours": 3 * GRID**2}[summary]
        self.outputs = size if labeler == "regression" else outputs
        self.scale = Standardise(size, tuple(groups.values()) if summary == "texture" else (slice(0, size),))
        self.register_buffer("axis_KD", torch.zeros(0 if labeler == "regression" else outputs, size))
        self.register_buffer("mean_K", torch.zeros(self.outputs))

    def describe(self, batch: Batch) -> Tensor:
        """The summary before it is scaled, value_BD."""
        if self.summary == "colours":
            return colours(batch)
        value_BD = self.ear[0].hear(batch.wave_BS)
        return value_BD if self.summary == "texture" else value_BD[:, self.means]

    def fit(self, batches: Sequence[Batch], seed: int = 0) -> Targets:
        """Scale, axes and centres are those of these clips; ``seed`` is the clustering's."""
        value_ND = torch.cat([self.describe(batch) for batch in batches])
        self.scale.fit(value_ND)
        if not self.balanced:
            self.scale.deviation_F.fill_(1.0)
        value_ND = self.scale(value_ND).double()
        if self.labeler == "bits":
            self.axis_KD.copy_(principal_axes(value_ND, self.outputs))
        if self.labeler == "clusters":
            generator = torch.Generator().manual_seed(seed)
            self.axis_KD.copy_(kmeans(value_ND, self.outputs, generator).centre_KD)
        self.mean_K.copy_(self.label(value_ND.float()).mean(0))
        return self

    def forward(self, batch: Batch) -> Tensor:
        """target_BK: bits (0 or 1), one cluster (1 among 0s), or the scaled numbers."""
        return self.label(self.scale(self.describe(batch)))

    def label(self, value_BD: Tensor) -> Tensor:
        """target_BK of scaled summaries."""
        if self.labeler == "bits":
            return (value_BD @ self.axis_KD.t() > 0).float()
        if self.labeler == "clusters":
            return functional.one_hot(torch.cdist(value_BD, self.axis_KD).argmin(1), self.outputs).float()
        return value_BD


def colours(batch: Batch) -> Tensor:
    """Mean colours of the picture's `GRID` × `GRID` parts, value_BD, D = 48."""
    return functional.adaptive_avg_pool2d(batch.frame_BCHW, GRID).flatten(1)
