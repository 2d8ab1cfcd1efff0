"""Self-labelling (SeLaVi, Asano et al., NeurIPS 2020): both senses agree on labels, and a plan says how many get each.

Clips are labelled anew between steps (`avlib.rounds.Growing`). No pair is told from another: there are no negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.audio import LogMel
from avlib.encoders import AudioResNet, AudioSmall, ImageResNet18, ImageSmall, pool_mean
from avlib.matching import unit
from avlib.methods.selavi_labels import align, rule_of, sizes
from avlib.types import Batch, Embedding

SENSES = ("image", "audio")


class SelfLabels(nn.Module):
    """Two towers, and for each of several labellings a head on either.

    Where we differ from the paper. Still pictures, small nets and heads without dropout at ``cpu``; the audio heads are
    aligned with the image heads exactly, not by swaps; heads keep their group instead of being dealt anew each round.

    Args:
        clips: M, how many there are; each has a label in each labelling.
        clusters: K, clusters in each labelling.
        heads: H, how many labellings.
        groups: of heads; each is labelled by a look of its own at the clips (decorrelated heads).
        share: how large clusters are, see `avlib.methods.selavi_labels.sizes`.
        align: reorder the audio heads' clusters before the first labels?
        joint: do both senses decide on one label? Else each labels for itself.
        rule: what gives labels, see `avlib.methods.selavi_labels.RULES`.

    Raises:
        ValueError: unknown sizes or rule; fewer clips than clusters; no head.
    """

    share_HK: Tensor
    cost_H: Tensor
    aligned_H: Tensor

    def __init__(
        self, clips: int, clusters: int = 20, heads: int = 4, groups: int = 1, share: str = "even", align: bool = True,
        joint: bool = True, rule: str = "plan", dim: int = 128, width: int = 16, full: bool = False, hop: int = 160,
    ):  # fmt: skip
        super().__init__()
        if not (1 <= clusters <= clips and 1 <= groups <= heads):
            raise ValueError(f"{clips} clips cannot form {clusters} clusters in {heads} labellings of {groups} groups")
        dim, drop = (512, 0.3) if full else (dim, 0.0)
        self.joint, self.groups, self.rule = joint, groups, rule_of(rule)
        self.mel = LogMel(hop=hop)
        self.image = ImageResNet18(dim) if full else ImageSmall(width, dim)
        self.audio = AudioResNet() if full else AudioSmall(width, dim)
        self.image_heads = nn.ModuleList(_head(dim, clusters, drop) for _ in range(heads))
        self.audio_heads = nn.ModuleList(_head(dim, clusters, drop) for _ in range(heads))
        self.register_buffer("share_HK", sizes(share, heads, clusters))
        self.register_buffer("cost_H", torch.zeros(heads))
        self.register_buffer("aligned_H", torch.full((heads,), not align))
        for name in [f"{sense}_{h}" for sense in SENSES for h in range(heads)]:
            self.register_buffer(f"{name}_label_M", torch.full((clips,), -1))

    def embed(self, batch: Batch) -> Embedding:
        """Means over the cells of either tower: image_BD and audio_BD, two spaces with nothing in common."""
        return Embedding(pool_mean(self.image(batch.frame_BCHW)), pool_mean(self.audio(self.mel(batch.wave_BS))))

    def said(self, found: Embedding) -> dict[str, Tensor]:
        """What each sense says of each cluster, log-probabilities in each labelling: (H, B, K), nats."""
        rows = (self.image_heads, found.image_BD), (self.audio_heads, found.audio_BD)
        said = (torch.stack([head(value_BD) for head in heads]).log_softmax(2) for heads, value_BD in rows)
        return dict(zip(SENSES, said, strict=True))

    def decide(self, found: Embedding, senses: tuple[str, ...] = SENSES) -> Tensor:
        """The likeliest cluster of each clip in each labelling, by one sense or by both: label_HB."""
        said = self.said(found)
        return torch.stack([said[sense] for sense in senses]).sum(0).argmax(2)

    @torch.no_grad()
    def relabel(self, found: Embedding, index_M: Tensor, generator: torch.Generator, group: int = 0) -> None:
        """Label all clips anew in the labellings of a group, and note what the labels cost."""
        for part in (*self.image_heads.modules(), *self.audio_heads.modules()):
            part.train(isinstance(part, nn.BatchNorm1d))  # all clips are normalised together
        said = self.said(found)
        self.train(self.training)
        for h in range(group, len(self.cost_H), self.groups):
            eye_MK, ear_MK = (said[sense][h].double() for sense in SENSES)
            if not self.aligned_H[h]:
                ear_MK = align(eye_MK, ear_MK, self.audio_heads[h][-1])  # type: ignore[index, arg-type]
                self.aligned_H[h] = True
            both = (SENSES, (eye_MK + ear_MK) / 2)
            for senses, log_MK in (both,) if self.joint else ((SENSES[:1], eye_MK), (SENSES[1:], ear_MK)):
                value_MD = torch.cat([unit(getattr(found, f"{sense}_BD")) for sense in senses], 1)
                label_M, self.cost_H[h] = self.rule(log_MK, value_MD, self.share_HK[h], generator)
                for sense in senses:
                    getattr(self, f"{sense}_{h}_label_M")[index_M] = label_M

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Cross-entropy of each head with its labels, the mean over senses and labellings; ln K at first."""
        parts = {}
        for sense, log_HBK in self.said(self.embed(batch)).items():
            label_HB = torch.stack([getattr(self, f"{sense}_{h}_label_M")[batch.index_B] for h in range(len(log_HBK))])
            parts[sense] = functional.nll_loss(log_HBK.flatten(0, 1), label_HB.flatten())
        return {"loss": torch.stack(list(parts.values())).mean()} | parts

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """Log-probability that picture i and sound j have one label, the mean over labellings: (B, M), nats."""
        seen_HBK, heard_HMK = self.said(pictures)["image"], self.said(sounds)["audio"]
        return (seen_HBK.exp() @ heard_HMK.exp().mT).log().mean(0)


def _head(dim: int, clusters: int, drop: float) -> nn.Sequential:
    hidden = (nn.Dropout(drop), nn.Linear(dim, dim), nn.BatchNorm1d(dim), nn.ReLU(), nn.Dropout(drop))
    return nn.Sequential(*hidden, nn.Linear(dim, clusters))
