"""The memory of instance discrimination: a bank of pictures and one of sounds, a row for each clip."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avlib.errors import unknown
from avlib.matching import unit
from avlib.methods.xid_weights import TARGETS, TRUST, Dials, soft, trusted

SENSES = ("image", "audio")


class Memory(nn.Module):
    """What was last made of each clip's picture and sound, half of it from before; at first it is random.

    Args:
        clips: M, how many there are.
        trust, curve: see `TRUST` and `trusted` in `avlib.methods.xid_weights`.
        targets, dials: see `TARGETS` and `soft` there.

    Raises:
        ValueError: a single clip, an unknown name.
    """

    image_bank_MD: Tensor
    audio_bank_MD: Tensor
    order_M: Tensor
    known_weight_M: Tensor
    known_kind_M: Tensor

    def __init__(self, clips: int, dim: int, trust: str, curve: Dials, targets: str, dials: Dials):
        super().__init__()
        for what, name, names in (("trust", trust, TRUST), ("targets", targets, TARGETS)):
            if name not in names:
                raise unknown(f"{what} of instance discrimination", name, names)
        if clips < 2:
            raise ValueError(f"instance discrimination tells clips from one another: it needs 2 or more, not {clips}")
        self.trust, self.curve, self.targets, self.dials = trust, curve, targets, dials
        for sense in SENSES:
            self.register_buffer(f"{sense}_bank_MD", unit(torch.randn(clips, dim)))
        self.register_buffer("order_M", torch.randperm(clips))
        self.tell(torch.ones(clips), torch.arange(clips))

    def tell(self, weight_M: Tensor, kind_M: Tensor) -> None:
        """For oracles: the weight of each pair, and the kind of each clip (int64)."""
        self.register_buffer("known_weight_M", weight_M.to(self.image_bank_MD))
        self.register_buffer("known_kind_M", kind_M.to(self.order_M))

    def bank(self, sense: str) -> Tensor:
        """bank_MD of one sense."""
        return getattr(self, f"{sense}_bank_MD")  # type: ignore[no-any-return]

    def agreement(self) -> Tensor:
        """Cosine of picture and sound of each clip: (M,)."""
        return (self.image_bank_MD * self.audio_bank_MD).sum(1)

    def weights(self) -> Tensor:
        """How far each pair is trusted: weight_M."""
        return trusted(self.trust, self.agreement(), self.order_M, self.known_weight_M, self.curve)

    def partners(self, index_B: Tensor) -> tuple[Tensor, Tensor]:
        """What the pictures and what the sounds of some clips shall find, among all clips: two target_BM."""
        banks = self.image_bank_MD, self.audio_bank_MD
        return soft(self.targets, *banks, index_B, self.known_kind_M, self.dials)

    @torch.no_grad()
    def remember(self, index_B: Tensor, value: dict[str, Tensor]) -> None:
        """Half of what was remembered of these clips and half of what they are now, at length 1."""
        for sense, value_BD in value.items():
            bank_MD = self.bank(sense)
            bank_MD[index_B] = unit((bank_MD[index_B] + value_BD.to(bank_MD)) / 2)
