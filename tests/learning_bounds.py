"""Where the bound of a learning test belongs: its measurement over seeds, instruction sets and threads.

    python tests/learning_bounds.py l3 soundnet [--seeds 4] [--threads 1 2]

Takes ``learnt(seed) -> {metric: score}`` of ``tests/methods/test_NAME.py`` (or of a file that is named whole). Another
processor rounds otherwise, and a training ends elsewhere: so each seed is trained under each of `SETS`, with one thread
and with two. A test's bound lies at or below the last column, well above chance, and its docstring says the line below
the table.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
SETS = {
    "native": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "SSE4.1": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
Scores = dict[str, float]


def test_module(name: str) -> ModuleType:
    """The test file of a method, as part of this repository's ``tests`` (an installed package may have that name)."""
    package = ModuleType("tests")
    package.__path__ = [str(ROOT / "tests")]
    sys.modules["tests"] = package
    sys.path.insert(0, str(ROOT))
    file = Path(name).resolve() if name.endswith(".py") else ROOT / "tests" / "methods" / f"test_{name}.py"
    return importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def work(name: str, seeds: int, threads: int) -> None:
    """In a process of its own, whose environment names the instruction set: a line of JSON a seed."""
    import torch

    torch.set_num_threads(threads)
    learnt = test_module(name).learnt
    for seed in range(seeds):
        print("learnt", json.dumps(learnt(seed)), flush=True)


def measure(name: str, seeds: int, kind: str, threads: int) -> list[Scores]:
    """The scores of each seed under one instruction set."""
    command = [sys.executable, __file__, name, "--seeds", str(seeds), "--threads", str(threads), "--worker"]
    environment = os.environ | SETS[kind] | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True)
    found = [json.loads(line[7:]) for line in done.stdout.splitlines() if line.startswith("learnt ")]
    print(f"{name}, {kind}, threads: {threads}:", found, file=sys.stderr, flush=True)
    return found


def report(name: str, seeds: int, threads: list[int]) -> None:
    """Print the table of one test."""
    cases = list(itertools.product(SETS, threads))
    found = {case: measure(name, seeds, *case) for case in cases}
    print(f"\n| {name} | mean | deviation | lowest | mean − 4 deviations | {' | '.join(SETS)} |")
    print("|---" * (5 + len(SETS)) + "|")
    for metric in found[cases[0]][0]:
        every = [scores[metric] for case in cases for scores in found[case]]
        mean, spread = statistics.mean(every), statistics.stdev(every) if len(every) > 1 else float("nan")
        each = [statistics.mean(s[metric] for case in cases if case[0] == kind for s in found[case]) for kind in SETS]
        print(f"| {metric} | {mean:.3f} | {spread:.3f} | {min(every):.3f} | {mean - 4 * spread:.3f} |", end="")
        print(*(f" {value:.3f} |" for value in each), sep="")
    several = " and ".join(map(str, threads))
    print(f"\n{seeds * len(cases)} runs: seeds 0–{seeds - 1}; {', '.join(SETS)}; {several} threads.", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in arguments.names:
        if arguments.worker:
            work(name, arguments.seeds, arguments.threads[0])
        else:
            report(name, arguments.seeds, arguments.threads)


if __name__ == "__main__":
    main()
