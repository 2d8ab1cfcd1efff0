"""Sinkhorn beside POT's, k-means beside scikit-learn's: one markdown row a case, both timed in the same run.

Each does the same work: as many rounds of Sinkhorn in the log domain and float64, and one k-means run from one
k-means++ seeding until no row moves. How far apart the results are stands beside the times.

    python bench/clusters.py
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import ot
import torch
from sklearn.cluster import KMeans
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from clock import seconds

from avlib import clustering

PLANS = ((2048, 20), (8192, 40))
GROUPS = ((2048, 20, 128), (8192, 40, 128))
STRENGTH, ROUNDS = 5.0, 50


def plans(rows: int, clusters: int) -> str:
    """Log-probabilities of ``rows`` clips, spread evenly over ``clusters``."""
    score_NK = torch.randn(rows, clusters, generator=torch.Generator().manual_seed(0)).double().log_softmax(1)
    cost_NK = -score_NK.numpy()
    row_N, column_K = np.full(rows, 1 / rows), np.full(clusters, 1 / clusters)

    def ours() -> Tensor:
        return clustering.sinkhorn(score_NK, strength=STRENGTH, rounds=ROUNDS, tolerance=0.0).plan_NK

    def peer() -> np.ndarray:
        settings = {"method": "sinkhorn_log", "numItermax": ROUNDS, "stopThr": 0.0, "warn": False}
        return ot.sinkhorn(row_N, column_K, cost_NK, 1 / STRENGTH, **settings)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        apart = float(np.abs(ours().numpy() - peer()).sum())
        times = seconds(ours), seconds(peer)
    return row(f"Sinkhorn, {rows} × {clusters}, {ROUNDS} rounds, beside POT", times, f"mass apart {apart:.0e}")


def groups(rows: int, clusters: int, dim: int) -> str:
    """Rows around as many centres as there are clusters, and wide apart within each."""
    generator = torch.Generator().manual_seed(0)
    centre_KD = torch.randn(clusters, dim, generator=generator)
    value_ND = centre_KD[torch.arange(rows) % clusters] + 2 * torch.randn(rows, dim, generator=generator)
    array = value_ND.numpy()

    def ours() -> float:
        return clustering.kmeans(value_ND, clusters, torch.Generator().manual_seed(0), 1).inertia

    def peer() -> float:
        return float(KMeans(clusters, n_init=1, max_iter=100, tol=0.0, random_state=0).fit(array).inertia_)

    found = ours() / peer()
    times = seconds(ours), seconds(peer)
    return row(f"k-means, {rows} × {dim}, K = {clusters}, beside scikit-learn", times, f"inertia × {found:.3f}")


def row(name: str, times: tuple[float, float], result: str) -> str:
    """A line of the table."""
    own, peer = times
    return f"| {name} | {own * 1e3:.0f} | {peer * 1e3:.0f} | {peer / own:.1f} | {result} | {torch.get_num_threads()} |"


def main() -> None:
    print("| labels without labels | ours, ms | peer, ms | ratio | results | threads |")
    print("|---|---|---|---|---|---|")
    for sizes in PLANS:
        print(plans(*sizes))
    for shape in GROUPS:
        print(groups(*shape))


if __name__ == "__main__":
    main()
