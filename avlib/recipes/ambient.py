"""How ambient sound is trained and judged here.

    avlib train ambient --profile cpu
    avlib claims ambient --profile cpu

Each clip shows a thing before a place, and both are heard; but some things never make a sound, which ones being drawn
by seed. The network sees pictures alone: the sound's part is worked out before training, on the clips of training.
Linear probes then ask each layer for things and places, C being chosen on validation clips; units are asked what they
look at; and the common exam is sat, with the labels of a sound in place of its embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.claims import Claim, Contrast
from avlib.encoders import pool_mean
from avlib.encoders.ear import Ear
from avlib.evaluate import units
from avlib.evaluate.exam import SETS, probe_score
from avlib.evaluate.features import evaluating, join
from avlib.experiment import Arm, Batches, Clips, Run
from avlib.methods.ambient import AmbientSound
from avlib.methods.ambient_targets import Targets, colours
from avlib.rounds import settle
from avlib.types import Batch
from avlib.world import Shuffled, Stream, World
from avlib.world.scenes import class_order
from avlib.world.variation import vary

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 16, "count": 128, "eval_count": 128},
    "cpu": {"steps": 600, "size": 48, "count": 2048},
    "gpu": {"count": 32_768},
}
OWN, LABELS, NARRATED, WRONG = "bits", "labels", "narrated", "wrong pairs"
ARMS = {
    OWN: Arm(),
    "clusters": Arm(build={"labeler": "clusters"}),
    "spectrum": Arm(build={"summary": "spectrum"}),
    "regression": Arm(build={"labeler": "regression"}),
    "not balanced": Arm(build={"balanced": False}),
    NARRATED: Arm(),
    "own colours": Arm(build={"summary": "colours"}),
    LABELS: Arm(),
    WRONG: Arm(shuffled=True),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
CHANCE = {"known: pairs": 0.5, "last over grid": 0.0}

_PAPER = "owens2016ambient"
# fmt: off
CLAIMS = (
    Claim("Its own sound teaches the eye more than a wrong one that it could learn by heart",
          "known: things, fc7", OWN, WRONG, "ours: the dullest explanation", "own", primary=True),
    Contrast("Things that are heard gain more from training than things that never sound",
             ("known: heard things", OWN, "untrained"), ("known: silent things", OWN, "untrained"),
             f"{_PAPER}, objects with characteristic sounds", "heard", primary=True),
    Claim("Bits leave a last layer that tells more than clusters' does, with as many outputs",
          "known: probe", OWN, "clusters", f"{_PAPER}, linear SVM by layer", "labeler", primary=True),
    Claim("All texture statistics teach more than the mean spectrum alone",
          "known: probe", OWN, "spectrum", f"{_PAPER}, linear SVM by layer", "statistics", primary=True),
    Claim("Clusters lose more than bits from the convolutions to the last layer",
          "last over grid", OWN, "clusters", f"{_PAPER}, linear SVM by layer", "layers"),
    Claim("Sound teaches more than the picture's own colours",
          "known: probe", OWN, "own colours", "ours: the dullest explanation", "colours"),
    Claim("What a person calls it teaches more than how it sounds",
          "known: probe", LABELS, OWN, f"{_PAPER}, ImageNet and Places", "labels"),
    Claim("Bits teach more than the numbers that they were made of",
          "known: probe", OWN, "regression", "ours", "labeler"),
    Claim("Statistics that were not scaled first teach less",
          "known: probe", OWN, "not balanced", "ours", "scale"),
    Claim("A voice that talks over everything spoils the lesson",
          "known: probe", OWN, NARRATED, "ours", "narrated"),
    Claim("More units detect things than in a net that was not trained",
          "detectors of things", OWN, "untrained", f"{_PAPER}, units", "units"),
    Claim("More units detect things than in a net that learnt wrong sounds by heart",
          "detectors of things", OWN, WRONG, "ours: the dullest explanation", "units"),
    Claim("More units detect things that are heard than things that never sound",
          "detectors of heard over silent things", OWN, "untrained", f"{_PAPER}, units", "units"),
    Claim("A picture tells which of two sounds is its own",
          "known: pairs", OWN, "chance", "ours", "pairs"),
    Contrast("Things that are heard gain more over wrong pairs than things that never sound",
             ("known: heard things", OWN, WRONG), ("known: silent things", OWN, WRONG), "ours", "heard"),
    Claim("Wrong sounds that are always the same teach more than ones that change",
          "known: things, fc7", WRONG, "shuffled pairs", "ours: learning by heart", "shuffled"),
    Claim("Control: with the sounds of other clips, each time another, there is nothing to gain",
          "known: probe", "shuffled pairs", "untrained", "ours", "shuffled", margin=0.05, kind="equal"),
)
# fmt: on
OUTPUTS = 16
"""Bits, or clusters: as many as the small form's spectrum has principal axes to spare."""
DIALS: dict[str, Any] = {"side": (0.5, 0.75), "hue": 0.0, "ambience": -8.0, "mute": 10}
"""Of preset ``ambient``: large things in the colours of their hands; half of the things never make a sound."""
RATE = 5e-3
"""Largest learning rate of the one-cycle schedule."""
RATES = dict.fromkeys(("spectrum", "regression", "own colours", NARRATED), 2.5e-3)
"""That of an arm, where it is another. All of them: chosen on validation clips of seed 11, which is in no record, among
2.5e-3, 5e-3 and 1e-2, by the mean accuracy for things and places at the last layer."""
DUCKED = 0.25
"""How much of the scene's own sound is left under a narrator, a factor: 12 dB less, as films are mixed."""
CROP, COLOUR = 0.85, 0.1
"""How much pictures vary from one look to the next, see `avlib.world.variation.vary`."""
LAYERS = ("max5", "pool5", "fc6", "fc7")
TOP, CLIPS = 60, 4
"""How many clips a unit is judged by, and among how many times the evaluation clips they are looked for."""


def world(run: Run, split: str = "train", **dials: Any) -> World:
    """Clips of a thing before a place; which things are mute depends on the seed."""
    return run.world("ambient", split, seconds=1.0, **DIALS | {"class_seed": run.seed + 1} | dials)


def mute(run: Run) -> list[int]:
    """The things that never sound."""
    return class_order(len(world(run).classes), run.seed + 1)[-DIALS["mute"] :].tolist()


def ear(run: Run) -> Ear:
    """The statistics of sounds, which all arms share."""
    return run.once("ear", lambda: Ear(run.budget.full))


def clips(run: Run, arm: str = OWN) -> Clips:
    """The training set of an arm; wrong pairs are the same ones all the time."""
    seen = run.clips(world(run), shuffled=arm == WRONG)
    if arm != NARRATED:
        return seen
    voice = run.clips(run.world("speech", "train", seconds=1.0)).whole.wave_BS
    return Clips(replace(seen.whole, wave_BS=seen.whole.wave_BS * DUCKED + voice))


def train(run: Run, arm: str = OWN) -> nn.Module:
    """Train one arm; ``untrained`` takes no step, but its normalisations are set on the same clips."""
    seen, steps = clips(run, arm), run.steps(ARMS[arm])
    method = build(run, **ARMS[arm].build)
    method.targets.fit(seen.batches(), run.seed)
    if not steps:
        settle(method, seen.batches())
    stream: Any = run.stream(seen)
    stream = reshuffled(stream) if arm == "shuffled pairs" else stream
    lesson = run.build(Named, method, world(run)) if arm == LABELS else method
    run.fit(lesson, looks(stream, run.seed), steps, RATES.get(arm, RATE))
    return method


def reshuffled(stream: Stream) -> Batches:
    """Clips that were rendered once, each with the sound of another step's, in every epoch another."""
    other = Shuffled(stream)
    return lambda step: replace(stream(step), wave_BS=stream.world.batch(other.heard(step)).wave_BS)


def build(run: Run, **settings: Any) -> AmbientSound:
    """The net at the size of a run's profile; its targets are not fitted."""
    targets = Targets(ear(run), **{"outputs": OUTPUTS, **settings})
    return run.build(AmbientSound, targets, full=run.budget.full)


def looks(stream: Batches, seed: int) -> Batches:
    """Each picture cut out, mirrored and recoloured in another way each time; its sound as it is."""

    def varied(step: int) -> Batch:
        batch = stream(step)
        seen = replace(batch, wave_BS=batch.wave_BS[:, :1])  # what is not kept need not be varied
        return replace(batch, image_BCHW=vary(seen, seed + step, CROP, COLOUR).image_BCHW)

    return varied


class Named(nn.Module):
    """The same picture net taught with labels: which thing is it, and which place?"""

    def __init__(self, method: AmbientSound, world: World) -> None:
        super().__init__()
        self.image = method.image
        self.things, self.places = (nn.Linear(method.image.dim, len(n)) for n in (world.classes, world.pack.places))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Both cross-entropies."""
        assert batch.truth.backdrop_B is not None
        value_BD = pool_mean(self.image(batch.frame_BCHW)["fc7"])
        asked = ((self.things, batch.truth.label_B), (self.places, batch.truth.backdrop_B))
        losses = [functional.cross_entropy(head(value_BD), label_B) for head, label_B in asked]
        return {"loss": losses[0] + losses[1]}


def measure(method: nn.Module, run: Run, arm: str = OWN) -> dict[str, float]:
    """Probes of every layer, what units detect, and the exam."""
    assert isinstance(method, AmbientSound)
    scores = detected(method, run)
    for begin, (valid, test) in SETS.items():
        found = probes(method, run, {"train": "own", "val": valid, "test": test})
        scores |= {f"{begin}: {name}": value for name, value in found.items()}
    scores["last over grid"] = scores["known: probe"] - scores["known: probe, pool5"]
    return scores | run.exam(method, ("solo",), class_seed=run.seed + 1, **DIALS)


def probes(method: AmbientSound, run: Run, hands: dict[str, str]) -> dict[str, float]:
    """What each layer tells of things and places, heard and silent things apart; and what mean colours tell."""
    parts = [run.batches(world(run, split, hands=whose)) for split, whose in hands.items()]
    truth = [join([batch.truth for batch in part]) for part in parts]
    asked: dict[str, list[Any]] = {"things": [t.label_B for t in truth], "places": [t.backdrop_B for t in truth]}
    found = [layers(method, part) for part in parts]
    scores: dict[str, float] = {}
    for name in found[0]:
        value = [layer[name] for layer in found]
        both = {what: probe_score(*zip(value, label, strict=True)) for what, label in asked.items()}
        scores |= {f"{what}, {name}": score for what, score in both.items()}
        scores[f"probe, {name}"] = sum(both.values()) / 2
    silent, last = torch.tensor(mute(run)), [layer[LAYERS[-1]] for layer in found]
    for what, mine in (("heard things", False), ("silent things", True)):
        kept = [torch.isin(label_B, silent) == mine for label_B in asked["things"]]
        rows = [(v[k], label[k]) for v, label, k in zip(last, asked["things"], kept, strict=True)]
        scores[what] = probe_score(*rows)
    return scores | {"probe": scores[f"probe, {LAYERS[-1]}"]}


def layers(method: AmbientSound, batches: Sequence[Batch]) -> dict[str, Tensor]:
    """Every layer for some clips, name to (B, D), on the CPU; the first is none of the net's, but the mean colours."""
    with evaluating(method) as device:
        rows = [{"colours": colours(batch)} | method.layers(batch.to(device)) for batch in batches]
    return {name: torch.cat([row[name].cpu() for row in rows]) for name in rows[0]}


def detected(method: AmbientSound, run: Run) -> dict[str, float]:
    """How many units of the last convolution detect things, heard or silent, and places."""
    found, silent = detectors(method, run), mute(run)
    things = range(found.things)
    counts = [found.of_things(k) for k in ([n for n in things if n not in silent], silent)]
    return {
        "detectors of things": sum(counts), "detectors of heard things": counts[0],
        "detectors of silent things": counts[1], "detectors of heard over silent things": counts[0] - counts[1],
        "detectors of places": found.of_places,
    }  # fmt: skip


def detectors(method: AmbientSound, run: Run) -> units.Detectors:
    """What the units of the last convolution look at, on unseen scenes."""
    scenes, rows, truths = world(run, "test", hands="known"), [], []
    with evaluating(method) as device:
        for batch in scenes.batches(CLIPS * run.budget.eval_count, masks=True):
            rows.append(method.image(batch.frame_BCHW.to(device))["conv5"].float().cpu())
            truths.append(replace(batch.truth, stem_BNS=None, offscreen_stem_BS=None).to("cpu"))
    truth = join(truths)
    return units.detectors(
        torch.cat(rows), truth.mask_BNHW, truth.category_BN, truth.backdrop_B, len(scenes.classes), TOP
    )
