"""Two processes on half a batch each give the gradient of one on all of it: every method, every stage of its recipe.

The worker (this file, run twice) lets each recipe train, but where it calls `fit`, it takes one gradient of the method on
the first batch instead of a training. So a new recipe is tested as soon as it exists, with the streams that it makes.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avlib import distributed, profiles, recipes, train
from avlib.types import Batch

CLIPS = 16
ROOT = Path(__file__).parent.parent
Gradients = dict[str, Tensor]


def gradient(method: nn.Module, batch: Batch, step: int) -> Gradients:
    """What one step of `fit` would hand to its optimiser, in double precision, and the statistics of the forward pass."""
    method = method.double().train()
    for kept in vars(method).values():
        for part in kept if isinstance(kept, tuple) else ():
            if isinstance(part, nn.Module):  # a teacher, which belongs to no method's own modules
                part.double()
    with distributed.synchronised(method):
        loss = distributed.wrap(method)
        loss(in_double(batch), step)["loss"].backward()
    found = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return found | {name: b.clone() for name, b in method.named_buffers() if name.endswith("running_mean")}


def in_double(batch: Batch) -> Batch:
    return batch._map(lambda t: t.double() if t.is_floating_point() else t, lambda rows: rows)


@contextmanager
def gradients_for_trainings() -> Iterator[list[Gradients]]:
    """Within, every `fit` of a recipe takes gradients and trains nothing."""
    found: list[Gradients] = []

    def spy(
        method: nn.Module, batches: Callable[[int], Batch], config: Any, hooks: Sequence[Any] = ()
    ) -> train.History:
        for step in range(min(config.steps, 1)):
            batch = batches(step)
            for hook in hooks:
                hook(method, batch, step)
            found.append(gradient(method, batch, step))
            method.zero_grad()
            method.float()
        return train.History()

    modules = [m for name, m in sys.modules.items() if name.startswith("avlib.") and getattr(m, "fit", None) is FIT]
    for module in modules:
        module.fit = spy  # type: ignore[attr-defined]
    try:
        yield found
    finally:
        for module in modules:
            module.fit = FIT  # type: ignore[attr-defined]


FIT = train.fit


def of_recipe(name: str, arm: str) -> list[Gradients]:
    """The gradients of each stage of one arm."""
    recipe = recipes.load(name)
    size = CLIPS // distributed.world_size()
    budget = dataclasses.replace(profiles.profile("smoke", name), batch=size, count=32, steps=6)
    with gradients_for_trainings() as found:
        recipe.train(budget, 0, arm, device="cpu")
    return found
