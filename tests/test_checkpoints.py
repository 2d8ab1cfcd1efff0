"""Generators that go on where they stood."""

import io
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

from avlib import checkpoints

CPU = torch.device("cpu")
DRAWS: dict[str, Callable[[], float]] = {
    "torch": lambda: torch.rand(()).item(),
    "numpy": lambda: float(np.random.rand()),
    "numpy, the second of a pair of normal numbers": lambda: float(np.random.randn()),
    "python": random.random,
    "python, the second of a pair of normal numbers": lambda: random.gauss(0.0, 1.0),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
@pytest.mark.parametrize("before", range(4))
def test_a_generator_goes_on_where_it_stood(draw: Callable[[], float], before: int) -> None:
    for _ in range(before):
        draw()
    file = io.BytesIO()
    torch.save(checkpoints.random_state(CPU), file)
    expected = [draw() for _ in range(700)]  # more than one block of the twister
    torch.manual_seed(9), np.random.seed(9), random.seed(9)
    file.seek(0)
    checkpoints.set_random_state(torch.load(file, weights_only=True), CPU)
    assert [draw() for _ in range(700)] == expected
