"""Seconds until Look, Listen and Learn is right in 95 % of the test pairs of known hands: several seeds, four arms.

    python bench/time_to_accuracy.py [SEEDS] [ARM …]

Training is timed, the exams between are not; it stops when it passes. *One form* shows things as drawn, without the
silhouettes, outlines and warps that teach about new hands. The last peer takes as many pairs as the paper: one false
pair a clip.
"""

from __future__ import annotations

import contextlib
import copy
import os
import statistics
import sys
import time

from torch import nn

from avlib import experiment
from avlib.evaluate.features import features
from avlib.methods.l3 import LookListenLearn
from avlib.recipes import l3

GOAL, EVERY, LIMIT = 0.95, 40, 60.0
ARMS = {
    "trained": "all pairs, a choice", "one form": "the same, in one form", "all pairs": "all pairs (peer)",
    "cyclic pairs": "cyclic pairs (peer)",
}  # fmt: skip


class Passed(Exception):
    """The goal is reached: stop."""


class Exam:
    """A hook that stops the clock, tests a copy of the net, and ends the training when it passes."""

    def __init__(self, run: experiment.Run):
        self.clips = run.batches(run.world("solo", "test", hands="known", **l3.LOOK))
        self.begun, self.paused, self.passed, self.best = time.perf_counter(), 0.0, float("inf"), 0.0

    def __call__(self, method: nn.Module, batch: object, step: int) -> None:
        if step and step % EVERY == 0:
            now = time.perf_counter()
            copied = copy.deepcopy(method)
            score = l3.correspondence(copied, features(copied, self.clips))
            self.best = max(self.best, score)
            if score >= GOAL:
                self.passed = now - self.begun - self.paused
                raise Passed
            self.paused += time.perf_counter() - now


def seconds(seed: int, arm: str) -> tuple[float, float]:
    """When the goal was reached (s), infinite if never, and the best score."""
    run, how = experiment.open("l3", seed=seed, device="cpu"), l3.ARMS[arm]
    method, exam = run.build(LookListenLearn, **l3.SIZE, **l3.SMALL, **how.build), Exam(run)
    stream = run.stream(run.world("solo", **{**l3.LOOK, **l3.VARIED, **how.world}))
    exam.begun = time.perf_counter()
    with contextlib.suppress(Passed):
        run.fit(method, stream, run.steps(how), l3.RATE, l3.DECAY, [exam], progress=False)
        exam(method, None, run.budget.steps // EVERY * EVERY)
    return exam.passed, exam.best


def main() -> None:
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    print(f"| time to {GOAL:.0%} of pairs | seconds, median (each seed) | within {LIMIT:.0f} s | best | threads |")
    print("|---|---|---|---|---|")
    for arm in sys.argv[2:] or ARMS:
        runs = [seconds(seed, arm) for seed in seeds]
        each = ", ".join("never" if t == float("inf") else f"{t:.0f}" for t, _ in runs)
        median = statistics.median(t for t, _ in runs)
        middle = "never" if median == float("inf") else f"{median:.0f}"
        soon = f"{sum(t <= LIMIT for t, _ in runs)} of {len(runs)}"
        best = f"{min(score for _, score in runs):.3f} to {max(score for _, score in runs):.3f}"
        print(f"| {ARMS[arm]} | {middle} ({each}) | {soon} | {best} | {os.cpu_count()} |", flush=True)


if __name__ == "__main__":
    main()
