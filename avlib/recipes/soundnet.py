"""How SoundNet is trained and judged here.

    avlib train soundnet --profile cpu
    avlib claims soundnet --profile cpu

Each clip shows a thing before a place, and both are heard. Two small picture networks are taught with labels, on the
drawings that the students' clips show too, in other poses, and before parts of the backdrops that those
never show. They have names for every second thing and place only, as ImageNet has no name for rain. The students hear
what these networks say about clips without labels. Linear probes then ask each layer for all things and all places, on
recordings that no student heard, C being chosen on validation clips; and the students sit the common exam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from avlib import losses
from avlib.claims import Claim
from avlib.encoders.teacher import Remembering, WorldTeacher
from avlib.evaluate.exam import probe_score
from avlib.evaluate.features import evaluating, join
from avlib.experiment import Arm, Batches, Run
from avlib.methods.soundnet import CODE, SoundNet
from avlib.types import SAMPLE_RATE, Batch
from avlib.world import World

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 16, "count": 64, "eval_count": 128},
    "cpu": {"batch": 32, "steps": 208, "count": 2048},
    "gpu": {"batch": 64, "eval_count": 1024},
}
THINGS, PLACES = tuple(range(0, 20, 2)), tuple(range(0, 8, 2))
"""Classes that the teachers have names for."""
DIALS: dict[str, Any] = {"ambience": -9.0, "side": (0.45, 0.65), "hue": 0.0}
"""Of preset ``ambient``: places are heard well below the things; these are large, and in the colours that their hands
gave them, since the teacher has but seconds to learn how they look."""
RATE, TEACHER_RATE = 5e-3, 1e-2
"""Largest learning rates of the one-cycle schedules."""
MIDDLE, EARLY = "pool4", "conv1"
"""Layers of the small network: the one that stands for the paper's pool5, and the first."""
CALIBRATION = 20
"""Batches that set the normalisations of an untrained network."""

ARMS = {
    "trained": Arm(),
    "released weights": Arm(build={"weights": CODE}),
    "l2": Arm(build={"divergence": "l2"}),
    "objects only": Arm(build={"weights": (1.0, 0.0)}),
    "scenes only": Arm(build={"weights": (0.0, 1.0)}),
    "dubbed clips": Arm(world={"voiceover": 0.5}),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
CHANCE = {"things": 1 / 20, "places": 1 / 8, "middle over early": 0.0, "middle over output": 0.0, "KL, things": 1.0}

_PAPER = "aytar2016soundnet"
# fmt: off
CLAIMS = (
    Claim("Trained features tell sounds apart better than random ones",
          "probe", "trained", "untrained", f"{_PAPER}, ESC-50 and DCASE tables", "random", primary=True),
    Claim("What the teachers say of its own picture teaches more than what they say of another",
          "probe", "trained", "shuffled pairs", "ours: the dullest explanation", "own", primary=True),
    Claim("The teachers' whole opinion (KL) teaches more than its squared difference",
          "probe", "trained", "l2", f"{_PAPER}, ablation", "loss", primary=True),
    Claim("A middle layer tells more than the predicted classes",
          "middle over output", "trained", "chance", f"{_PAPER}, layers", "layers", primary=True),
    Claim("A middle layer tells more than the first one",
          "middle over early", "trained", "chance", f"{_PAPER}, layers", "layers"),
    Claim("Two teachers teach more than the one of objects",
          "probe", "trained", "objects only", f"{_PAPER}, ablation", "teachers"),
    Claim("Two teachers teach more than the one of scenes",
          "probe", "trained", "scenes only", f"{_PAPER}, ablation", "teachers"),
    Claim("Teachers of equal weight teach more than with the released code's weights",
          "probe", "trained", "released weights", "ours: equation 1 against the released code", "weights"),
    Claim("Clips whose sound is another's, half of them, spoil the lesson",
          "probe", "trained", "dubbed clips", "ours: the faulty positives of later papers", "dubbed"),
    Claim("With the sounds of other clips, features fall to random ones",
          "probe", "shuffled pairs", "untrained", "ours", "shuffled", margin=0.1, kind="equal"),
    Claim("Control: with the sounds of other clips, what is heard tells no more than a constant answer",
          "KL, things", "shuffled pairs", "chance", "ours", "shuffled", margin=0.1, kind="equal"),
)
# fmt: on


def world(run: Run, split: str, **dials: Any) -> World:
    """Clips with a thing and a place that are both heard; 20 s long for the full-size network, which needs 9.5."""
    return run.world("ambient", split, seconds=20.0 if run.budget.full else 1.0, **DIALS | dials)


def stream(run: Run, source: World, shuffled: bool = False) -> Batches:
    """Batches for training; clips are kept where the profile names how many there are."""
    return run.stream(source, shuffled=shuffled, kept=True)


def teacher(run: Run) -> nn.Module:
    """Two picture networks, trained with labels once for all arms; they remember what they said of which picture."""

    def learnt() -> nn.Module:
        net = run.build(WorldTeacher, THINGS, PLACES)
        run.fit(net, stream(run, world(run, "val", hands="known")), run.budget.steps, TEACHER_RATE, part="teacher")
        return Remembering(net) if run.budget.count else net

    return run.once("teacher", learnt)


def train(run: Run, arm: str = "trained") -> nn.Module:
    """Train one arm; ``untrained`` takes no step, but its normalisations are set on the same clips."""
    how, eyes = ARMS[arm], teacher(run)
    method = build(run, eyes, **how.build)
    batches = stream(run, world(run, "train", **how.world), how.shuffled)
    if how.steps == 0:
        calibrate(method, batches, min(CALIBRATION, run.budget.steps))
    run.fit(method, batches, run.steps(how), RATE)
    return method


class NoTeacher(nn.Module):
    """Stands where the picture networks were, for a student that only listens."""

    sizes = len(THINGS), len(PLACES)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        raise ValueError("this SoundNet came without its teachers: it hears, and cannot be taught")


def build(run: Run, eyes: nn.Module | None = None, **settings: Any) -> SoundNet:
    """The student at the size of a run's profile; without ``eyes`` it can only listen."""
    return run.build(SoundNet, eyes or NoTeacher(), "eight" if run.budget.full else "small", **settings)


@torch.no_grad()
def calibrate(method: SoundNet, batches: Batches, count: int) -> None:
    """Set the means and variances of all normalisations on ``count`` batches; the weights stay as they are."""
    device = next(method.parameters()).device
    method.train()
    for step in range(count):
        method.predict(batches(step).to(device))


def layers(method: SoundNet, batches: Sequence[Batch]) -> dict[str, Tensor]:
    """Every layer's mean over time for some clips, name to (B, D), on the CPU; the last one holds the logits."""
    with evaluating(method) as device:
        rows = [method.layers(batch.to(device)) for batch in batches]
    return {name: torch.cat([row[name].cpu() for row in rows]) for name in rows[0]}


def kl_share(target_BK: Tensor, logit_BK: Tensor) -> float:
    """KL of what is heard from what is seen, over that of the best constant answer (the mean of the targets).

    The latter is the mutual information between clip and label, in nats: 1 says that listening told nothing.
    """
    constant_BK = target_BK.mean(0).log().expand_as(target_BK)
    return float(losses.kl_distillation(target_BK, logit_BK) / losses.kl_distillation(target_BK, constant_BK))


def shares(method: nn.Module, batches: Sequence[Batch]) -> dict[str, float]:
    """`kl_share` of each teacher."""
    assert isinstance(method, SoundNet)
    with evaluating(method) as device:
        parts = [batch.to(device) for batch in batches]
        targets = [torch.cat(column) for column in zip(*(method.targets(part) for part in parts), strict=True)]
        logits = [torch.cat(column) for column in zip(*(method.predict(part) for part in parts), strict=True)]
    return {f"KL, {n}": kl_share(*pair) for n, pair in zip(("things", "places"), zip(targets, logits, strict=True))}


def measure(method: nn.Module, run: Run, arm: str = "trained") -> dict[str, float]:
    """Probes of every layer for things and places, what the middle has over both ends, shares of the KL, and the exam.

    The teachers know the drawings of the clips that the shares are measured on, not the scenes.
    """
    assert isinstance(method, SoundNet)
    parts = [run.batches(world(run, split, hands="known")) for split in ("train", "val", "test")]
    found = [layers(method, part) for part in parts]
    truth = [join([batch.truth for batch in part]) for part in parts]
    asked: dict[str, Any] = {"things": [t.label_B for t in truth], "places": [t.backdrop_B for t in truth]}
    scores: dict[str, float] = {}
    for name in found[0]:
        for what, labels in asked.items():
            rows = [(layer[name], label_B) for layer, label_B in zip(found, labels, strict=True)]
            scores[f"{what}, {name}"] = probe_score(*rows)
    names = list(found[0])
    mean = {name: (scores[f"things, {name}"] + scores[f"places, {name}"]) / 2 for name in names}
    middle = MIDDLE if MIDDLE in names else "pool5"
    ends = {"middle over early": mean[middle] - mean[EARLY], "middle over output": mean[middle] - mean[names[-1]]}
    whole = {"things": scores[f"things, {middle}"], "places": scores[f"places, {middle}"], "probe": mean[middle]}
    exam = run.exam(method, seconds=parts[0][0].wave_BS.shape[1] / SAMPLE_RATE)
    return whole | ends | shares(method, parts[2]) | exam | scores
