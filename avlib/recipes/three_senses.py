"""What a net that sees, hears and reads is asked about its senses (see `avlib.recipes.shr`)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from avlib.evaluate import senses, units
from avlib.evaluate.features import Features
from avlib.methods.shr import SENSES

FIELDS = tuple(f"{sense}_BD" for sense in SENSES)
NAMES = {"image": "picture", "audio": "sound", "text": "text"}
"""How the book calls what an embedding calls otherwise."""
PAIRED = tuple(f"{a} → {b}" for one in ("sound", "text") for a, b in (("picture", one), (one, "picture")))
UNPAIRED = ("sound → text", "text → sound")
TOP = 10
"""Clips that speak for a unit."""


def spaces(found: Features) -> dict[str, dict[str, Tensor]]:
    """What each sense makes of the clips, as it is and (``centred: ``) less the mean over these clips."""
    plain = {name: getattr(found, f"{sense}_BD") for sense, name in NAMES.items()}
    return {"": plain, "centred: ": senses.centred(plain)}


def searches(value: dict[str, Tensor], found: Features, size: int) -> dict[str, float]:
    """Ranks in six directions, see `avlib.evaluate.senses.searches`, and the means of some of them."""
    scores = senses.searches(value, found.truth.caption or (), found.label_B, size)
    for name, ways in (("paired", PAIRED), ("never paired", UNPAIRED), ("all", PAIRED + UNPAIRED)):
        scores[name] = sum(scores[f"{way}, rank"] for way in ways) / len(ways)
    return scores


def knowing(found: Features, size: int) -> dict[str, float]:
    """Text → sound for whoever knows only the true thing of each clip, or thing and place: median rank over luck's."""
    label_B, place_B = found.label_B, found.truth.backdrop_B
    assert place_B is not None and found.truth.caption is not None
    known = {"the thing": label_B, "thing and place": label_B * 100 + place_B}
    return {what: senses.knowing(value_B[:size], found.truth.caption[:size]) for what, value_B in known.items()}


def aligned(found: Features) -> dict[str, float]:
    """Units whose most exciting pictures, sounds and sentences are of one thing, beside permuted units."""
    same = units.agreement([(value_BD, found.label_B) for value_BD in spaces(found)[""].values()], TOP)
    numbers = {"share": same.share, "share, luck": same.null.value, "share, luck at most": same.null.high}
    numbers |= {"share over luck": same.share - same.null.value, "dead": same.dead / same.units}
    return {f"units: {name}": value for name, value in numbers.items()}


def transferred(parts: Sequence[Features]) -> dict[str, float]:
    """Which thing is it? Accuracy of a probe of each sense in each sense, and the means over own and other senses."""
    score = senses.transfer(*((spaces(part)[""], part.label_B) for part in parts))
    own, other = ([value for (a, b), value in score.items() if (a == b) is same] for same in (True, False))
    means = {"own probe": sum(own) / len(own), "transferred probe": sum(other) / len(other)}
    return {f"probe of {taught}, in {asked}": value for (taught, asked), value in score.items()} | means
