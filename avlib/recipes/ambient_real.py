"""Ambient sound on real photographs, each with a real recording or a note of what it shows.

    AVLIB_DATA=FOLDER avlib claims ambient_real --profile cpu

Photographs of Caltech-101 and recordings of ESC never belonged to one video, so their likeness is that of kinds of
things. A linear SVM learns from the photographs of training and is asked about others; its C is chosen on validation.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from avlib.claims import Claim
from avlib.evaluate.features import join
from avlib.experiment import Arm, Run
from avlib.methods.ambient import AmbientSound
from avlib.recipes import ambient, real_sets
from avlib.rounds import settle

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


def train(run: Run, arm: str = "trained") -> AmbientSound:
    """Train one arm; ``untrained`` takes no step, but its normalisations are set on the same clips."""
    # wrong pairs stay the same
    how, seen = ARMS[arm], run.clips(real_sets.photographs(run), shuffled=ARMS[arm].shuffled)
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
    parts = [run.batches(real_sets.photographs(run, split)) for split in ("train", "val", "test")]
    label = [join([batch.truth for batch in part]).label_B for part in parts]
    found = [ambient.layers(method, part) for part in parts]
    scores = {f"SVM, {name}": real_sets.svm([layer[name] for layer in found], label) for name in found[0]}
    return {"SVM": scores[f"SVM, {ambient.LAYERS[-1]}"]} | scores
