"""Generators that go on where they stood."""

import io
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avlib import checkpoints
from avlib.errors import CheckpointError

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


def parts() -> dict[str, Any]:
    """A whole checkpoint."""
    log = {"history": {}, "window": {}}
    whole = {"step": 1, "config": {}, "method": {"weight": torch.zeros(2)}, "optimiser": {}, "hooks": [], "log": log}
    return whole | {"random": checkpoints.random_state(CPU)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step": "1"}, "of another kind than it should be: step"),
        ({"method": [1], "log": None}, "of another kind than it should be: method, log"),
        ({"random": {"numpy": [], "python": []}}, r"it lacks random\.torch"),
        ({"log": {"window": {}}}, r"it lacks log\.history"),
        ({"method": {"weight": 1.0}}, "its weights are not named tensors"),
        ({"method": {1: torch.zeros(2)}}, "its weights are not named tensors"),
    ],
)
def test_a_part_that_is_lacking_or_of_another_kind_is_named(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    path = tmp_path / "c.pt"
    torch.save(parts(), path)
    assert checkpoints.load(path)["step"] == 1
    torch.save(parts() | change, path)
    with pytest.raises(CheckpointError, match=rf"c\.pt is damaged or no checkpoint of avlib \({message}"):
        checkpoints.load(path)


def test_a_checkpoint_is_read_or_named_whatever_its_bytes_are(tmp_path: Path) -> None:
    """A wrong place of the archive's table made zipfile raise "Invalid argument" without a name."""
    path, draw = tmp_path / "c.pt", random.Random(0)
    torch.save(parts(), path)
    whole = path.read_bytes()
    for n in range(150):
        raw = bytearray(whole)
        place = draw.randrange(len(raw)) if n % 2 else len(raw) - 1 - draw.randrange(120)
        raw[place : place + 4] = draw.randbytes(4) if n % 3 else b"\xff\xff\xff\xff"
        path.write_bytes(raw)
        try:
            assert checkpoints.load(path).keys() >= checkpoints.PARTS.keys()
        except CheckpointError as error:
            assert str(error).startswith(f"{path} is damaged")


def test_what_the_system_refuses_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
        checkpoints.load(tmp_path)
