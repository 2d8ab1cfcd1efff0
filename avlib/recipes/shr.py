"""How See, Hear, and Read is trained and judged here.

    avlib train shr --profile cpu
    avlib claims shr --profile cpu

Each scene shows a thing before a place, both are heard, and a sentence tells about what is seen. One half of the
training scenes is met as picture and sound, the other half as picture and text, a kind of pair a step by turns: no
sound ever meets its text. A picture network, taught with labels on other scenes, has names for every second thing and
for no place. Whoever is judged is asked on new scenes and recordings. Scenes whose sentences are word for word the same
are equally right where a text is sought or searched with. Ranks are given over those of random lists: 1 is luck.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avlib.claims import Chain, Claim
from avlib.encoders.teacher import Remembering, WorldTeacher
from avlib.evaluate import retrieval, units
from avlib.evaluate.exam import probe_score
from avlib.evaluate.features import Features, features
from avlib.experiment import Arm, Batches, Clips, Run
from avlib.matching import cosine, unit
from avlib.methods.shr import SENSES, SeeHearRead
from avlib.types import Batch
from avlib.world import World
from avlib.world.language import vocabulary

BUDGET: dict[str, dict[str, Any]] = {
    "smoke": {"batch": 8, "count": 64, "eval_count": 64},
    "cpu": {"steps": 600, "size": 48, "count": 8192},
    "gpu": {"count": 16_384, "eval_count": 1024},
}
ARMS = {
    "both losses": Arm(),
    "ranking only": Arm(build={"distil": 0.0}),
    "distillation only": Arm(build={"rank": 0.0}),
    "separate upper layers": Arm(build={"shared": False}),
    "ranking, separate layers": Arm(build={"distil": 0.0, "shared": False}),
    "without picture–text": Arm(),
    "without picture–sound": Arm(),
    "with sound–text": Arm(),
    "shuffled pairs": Arm(shuffled=True),
    "untrained": Arm(steps=0),
}
PAIRS = {
    "without picture–text": ("sound",),
    "without picture–sound": ("text",),
    "with sound–text": ("sound", "text", "neither"),
}
"""Which kinds of pairs an arm meets by turns, where it isn't sound and text; ``neither`` has no picture. All arms take
as many steps of as many clips: whoever lacks a kind of pair meets the other one twice as often."""
