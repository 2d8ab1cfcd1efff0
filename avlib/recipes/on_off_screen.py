"""How on-screen and off-screen sound are taken apart and judged here: the second half of Multisensory.

    avlib train on_off_screen --profile cpu
    avlib claims on_off_screen --profile cpu

A mixture is of two clips of one class, both at one level, and the picture is that of either: timbre does not tell whose
sound is whose, a still picture tells little, and when the thing in the picture moves tells it. Labels choose who is
mixed with whom; no net reads them. The picture net begins from weights that learnt to tell sound in time from sound of
another time (`avlib.recipes.multisensory`), or from none. Asked is whether "on" is nearer to the source on screen than
to the other (attribution), by how much both are better than the mixture, and what becomes of a source whose half of the
picture is hidden. All of it is asked of recordings that no training heard, of the hands that training saw.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from avlib.claims import Claim, Contrast
from avlib.distributed import rank, world_size
from avlib.encoders.fused import Fused
from avlib.evaluate.features import evaluating
from avlib.experiment import Arm, Run
from avlib.methods.on_off_screen import N_FFT, OnOffScreen
from avlib.recipes import multisensory
from avlib.recipes.mixtures import MASKS, Mixtures, halves, separated
from avlib.recipes.multisensory import TWO, windows
from avlib.recipes.timing import FPS, FRAMES, HARD, LOOK, still
from avlib.types import Batch
from avlib.world.windows import Pairs

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 8, "count": 96, "eval_count": 96},
    "cpu": {"batch": 16, "steps": 250, "size": 48, "count": 768, "eval_count": 384},
    "gpu": {"batch": 64, "count": 4096, "eval_count": 1024, "size": 96},
}
OWN, LONGER = "aligned start", "random start, longer"
_ALONE = "without the stage before it"
ARMS = {
    OWN: Arm(),
    "random-pair start": Arm(),
    "static picture": Arm(),
    "foreign pictures": Arm(shuffled=True),
    "random start": Arm(unequal=_ALONE),
    LONGER: Arm(unequal="as many windows as both stages of the aligned start, all of them of separation"),
    "sound alone": Arm(build={"sees": False}, unequal=_ALONE),
    "untrained": Arm(steps=0),
    "foreign picture": Arm(like=OWN, judge={"foreign": True}),
    "oracle mask": Arm(like="untrained", judge={"mask": "ideal"}),
    "mixture": Arm(like="untrained", judge={"mask": "half"}),
}
STARTS = {OWN: "fused", "random-pair start": "random pairs", "static picture": "fused", "foreign pictures": "fused"}
"""By which arm of Multisensory the picture net was trained before."""
CHANCE = dict.fromkeys(("attribution", "half hidden: attribution", "equal rhythms, half hidden: attribution"), 0.5)
CHANCE |= {"improvement": 0.0, "half hidden: silenced": 0.0}
_PAPER = "owens2018audio"
# fmt: off
CLAIMS = (
    Claim("A picture tells better which of two sounds is on screen than one of another thing of its kind",
          "attribution", OWN, "foreign picture", f"{_PAPER}, on- and off-screen", "attribution", primary=True),
    Claim("Who learnt before what is in time separates better than who begins at random",
          "improvement", OWN, "random start", f"{_PAPER}, on- and off-screen", "start", primary=True),
    Claim("…and better than who begins at random and spends on separation the windows of both stages",
          "improvement", OWN, LONGER, "ours: the dullest explanation", "start", primary=True),
    Claim("A picture that moves tells it better than one that stands still",
          "attribution", OWN, "static picture", _PAPER, "motion", primary=True),
    Claim("Who learnt before what is in time separates better than who learnt which sound goes with which thing",
          "improvement", OWN, "random-pair start", "ours", "start"),
    Claim("Sources are better than the mixture, in the mean",
          "improvement", OWN, "chance", _PAPER, "improvement"),
    Claim("Of two that begin at random, who sees takes them apart better than who only hears, whichever is which",
          "improvement, best order", "random start", "sound alone", _PAPER, "sound"),
    Claim("Hiding half of a picture silences what stands there more than what is still seen",
          "half hidden: silenced", OWN, "chance", f"{_PAPER}, demonstration", "hidden"),
    Claim("…and what is on screen is then the one in sight",
          "half hidden: attribution", OWN, "chance", f"{_PAPER}, demonstration", "hidden"),
    Claim("Control: sound alone does not know what is on screen",
          "attribution", "sound alone", "chance", "ours: by construction", "sound", margin=0.01, kind="equal"),
    Claim("Control: from pictures of other clips nothing is learnt about what is on screen",
          "attribution", "foreign pictures", "chance", "ours", "foreign", margin=0.05, kind="equal"),
    Contrast("Where both play one rhythm, hiding half of a picture tells less",
             ("half hidden: attribution", OWN, "chance"), ("equal rhythms, half hidden: attribution", OWN, "chance"),
             "ours", "hidden"),
)
# fmt: on
RATE = 2.5e-3
RATES = {"random-pair start": 5e-3, "static picture": 5e-3, "sound alone": 1.25e-3}
"""Largest learning rate of the one-cycle schedule, `RATE` where none is given: of 1.25e-3, 2.5e-3, 5e-3 and 1e-2 the
best for each arm, by the improvement on validation clips of seed 11, which is in no record (of *sound alone*, in the
best order; half of 1.25e-3 was worse). *Longer* and *foreign pictures* take those of the random and of the aligned
start, and the stage before has those of `avlib.recipes.multisensory`. Widths, levels, distance and numbers of steps are
guesses; after twice the steps the aligned start was better by another .26 dB. Rows of a batch are few, since the u-net
takes most of the time.
"""
HALVES: dict[str, dict[str, Any]] = {"half hidden": {}, "equal rhythms, half hidden": {"steady": True}}
"""Dials of the scenes of two things, of which one stands in the half of the picture that is hidden."""
BEFORE, PAIRS = 200, 32
"""Steps of the stage before, at most those of separation, and windows in each of them."""


def shown(arm: str) -> Callable[[Batch], Batch]:
    """What an arm gets to see, in training and in every question."""
    return still if arm == "static picture" else lambda batch: batch


def aligned(run: Run, arm: str) -> Fused:
    """The net of an arm of Multisensory, trained once for all arms that begin from it."""

    def learnt() -> Fused:
        method, other = multisensory.build(run, **multisensory.ARMS[arm].build), arm == "random pairs"
        pairs = Pairs(windows(run), rows(run), (HARD,), other, run.seed, rank(), world_size())
        run.fit(method, pairs, before(run), multisensory.RATES.get(arm, multisensory.RATE), part=arm)
        return method.net

    return run.once(("aligned", arm), learnt)


def before(run: Run) -> int:
    """Steps of the stage before."""
    return min(BEFORE, run.budget.steps)


def rows(run: Run) -> int:
    """Windows in each of these steps."""
    return min(PAIRS, 2 * run.budget.batch)


def build(run: Run, **settings: Any) -> OnOffScreen:
    """The net at the size of a run's profile."""
    full = {"width": 32, "dim": 128, "heard": 96, "depth": 4}
    sized: dict[str, Any] = {"bins": N_FFT // 2, "net": full, "width": 16} if run.budget.full else {"net": {}}
    return run.build(OnOffScreen, **sized | {"net": sized["net"] | {"fps": FPS}} | settings)


def train(run: Run, arm: str = OWN) -> OnOffScreen:
    """Train one arm."""
    how, show = ARMS[arm], shown(arm)
    method = build(run, **how.build)
    if arm in STARTS:
        method.net.load_state_dict(aligned(run, STARTS[arm]).state_dict())
    mixtures = Mixtures(windows(run), run.budget.batch, how.shuffled, run.seed, rank(), world_size())
    steps = run.steps(how) + (before(run) * rows(run) // run.budget.batch if arm == LONGER else 0)
    run.fit(method, lambda step: show(mixtures(step)), steps, RATES.get(arm, RATE))
    return method


def measure(method: nn.Module, run: Run, arm: str = OWN) -> dict[str, float]:
    """Every number of the chapter; hidden halves are asked only of nets that learnt."""
    assert isinstance(method, OnOffScreen)
    how, show, clips = ARMS[arm], shown(ARMS[arm].like or arm), windows(run, "test")
    size = min(64, 2 * len(clips))
    mixtures = Mixtures(clips, size, how.judge.get("foreign", False), run.seed)
    batches = [mixtures(step) for step in range(2 * len(clips) // size)]
    with evaluating(method) as device:

        def said(batch: Batch, sources_BNS: Tensor) -> Tensor:
            return method.masks(show(batch).blind().to(device)).cpu()

        scores = separated(MASKS.get(how.judge.get("mask", ""), said), batches, run.budget.eval_count // 24)
        for name, dials in {} if how.judge or how.steps == 0 else HALVES.items():
            settings: dict[str, Any] = {"seconds": FRAMES / FPS, "fps": FPS, "sounding": (2, 2), "hands": "known"}
            world = run.world("twins", "test", **settings | LOOK | TWO | dials)
            found = halves(said, (batch.to("cpu") for batch in world.batches(2 * run.budget.eval_count, 32)))
            scores |= {f"{name}: {what}": value for what, value in found.items()}
    return scores
