"""Audio-visual instance discrimination (AVID), and its robust form (Morgado, Misra & Vasconcelos, both CVPR 2021).

Which of all sounds is this picture's own, and which of all pictures this sound's? Where a pair doesn't belong together
(a faulty positive), or others belong as well (faulty negatives), the memory of all clips says so: see `xid_weights`.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from avlib import losses
from avlib.audio import LogMel
from avlib.distributed import gather
from avlib.encoders import AudioConv9, AudioSmall, ImageSmall, VideoR2Plus1D18, pool_max
from avlib.errors import unknown
from avlib.matching import unit
from avlib.methods.xid_memory import SENSES, Memory
from avlib.methods.xid_weights import Dials
from avlib.types import Batch, Embedding

ACROSS, WITHIN = (("image", "audio"), ("audio", "image")), (("image", "image"), ("audio", "audio"))
POSITIVES = {"cross": ACROSS, "self": WITHIN, "joint": ACROSS + WITHIN}
"""Which sense looks for its own clip in which sense's bank."""
CRITERIA = {"softmax": 0.0, "NCE, frozen": 0.0, "NCE, running": 0.01}
"""A choice among all clips; or, clip by clip, is it noise? The normaliser is the first batch's, or moves by so much."""


class InstanceDiscrimination(nn.Module):
    """Two towers, each with a projection to the sphere, and a memory of what they last made of every clip.

    Where we differ from the papers. Still pictures and small nets at ``cpu``; the softmax runs over the whole bank, and
    NCE draws clips with replacement; mean and deviation of the agreement are taken anew each step; projections are
    normalised over the batch, without which all clips begin in one place of the sphere, and long stay there.

    Args:
        clips: M, how many there are.
        positives, criterion: see `POSITIVES` and `CRITERIA`.
        trust, targets, curve, dials: see `xid_memory.Memory`. Not with NCE.
        warmup: steps in which all pairs are trusted alike, and nobody has another partner.
        temperature: of the criterion.
        negatives: K, how many clips NCE draws.
        dim, width, full: coordinates of the sphere; channels of small encoders, or the papers' own.
        hop: samples from one frame of the spectrogram to the next.

    Raises:
        ValueError: an unknown name; trust or targets with NCE; a single clip; an index beyond the memory.
    """

    normaliser: Tensor

    def __init__(
        self, clips: int, positives: str = "cross", criterion: str = "softmax", trust: str = "none",
        targets: str = "none", curve: Dials = (-1.0, 0.5, 0.25), dials: Dials = (0.5, 0.1, 0.2), warmup: int = 0,
        temperature: float = 0.07, negatives: int = 1024, dim: int = 128, width: int = 16, full: bool = False,
        hop: int = 160,
    ):  # fmt: skip
        super().__init__()
        for what, name, names in (("positives", positives, POSITIVES), ("criterion", criterion, CRITERIA)):
            if name not in names:
                raise unknown(f"{what} of instance discrimination", name, names)
        self.plain = trust == targets == "none"
        if criterion != "softmax" and not self.plain:
            raise ValueError(f"{criterion} has neither weights nor soft targets: trust={trust!r}, targets={targets!r}")
        self.terms, self.criterion, self.warmup = POSITIVES[positives], criterion, warmup
        self.temperature, self.negatives, self.full = temperature, negatives, full
        self.mel = LogMel(hop=hop)
        self.image = VideoR2Plus1D18() if full else ImageSmall(width, dim)
        self.audio = AudioConv9() if full else AudioSmall(width, dim)
        sizes = (512, 512, 512, dim) if full else (dim, dim, dim)
        self.heads = nn.ModuleDict({sense: _projection(*sizes) for sense in SENSES})
        self.memory = Memory(clips, dim, trust, curve, targets, dials)
        self.register_buffer("normaliser", torch.zeros(()))

    def embed(self, batch: Batch) -> Embedding:
        """Both senses on one sphere: image_BD and audio_BD of length 1."""
        maps = {"image": self.image(batch.video_BTCHW if self.full else batch.frame_BCHW)}
        maps["audio"] = self.audio(self.mel(batch.wave_BS))
        return Embedding(*(unit(self.heads[sense](pool_max(cells))) for sense, cells in maps.items()))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Twice the mean over what is sought, so 2 ln M at equal scores; then the clips are remembered."""
        found, index_B = self.embed(batch), gather(batch.index_B)
        value = {"image": gather(found.image_BD), "audio": gather(found.audio_BD)}  # type: ignore[arg-type]
        bank = {sense: self.memory.bank(sense).clone() for sense in SENSES}  # as it was, for the backward pass
        terms = [(value[sense], bank[by], sense) for sense, by in self.terms]
        if self.criterion != "softmax":
            parts = self.from_noise(terms, index_B, step)
        elif self.plain or step < self.warmup:
            parts = [losses.info_nce_bank(value_BD, b_MD, index_B, self.temperature) for value_BD, b_MD, _ in terms]
        else:
            weight_B, target = self.memory.weights()[index_B], dict(zip(SENSES, self.memory.partners(index_B)))
            parts = [losses.soft_nce(v_BD, b_MD, target[s], self.temperature, weight_B) for v_BD, b_MD, s in terms]
        if self.training:
            self.memory.remember(index_B, value)
        return {"loss": 2 * torch.stack(parts).mean()}

    def from_noise(self, terms: list[tuple[Tensor, Tensor, str]], index_B: Tensor, step: int) -> list[Tensor]:
        """NCE of each term; which clips are drawn is the step's, and one normaliser serves all terms, as released."""
        draw, clips = torch.Generator().manual_seed(step), len(terms[0][1])
        other_BK = torch.randint(clips - 1, (len(index_B), self.negatives), generator=draw).to(index_B.device)
        other_BK += other_BK >= index_B[:, None]
        all_BM = [value_BD.to(bank_MD) @ bank_MD.t() for value_BD, bank_MD, _ in terms]
        true, false = ([score_BM.gather(1, at) for score_BM in all_BM] for at in (index_B[:, None], other_BK))
        if self.training:
            now = torch.cat(false).detach().div(self.temperature).exp().mean()
            self.normaliser.lerp_(now, CRITERIA[self.criterion] if self.normaliser > 0 else 1.0)
        given = float(self.normaliser), self.temperature
        return [losses.noise_contrastive(own_B1[:, 0], score_BK, *given) for own_B1, score_BK in zip(true, false)]


def _projection(*sizes: int) -> nn.Sequential:
    steps = [(nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU()) for i, o in itertools.pairwise(sizes)]
    return nn.Sequential(*itertools.chain(*steps))[:-1]
