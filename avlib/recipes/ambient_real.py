"""Ambient sound on real photographs, each with a real recording or a note of what it shows.

    AVLIB_DATA=FOLDER avlib claims ambient_real --profile cpu

Photographs of Caltech-101 and recordings of ESC never belonged to one video, so their likeness is that of kinds of
things. A linear SVM learns from the photographs of training and is asked about others; its C is chosen on validation.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from avlib.claims import Claim
from avlib.encoders import pool_max
from avlib.evaluate import probe
from avlib.evaluate.features import evaluating, join
from avlib.experiment import Arm, Run
from avlib.methods.ambient import AmbientSound
from avlib.recipes import ambient
from avlib.rounds import settle
from avlib.world import World

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 16, "count": 128, "eval_count": 128},
    "cpu": {"steps": 400, "size": 64, "count": 1024},
    "gpu": {"count": 8192},
}
ARMS = {
    "trained": Arm(),
    "own colours": Arm(build={"summary": "colours"}),
    ambient.WRONG: Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
_PAPER = "owens2016ambient"
# fmt: off
CLAIMS = (
    Claim("Predicting recordings beats untrained features on photographs that it never saw",
          "SVM", "trained", "untrained", f"{_PAPER}, linear SVM by layer", "photos", primary=True),
    Claim("It is recordings of the same kind of thing that teach",
          "SVM", "trained", ambient.WRONG, "ours: the dullest explanation", "own", primary=True),
    Claim("Recordings teach more than the photograph's own colours",
          "SVM", "trained", "own colours", "ours: the dullest explanation", "colours", primary=True),
)
# fmt: on
DIALS: dict[str, Any] = {"side": (0.96, 0.96), "tempo": (0.4, 0.8), "gain": (-12.0, 6.0), "seconds": 1.0}
"""The photograph fills its picture; one recording at a time is heard, at many levels, as recordings are."""
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Values of C, of which validation picks one."""


def world(run: Run, split: str = "train") -> World:
    """Photographs of one split, with recordings of the same."""
    return run.world("solo", split, "photos", **DIALS)


def train(run: Run, arm: str = "trained") -> AmbientSound:
    """Train one arm; ``untrained`` takes no step, but its normalisations are set on the same clips."""
    how, seen = ARMS[arm], run.clips(world(run), shuffled=ARMS[arm].shuffled)  # wrong pairs stay the same
    method = ambient.build(run, **how.build)
    method.targets.fit(seen.batches(), run.seed)
    if how.steps == 0:
        settle(method, seen.batches())
    rate = ambient.RATES.get(arm, ambient.RATE)
    run.fit(method, ambient.looks(run.stream(seen), run.seed), run.steps(how), rate)
    return method


def measure(method: nn.Module, run: Run, arm: str = "trained") -> dict[str, float]:
    """Accuracy of a linear SVM on unseen photographs: of the last layer, and beside it of all others."""
    assert isinstance(method, AmbientSound)
    parts = [run.batches(world(run, split)) for split in ("train", "val", "test")]
    label = [join([batch.truth for batch in part]).label_B for part in parts]
    found = [ambient.layers(method, part) for part in parts]
    scores = {f"SVM, {name}": svm([layer[name] for layer in found], label) for name in found[0]}
    return {"SVM": scores[f"SVM, {ambient.LAYERS[-1]}"]} | scores


def svm(value: list[torch.Tensor], label: list[torch.Tensor]) -> float:
    """Accuracy on the third part of a linear SVM that the first taught, with the C that is best on the second."""
    train, valid, test = zip(value, label, strict=True)
    best = max(STRENGTHS, key=lambda C: probe.svm_split(*train, *valid, C=C).accuracy)
    return probe.svm_split(*train, *test, C=best).accuracy


def photographs(image: nn.Module, run: Run) -> float:
    """Accuracy of such an SVM on the max-pooled maps that a picture tower makes of photographs it never saw."""
    parts = [join(run.batches(world(run, split))) for split in ("train", "val", "test")]
    with evaluating(image) as device:
        found = [pool_max(image(part.frame_BCHW.to(device))).cpu() for part in parts]
    return svm(found, [part.truth.label_B for part in parts])
