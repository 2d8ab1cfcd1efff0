"""Discriminative Sounding Objects Localisation (Hu, Qian et al., NeurIPS 2020), stage two: who sounds at the party?

Stage one is `avlib.methods.dsol`.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib import losses
from avlib.encoders import pool_mean
from avlib.matching import unit
from avlib.methods.dsol import SoundingObjects
from avlib.types import Batch, Embedding


class SoundingMixtures(nn.Module):
    """One map a class of the dictionary, filtered by the sound; what is seen sounding must agree with what is heard.

    Where we differ from the paper. The eye stands still, so that its cells keep to the dictionary (theirs learns on);
    entries are of length 1 and centred (raw means of objects). The paper's offset c₀ adds c₀·m to every class alike,
    which no softmax over classes sees: left out. Localising weighs 1 (0.5), and a foreign picture is asked to be quiet
    as a whole; the paper's quiet quarters, made for its collages of four, are an option. The divergence is summed over
    classes (the released code averages, which makes it K times smaller).

    Args:
        first: stage one with its dictionary; a copy of it learns on.
        gate: multiply class maps by the sounding area; without it silent things are not filtered.
        quarters: each quarter of a foreign picture is a negative of its own.
        place, agree: weights of localising and of the agreement.
        contrast: c at the start. A small thing is a tenth of the picture, and its score a tenth of its cells' after
            pooling: with a low c no picture could be as sure as the ear is, and the filter would open instead.
        belief: says what is heard, prob_BK, in place of stage one's ear (the truth, for instance, as a bound).

    Raises:
        ValueError: a first stage without a dictionary.
    """

    def __init__(
        self, first: SoundingObjects, gate: bool = True, quarters: bool = False, place: float = 1.0, agree: float = 1.0,
        contrast: float = 40.0, belief: Callable[[Batch], Tensor] | None = None,
    ):  # fmt: skip
        super().__init__()
        if int(first.label_M.max()) < 0:
            raise ValueError("stage one has no dictionary yet: train it with a Recluster hook")
        self.gate, self.quarters, self.place, self.agree, self.belief = gate, quarters, place, agree, belief
        self.first = deepcopy(first)
        self.teacher = deepcopy(first.ear).requires_grad_(False)
        for still in (self.first.image, self.first.output, self.first.head):
            still.requires_grad_(False)
        self.contrast = nn.Parameter(torch.tensor(contrast))
        self.train()  # `fit` calls this only for a method that is not in training mode yet

    def train(self, mode: bool = True) -> SoundingMixtures:
        """As usual, but what stands still keeps its statistics too."""
        super().train(mode)
        for still in (self.first.image, self.first.output, self.teacher):
            still.eval()
        return self

    def embed(self, batch: Batch) -> Embedding:
        """As stage one: the sounding object, the sound, and the map of the picture."""
        return self.first.embed(batch)

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """Logit that picture i holds the source of sound j, (B, M)."""
        assert pictures.image_BDYX is not None and sounds.audio_BD is not None
        return self.first.matched(pictures.image_BDYX, sounds.audio_BD)

    def heat(self, found: Embedding) -> Tensor:
        """The sounding area of each clip, map_BYX."""
        assert found.image_BDYX is not None and found.audio_BD is not None
        return self.first.area(found.image_BDYX, found.audio_BD)

    def class_maps(self, batch: Batch) -> Tensor:
        """score_BKYX of each entry of the dictionary, before any softmax."""
        look_BDYX, audio_BD = self.first.maps(batch)
        return self.scores(look_BDYX, self.first.area(look_BDYX, audio_BD))

    def scores(self, look_BDYX: Tensor, area_BYX: Tensor) -> Tensor:
        """S_k = R_k·m with R_k = c·⟨cell, entry k⟩: score_BKYX."""
        entry_KD = unit(self.first.entry_KD)
        entry_KD = unit(entry_KD - entry_KD.mean(0))
        score_BKYX = self.contrast * torch.einsum("bdyx,kd->bkyx", look_BDYX, entry_KD)
        return score_BKYX * area_BYX[:, None] if self.gate else score_BKYX

    @torch.no_grad()
    def heard(self, batch: Batch) -> Tensor:
        """q, what the ear of stage one believes to hear: prob_BK."""
        return self.belief(batch) if self.belief else self.teacher.head(self.teacher(batch.wave_BS)).softmax(1)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Which sound is from this picture, and KL(q‖p̂): what is heard against what is seen sounding."""
        if len(batch) < 2:
            raise ValueError("sounding mixtures need at least 2 clips a batch: one clip has no false pair")
        look_BDYX, audio_BD = self.first.maps(batch)
        logit_BB = self.first.pairs(look_BDYX, audio_BD)
        apart = self.quiet(logit_BB, look_BDYX, audio_BD) if self.quarters else losses.correspondence(logit_BB)
        seen_BK = pool_mean(self.scores(look_BDYX, self.first.area(look_BDYX, audio_BD)))
        agree = losses.kl_distillation(self.heard(batch), seen_BK)
        return {"loss": self.place * apart + self.agree * agree, "place": apart, "agree": agree}

    def quiet(self, logit_BB: Tensor, look_BDYX: Tensor, audio_BD: Tensor) -> Tensor:
        """Binary cross-entropy that asks each quarter of a foreign picture to be quiet (collages of four)."""
        parts = [part for half in look_BDYX.chunk(2, 2) for part in half.chunk(2, 3)]
        foreign = [losses.off_diagonal(self.first.pairs(part, audio_BD)) for part in parts]
        true, false = functional.softplus(-logit_BB.diagonal()), functional.softplus(torch.stack(foreign))
        return (true.mean() + false.mean()) / 2
