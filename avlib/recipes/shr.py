"""How See, Hear, and Read is trained and judged here.

    avlib train shr --profile cpu
    avlib claims shr --profile cpu

Each scene shows a thing before a place, both are heard, and a sentence tells about what is seen. One half of the
training scenes is met as picture and sound, the other half as picture and text, a kind of pair a step by turns: no
sound ever meets its text. A picture network, taught with labels on other scenes, has names for every second thing and
for no place. Whoever is judged is asked on new scenes and recordings. Scenes whose sentences are word for word the same
are equally right for a text, and that sentence is one for whoever seeks it. Ranks are given over those of random lists:
1 is luck.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from avlib.claims import Chain, Claim
from avlib.encoders.teacher import Remembering, WorldTeacher
from avlib.evaluate import senses
from avlib.evaluate.features import features
from avlib.experiment import Arm, Batches, Clips, Run
from avlib.methods.shr import SeeHearRead
from avlib.recipes.three_senses import FIELDS, PAIRED, UNPAIRED, aligned, knowing, searches, spaces, transferred
from avlib.types import Batch
from avlib.world import World
from avlib.world.language import readable, vocabulary
from avlib.world.packs import Pack

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 8, "count": 64, "eval_count": 64},
    "cpu": {"steps": 800, "size": 48, "count": 8192},
    "gpu": {"count": 16_384, "eval_count": 1024},
}
ARMS = {
    "both losses": Arm(),
    "ranking only": Arm(build={"distil": 0.0}),
    "distillation only": Arm(build={"rank": 0.0}),
    "separate upper layers": Arm(build={"shared": False}),
    "ranking, separate layers": Arm(build={"distil": 0.0, "shared": False}),
    "without picture–text": Arm(),
    "without picture–sound": Arm(),
    "with sound–text": Arm(),
    "half of the names wrong": Arm(),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
PAIRS = {
    "without picture–text": ("sound",),
    "without picture–sound": ("text",),
    "with sound–text": ("sound", "text", "neither"),
}
"""Which kinds of pairs an arm meets by turns, where it isn't sound and text; ``neither`` has no picture. All arms take
as many steps of as many clips: whoever lacks a kind of pair meets the other one twice as often."""
CEILING, WRONG = "with sound–text", "half of the names wrong"
_WAYS = *(f"{way}, rank" for way in PAIRED + UNPAIRED), "all", "paired", "never paired"
_BEGINS = "", "centred: ", "new: ", "new: centred: "
CHANCE = {f"{begin}{name}": 1.0 for begin in _BEGINS for name in _WAYS}
CHANCE |= {"units: share over luck": 0.0, "transferred probe": 1 / 20, "own probe": 1 / 20}
_PAPER = "aytar2017see"
# fmt: off
CLAIMS = (
    Claim("Sound and text that never met find each other, without labels",
          "never paired", "ranking only", "chance", f"{_PAPER}, retrieval", "bridge", higher=False, primary=True),
    Claim("Ranking adds to what the teacher's labels align",
          "all", "both losses", "distillation only", f"{_PAPER}, retrieval", "losses", higher=False, primary=True),
    Claim("The teacher's labels add to what ranking aligns",
          "all", "both losses", "ranking only", f"{_PAPER}, retrieval", "losses", higher=False, primary=True),
    Claim("Shared upper layers align better than separate ones",
          "all", "both losses", "separate upper layers", _PAPER, "shared", higher=False, primary=True),
    Claim("Shared upper layers align what never met better than separate ones",
          "never paired", "both losses", "separate upper layers", _PAPER, "shared", higher=False),
    Claim("Without labels, too, shared upper layers align what never met better than separate ones",
          "never paired", "ranking only", "ranking, separate layers", "ours", "shared", higher=False),
    Claim("Without labels, separate upper layers align what never met, too",
          "never paired", "ranking, separate layers", "chance", "ours", "shared", higher=False),
    Claim("Sound and text that never met find each other",
          "never paired", "both losses", "chance", f"{_PAPER}, retrieval", "bridge", higher=False),
    Claim("Those that met are found better",
          "never paired", CEILING, "both losses", "ours: the ceiling", "bridge", higher=False),
    Claim("Pictures are found, and find, better than chance",
          "paired", "both losses", "chance", f"{_PAPER}, retrieval", "found", higher=False),
    Claim("It is the own picture's partner that teaches this",
          "paired", "both losses", "shuffled pairs", "ours: the dullest explanation", "found", higher=False),
    Claim("Without pairs of picture and text, sound and text are strangers",
          "never paired", "without picture–text", "chance", "ours", "bridge", margin=0.15, kind="equal"),
    Claim("Without pairs of picture and sound, sound and text are strangers",
          "never paired", "without picture–sound", "chance", "ours", "bridge", margin=0.15, kind="equal"),
    Claim("Control: with shuffled pairs there is nothing to find",
          "never paired", "shuffled pairs", "chance", "ours", "shuffled", margin=0.15, kind="equal"),
    Claim("More units than by luck stand for one thing in all three senses",
          "units: share over luck", "both losses", "chance", f"{_PAPER}, units", "units"),
    Claim("Without labels, too",
          "units: share over luck", "ranking only", "chance", "ours", "units"),
    Claim("A classifier of one sense knows things in another",
          "transferred probe", "both losses", "chance", f"{_PAPER}, classifier transfer", "transfer"),
    Claim("Without labels, too, a classifier of one sense knows things in another",
          "transferred probe", "ranking only", "chance", "ours", "transfer"),
    Claim("Wrong names in half of the captions spoil what was never paired",
          "never paired", "both losses", WRONG, "ours", "names", higher=False),
    Chain("What met is found better than what never met, and that better than by luck of an untrained net",
          "never paired", (CEILING, "both losses", "untrained"), "ours", "bridge", higher=False),
)
# fmt: on
THINGS, PLACES = tuple(range(0, 20, 2)), tuple(range(0, 8, 2))
"""Classes that the teacher's networks learn; only that of things is asked."""
DIALS: dict[str, Any] = {"ambience": -9.0, "side": (0.45, 0.65), "hue": 0.0}
"""Of preset ``ambient``, as for SoundNet: places are heard well below the things; these are large, and in the colours
that their hands gave them."""
TEACHER_STEPS, TEACHER_RATE = 200, 3e-3
"""Steps and largest learning rate of the teacher, who sees scenes of its own (validation's, with training's hands)."""
RATE, FULL_RATE = 3e-3, 1e-3
"""Largest learning rates of the one-cycle schedule, of every arm of the small and of the larger nets (the latter is a
guess). The former, the margin and the weight of ranking (the defaults of `SeeHearRead`) were chosen on validation clips
of seed 11, which is in no record, in half of the steps, by the mean of the median ranks of all six directions: rates
among 1e-3, 3e-3 and 1e-2, for both losses, either alone, and separate layers (the same one won each time); margins
among 0.1, 0.2 and 0.5, for both losses and for ranking alone; weights among 1, 10 and 30."""


def world(run: Run, split: str = "train", **dials: Any) -> World:
    """Scenes to see, to hear and to read about."""
    return run.world("ambient", split, **DIALS | {"captioned": True} | dials)


class Objects(nn.Module):
    """Of a teacher with several opinions only the first, about things: the paper's teacher has names for objects."""

    def __init__(self, teacher: WorldTeacher) -> None:
        super().__init__()
        self.teacher, self.sizes = teacher, teacher.sizes[:1]

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        return self.teacher(image_BCHW)[:1]  # type: ignore[no-any-return]


def teacher(run: Run) -> nn.Module:
    """A picture network, trained with labels once for all arms; it remembers what it said of which picture."""

    def learnt() -> nn.Module:
        net = run.build(WorldTeacher, THINGS, PLACES)
        scenes = world(run, "val", hands="known", captioned=False)
        stream = run.stream(scenes, run.budget.count // 4, kept=True)
        run.fit(net, stream, min(TEACHER_STEPS, run.budget.steps), TEACHER_RATE, part="teacher")
        return Remembering(Objects(net))

    return run.once("teacher", learnt)


@dataclass(frozen=True)
class Later(Clips):
    """Clips from the clip ``first`` on."""

    first: int = 0

    def batch(self, index_B: Any) -> Batch:
        """Some of them."""
        return super().batch(index_B + self.first)


def lessons(run: Run, arm: str) -> Batches:
    """Batches of an arm: pairs of either kind by turns, of different scenes; what is no part of a pair is taken out."""
    clips = run.clips(world(run))
    whole, half = clips.whole, len(clips.whole) // 2
    if ARMS[arm].shuffled:  # each picture belongs to another scene, always the same, whoever its partner is
        whole = replace(whole, image_BCHW=whole.image_BCHW.roll(half // 2, 0))  # type: ignore[union-attr]
    heard, read = run.stream(Clips(whole), half), run.stream(Later(whole, first=half), half)
    met = run.stream(Clips(whole), len(whole))
    kinds: dict[str, Callable[[int], Batch]] = {
        "sound": lambda n: replace(heard(n), text=None),
        "text": lambda n: silent(misnamed(read(n), world(run).pack) if arm == WRONG else read(n)),
        "neither": lambda n: replace(met(n), image_BCHW=None),
    }
    turns = PAIRS.get(arm, ("sound", "text"))
    return lambda step: kinds[turns[step % len(turns)]](step // len(turns))


def silent(batch: Batch) -> Batch:
    """The same clips without their sound."""
    return replace(batch, wave_BS=torch.zeros_like(batch.wave_BS))


def misnamed(batch: Batch, pack: Pack) -> Batch:
    """The same clips, but every second scene's text calls each thing by the name of the next class."""
    names = [readable(name) for name in pack.classes]
    following = dict(zip(names, (*names[1:], names[0]), strict=True))
    name = re.compile(r"\b(" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + r")\b")
    assert batch.text is not None
    texts = zip(batch.text, batch.index_B.tolist(), strict=True)
    return replace(
        batch, text=tuple(name.sub(lambda m: following[m[0]], text) if index % 2 else text for text, index in texts)
    )


def train(run: Run, arm: str = "both losses") -> SeeHearRead:
    """Train one arm. All of them ask for the teacher, whether they listen to it or not."""
    how = ARMS[arm]
    method = build(run, teacher(run), **how.build)
    run.fit(method, lessons(run, arm), run.steps(how), FULL_RATE if run.budget.full else RATE)
    return method


class NoTeacher(nn.Module):
    """Stands where the picture network was, for a net that learns no more."""

    sizes = (len(THINGS),)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        raise ValueError("this SeeHearRead came without its teacher: it sees, hears and reads, and cannot be taught")


def build(run: Run, eyes: nn.Module | None = None, **settings: Any) -> SeeHearRead:
    """The net at the size of a run's profile; without ``eyes`` it cannot be taught."""
    return run.build(SeeHearRead, eyes or NoTeacher(), vocabulary(world(run).pack), full=run.budget.full, **settings)


SETS = {"": "known", "new: ": "own"}
"""Whose drawings test clips have, by the beginning of their metrics."""


def measure(method: nn.Module, run: Run, arm: str = "both losses") -> dict[str, float]:
    """Every number of the chapter."""
    scores: dict[str, float] = {}
    chunks, size = (5, 1000) if run.budget.full else (1, run.budget.eval_count)
    for begin, hands in SETS.items():
        found = features(method, run.batches(world(run, "test", hands=hands), chunks * size), FIELDS)
        for space, value in spaces(found).items():
            scores |= {f"{begin}{space}{name}": score for name, score in searches(value, found, size).items()}
        if not begin:
            scores |= aligned(found) | {f"gap: {name}": gap for name, gap in senses.gaps(spaces(found)[""]).items()}
            scores |= {f"who knows {what}": rank for what, rank in knowing(found, size).items()}
    splits = ("train", "val", "test")
    parts = [features(method, run.batches(world(run, split, hands="known")), FIELDS) for split in splits]
    return scores | transferred(parts) | run.exam(method, (), captioned=True)
