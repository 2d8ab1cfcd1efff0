"""SoundNet (Aytar, Vondrick & Torralba, NIPS 2016): a network that sees teaches one that hears.

The teacher was trained with labels. The student reads none: it hears what the teacher says about the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from avlib import losses
from avlib.audio import resample
from avlib.encoders import SoundNet5, SoundNet8, SoundNetSmall, pool_mean
from avlib.errors import unknown
from avlib.types import SAMPLE_RATE, Batch, Embedding

NETS = {"small": SoundNetSmall, "eight": SoundNet8, "five": SoundNet5}
PAPER, CODE = (1.0, 1.0), (1.0, 2.49)
"""Weights of the object and the scene teacher: as the paper writes the loss, and as the released code has it."""
DIVERGENCES = {"kl": losses.kl_distillation, "l2": losses.l2_distillation}
OWN_RATE = 22_050
"""Sampling rate of the full-size networks, Hz."""


class SoundNet(nn.Module):
    """A waveform network that learns to say what frozen picture networks say about the same clip.

    Where we differ from the paper: a clip has one picture, so logits are averaged over time before the divergence;
    there each output answers for the frame of its own five seconds, and the mean is over those divergences.

    Args:
        teacher: image_BCHW -> logits (B, K), one tensor a teacher, with ``sizes`` (their Ks). It is frozen and put into
            evaluation mode; it belongs to nobody's parameters, training mode or checkpoint.
        net: ``"small"`` (16 kHz, clips of a second or two), or the paper's ``"eight"`` or ``"five"`` layers (22,050 Hz,
            at least 209,374 samples, 9.5 s).
        weights: one a teacher, for instance `PAPER` or `CODE`; 1 each by default. Weight 0 ignores a teacher.
        divergence: ``"kl"``, or ``"l2"``, the paper's ablation.

    Raises:
        ValueError: an unknown net or divergence, weights that are not one a teacher.
    """

    def __init__(
        self, teacher: nn.Module, net: str = "small", weights: Sequence[float] | None = None, divergence: str = "kl"
    ) -> None:
        super().__init__()
        if net not in NETS:
            raise unknown("net of SoundNet", net, NETS)
        if divergence not in DIVERGENCES:
            raise unknown("divergence", divergence, DIVERGENCES)
        sizes: tuple[int, ...] = tuple(teacher.sizes)  # type: ignore[arg-type]
        self.weights = [1.0] * len(sizes) if weights is None else list(weights)
        if len(self.weights) != len(sizes):
            raise ValueError(f"SoundNet needs one weight a teacher, not {len(self.weights)} for {len(sizes)}")
        self.net = NETS[net](sizes)
        self.rate = SAMPLE_RATE if net == "small" else OWN_RATE
        self.divergence = DIVERGENCES[divergence]
        self._teacher = (teacher.eval().requires_grad_(False),)  # in a tuple: a module in it is no part of this one

    def wave(self, batch: Batch) -> Tensor:
        """wave_BS at the network's own rate."""
        return batch.wave_BS if self.rate == SAMPLE_RATE else resample(batch.wave_BS, SAMPLE_RATE, self.rate)

    @torch.no_grad()
    def targets(self, batch: Batch) -> tuple[Tensor, ...]:
        """What each teacher sees in the clip's picture: probabilities (B, K)."""
        frame_BCHW = batch.frame_BCHW
        teacher = self._teacher[0].to(frame_BCHW.device).eval()
        return tuple(logit_BK.float().softmax(1) for logit_BK in teacher(frame_BCHW))

    def predict(self, batch: Batch) -> tuple[Tensor, ...]:
        """What the sound says: logits (B, K) for each teacher, the mean over time."""
        return tuple(pool_mean(logit_BKL) for logit_BKL in self.net(self.wave(batch)))

    def layers(self, batch: Batch) -> dict[str, Tensor]:
        """Every layer's mean over time, name to (B, D); the last one holds all logits."""
        return {name: pool_mean(value) for name, value in self.net.activations(self.wave(batch)).items()}

    def embed(self, batch: Batch) -> Embedding:
        """The last hidden layer: its map (one band) and its mean over time. The picture stays with the teacher."""
        hidden = self.net.table[-2].name
        map_BDL = self.net.features(self.wave(batch), hidden)
        return Embedding(audio_BD=pool_mean(map_BDL), audio_BDFL=map_BDL[:, :, None])

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Σ over teachers of weight · KL(what it sees ‖ what is heard), mean over clips (equation 1)."""
        targets, found = self.targets(batch), self.predict(batch)
        each = {f"teacher {n}": self.divergence(*pair) for n, pair in enumerate(zip(targets, found, strict=True), 1)}
        total = torch.stack([w * value for w, value in zip(self.weights, each.values(), strict=True)]).sum()
        return {"loss": total} | {name: value.detach() for name, value in each.items()}
