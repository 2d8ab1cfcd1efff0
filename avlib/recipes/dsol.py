"""How Discriminative Sounding Objects Localisation is trained and judged here.

    avlib train dsol --profile cpu
    avlib claims dsol --profile cpu

Stage one sees solo scenes, stage two cocktail parties: four things, two of them silent, sometimes a sound from outside.
Solo scenes are judged by the sounding area, duets and parties by the class maps; clusters get their class names on
training clips (Hungarian) and keep them. How much heat makes a mask is chosen on the validation split, for each arm.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from avlib.claims import Claim
from avlib.evaluate import clusters, scenes
from avlib.experiment import Arm, Run
from avlib.methods.dsol import SoundingObjects
from avlib.methods.dsol_dictionary import Recluster
from avlib.methods.dsol_mixtures import SoundingMixtures
from avlib.types import Batch

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 16, "steps": 12, "count": 64},
    "cpu": {"batch": 32, "steps": 560, "count": 1024, "eval_count": 256},
    "gpu": {"count": 16384},
}
ARMS = {
    "two stages": Arm(),
    "one stage": Arm(),
    "no agreement": Arm(build={"agree": 0.0}),
    "perfect ear": Arm(),
    "no filter": Arm(build={"gate": False}),
    "whole-picture dictionary": Arm(),
    "no solo scenes": Arm(),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
    "class-agnostic": Arm(like="two stages", judge={"agnostic": True}),
    "random classes": Arm(like="two stages", judge={"shuffled": True}),
    "whole image": Arm(like="untrained", judge={"blind": "whole image"}),
    "centre box": Arm(like="untrained", judge={"blind": "centre box"}),
}
CHANCE = {"cocktail who": 0.5}
CLASSES, CLUSTERS = 8, 16
DIALS: dict[str, Any] = {"classes": CLASSES, "side": (0.36, 0.44), "gain": (-2.0, 2.0)}
"""What all worlds share: few classes, things of one size, none of them drowned by another."""
RATES = {"localise": 6e-3, "name": 4e-3, "mix": 2e-3}
"""Largest learning rate of each phase."""
SHARES = {"localise": 0.54, "name": 0.22, "mix": 0.24}
"""Which share of the steps each takes; one stage shares out the last one among the first two."""
ROUNDS = 3
"""Clusterings while naming."""

_PAPER, _TABLE = "hu2020discriminative", "hu2020discriminative, cocktail-party table"
CLAIMS = (
    Claim(
        "Two stages find sounding things better than one stage that spends the same steps",
        "cocktail CIoU", "two stages", "one stage", _TABLE, tag="stages",
    ),
    Claim(
        "Stage two teaches the filter to tell what is heard from what is silent",
        "cocktail who", "two stages", "one stage", "ours", tag="who",
    ),
    Claim(
        "It is agreement that teaches, and not practice at parties",
        "cocktail who", "two stages", "no agreement", "ours: the dullest explanation", tag="agreement",
    ),
    Claim(
        "Stage two could teach more if its ear heard everything right (labels, as a bound)",
        "cocktail who", "perfect ear", "two stages", "ours: the truth in place of the ear's belief", tag="ear",
    ),
    Claim(
        "The filter keeps the maps of silent things dark",
        "cocktail NSA", "two stages", "no filter", _TABLE, tag="filter",
    ),
    Claim(
        "One map a class beats one map for all classes",
        "cocktail CIoU", "two stages", "class-agnostic", _TABLE, tag="class",
    ),
    Claim(
        "Objects that were cut out make a better dictionary than whole pictures",
        "cocktail CIoU", "two stages", "whole-picture dictionary", f"{_PAPER}, section 3.1", tag="dictionary",
    ),
    Claim(
        "Without solo scenes it fails",
        "cocktail CIoU", "two stages", "no solo scenes", f"{_PAPER}, section 3.1", tag="solo",
    ),
    Claim(
        "Control: with the sounds of other clips there is nothing to learn",
        "cocktail who", "shuffled pairs", "chance", "ours", margin=0.05, tag="shuffled", kind="equal",
    ),
)  # fmt: skip


def train(run: Run, arm: str = "two stages") -> SoundingMixtures:
    """Train one arm; arms that share stage one train it once."""
    how, alone = ARMS[arm], arm in ("one stage", "untrained")
    whole, party = arm == "whole-picture dictionary", arm == "no solo scenes"
    key = ("stage one", alone, whole, party, how.shuffled, how.steps)
    first = run.once(key, lambda: stage_one(run, phases(run.steps(how), alone), whole, party, how.shuffled))
    method = SoundingMixtures(first, **how.build).to(run.device)
    if arm == "perfect ear":
        method.belief = partial(told, name_K=names(method, run))
    steps = phases(run.steps(how), alone)["mix"]
    if steps:
        mixtures = run.stream(run.world("cocktail", **DIALS), 0, how.shuffled, seed=run.seed + 2)
        run.fit(method, mixtures, steps, RATES["mix"], part="mix")
    return method


def build(run: Run) -> SoundingMixtures:
    """The net of a run's profile before anything is learnt; its dictionary has one entry for all clips."""
    first = solo(run)
    first.label_M.zero_()
    return SoundingMixtures(first).to(run.device)


def solo(run: Run, whole: bool = False) -> SoundingObjects:
    """Stage one's net at the size of a run's profile."""
    return run.build(SoundingObjects, run.budget.count, CLUSTERS, full=run.budget.full, whole=whole)


def phases(steps: int, alone: bool) -> dict[str, int]:
    """Steps of localising, of naming and of mixing; ``alone`` without the last."""
    solo = steps if alone else steps - round(SHARES["mix"] * steps)
    first = round(solo * SHARES["localise"] / (SHARES["localise"] + SHARES["name"]))
    return {"localise": first, "name": solo - first, "mix": steps - solo}


def stage_one(run: Run, steps: dict[str, int], whole: bool, party: bool, shuffled: bool) -> SoundingObjects:
    """Localise, then name. ``whole``: a dictionary of whole pictures; ``party``: learnt where four things stand."""
    world = run.world("cocktail" if party else "solo", **DIALS)
    method = solo(run, whole)
    period = max(1, math.ceil(steps["name"] / ROUNDS))  # the heads have as long after the last clustering as before it
    hook = Recluster(partial(run.batches, world, run.budget.count), period, run.seed)
    for n, (part, hooks) in enumerate({"localise": (), "name": (hook,)}.items()):
        if steps[part]:
            stream = run.stream(world, run.budget.count, shuffled, seed=run.seed + n)
            run.fit(method, stream, steps[part], RATES[part], hooks=hooks, part=part)
    if not steps["name"]:
        hook(method, run.batches(world, run.budget.count)[0], 0)
    hook.finish(method)
    return method


def names(method: SoundingMixtures, run: Run, arm: str = "two stages") -> list[int]:
    """The class of each entry, fitted on the training clips (Hungarian): the only place where their labels are read."""
    found = clusters.match(*_grouped(method, run, arm))
    return [found.get(k, 0) for k in range(CLUSTERS)]


def _grouped(method: SoundingMixtures, run: Run, arm: str) -> tuple[Tensor, Tensor]:
    world = run.world("cocktail" if arm == "no solo scenes" else "solo", **DIALS)
    label_M = torch.cat([batch.truth.label_B for batch in run.batches(world, run.budget.count)])
    return method.first.label_M.cpu(), label_M


def told(batch: Batch, name_K: list[int]) -> Tensor:
    """What is truly heard, in shares, in the order of the entries: prob_BK. Reads labels: a bound, no method."""
    truth = batch.truth
    assert truth.category_BN is not None and truth.sounding_BN is not None and truth.offscreen_B is not None
    heard_BC = torch.zeros(len(batch), CLASSES + 1, device=truth.category_BN.device)
    heard_BC.scatter_(1, truth.category_BN.masked_fill(~truth.sounding_BN, CLASSES), 1.0)
    heard_BC.scatter_(1, truth.offscreen_B[:, None].masked_fill(truth.offscreen_B[:, None] < 0, CLASSES), 1.0)
    named_BK = heard_BC[:, name_K] + 1e-3
    return named_BK / named_BK.sum(1, keepdim=True)


def measure(method: nn.Module, run: Run, arm: str = "two stages") -> dict[str, float]:
    """Purity and NMI of the dictionary; scores of solo scenes, duets and parties, and the rules they were judged by."""
    assert isinstance(method, SoundingMixtures)
    found = clusters.agreement(*_grouped(method, run, arm))
    scores = {"purity": found.purity, "NMI": found.nmi}
    for kind, threshold in (("solo", 0.5), ("duet", 0.3), ("cocktail", 0.3)):
        seen = {split: see(method, run, arm, kind, split) for split in ("val", "test")}
        if "blind" in ARMS[arm].judge:
            judged = scenes.blind(seen["test"], threshold)[ARMS[arm].judge["blind"]]
        else:
            rule = scenes.best_rule(seen["val"])
            judged = scenes.judge(seen["test"], rule, threshold) | {"rule": rule}
        scores |= {f"{kind} {name}": value for name, value in judged.items()}
    return scores


def see(method: SoundingMixtures, run: Run, arm: str, kind: str, split: str = "test") -> scenes.Scenes:
    """Maps of one kind of scene, as an arm makes them: ``"solo"`` the sounding area, else a map a class."""
    name_K, how = names(method, run, arm), ARMS[arm].judge

    def maps(batch: Batch) -> Any:
        if kind == "solo" or how.get("agnostic"):
            return method.first.area(*method.first.maps(batch))
        return scenes.by_class(method.class_maps(batch), name_K, CLASSES)

    found = scenes.look(method, run.batches(run.world(kind, split, **DIALS)), CLASSES, maps)
    return scenes.shuffled(found, run.seed) if how.get("shuffled") and kind != "solo" else found
