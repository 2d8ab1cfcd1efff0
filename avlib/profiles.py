"""How much work a run is: one table of sizes; what a method needs otherwise stands in its recipe's ``BUDGET``.

``smoke`` asks only whether a thing runs (seconds), ``cpu`` is what the book prints (two cores, at most 100 s a
chapter), ``gpu`` takes one card for minutes: larger pictures, full-size encoders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from avlib.errors import unknown
from avlib.recipes import load


@dataclass(frozen=True)
class Profile:
    """The size of a run.

    Attributes:
        name: ``"smoke"``, ``"cpu"`` or ``"gpu"``.
        size: side of a picture, px.
        video_size: side of a video frame, px.
        batch: clips a step.
        steps: steps of training.
        count: scenes of the training set; 0 draws new ones for ever.
        eval_count: scenes of an evaluation set.
        seeds: how many seeds the claims are tested with.
        full: the papers' own encoders, or the small ones?
        amp: bfloat16 autocast, where the device has it.
    """

    name: str
    size: int
    video_size: int
    batch: int
    steps: int
    count: int
    eval_count: int
    seeds: int
    full: bool
    amp: bool


# fmt: off
PROFILES: dict[str, Profile] = {
    #                   name    size video batch steps count  eval seeds full   amp
    "smoke": Profile("smoke",   32,   32,    8,    4,    0,    64,  1, False, False),
    "cpu":   Profile("cpu",     64,   48,   64,  400,    0,   512,  3, False, False),
    "gpu":   Profile("gpu",    128,   96,  128, 4000,    0,  4096,  5, True,  True),
}

# fmt: on


def profile(name: str, method: str | None = None) -> Profile:
    """The profile ``name``, with what the recipe of ``method`` changes in it (its ``BUDGET``).

    Raises:
        ValueError: an unknown profile, method or field; the right names are listed.

    Examples:
        >>> profile("cpu").size
        64
    """
    if name not in PROFILES:
        raise unknown("profile", name, PROFILES)
    return PROFILES[name] if method is None else _changed(PROFILES[name], getattr(load(method), "BUDGET", {}))


def _changed(plain: Profile, budget: Mapping[str, Mapping[str, Any]]) -> Profile:
    known = [f.name for f in fields(Profile)]
    for name, changes in budget.items():
        if name not in PROFILES:
            raise unknown("profile", name, PROFILES)
        for key in changes:
            if key not in known:
                raise unknown("profile field", key, known)
    return replace(plain, **budget.get(plain.name, {}))
