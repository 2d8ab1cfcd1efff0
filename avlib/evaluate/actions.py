"""How well do features transfer to actions: a new head, all weights trained on, ten clips a test video.

The protocol of UCF101 and HMDB51: an official split's training videos, a clip of each at a random place a step; a test
video's class is the largest mean, over ten equally spaced clips, of their probabilities (not of their logits); the
result is the mean of the accuracies of the three splits. Results with another count of clips are not comparable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from avlib.encoders import pool_mean
from avlib.evaluate.features import evaluating
from avlib.evaluate.probe import average_probabilities, clip_starts
from avlib.train import TrainConfig, fit
from avlib.types import Batch, Truth

CLIPS = 10
Listed = Sequence[tuple[Path, int]]
Read = Callable[[Path], Tensor]
"""A file's frames, video_TCHW within 0…1."""


@dataclass(frozen=True)
class Transfer:
    """Accuracy on one split.

    Attributes:
        accuracy: share of right test videos.
        chance: the largest class's share of them.
        predicted_V, label_V: of each test video.
    """

    accuracy: float
    chance: float
    predicted_V: Tensor
    label_V: Tensor


def cut(video_TCHW: Tensor, starts: Sequence[int], frames: int) -> Tensor:
    """clip_MTCHW: ``frames`` frames from each start on; a video that is too short begins anew.

    Raises:
        ValueError: not four axes, or nothing to show.
    """
    if video_TCHW.ndim != 4 or len(video_TCHW) == 0 or frames < 1:
        raise ValueError(f"clips of {frames} frames need video_TCHW, not shape {tuple(video_TCHW.shape)}")
    index_MT = torch.tensor(list(starts))[:, None] + torch.arange(frames)
    return video_TCHW[index_MT % len(video_TCHW)]


def spaced(video_TCHW: Tensor, frames: int, count: int = CLIPS) -> Tensor:
    """clip_MTCHW: ``count`` clips with starts i · max(T − frames, 0) / (count − 1)."""
    return cut(video_TCHW, clip_starts(len(video_TCHW), frames, count), frames)


class ActionNet(nn.Module):
    """A video encoder under a new linear head; all of it learns, with labels.

    Args:
        eye: video_BTCHW -> map_BDTYX; trained further in place.
        dim: D.
        classes: how many actions.
        dropout: before the head.
    """

    def __init__(self, eye: nn.Module, dim: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.eye, self.head = eye, nn.Sequential(nn.Dropout(dropout), nn.Linear(dim, classes))

    def forward(self, video_BTCHW: Tensor) -> Tensor:
        return self.head(pool_mean(self.eye(video_BTCHW)))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Cross-entropy of each clip's action."""
        assert batch.video_BTCHW is not None
        return {"loss": nn.functional.cross_entropy(self(batch.video_BTCHW), batch.truth.label_B)}


def lessons(listed: Listed, read: Read, batch: int, frames: int, seed: int = 0) -> Callable[[int], Batch]:
    """Batches of random clips, one of each video an epoch: a pure function of the step.

    Raises:
        ValueError: fewer videos than a batch holds.
    """
    epoch = len(listed) // batch
    if not epoch:
        raise ValueError(f"{len(listed)} videos do not fill a batch of {batch}")

    def clips(step: int) -> Batch:
        turn, part = divmod(step, epoch)
        order_V = torch.randperm(len(listed), generator=torch.Generator().manual_seed(seed * 100_003 + turn))
        row_B = order_V[part * batch : (part + 1) * batch]
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        videos = [read(listed[row][0]) for row in row_B.tolist()]
        starts = [int(torch.randint(max(len(v) - frames, 0) + 1, (1,), generator=generator)) for v in videos]
        shown_BTCHW = torch.cat([cut(v, [start], frames) for v, start in zip(videos, starts, strict=True)])
        label_B1 = torch.tensor([[listed[row][1]] for row in row_B.tolist()])
        truth = Truth(category_BN=label_B1)
        return Batch(row_B, torch.zeros(batch, 1), video_BTCHW=shown_BTCHW, truth=truth)

    return clips


def judge(net: ActionNet, listed: Listed, read: Read, frames: int, count: int = CLIPS) -> Transfer:
    """Accuracy on test videos, each by the mean of its clips' probabilities."""
    probability = []
    with evaluating(net) as device:
        for path, _ in listed:
            logit_MK = net(spaced(read(path), frames, count).to(device))
            probability.append(torch.from_numpy(average_probabilities(logit_MK[None]))[0])
    predicted_V = torch.stack(probability).argmax(1)
    label_V = torch.tensor([label for _, label in listed])
    chance = float(label_V.bincount().max()) / len(label_V)
    return Transfer(float((predicted_V == label_V).float().mean()), chance, predicted_V, label_V)


def transfer(
    net: ActionNet, train: Listed, test: Listed, read: Read, config: TrainConfig, batch: int = 32, frames: int = 32
) -> Transfer:
    """Train a net on one split's training videos and judge it on its test videos."""
    fit(net, lessons(train, read, batch, frames, config.seed), config)
    return judge(net, test, read, frames)


def mean_of_splits(found: Sequence[Transfer]) -> float:
    """The number that papers print: the mean of the splits' accuracies, each split weighing alike."""
    if not found:
        raise ValueError("no split was judged")
    return sum(one.accuracy for one in found) / len(found)
