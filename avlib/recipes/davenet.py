"""How spoken captions are trained and judged here.

    avlib train davenet --profile cpu
    avlib claims davenet --profile cpu

Scenes of one or two things, and a sentence about each. Whatever is judged, scenes are new, and so are the speakers
where nothing else is said. A sentence that is word for word that of another clip is as right as its own. Beside the
common exam (with sentences for sounds): search both ways; where a word points while it is said; which stretches of
speech go with something in sight, and whether those that sound alike are one word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.claims import Claim
from avlib.distributed import gather
from avlib.encoders import ImageSmall, ImageVGG16, pool_mean
from avlib.evaluate import exam, retrieval, words
from avlib.evaluate.features import Features, evaluating, features
from avlib.experiment import Arm, Run
from avlib.matching import matchmap
from avlib.methods.davenet import SpokenCaptions, spoken
from avlib.types import Batch
from avlib.world import World
from avlib.world.language import readable, roles
from avlib.world.packs import Pack

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 8, "count": 64, "eval_count": 64},
    "cpu": {"steps": 720, "size": 48, "count": 8192},
    "gpu": {"steps": 2000, "count": 16_384, "eval_count": 1024},
}
ARMS = {
    "MISA": Arm(),
    "SISA": Arm(build={"pooling": "SISA"}),
    "SIMA": Arm(build={"pooling": "SIMA"}),
    "pooled (2016)": Arm(build={"pooling": "pooled"}),
    "random impostor": Arm(build={"rivals": "random"}),
    "semi-hard impostor": Arm(build={"rivals": "semi-hard"}),
    "labels first": Arm(),
    "half of the pairs": Arm(),
    "companions": Arm(world={"companion": True, "things": (1, 1)}),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
KS = (1, 5, 10)
WAYS = ("picture → speech", "speech → picture")
CHANCE = {"units: purity over luck": 0.0, "known voices: gain": 0.0}
_2017, _2018 = "harwath2017learning", "harwath2018jointly"
# fmt: off
CLAIMS = (
    Claim("It is the sentence about a picture that finds it",
          "speech → picture R@10", "MISA", "shuffled pairs", "ours: the dullest explanation", "found", primary=True),
    Claim("Whose best cell counts finds pictures better than the mean of all cells",
          "speech → picture R@10", "MISA", "SISA", f"{_2018}, retrieval", "pooling", primary=True),
    Claim("A word points at its thing better where the best cell counts",
          "words: pointing", "MISA", "SISA", f"{_2018}, localisation", "pointing", primary=True),
    Claim("Stretches that go with something in sight are purer words than others as long",
          "units: purity over luck", "MISA", "chance", _2017, "units", primary=True),
    Claim("A picture finds its sentence, too",
          "picture → speech R@10", "MISA", "shuffled pairs", "ours: the dullest explanation", "found"),
    Claim("A trained net points where an untrained one does not",
          "words: pointing", "MISA", "untrained", _2018, "pointing"),
    Claim("Its stretches beat luck by more than an untrained net's, whose hot places follow the sound",
          "units: purity over luck", "MISA", "untrained", "ours: the dullest explanation", "units"),
    Claim("Its stretches beat luck by more than those of a net that learnt from wrong pairs",
          "units: purity over luck", "MISA", "shuffled pairs", "ours", "units"),
    Claim("Words for what is seen are found, words of like length for nothing visible are not",
          "units: seen over unseen words", "MISA", "shuffled pairs", _2017, "words"),
    Claim("The mean of all cells loses nothing against means that are compared as a whole",
          "speech → picture R@10", "SISA", "pooled (2016)", "ours", "pooling", kind="not worse", margin=0.05),
    Claim("The best moment of each cell finds pictures better than the mean",
          "speech → picture R@10", "SIMA", "SISA", "ours", "pooling"),
    Claim("A choice among the batch teaches more than one random impostor",
          "speech → picture R@10", "MISA", "random impostor", "ours", "rivals"),
    Claim("The hardest impostor that is still below teaches more than a random one",
          "speech → picture R@10", "semi-hard impostor", "random impostor", "harwath2020learning", "rivals"),
    Claim("Labels first, in half of the steps, are better than pairs alone",
          "speech → picture R@10", "labels first", "MISA", f"{_2018}, pre-trained image towers", "labels"),
    Claim("More pairs teach more, in as many steps",
          "speech → picture R@10", "MISA", "half of the pairs", _2018, "pairs"),
    Claim("Voices of training are understood no worse than new ones",
          "known voices: gain", "MISA", "chance", "ours", "voices", kind="not worse", margin=0.02),
    Claim("A word whose thing always has company points worse",
          "words: pointing", "MISA", "companions", "ours", "company"),
    Claim("Control: with shuffled pairs there is nothing to find",
          "speech → picture R@10", "shuffled pairs", "untrained", "ours", "shuffled", margin=0.03, kind="equal"),
)
# fmt: on
SIZE, SMALL = {"hop": 320}, {"dim": 64, "width": 16}
"""Arguments of every net, and of the small one."""
LOOK: dict[str, Any] = {"side": (0.44, 0.5), "seconds": 3.2}
"""What all worlds share: things that fill half of a quarter and more, and time for the longest sentences."""
RATE, FULL_RATE = 2.5e-3, 1e-3
"""Largest learning rates of the one-cycle schedule, of the small and of the paper's towers."""
RATES = {"SISA": 5e-3, "pooled (2016)": 5e-3}
"""That of an arm of small towers, where it is another. All of them: chosen on validation clips of seed 11, which is in
no record, among 1.25e-3, 2.5e-3, 5e-3 and 1e-2, by how many sentences find their picture (R@10)."""
LABELLED, HALF = "labels first", "half of the pairs"
SETS = {"": ("known", "own"), "new: ": ("own", "own"), "known voices: ": ("known", "known")}
"""Whose drawings and whose voices each set of test clips has, by the beginning of its metrics."""
CLUSTERS = 120
"""How many clusters of stretches there are: more than words in the vocabulary."""


def world(run: Run, split: str = "train", **dials: Any) -> World:
    """Scenes with a sentence about each."""
    return run.world("speech", split, **{**LOOK, **dials})


def train(run: Run, arm: str = "MISA") -> SpokenCaptions:
    """Train one arm; one of them spends half of its steps on names of things, for its picture tower alone."""
    how = ARMS[arm]
    method, steps = build(run, **how.build), run.steps(how)
    seen = run.clips(world(run, **how.world), run.budget.count // (2 if arm == HALF else 1), how.shuffled)
    stream = run.stream(seen, len(seen.whole))
    rate = FULL_RATE if run.budget.full else RATES.get(arm, RATE)
    if arm == LABELLED:
        lesson = run.build(Named, method.image, len(run.world("solo").classes))
        run.fit(lesson, stream, steps - steps // 2, rate, part="labels")
        steps = steps // 2
    run.fit(method, stream, steps, rate)
    return method


class Named(nn.Module):
    """A picture tower with a name for each thing, taught with labels: which are there?"""

    def __init__(self, image: ImageSmall | ImageVGG16, classes: int) -> None:
        super().__init__()
        self.image, self.classes = image, classes
        self.head = nn.Linear(image.output.out_channels, classes)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Binary cross-entropy of each class."""
        category_BN = batch.truth.category_BN
        assert category_BN is not None
        there_BK = functional.one_hot(category_BN + 1, self.classes + 1).amax(1)[:, 1:].float()
        logit_BK = self.head(pool_mean(self.image(batch.frame_BCHW)))
        return {"loss": functional.binary_cross_entropy_with_logits(gather(logit_BK), gather(there_BK))}


def build(run: Run, **settings: Any) -> SpokenCaptions:
    """The net at the size of a run's profile."""
    small = {} if run.budget.full else SMALL
    return run.build(SpokenCaptions, full=run.budget.full, **{**SIZE, **small, **settings})


FIELDS = ("image_BDYX", "speech_BDL")
"""What is read of an embedding."""


def measure(method: nn.Module, run: Run, arm: str = "MISA") -> dict[str, float]:
    """Every number of the chapter."""
    assert isinstance(method, SpokenCaptions)
    scores: dict[str, float] = {}
    for begin, (hands, voices) in SETS.items():
        clips = run.batches(world(run, "test", hands=hands, voices=voices))
        found = features(method, clips, FIELDS)
        scores |= {f"{begin}{name}": value for name, value in search(method, found).items()}
        if not begin:
            scores |= {f"units: {name}": value for name, value in units(found, run).items()}
            both = search(method, features(method, overheard(clips), FIELDS))
            scores[f"two voices: {WAYS[1]} R@10"] = both[f"{WAYS[1]} R@10"]
    scores["known voices: gain"] = scores[f"known voices: {WAYS[1]} R@10"] - scores[f"{WAYS[1]} R@10"]
    rule = best_rule(pointed(method, run, "val", "known"))
    for begin, hands in (("words", "known"), ("new: words", "own")):
        found_here = pointed(method, run, "test", hands).scores(rule)
        scores |= {f"{begin}: {name}": value for name, value in found_here.items()}
    dials = {"speech": True, "sounding": (0, 0), **LOOK}
    return scores | run.exam(method, (), **dials)


def search(method: SpokenCaptions, found: Features) -> dict[str, float]:
    """Recall and median rank both ways; the right ones are the clip's own and whatever has its very sentence."""
    with evaluating(method) as device:
        pictures = found.image_BDYX.split(64)
        speech_BDL = found.speech_BDL.to(device)
        sim_BB = torch.cat([method.score(part.to(device), speech_BDL).cpu() for part in pictures])
    said = np.array(found.truth.caption)
    both = retrieval.both_directions(sim_BB, KS, said[:, None] == said[None], ("picture", "speech"))
    scores = {f"{way} R@{k}": value for way, part in both.items() for k, value in part.recall.items()}
    return scores | {f"{way} median rank": part.median_rank for way, part in both.items()}


def overheard(clips: Sequence[Batch]) -> list[Batch]:
    """The same clips while somebody else talks as loudly: the sentence of the next clip of its batch."""
    return [replace(batch, wave_BS=batch.wave_BS + batch.wave_BS.roll(1, 0)) for batch in clips]


def cell_of(found: Features, seconds: float) -> float:
    """How long a cell of a sentence's map is, s."""
    assert found.speech_BDL is not None
    return seconds / found.speech_BDL.shape[2]


def named(pack: Pack) -> dict[str, int]:
    """Word → class, of all words in the names of things."""
    return {word: k for k, name in enumerate(pack.classes) for word in readable(name).split()}


def pointed(method: nn.Module, run: Run, split: str, hands: str) -> words.Pointed:
    """Where words point on scenes of two things."""
    scenes = world(run, split, hands=hands, things=(2, 2))
    found = features(method, run.batches(scenes), FIELDS)
    map_BYXL, truth = matchmap(found.image_BDYX, found.speech_BDL), found.truth
    assert truth.words is not None and truth.category_BN is not None and truth.box_BN4 is not None
    cell = cell_of(found, scenes.seconds)
    return words.point(map_BYXL, truth.words, named(scenes.pack), truth.category_BN, truth.box_BN4, cell, scenes.size)


def best_rule(pointed: words.Pointed) -> float:
    """The share of a map's range above which its IoU is best."""
    return max(exam.RULES, key=lambda rule: pointed.scores(rule)["IoU"])


def discovered(found: Features, seconds: float, lucky: bool = False) -> tuple[words.Segments, words.WordUnits]:
    """Stretches of speech that go with something in sight, or as many anywhere, and their clusters."""
    cells_B = spoken(found.speech_BDL).sum(1)
    segments = words.grounded(matchmap(found.image_BDYX, found.speech_BDL), cells_B)
    segments = words.elsewhere(segments, cells_B) if lucky else segments
    assert found.truth.words is not None
    cell = cell_of(found, seconds)
    return segments, words.word_units(segments, found.speech_BDL, found.truth.words, cell, CLUSTERS)


def units(found: Features, run: Run) -> dict[str, float]:
    """What the discovered words are worth, beside the same at random places."""
    scenes = world(run, "test")
    (_, own), (_, luck) = (discovered(found, scenes.seconds, lucky) for lucky in (False, True))
    role = roles(scenes.pack)
    seen = [word for word, what in role.items() if what == "thing"]
    unseen = [word for word, what in role.items() if what == "control"]
    return {
        "purity": own.purity, "purity, luck": luck.purity, "purity over luck": own.purity - luck.purity,
        "NMI": own.nmi, "NMI, luck": luck.nmi, "time IoU": own.iou, "time IoU, luck": luck.iou,
        "seen words": own.covered(seen), "unseen words": own.covered(unseen),
        "seen over unseen words": own.covered(seen) - own.covered(unseen),
        "seen words, luck": luck.covered(seen), "unseen words, luck": luck.covered(unseen),
    }  # fmt: skip
