"""Seconds until Look, Listen and Learn is right in 95 % of the test pairs: several seeds, two ways to pair.

    python bench/time_to_accuracy.py [SEEDS]

Training is timed, the exams between are not. The peer pairs as the paper does: one false pair a clip.
"""

from __future__ import annotations

import copy
import os
import statistics
import sys
import time

import torch

from avlib.profiles import profile
from avlib.recipes import l3
from avlib.train import TrainConfig, fit
from avlib.world import Stream

GOAL, EVERY = 0.95, 40


class Exam:
    """A hook that stops the clock, tests a copy of the net, and remembers when it first passed."""

    def __init__(self, seed: int):
        self.world = l3.worlds(BUDGET, seed)[1]
        self.begun, self.paused, self.passed, self.best = time.perf_counter(), 0.0, float("inf"), 0.0

    def __call__(self, method: l3.LookListenLearn, batch: object, step: int) -> None:
        if step and step % EVERY == 0 and self.passed == float("inf"):
            now = time.perf_counter()
            found = l3.features(copy.deepcopy(method), self.world, 512)
            score = l3.correspondence(copy.deepcopy(method), found)
            self.best = max(self.best, score)
            if score >= GOAL:
                self.passed = now - self.begun - self.paused
            self.paused += time.perf_counter() - now


BUDGET = profile("cpu", "l3")


def seconds(seed: int, all_pairs: bool) -> tuple[float, float]:
    """When the goal was reached (s), infinite if never, and the best score."""
    torch.manual_seed(seed)
    method = l3.build(BUDGET, all_pairs)
    exam = Exam(seed)
    stream = Stream(l3.worlds(BUDGET, seed)[0], BUDGET.batch, seed=seed)
    exam.begun = time.perf_counter()
    config = TrainConfig(steps=BUDGET.steps, lr=l3.RATE, weight_decay=l3.DECAY, seed=seed, progress=False)
    fit(method, stream, config, [exam])
    exam(method, None, BUDGET.steps // EVERY * EVERY)
    return exam.passed, exam.best


def main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    print(f"| time to {GOAL:.0%} of pairs | seconds, median (each seed) | best score | threads |\n|---|---|---|---|")
    for name, all_pairs in (("all pairs of a batch", True), ("one false pair a clip (peer)", False)):
        runs = [seconds(seed, all_pairs) for seed in seeds]
        each = ", ".join("never" if t == float("inf") else f"{t:.0f}" for t, _ in runs)
        median = statistics.median(t for t, _ in runs)
        best = max(score for _, score in runs)
        middle = "never" if median == float("inf") else f"{median:.0f}"
        print(f"| {name} | {middle} ({each}) | {best:.3f} | {os.cpu_count()} |")


if __name__ == "__main__":
    main()
