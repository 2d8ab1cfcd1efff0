"""Look, Listen and Learn with as many false pairs for each clip as one says, drawn among the batch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from avlib import losses
from avlib.distributed import gather
from avlib.encoders import pool_max
from avlib.methods.l3 import LookListenLearn
from avlib.types import Batch


class DrawnPairs(LookListenLearn):
    """Each picture meets its own sound and N of the batch's, each sound its own picture and N of the batch's.

    They are drawn with replacement, so that there are N of them also where an oracle leaves few to draw from. Asked is
    what `LookListenLearn` asks with ``pairs="choice"``: does each pair belong together, and which of the N + 1 is it?

    Args:
        clips: M, how many there are.
        negatives: N, how many others each clip meets.
        settings: those of `LookListenLearn`.

    Raises:
        ValueError: a clip that no other may be compared with.
    """

    kind_M: Tensor

    def __init__(self, clips: int, negatives: int = 64, **settings: Any):
        super().__init__(**settings)
        self.negatives = negatives
        self.register_buffer("kind_M", torch.arange(clips))

    def tell(self, kind_M: Tensor) -> None:
        """For an oracle: the kind of each clip (int64); none of its own kind is drawn. A bound, no method."""
        self.kind_M.copy_(kind_M)

    def others(self, index_B: Tensor, step: int) -> Tensor:
        """other_BN: which rows of the batch each clip is compared with; the step says which are drawn."""
        kind_B = self.kind_M[index_B]
        return losses.draw(kind_B[:, None] != kind_B, self.negatives, torch.Generator().manual_seed(step))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Binary cross-entropy of true and false pairs, ln 2 while the net knows nothing; and a choice, ln (N + 1)."""
        image_BD, audio_BD = (gather(pool_max(cells)) for cells in self.maps(batch))
        other_BN = self.others(gather(batch.index_B), step)
        logit_BB = self.fusion.all_pairs(image_BD, audio_BD)
        true_B = logit_BB.diagonal()
        false_BN = torch.cat([logit_BB.gather(1, other_BN), logit_BB.t().gather(1, other_BN)])
        belong = losses.true_or_false(true_B, false_BN)
        choose = losses.among(true_B.repeat(2), false_BN)
        return {"loss": belong + choose, "belong": belong.detach(), "choose": choose.detach()}
