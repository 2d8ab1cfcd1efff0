"""How much work a run is: one table, read by every chapter, recipe and command.

``smoke`` asks only whether a thing runs (seconds), ``cpu`` is what the book prints (two cores, at most 100 s a
chapter), ``gpu`` takes one card for minutes: larger pictures, full-size encoders.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from avlib.errors import unknown


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

# What a method needs otherwise. Anything that is not named here is as above.
_METHODS: dict[str, dict[str, dict[str, int | bool]]] = {
    # method  profile  fields
    "l3":      {"smoke": {"batch": 16, "eval_count": 128}, "cpu": {"steps": 480}},
    "dsol":    {
        "smoke": {"batch": 16, "steps": 12, "count": 64}, "gpu": {"count": 16384},
        "cpu": {"batch": 32, "steps": 560, "count": 1024, "eval_count": 256},
    },
    "l3_real": {"smoke": {"batch": 16}, "cpu": {"steps": 120}},
    "soundnet": {
        "smoke": {"batch": 16, "count": 64, "eval_count": 128},
        "cpu": {"batch": 32, "steps": 208, "count": 2048},
        "gpu": {"batch": 64, "eval_count": 1024},
    },
    "soundnet_real": {"smoke": {"batch": 8, "count": 32}, "cpu": {"batch": 32, "steps": 160, "count": 640}},
}
# fmt: on


def profile(name: str, method: str | None = None) -> Profile:
    """The profile ``name``, with what ``method`` (the name of its recipe) changes in it.

    Raises:
        ValueError: an unknown profile; the right names are listed.

    Examples:
        >>> profile("cpu").size
        64
    """
    if name not in PROFILES:
        raise unknown("profile", name, PROFILES)
    changes = _METHODS.get(method or "", {}).get(name, {})
    return replace(PROFILES[name], **changes)  # type: ignore[arg-type]


def check() -> None:
    """Every override names a profile and a field; raises ValueError where one does not."""
    names = [f.name for f in fields(Profile)]
    for overrides in _METHODS.values():
        for name, changes in overrides.items():
            if name not in PROFILES:
                raise unknown("profile", name, PROFILES)
            for key in changes:
                if key not in names:
                    raise unknown("profile field", key, names)
