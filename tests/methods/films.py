"""Films from which methods of time learn within seconds: one large thing, notes far apart, no backdrop."""

from __future__ import annotations

from typing import Any

from avlib.world import World
from avlib.world.windows import Windows, rendered

DIALS: dict[str, Any] = {"tempo": (1.0, 2.0), "onset_from": 1.0, "drift": 0.0, "side": (0.6, 0.7), "backdrop": 0.0}


def films(seed: int, train: int, test: int, seconds: float = 3.6, **dials: Any) -> tuple[Windows, Windows]:
    """So many clips of training and of the exam, 24 px, 10 frames/s, for windows of 12 frames."""
    learnt, asked = (
        rendered(World("orchestra", "moving", split, seed, 24, seconds, 10.0, **DIALS | dials).batches(count), 12)
        for split, count in (("train", train), ("test", test))
    )
    return learnt, asked
