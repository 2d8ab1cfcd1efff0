"""See, Hear, and Read (Aytar, Vondrick & Torralba 2017): a picture's sound and its text meet in the same layers.

Each sense has an encoder; the layers above are one object for all. Pictures are paired with sounds, others with texts,
and a frozen network that was trained with labels says what each picture shows. No sound ever meets a text.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avlib import losses
from avlib.audio import LogMel
from avlib.distributed import gather
from avlib.encoders import AudioResNet, AudioSmall, ImageResNet18, ImageSmall, TextSmall, pool_max, pool_mean
from avlib.matching import cosine
from avlib.text import Vocabulary
from avlib.types import Batch, Embedding

SENSES = ("image", "audio", "text")
"""Their names in an `Embedding`, too."""


class Upper(nn.Module):
    """Layers above the encoders: value_BD -> both hidden layers and the logits, whatever sense the value is of."""

    def __init__(self, dim: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(dim, hidden), nn.Linear(hidden, hidden)
        self.output = nn.Linear(hidden, classes)

    def forward(self, value_BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        first_BU = self.first(value_BD).relu()
        second_BU = self.second(first_BU).relu()
        return first_BU, second_BU, self.output(second_BU)


class SeeHearRead(nn.Module):
    """Three encoders under shared layers, taught by a picture network and by which clips belong together.

    A batch is a pair of senses: with a text it is a picture and that text, and its sound is not looked at; without, a
    picture and its sound. (Without a picture it is sound and text: a control, which has no teacher.)
    Where we differ from the paper. The encoders are this book's own and start from random weights; in full size the
    hidden layers have the paper's width. What comes out of an encoder is normalised over the batch, and word vectors
    are learnt. Margin and weights of the losses are ours, and both hidden layers count alike.

    Args:
        teacher: image_BCHW -> logits (B, K), one tensor a teacher, with ``sizes`` (their Ks); in nobody's parameters.
        vocabulary: words that texts are made of.
        distil, rank, gap: weights of both losses; by how much an own pair's cosine shall exceed that of a false one.
        shared: one object above all encoders, or layers of its own for each sense?
        dim, width, full: coordinates of what an encoder gives; channels of small encoders; or everything larger.

    Raises:
        ValueError: a negative weight or margin, both weights 0; when trained, clips of a single sense, or one clip.
    """

    def __init__(
        self, teacher: nn.Module, vocabulary: Vocabulary, distil: float = 1.0, rank: float = 10.0, gap: float = 0.1,
        shared: bool = True, dim: int = 256, width: int = 16, full: bool = False,
    ):  # fmt: skip
        super().__init__()
        if min(distil, rank, gap) < 0 or distil == rank == 0:
            raise ValueError(f"distil={distil}, rank={rank}, gap={gap}: none may be negative, nor both weights 0")
        self.vocabulary, self.distil, self.rank, self.gap = vocabulary, distil, rank, gap
        self.sizes: tuple[int, ...] = tuple(teacher.sizes)  # type: ignore[arg-type]
        self.mel = LogMel(bands=64)
        image = ImageResNet18(dim) if full else ImageSmall(width, dim)
        audio = nn.Sequential(AudioResNet(), nn.Conv2d(512, dim, 1)) if full else AudioSmall(width, dim)
        self.encoders = nn.ModuleDict({"image": image, "audio": audio, "text": TextSmall(len(vocabulary), dim)})
        self.norms = nn.ModuleDict({sense: nn.BatchNorm1d(dim) for sense in SENSES})
        shape = dim, 4096 if full else dim, sum(self.sizes)
        self.uppers = nn.ModuleDict({sense: Upper(*shape) for sense in (SENSES[:1] if shared else SENSES)})
        self._teacher = (teacher.eval().requires_grad_(False),)  # in a tuple: a module in it is no part of this one

    def encode(self, batch: Batch, sense: str) -> Tensor:
        """What one sense's encoder makes of the clips: value_BD."""
        if sense == "text":
            if batch.text is None:
                raise ValueError("these clips have no text to read: captioned=True makes a world write")
            token_BJ = self.vocabulary.encode(batch.text).to(batch.wave_BS.device)
            value_BD = pool_max(self.encoders[sense](token_BJ), TextSmall.mask(token_BJ))
        else:
            value_BD = pool_mean(
                self.encoders[sense](batch.frame_BCHW if sense == "image" else self.mel(batch.wave_BS))
            )
        return self.norms[sense](value_BD)  # type: ignore[no-any-return]

    def layers(self, batch: Batch, sense: str) -> tuple[Tensor, Tensor, Tensor]:
        """Both hidden layers (B, U) and the logits (B, K) of one sense; teachers' classes lie end to end."""
        return self.upper(sense)(self.encode(batch, sense))  # type: ignore[no-any-return]

    def upper(self, sense: str) -> nn.Module:
        """The layers above the encoder of one sense; where they are shared, one and the same object."""
        return self.uppers[sense if len(self.uppers) > 1 else SENSES[0]]

    def embed(self, batch: Batch) -> Embedding:
        """The last hidden layer for each sense that the clips have."""
        there = {"image": batch.image_BCHW is not None, "audio": True, "text": batch.text is not None}
        return Embedding(**{f"{sense}_BD": self.layers(batch, sense)[1] for sense in SENSES if there[sense]})

    @torch.no_grad()
    def targets(self, batch: Batch) -> tuple[Tensor, ...]:
        """What each teacher sees in the pictures: probabilities (B, K)."""
        teacher = self._teacher[0].to(batch.frame_BCHW.device).eval()
        return tuple(logit_BK.float().softmax(1) for logit_BK in teacher(batch.frame_BCHW))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """distil · (half a KL from the teachers for either sense) + rank · (the hinge of both hidden layers, mean)."""
        senses = "audio" if batch.image_BCHW is None else "image", "audio" if batch.text is None else "text"
        if senses[0] == senses[1]:
            raise ValueError("SeeHearRead learns from pairs: these clips have only a sound, no picture and no text")
        first, second = (self.layers(batch, sense) for sense in senses)
        sims = [cosine(gather(one_BU), gather(two_BU)) for one_BU, two_BU in zip(first[:2], second[:2], strict=True)]
        found = {"rank": torch.stack([losses.margin_rank(sim_BB, self.gap, "all") / 2 for sim_BB in sims]).mean()}
        if senses[0] == "image":
            target, logits = self.targets(batch), [value[2].split(self.sizes, 1) for value in (first, second)]
            found["distil"] = torch.stack([losses.kl_distillation(target, logit) for logit in logits]).mean()
        total = self.rank * found["rank"] + self.distil * found.get("distil", 0.0)
        return {"loss": total} | {name: value.detach() for name, value in found.items()}
