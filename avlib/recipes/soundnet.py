"""How SoundNet is trained and judged here.

    avlib train soundnet --profile cpu
    avlib claims soundnet --profile cpu --seeds 3

Each clip shows a thing before a place, and both are heard. Two small picture networks are taught with labels, on
drawings and backdrops that no clip of the students shares, and they have names for every second thing and place only,
as ImageNet has no name for rain. The students hear what these networks say about clips without labels. Linear probes
then ask each layer for all things and all places, on other recordings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from avlib import distributed, losses
from avlib.encoders.teacher import Remembering, WorldTeacher
from avlib.evaluate import probe
from avlib.methods.soundnet import CODE, PAPER, SoundNet
from avlib.profiles import Profile
from avlib.recipes.l3 import Shuffled
from avlib.results import Claim
from avlib.train import History, TrainConfig, device_of, fit
from avlib.types import Batch, Truth
from avlib.world import Stream, World

THINGS, PLACES = tuple(range(0, 20, 2)), tuple(range(0, 8, 2))
"""Classes that the teachers have names for."""
DIALS: dict[str, Any] = {"ambience": -9.0, "side": (0.45, 0.65)}
"""Of preset ``ambient``: places are heard well below the things, and things are large enough for a small teacher."""
RATE, TEACHER_RATE = 5e-3, 1e-2
"""Largest learning rates of the one-cycle schedules."""
MIDDLE, EARLY = "pool4", "conv1"
"""Layers of the small network: the one that stands for the paper's pool5, and the first."""
CALIBRATION = 20
"""Batches that set the normalisations of an untrained network."""

ARMS = (
    "trained", "released weights", "l2", "objects only", "scenes only", "dubbed clips", "shuffled pairs", "untrained",
)  # fmt: skip
CHANCE = {"things": 1 / 20, "places": 1 / 8, "middle over early": 0.0, "middle over output": 0.0, "KL, things": 1.0}
_SETTINGS: dict[str, tuple[tuple[float, float], str]] = {
    "released weights": (CODE, "kl"),
    "l2": (PAPER, "l2"),
    "objects only": ((1.0, 0.0), "kl"),
    "scenes only": ((0.0, 1.0), "kl"),
}
"""Weights of the teachers and divergence, where they are not the paper's."""

_PAPER = "aytar2016soundnet"
CLAIMS = (
    Claim(
        "The teachers' whole opinion (KL) teaches more than its squared difference",
        "probe", "trained", "l2", f"{_PAPER}, ablation", tag="loss",
    ),
    Claim(
        "Two teachers teach more than the one of objects",
        "probe", "trained", "objects only", f"{_PAPER}, ablation", tag="teachers",
    ),
    Claim(
        "Two teachers teach more than the one of scenes",
        "probe", "trained", "scenes only", f"{_PAPER}, ablation", tag="teachers",
    ),
    Claim(
        "Teachers of equal weight teach more than with the released code's weights",
        "probe", "trained", "released weights", "ours: the paper's equation 1 against the released code", tag="weights",
    ),
    Claim(
        "A middle layer tells more than the first one",
        "middle over early", "trained", "chance", f"{_PAPER}, layers", tag="layers",
    ),
    Claim(
        "A middle layer tells more than the predicted classes",
        "middle over output", "trained", "chance", f"{_PAPER}, layers", tag="layers",
    ),
    Claim(
        "Trained features tell sounds apart better than random ones",
        "probe", "trained", "untrained", f"{_PAPER}, ESC-50 and DCASE tables", tag="random",
    ),
    Claim(
        "Clips whose sound is another's, half of them, spoil the lesson",
        "probe", "trained", "dubbed clips", "ours: the faulty positives of later papers", tag="dubbed",
    ),
    Claim(
        "With the sounds of other clips, features fall to random ones",
        "probe", "shuffled pairs", "untrained", "ours", margin=0.1, tag="shuffled", equal=True,
    ),
    Claim(
        "Control: with the sounds of other clips, what is heard tells no more than a constant answer",
        "KL, things", "shuffled pairs", "chance", "ours", margin=0.1, tag="shuffled", equal=True,
    ),
)  # fmt: skip


@lru_cache(maxsize=8)
def world(profile: Profile, split: str, seed: int = 0, device: str = "cpu", voiceover: float = 0.0) -> World:
    """Clips with a thing and a place that are both heard; 20 s long for the full-size network, which needs 9.5."""
    dials = DIALS | {"device": device, "voiceover": voiceover}
    return World("orchestra", "ambient", split, seed, profile.size, 20.0 if profile.full else 1.0, **dials)


@lru_cache(maxsize=16)
def clips(source: World, count: int) -> Batch:
    """The first ``count`` clips of a world, rendered once for all arms; of the truth only the labels are kept."""
    parts = [source.batch(range(start, min(start + 64, count))) for start in range(0, count, 64)]

    def joined(part: Callable[[Batch], Tensor]) -> Tensor:
        return torch.cat([part(batch) for batch in parts])

    truth = Truth(
        category_BN=joined(lambda b: b.truth.category_BN),  # type: ignore[arg-type, return-value]
        sounding_BN=joined(lambda b: b.truth.sounding_BN),  # type: ignore[arg-type, return-value]
        backdrop_B=joined(lambda b: b.truth.backdrop_B),  # type: ignore[arg-type, return-value]
    )
    waves, images = joined(lambda b: b.wave_BS), joined(lambda b: b.frame_BCHW)
    return Batch(joined(lambda b: b.index_B), waves, images, truth=truth)


class Kept:
    """A stream over finitely many clips that are rendered once, not once a step."""

    def __init__(self, stream: Stream):
        self.stream, self.clips = stream, clips(stream.world, stream.count)

    def __call__(self, step: int) -> Batch:
        found: Batch = self.clips.select(self.stream.indices(step))
        return found


def stream(source: World, profile: Profile, seed: int) -> Kept | Stream:
    """Batches for training; kept in memory where the profile names how many clips there are."""
    ranks = {"rank": distributed.rank(), "ranks": distributed.world_size()}
    plain = Stream(source, profile.batch, profile.count, seed, **ranks)
    return Kept(plain) if profile.count else plain


@lru_cache(maxsize=2)
def teacher(profile: Profile, device: str = "cpu") -> nn.Module:
    """Two picture networks, trained with the labels of the ``val`` split: its tints and backdrops are in no other."""
    torch.manual_seed(0)
    net = WorldTeacher(THINGS, PLACES)
    config = TrainConfig(steps=profile.steps, lr=TEACHER_RATE, device=device, amp=profile.amp)
    fit(net, stream(world(profile, "val", 0, device), profile, 0), config)
    return Remembering(net) if profile.count else net


def build(profile: Profile, arm: str = ARMS[0], device: str = "cpu") -> SoundNet:
    """The method of one arm at the size of a profile."""
    weights, divergence = _SETTINGS.get(arm, (PAPER, "kl"))
    net = "eight" if profile.full else "small"
    return SoundNet(teacher(profile, device), net, weights, divergence)


def train(
    profile: Profile, seed: int, arm: str = ARMS[0], out: Path | None = None, device: str = "auto"
) -> tuple[nn.Module, History]:
    """Train one arm; ``untrained`` takes no step, but its normalisations are set on the same clips."""
    where = str(device_of(device))
    teacher(profile, where)
    torch.manual_seed(seed)
    method = build(profile, arm, where)
    dubbed = 0.5 if arm == "dubbed clips" else 0.0
    source = stream(world(profile, "train", seed, where, dubbed), profile, seed)
    if arm == "untrained":
        calibrate(method.to(where), source, min(CALIBRATION, profile.steps))
    steps = 0 if arm == "untrained" else profile.steps
    batches = Shuffled(source) if arm == "shuffled pairs" else source  # type: ignore[arg-type]
    config = TrainConfig(steps=steps, lr=RATE, seed=seed, out=out, device=where, amp=profile.amp)
    return method, fit(method, batches, config)


@torch.no_grad()
def calibrate(method: SoundNet, batches: Callable[[int], Batch], count: int) -> None:
    """Set the means and variances of all normalisations on ``count`` batches; the weights stay as they are."""
    method.train()
    for step in range(count):
        method.predict(batches(step))


def run(profile: Profile, seed: int, arm: str, device: str = "auto") -> dict[str, float]:
    """Train one arm and measure it on other recordings."""
    method, _ = train(profile, seed, arm, device=device)
    return measure(method, profile, seed, str(device_of(device)))


@torch.no_grad()
def features(method: SoundNet, found: Batch) -> dict[str, Tensor]:
    """Every layer's mean over time for some clips, name to (B, D), on the CPU; the last one holds the logits."""
    method.eval().to(found.wave_BS.device)
    rows = [method.layers(found.select(list(part))) for part in torch.arange(len(found)).split(64)]
    return {name: torch.cat([row[name].cpu() for row in rows]) for name in rows[0]}


def kl_share(target_BK: Tensor, logit_BK: Tensor) -> float:
    """KL of what is heard from what is seen, over that of the best constant answer (the mean of the targets).

    The latter is the mutual information between clip and label, in nats: 1 says that listening told nothing.
    """
    constant_BK = target_BK.mean(0).log().expand_as(target_BK)
    return float(losses.kl_distillation(target_BK, logit_BK) / losses.kl_distillation(target_BK, constant_BK))


def measure(method: nn.Module, profile: Profile, seed: int = 0, device: str = "cpu") -> dict[str, float]:
    """Probes of every layer for things and places, what the middle has over both ends, and the share of the KL."""
    assert isinstance(method, SoundNet)
    seen, found = (clips(world(profile, split, seed, device), profile.eval_count) for split in ("train", "test"))
    layers = list(zip(*(features(method, part).items() for part in (seen, found)), strict=True))
    scores: dict[str, float] = {}
    for (name, train_BD), (_, test_BD) in layers:
        for what, labels in (("things", [part.truth.label_B for part in (seen, found)]),
                             ("places", [part.truth.backdrop_B for part in (seen, found)])):  # fmt: skip
            train_B, test_B = (label_B.cpu() for label_B in labels)  # type: ignore[union-attr]
            scores[f"{what}, {name}"] = probe.linear_probe(train_BD, train_B, test_BD, test_B).accuracy
    names = [name for (name, _), _ in layers]
    mean = {name: (scores[f"things, {name}"] + scores[f"places, {name}"]) / 2 for name in names}
    middle = MIDDLE if MIDDLE in names else "pool5"
    ends = {"middle over early": mean[middle] - mean[EARLY], "middle over output": mean[middle] - mean[names[-1]]}
    whole = {"things": scores[f"things, {middle}"], "places": scores[f"places, {middle}"], "probe": mean[middle]}
    return whole | ends | shares(method, found) | scores


@torch.no_grad()
def shares(method: SoundNet, found: Batch) -> dict[str, float]:
    """`kl_share` of each teacher."""
    method.eval()
    parts = [found.select(list(part)) for part in torch.arange(len(found)).split(64)]
    targets = [torch.cat(column) for column in zip(*(method.targets(part) for part in parts), strict=True)]
    logits = [torch.cat(column) for column in zip(*(method.predict(part) for part in parts), strict=True)]
    return {f"KL, {n}": kl_share(*pair) for n, pair in zip(("things", "places"), zip(targets, logits, strict=True))}
