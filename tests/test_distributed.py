"""Two processes on half a batch each give the gradient of one on all of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from avlib import distributed
from avlib.losses import info_nce
from avlib.matching import cosine
from avlib.types import Batch

CLIPS = 6


class Tiny(nn.Module):
    """Two linear towers and InfoNCE over the clips of every process."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.image = nn.Parameter(torch.randn(5, 12, generator=generator, dtype=torch.float64))
        self.audio = nn.Parameter(torch.randn(5, 20, generator=generator, dtype=torch.float64))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        image_BD = distributed.gather_with_gradient(batch.frame_BCHW.flatten(1) @ self.image.t())
        audio_BD = distributed.gather_with_gradient(batch.wave_BS @ self.audio.t())
        return {"loss": info_nce(cosine(image_BD, audio_BD), 0.2)}


def batch_of(rows: slice) -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(CLIPS, 3, 2, 2, generator=generator, dtype=torch.float64)
    wave = torch.randn(CLIPS, 20, generator=generator, dtype=torch.float64)
    return Batch(torch.arange(CLIPS)[rows], wave[rows], image_BCHW=image[rows])


def gradients(rows: slice) -> list[Tensor]:
    method = Tiny()
    wrapped = distributed.wrap(method)
    wrapped(batch_of(rows), 0)["loss"].backward()
    return [p.grad for p in method.parameters() if p.grad is not None]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_give_the_gradient_of_one(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "tests.test_distributed", str(tmp_path)]
    workers = [subprocess.Popen(command, env={**environment, "RANK": str(r)}, cwd=root) for r in range(2)]
    try:
        assert [worker.wait(timeout=60) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    whole = gradients(slice(0, CLIPS))
    for rank in range(2):
        halves = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert len(halves) == len(whole) == 2
        for half, full in zip(halves, whole, strict=True):
            assert torch.allclose(half, full, rtol=1e-6, atol=1e-9)


def test_alone_nothing_is_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert distributed.setup("cpu") == torch.device("cpu")
    assert (distributed.world_size(), distributed.rank(), distributed.is_main()) == (1, 0, True)
    value = torch.ones(2, 3)
    assert distributed.gather_with_gradient(value) is value
    distributed.teardown()


if __name__ == "__main__":
    distributed.setup("cpu")
    own = distributed.rank() * CLIPS // 2
    found = gradients(slice(own, own + CLIPS // 2))
    torch.save(found, Path(sys.argv[1]) / f"{distributed.rank()}.pt")
    distributed.teardown()
