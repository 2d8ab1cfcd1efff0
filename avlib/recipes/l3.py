"""How Look, Listen and Learn is trained and judged here.

    avlib train l3 --profile cpu
    avlib claims l3 --profile cpu

Pretext task: true and false pairs, false ones of another class, half and half; then the common exam. Each is asked
twice, with unheard recordings both times: of drawings that were seen in training (known hands), in other colours, poses
and places, and of drawings that never were (new hands).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from avlib.claims import Claim
from avlib.evaluate import units
from avlib.evaluate.features import Features, features
from avlib.experiment import Arm, Run
from avlib.methods.l3 import LookListenLearn
from avlib.world import World

BUDGET: dict[str, dict[str, Any]] = {"smoke": {"batch": 16, "eval_count": 128}, "cpu": {"steps": 480}}
ARMS = {
    "trained": Arm(),
    "cyclic pairs": Arm(build={"all_pairs": False}),
    "dubbed clips": Arm(world={"voiceover": 0.5}),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
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
        "correspondence", "shuffled pairs", "chance", "ours", margin=0.05, tag="shuffled", kind="equal",
    ),
)  # fmt: skip


def train(run: Run, arm: str = "trained") -> nn.Module:
    """Train one arm on clips of one thing each."""
    return learn(run, run.world("solo", **ARMS[arm].world), ARMS[arm])


def build(run: Run, **settings: Any) -> LookListenLearn:
    """The net at the size of a run's profile."""
    return run.build(LookListenLearn, dim=128, width=16, full=run.budget.full, **settings)


def learn(run: Run, world: World, how: Arm, part: str = "") -> LookListenLearn:
    """A net of the run's seed after an arm's steps in a world."""
    method = build(run, **how.build)
    run.fit(method, run.stream(world, shuffled=how.shuffled), run.steps(how), RATE, DECAY, part=part)
    return method


def measure(method: nn.Module, run: Run, arm: str = "trained") -> dict[str, float]:
    """Every number of the chapter: pretext accuracy, linear probes, unit purity, clusters."""
    from avlib.clustering import kmeans
    from avlib.evaluate import clusters, probe

    seen, found = (features(method, run.batches(run.world("solo", split))) for split in ("train", "test"))
    scores = {"correspondence": correspondence(method, found)}
    for name in ("image", "audio"):
        train_BD, test_BD = getattr(seen, f"{name}_BD"), getattr(found, f"{name}_BD")
        scores[f"{name} probe"] = probe.linear_probe(train_BD, seen.label_B, test_BD, found.label_B).accuracy
        scores[f"{name} purity"] = units.unit_concepts(test_BD, found.label_B, draws=20).purity
        generator = torch.Generator().manual_seed(run.seed)
        cluster_B = kmeans(test_BD, int(found.label_B.max()) + 1, generator).label_N
        scores[f"{name} NMI"] = clusters.agreement(cluster_B, found.label_B).nmi
    return scores


@torch.no_grad()
def correspondence(method: nn.Module, found: Features) -> float:
    """Share of right verdicts: each clip as it is, and with the sound of the next clip of another class."""
    assert isinstance(method, LookListenLearn)
    fusion, device = method.eval().fusion, next(method.parameters()).device
    image_BD, audio_BD = found.image_BD.to(device), found.audio_BD.to(device)
    other_B = other_class(found.label_B).to(device)
    true_B, false_B = fusion.pairs(image_BD, audio_BD) > 0, fusion.pairs(image_BD, audio_BD[other_B]) <= 0
    return float((true_B.float().mean() + false_B.float().mean()) / 2)


def other_class(label_B: torch.Tensor) -> torch.Tensor:
    """int64 (B,): for each clip the next one (around the end) whose label is another."""
    count = len(label_B)
    ahead_BB = (torch.arange(count) + torch.arange(count)[:, None]) % count
    differs_BB = label_B[ahead_BB] != label_B[:, None]
    return ahead_BB.gather(1, differs_BB.int().argmax(1, keepdim=True)).squeeze(1)
