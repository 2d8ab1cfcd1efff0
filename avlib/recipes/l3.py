"""How Look, Listen and Learn is trained and judged here.

    avlib train l3 --profile cpu
    avlib claims l3 --profile cpu

Beside the common exam: its own verdict on true and false pairs (of another class), half and half, and how pure single
units are, for known hands (drawings of the training clips) and new hands; the recordings are unheard in both.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from avlib.claims import Chain, Claim
from avlib.evaluate import exam, units
from avlib.evaluate.features import Features, evaluating, features
from avlib.experiment import Arm, Run
from avlib.methods.l3 import LookListenLearn
from avlib.world import World

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 16, "eval_count": 128},
    "cpu": {"steps": 960, "size": 48},
    "gpu": {"steps": 500},
}
ARMS = {
    "trained": Arm(),
    "all pairs": Arm(build={"pairs": "all"}),
    "cyclic pairs": Arm(build={"pairs": "cyclic"}),
    "one form": Arm(world={"forms": 0.0, "warp": 0.0}),
    "dubbed clips": Arm(world={"voiceover": 0.5}),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
CHANCE = {"known: correspondence": 0.5, "new: correspondence": 0.5}
SIZE, SMALL = {"dim": 128, "width": 16}, {"hop": 320}
"""Arguments of every net, and of the small one: its spectrogram has half as many frames."""
LOOK: dict[str, Any] = {"side": (0.5, 0.75)}
"""What all worlds share: things fill half of the picture and more, since a picture has few pixels."""
VARIED: dict[str, Any] = {"forms": 0.5, "warp": 0.15}
"""How training shows them: every other thing as a silhouette or an outline, all a little stretched and sheared."""
RATE, DECAY = 1e-2, 0.1
"""Largest learning rate of the one-cycle schedule, and weight decay. These and all above: chosen on validation."""
_PAPER = "arandjelovic2017look"
# fmt: off
CLAIMS = (
    Claim("Trained features tell unseen drawings apart better than untrained ones",
          "new: image probe", "trained", "untrained", f"{_PAPER}, ImageNet table", "image", primary=True),
    Claim("What the sounds teach about pictures is more than any training on pictures does",
          "new: image probe", "trained", "shuffled pairs", "ours: the dullest explanation", "seen", primary=True),
    Claim("What the pictures teach about sounds is more than any training on sounds does",
          "audio probe", "trained", "shuffled pairs", "ours: the dullest explanation", "heard", primary=True),
    Chain("All pairs of a batch teach more than one false pair a clip, and a choice among them more",
          "known: pairs", ("trained", "all pairs", "cyclic pairs"), "ours: same cost", "pairs", primary=True),
    Claim("Trained features tell sounds apart better than untrained ones",
          "audio probe", "trained", "untrained", f"{_PAPER}, ESC-50 table", "audio"),
    Claim("Single units of sound stand for a kind of thing",
          "audio purity", "trained", "untrained", f"{_PAPER}, figures of audio concepts", "units"),
    Claim("Who sees things in many forms knows the drawings of new hands better",
          "new: image probe", "trained", "one form", "ours", "forms"),
    Claim("Clips whose sound is another's, half of them, spoil the lesson",
          "known: correspondence", "trained", "dubbed clips", "ours: faulty positives", "dubbed"),
    Claim("Control: with shuffled pairs there is nothing to learn",
          "known: correspondence", "shuffled pairs", "chance", "ours", "shuffled", margin=0.05, kind="equal"),
)
# fmt: on


def train(run: Run, arm: str = "trained") -> nn.Module:
    """Train one arm on clips of one thing each."""
    return learn(run, run.world("solo", **{**LOOK, **VARIED, **ARMS[arm].world}), ARMS[arm])


def build(run: Run, **settings: Any) -> LookListenLearn:
    """The net at the size of a run's profile."""
    small = {} if run.budget.full else SMALL
    return run.build(LookListenLearn, full=run.budget.full, **{**SIZE, **small, **settings})


def learn(run: Run, world: World, how: Arm, part: str = "") -> LookListenLearn:
    """A net of the run's seed after an arm's steps in a world."""
    method = build(run, **how.build)
    run.fit(method, run.stream(world, shuffled=how.shuffled), run.steps(how), RATE, DECAY, part=part)
    return method


def measure(method: nn.Module, run: Run, arm: str = "trained") -> dict[str, float]:
    """Every number of the chapter."""
    scores = run.exam(method, ("solo",), **LOOK)
    for hands in ("known", "new"):
        found = features(method, run.batches(run.world("solo", "test", hands=hands, **LOOK)))
        scores[f"{hands}: correspondence"] = correspondence(method, found)
        for begin, feature_BD in ((f"{hands}: image", found.image_BD), ("audio", found.audio_BD)):
            scores[f"{begin} purity"] = units.unit_concepts(feature_BD, found.label_B, draws=20).purity
    return scores


def correspondence(method: nn.Module, found: Features) -> float:
    """Share of right verdicts: each clip as it is, and with the sound of the next clip of another class."""
    assert isinstance(method, LookListenLearn)
    with evaluating(method) as device:
        image_BD, audio_BD = found.image_BD.to(device), found.audio_BD.to(device)
        true_B = method.fusion.pairs(image_BD, audio_BD) > 0
        false_B = method.fusion.pairs(image_BD, audio_BD[exam.other_class(found.label_B)]) <= 0
    return float(torch.stack([true_B.float().mean(), false_B.float().mean()]).mean())
