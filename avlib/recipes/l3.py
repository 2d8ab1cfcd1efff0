"""How Look, Listen and Learn is trained and judged here.

    avlib train l3 --profile cpu
    avlib claims l3 --profile cpu --seeds 3

Pretext task: true and false pairs of the test split, false ones of another class, half and half. Features: linear
probes of the pooled maps, unit purity, and the clusters they form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from avlib import distributed
from avlib.clustering import kmeans
from avlib.encoders import pool_max
from avlib.evaluate import clusters, probe, units
from avlib.methods.l3 import LookListenLearn
from avlib.profiles import Profile
from avlib.results import Claim
from avlib.train import History, TrainConfig, device_of, fit
from avlib.types import Batch
from avlib.world import Stream, World

ARMS = ("trained", "cyclic pairs", "dubbed clips", "shuffled pairs", "untrained")
CHANCE = {"correspondence": 0.5}
RATE, DECAY = 1.2e-2, 0.1
"""Largest learning rate of the one-cycle schedule, and weight decay; chosen on the validation split."""

_PAPER = "arandjelovic2017look"
CLAIMS = (
    Claim(
        "Trained features tell pictures apart better than untrained ones",
        "image probe", "trained", "untrained", f"{_PAPER}, ImageNet table", tag="image",
    ),
    Claim(
        "Trained features tell sounds apart better than untrained ones",
        "audio probe", "trained", "untrained", f"{_PAPER}, ESC-50 and DCASE tables", tag="audio",
    ),
    Claim(
        "Single units of sound stand for a kind of thing",
        "audio purity", "trained", "untrained", f"{_PAPER}, figures of audio concepts", tag="units",
    ),
    Claim(
        "All pairs of a batch teach more than one false pair a clip",
        "correspondence", "trained", "cyclic pairs", "ours: same steps, same clips", tag="pairs",
    ),
    Claim(
        "Clips whose sound is another's, half of them, spoil the lesson",
        "correspondence", "trained", "dubbed clips", "ours: the faulty positives of later papers", tag="dubbed",
    ),
    Claim(
        "Control: with shuffled pairs there is nothing to learn",
        "correspondence", "shuffled pairs", "chance", "ours", margin=0.05, tag="shuffled", equal=True,
    ),
)  # fmt: skip


class Shuffled:
    """A stream whose clips hear a neighbour's sound, so that pictures and sounds are independent."""

    def __init__(self, stream: Stream):
        self.stream = stream

    def __call__(self, step: int) -> Batch:
        batch = self.stream(step)
        return replace(batch, wave_BS=batch.wave_BS.roll(1, 0))


def build(profile: Profile, all_pairs: bool = True) -> LookListenLearn:
    """The method at the size of a profile."""
    return LookListenLearn(dim=128, width=16, full=profile.full, all_pairs=all_pairs)


def worlds(
    profile: Profile, seed: int = 0, pack: str = "orchestra", device: torch.device | str = "cpu"
) -> tuple[World, World]:
    """Where to train and where to test: one thing a clip, other recordings."""
    made = [World(pack, "solo", split, seed, profile.size, device=device) for split in ("train", "test")]
    return made[0], made[1]


def learn(
    world: World,
    profile: Profile,
    seed: int,
    steps: int,
    all_pairs: bool = True,
    shuffled: bool = False,
    out: Path | None = None,
) -> tuple[LookListenLearn, History]:
    """A net of this seed after ``steps`` steps (0 leaves it as it was born) on clips of ``world``."""
    torch.manual_seed(seed)
    method = build(profile, all_pairs)
    ranks = {"rank": distributed.rank(), "ranks": distributed.world_size()}
    stream = Stream(world, profile.batch, profile.count, seed, **ranks)
    config = TrainConfig(
        steps=steps, lr=RATE, weight_decay=DECAY, seed=seed, out=out, device=str(world.device), amp=profile.amp
    )
    return method, fit(method, Shuffled(stream) if shuffled else stream, config)


def train(
    profile: Profile, seed: int, arm: str = ARMS[0], out: Path | None = None, device: str = "auto"
) -> tuple[nn.Module, History]:
    """Train one arm; ``untrained`` takes no step."""
    world = worlds(profile, seed, device=device_of(device))[0]
    if arm == "dubbed clips":
        world = World(world.pack, "solo", "train", seed, profile.size, device=world.device, voiceover=0.5)
    steps = 0 if arm == "untrained" else profile.steps
    return learn(world, profile, seed, steps, arm != "cyclic pairs", arm == "shuffled pairs", out)


def run(profile: Profile, seed: int, arm: str, device: str = "auto") -> dict[str, float]:
    """Train one arm and measure it on other recordings."""
    method, _ = train(profile, seed, arm, device=device)
    return measure(method, profile, seed, device_of(device))


def batches(world: World, count: int, size: int = 64) -> Iterator[Batch]:
    """The first ``count`` clips of a world."""
    for start in range(0, count, size):
        yield world.batch(range(start, min(start + size, count)))


@dataclass(frozen=True)
class Features:
    """Pooled maps and labels of some clips, on the CPU."""

    image_BD: Tensor
    audio_BD: Tensor
    label_B: Tensor


@torch.no_grad()
def features(method: LookListenLearn, world: World, count: int) -> Features:
    """Features of the first ``count`` clips of a world."""
    method.eval().to(world.device)
    rows = []
    for batch in batches(world, count):
        image_BD, audio_BD = (pool_max(cells).cpu() for cells in method.maps(batch))
        rows.append((image_BD, audio_BD, batch.truth.label_B.cpu()))
    return Features(*(torch.cat(column) for column in zip(*rows, strict=True)))


@torch.no_grad()
def correspondence(method: LookListenLearn, found: Features) -> float:
    """Share of right verdicts: each clip as it is, and with the sound of the next clip of another class."""
    fusion = method.cpu().eval().fusion
    count = len(found.label_B)
    ahead_BB = (torch.arange(count) + torch.arange(count)[:, None]) % count
    differs_BB = found.label_B[ahead_BB] != found.label_B[:, None]
    other_B = ahead_BB.gather(1, differs_BB.int().argmax(1, keepdim=True)).squeeze(1)
    true_B = fusion.pairs(found.image_BD, found.audio_BD) > 0
    false_B = fusion.pairs(found.image_BD, found.audio_BD[other_B]) <= 0
    return float((true_B.float().mean() + false_B.float().mean()) / 2)


def measure(method: nn.Module, profile: Profile, seed: int = 0, device: torch.device | str = "cpu") -> dict[str, float]:
    """Every number of the chapter: pretext accuracy, linear probes, unit purity, clusters."""
    assert isinstance(method, LookListenLearn)
    train_world, test_world = worlds(profile, seed, device=device)
    seen, found = (features(method, world, profile.eval_count) for world in (train_world, test_world))
    scores = {"correspondence": correspondence(method, found)}
    for name in ("image", "audio"):
        train_BD, test_BD = getattr(seen, f"{name}_BD"), getattr(found, f"{name}_BD")
        scores[f"{name} probe"] = probe.linear_probe(train_BD, seen.label_B, test_BD, found.label_B).accuracy
        scores[f"{name} purity"] = units.unit_concepts(test_BD, found.label_B, draws=20).purity
        generator = torch.Generator().manual_seed(seed)
        cluster_B = kmeans(test_BD, len(test_world.classes), generator).label_N
        scores[f"{name} NMI"] = clusters.agreement(cluster_B, found.label_B).nmi
    return scores
