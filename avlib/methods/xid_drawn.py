"""Instance discrimination with as many candidates for each clip as one says, drawn from memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avlib import losses
from avlib.distributed import gather
from avlib.encoders import pool_max
from avlib.errors import unknown
from avlib.matching import cosine, unit
from avlib.methods.xid import InstanceDiscrimination
from avlib.methods.xid_memory import SENSES
from avlib.methods.xid_weights import ESTIMATORS, scores
from avlib.types import Batch, Embedding


class DrawnMemory(InstanceDiscrimination):
    """Each picture looks for its own sound among N others of the memory, and each sound for its own picture.

    They are drawn with replacement, so that there are N of them also where an oracle leaves few to draw from. Soft
    targets are shared out among the clip itself and those that were drawn.

    Args:
        clips: M, how many there are.
        negatives: N, how many others each clip meets.
        targets: ``"none"``, or one of `ESTIMATORS`.
        settings: those of `InstanceDiscrimination`; across the senses only, with a softmax.

    Raises:
        ValueError: other targets or settings than those; a clip that no other may be compared with.
    """

    def __init__(self, clips: int, negatives: int = 64, targets: str = "none", **settings: Any):
        if targets not in ("none", *ESTIMATORS):
            raise unknown("targets of drawn candidates", targets, ("none", *ESTIMATORS))
        if other := sorted({"positives", "criterion", "trust"} & set(settings)):
            raise ValueError(f"drawn candidates are of the other sense, for a softmax: there is no {', '.join(other)}")
        super().__init__(clips, negatives=negatives, targets=targets, **settings)

    def tell(self, kind_M: Tensor) -> None:
        """For an oracle: the kind of each clip (int64); none of its own kind is drawn. A bound, no method."""
        self.memory.tell(self.memory.known_weight_M, kind_M)

    def embed(self, batch: Batch) -> Embedding:
        """Maxima over the cells of either tower, before they are projected: image_BD and audio_BD."""
        return Embedding(pool_max(self.image(batch.frame_BCHW)), pool_max(self.audio(self.mel(batch.wave_BS))))

    def projected(self, sense: str, found: Embedding) -> Tensor:
        """value_BD of one sense on the sphere."""
        return unit(self.heads[sense](getattr(found, f"{sense}_BD")))

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """Cosine of picture i and sound j on the sphere, (B, M)."""
        return cosine(self.projected("image", pictures), self.projected("audio", sounds))

    def others(self, index_B: Tensor, step: int) -> Tensor:
        """other_BN: which clips each clip is compared with; the step says which are drawn."""
        kind_M = self.memory.known_kind_M
        return losses.draw(kind_M[index_B, None] != kind_M, self.negatives, torch.Generator().manual_seed(step))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Sum of both directions, so 2 ln (N + 1) at equal scores; then the clips are remembered."""
        found, index_B = self.embed(batch), gather(batch.index_B)
        value = {sense: gather(self.projected(sense, found)) for sense in SENSES}
        bank = {sense: self.memory.bank(sense).clone() for sense in SENSES}  # as it was, for the backward pass
        at_BN = torch.cat([index_B[:, None], self.others(index_B, step)], 1)  # N + 1 of them, the clip itself first
        parts = []
        for n, (sense, by) in enumerate(self.terms):
            score_BN = (value[sense].to(bank[by]) @ bank[by].t()).gather(1, at_BN) / self.temperature
            target_BN = self.targets(n, bank, index_B, at_BN, step)
            parts.append(losses.among(score_BN[:, 0], score_BN[:, 1:], target_BN))
        if self.training:
            self.memory.remember(index_B, value)
        return {"loss": torch.stack(parts).sum()}

    def targets(self, n: int, bank: dict[str, Tensor], index_B: Tensor, at_BN: Tensor, step: int) -> Tensor | None:
        """target_BN of the n-th direction, shared out among those that were drawn; None for the clip itself alone."""
        if self.plain or step < self.warmup:
            return None
        keep, cool, tie = self.memory.dials
        score_BM = scores(self.memory.targets, bank["image"], bank["audio"], index_B, cool / tie)[n]
        return losses.soft_targets(score_BM.gather(1, at_BN), torch.zeros_like(index_B), keep, cool)
