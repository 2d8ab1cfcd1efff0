"""Training with and without negatives: seconds of whole trainings beside each other, rounds of labels included.

    python bench/negatives.py [STEPS]

All nets of `avlib.recipes.negatives` among four kinds, the same clips, towers and batch, by turns in one run. The ratio
is to xID's. Processor time stands beside wall time: a busy machine disturbs it less.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TQDM_DISABLE"] = "1"

import torch

from avlib import experiment
from avlib.profiles import profile
from avlib.recipes import negatives

ROUNDS, STEPS, PEER = 3, 60, "xID"


def spent(run: experiment.Run, net: str) -> tuple[float, float]:
    """Wall and processor seconds of one training, clips already rendered."""
    wall, own = time.perf_counter(), time.process_time()
    negatives.train(run, f"{net}, 4 kinds")
    return time.perf_counter() - wall, time.process_time() - own


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else STEPS
    run = experiment.Run(replace(profile("cpu", "negatives"), steps=steps), device="cpu")
    times: dict[str, list[tuple[float, float]]] = {net: [] for net in negatives.NETS}
    for _ in range(ROUNDS):
        for net, found in times.items():
            found.append(spent(run, net))
    least = {net: tuple(min(column) for column in zip(*found, strict=True)) for net, found in times.items()}
    print(f"| {steps} steps | wall, s | processor, s | ratio to {PEER} (processor) | threads |")
    print("|---|---|---|---|---|")
    for net, (wall, own) in least.items():
        print(f"| {net} | {wall:.1f} | {own:.1f} | {own / least[PEER][1]:.2f} | {torch.get_num_threads()} |")


if __name__ == "__main__":
    main()
