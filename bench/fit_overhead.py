"""What `avlib.train.fit` costs beside a bare loop that does the same training: goal at most 3 %.

Both train the same small image and sound nets on the same batches in memory, with the same optimiser, clipping and
rates. They take turns, round by round, and the median of the rounds' ratios is printed: of wall time, and of
processor time, which a busy machine disturbs less.

    python bench/fit_overhead.py [--rounds 9] [--steps 20] [--batch 64]
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from avlib.train import TrainConfig, fit, parameter_groups, rate
from avlib.types import Batch


class Small(nn.Module):
    """Two convolutional nets whose embeddings are matched within the batch (InfoNCE)."""

    def __init__(self, width: int = 16):
        super().__init__()

        def net(channels: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for factor in (1, 2, 4):
                layers += [nn.Conv2d(channels, width * factor, 3, 2, 1), nn.BatchNorm2d(width * factor), nn.ReLU()]
                channels = width * factor
            return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 32))

        self.image, self.audio = net(3), net(1)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """InfoNCE of pictures against sounds."""
        assert batch.image_BCHW is not None
        image_BD = nn.functional.normalize(self.image(batch.image_BCHW), dim=1)
        audio_BD = nn.functional.normalize(self.audio(batch.wave_BS.view(len(batch), 1, 64, 100)), dim=1)
        label_B = torch.arange(len(batch), device=image_BD.device)
        return {"loss": nn.functional.cross_entropy(image_BD @ audio_BD.T / 0.1, label_B)}


def bare(method: Small, batches: list[Batch], config: TrainConfig) -> None:
    """The same training with nothing around it."""
    for parameter in method.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    torch.manual_seed(config.seed)
    parameters = list(method.parameters())
    optimiser = torch.optim.AdamW(parameter_groups(method, config.weight_decay), lr=config.lr, fused=True)
    method.train()
    for step in range(config.steps):
        loss = method.loss(batches[step % len(batches)], step)["loss"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, config.clip)
        for group in optimiser.param_groups:
            group["lr"] = rate(step, config)
        optimiser.step()


def timed(function: object, *arguments: object) -> tuple[float, float]:
    """Wall and processor time that a call took, s."""
    begun, used = time.perf_counter(), time.process_time()
    function(*arguments)  # type: ignore[operator]
    return time.perf_counter() - begun, time.process_time() - used


def main() -> None:
    """Time both in turns and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    size = (arguments.batch, 3, 64, 64)
    batches = [
        Batch(
            torch.arange(arguments.batch),
            torch.randn(arguments.batch, 6400, generator=generator),
            torch.rand(size, generator=generator),
        )
        for _ in range(4)
    ]
    rounds = []
    for number in range(arguments.rounds + 1):
        with tempfile.TemporaryDirectory() as folder:
            config = TrainConfig(steps=arguments.steps, out=Path(folder), device="cpu", progress=False)
            jobs = [(bare, Small(), batches, config), (fit, Small(), lambda step: batches[step % 4], config)]
            seconds = {i: timed(*jobs[i]) for i in ((0, 1) if number % 2 else (1, 0))}
        rounds.append((seconds[0], seconds[1]))
    report(rounds[1:], arguments)  # the first round warms up


def report(rounds: list[tuple[tuple[float, float], tuple[float, float]]], arguments: argparse.Namespace) -> None:
    """Print time a step and the median ratio, for both clocks."""
    print(f"{torch.get_num_threads()} threads of {os.cpu_count()}, batch {arguments.batch}, {arguments.steps} steps")
    for clock, name in enumerate(("wall time", "processor time")):
        loops, fits = ([pair[side][clock] for pair in rounds] for side in (0, 1))
        ratios = [fitted / loop for loop, fitted in zip(loops, fits)]
        loop, fitted = (statistics.median(side) / arguments.steps * 1e3 for side in (loops, fits))
        middle = statistics.median(ratios)
        print(
            f"{name}: bare loop {loop:.2f} ms a step, fit {fitted:.2f} ms; ratio {middle:.3f} "
            f"({min(ratios):.3f} … {max(ratios):.3f}): overhead {100 * (middle - 1):+.1f} %, goal ≤ 3 %"
        )


if __name__ == "__main__":
    main()
