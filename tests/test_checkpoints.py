"""Files that are whole or absent, whoever writes beside one; and generators that go on where they stood."""

import io
import os
import random
from collections.abc import Callable
from pathlib import Path

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


def test_a_file_is_on_the_disk_before_it_takes_the_old_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, calls = tmp_path / "a", []
    path.write_bytes(b"old")
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append(("fsync", os.fstat(handle).st_size)), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append(("replace", path.read_bytes())), replace(a, b)))
    checkpoints.replace_file(path, b"newer")
    assert calls == [("fsync", 5), ("replace", b"old")] and path.read_bytes() == b"newer"


def test_a_second_writer_disturbs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, sync = tmp_path / "a", os.fsync

    def meanwhile(handle: int) -> None:
        monkeypatch.setattr(os, "fsync", sync)
        checkpoints.replace_file(path, b"the other's")
        assert path.read_bytes() == b"the other's"

    monkeypatch.setattr(os, "fsync", meanwhile)
    checkpoints.replace_file(path, b"mine")
    assert path.read_bytes() == b"mine" and [p.name for p in tmp_path.iterdir()] == ["a"]
