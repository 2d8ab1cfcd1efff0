"""Where the labels of SeLaVi come from: a plan that says how many clips each gets, and two rules to compare it with."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from avlib.clustering import align_heads, kmeans, sinkhorn
from avlib.errors import unknown

STRENGTH = 20.0
"""Lambda of the plan, as in the paper."""
SHARES = ("even", "normal", "Zipf")

Labels = tuple[Tensor, float]
"""label_M, and what they cost: minus the mean log-probability that the plan gives them, nats."""


def plan(log_MK: Tensor, value_MD: Tensor, share_K: Tensor, generator: torch.Generator) -> Labels:
    """The likeliest labels of all in which clusters have given sizes; the heaviest cluster so far becomes the largest.

    Args:
        log_MK: log-probabilities of the clusters.
        value_MD: features of the clips, which do not matter here.
        share_K: sizes, from the largest to the smallest.

    Source: Asano et al., SeLaVi, NeurIPS 2020, equations 3 to 6. (The released code hands the sizes out inverted.)
    """
    wanted_K = torch.empty_like(share_K).scatter_(0, log_MK.exp().sum(0).argsort(descending=True), share_K)
    found = sinkhorn(log_MK, wanted_K, strength=STRENGTH, tolerance=0.01, rounds=500)
    return found.label_N, -float((found.plan_NK * log_MK).sum())


def even_kmeans(log_MK: Tensor, value_MD: Tensor, share_K: Tensor, generator: torch.Generator) -> Labels:
    """The nearest centres of k-means such that clusters have given sizes; heads only say which is which."""
    centre_KD = kmeans(value_MD, len(share_K), generator, restarts=1).centre_KD
    near_MK = -torch.cdist(value_MD.double(), centre_KD.double()).square()
    order_K = align_heads(log_MK.exp(), (STRENGTH * near_MK).softmax(1))
    return plan(near_MK[:, order_K], value_MD, share_K, generator)


def likeliest(log_MK: Tensor, value_MD: Tensor, share_K: Tensor, generator: torch.Generator) -> Labels:
    """The likeliest cluster of each clip, however many clips that gives to each."""
    best = log_MK.max(1)
    return best.indices, -float(best.values.mean())


def align(image_MK: Tensor, audio_MK: Tensor, last: nn.Linear) -> Tensor:
    """Renumber the clusters of an audio head like those of an image head; returns its log-probabilities after that.

    Args:
        image_MK, audio_MK: log-probabilities.
        last: the audio head's last layer, which is changed.

    Source: Asano et al., SeLaVi, NeurIPS 2020, section 3.2. (The release swaps pairs at random; this is the optimum.)
    """
    order_K = align_heads(image_MK.exp(), audio_MK.exp())
    for value in last.parameters():
        value.copy_(value[order_K])
    return audio_MK[:, order_K]


Rule = Callable[[Tensor, Tensor, Tensor, torch.Generator], Labels]
RULES: dict[str, Rule] = {"plan": plan, "k-means": even_kmeans, "likeliest": likeliest}


def rule_of(name: str) -> Rule:
    """One of `RULES`.

    Raises:
        ValueError: an unknown name; the right ones are listed.
    """
    if name not in RULES:
        raise unknown("rule of labels", name, RULES)
    return RULES[name]


def sizes(share: str, heads: int, clusters: int) -> Tensor:
    """Shares of clusters in each labelling, from the largest to the smallest: share_HK, float64, rows sum to 1.

    Args:
        share: ``"even"``; ``"normal"``, N(1, .1²), drawn anew for each labelling; ``"Zipf"``, as 1, 1/2, 1/3, …

    Raises:
        ValueError: other sizes.
    """
    if share not in SHARES:
        raise unknown("sizes of clusters", share, SHARES)
    size_HK = torch.ones(heads, clusters, dtype=torch.float64)
    if share == "normal":
        size_HK += 0.1 * torch.randn(heads, clusters, dtype=torch.float64).clamp(-5, 5)
    if share == "Zipf":
        size_HK /= torch.arange(1, clusters + 1)
    return (size_HK / size_HK.sum(1, keepdim=True)).sort(1, descending=True).values
