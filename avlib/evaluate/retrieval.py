"""Retrieval: is the true partner near the top of the list? Ranks with ties, recall, median rank, MRR, nDCG."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avlib.errors import unknown
from avlib.evaluate.arrays import Bools, Floats, Values, floats, integers, masks, same_shape


@dataclass(frozen=True)
class Retrieval:
    """What a list of ranks says.

    Attributes:
        recall: for each K the share of queries whose best partner is among the first K (0…1).
        chance: the same for random lists.
        median_rank, chance_rank: 1 is best; the second is the mean rank in random lists, (N + 1) / 2 for one partner.
        reciprocal_rank: mean of 1 / rank.
        queries, items: how many were searched with, and through.
        skipped: queries that have no partner at all.
    """

    recall: dict[int, float]
    chance: dict[int, float]
    median_rank: float
    chance_rank: float
    reciprocal_rank: float
    queries: int
    items: int
    skipped: int


@dataclass(frozen=True)
class Gain:
    """Mean nDCG at ``k`` over ``queries`` lists, beside that of random lists; ``skipped`` had nothing relevant."""

    value: float
    chance: float
    k: int
    gain: str
    queries: int
    skipped: int


def _inputs(sim_QN: Values, positive_QN: Values | None, exclude_self: bool) -> tuple[Floats, Bools, Bools]:
    sim_QN = floats(sim_QN, "sim_QN", 2)
    if (positive_QN is None or exclude_self) and sim_QN.shape[0] != sim_QN.shape[1]:
        raise ValueError(f"partners on the diagonal need a square sim_QN, not {sim_QN.shape}; pass positive_QN")
    if positive_QN is None:
        positive = np.eye(len(sim_QN), dtype=bool)
    else:
        positive = masks(positive_QN, "positive_QN", 2)
        same_shape(sim_QN=sim_QN, positive_QN=positive)
    candidate = np.ones_like(positive)
    if exclude_self:
        candidate[np.arange(len(sim_QN)), np.arange(len(sim_QN))] = False
    return sim_QN, positive & candidate, candidate


def ranks(sim_QN: Values, positive_QN: Values | None = None, exclude_self: bool = False) -> Floats:
    """rank_Q of the best-ranked partner of each query, 1 is best; NaN for a query without a partner.

    rank = 1 + (items above it) + (other items tied with it) / 2, so a constant ``sim_QN`` gives (N + 1) / 2 and not 1.
    Where p partners tie at the top with n others, the expected rank of the first of them is 1 + … + n / (p + 1).

    Args:
        sim_QN: similarity of query i and item j; higher is nearer.
        positive_QN: which items are partners; the diagonal by default.
        exclude_self: item i is query i itself and is dropped (search within one set).

    Raises:
        ValueError: NaN, empty, shapes that do not fit, no diagonal.
    """
    sim_QN, positive_QN, candidate_QN = _inputs(sim_QN, positive_QN, exclude_self)
    best_Q1 = np.where(positive_QN, sim_QN, -np.inf).max(1, keepdims=True)
    other_QN = candidate_QN & ~positive_QN
    above_Q = (other_QN & (sim_QN > best_Q1)).sum(1)
    tied_Q = (other_QN & (sim_QN == best_Q1)).sum(1)
    partners_Q = (positive_QN & (sim_QN == best_Q1)).sum(1)
    rank_Q = 1 + above_Q + tied_Q / (partners_Q + 1)
    return np.where(positive_QN.any(1), rank_Q, np.nan)


def _chance_recall(items_Q: Floats, partners_Q: Floats, k: int) -> float:
    """Mean chance that a random list shows one of the partners among its first ``k``."""
    miss_Q = np.ones_like(items_Q)
    for place in range(k):
        left_Q = items_Q - place
        miss_Q *= np.where(left_Q > 0, np.clip(left_Q - partners_Q, 0, None) / np.maximum(left_Q, 1), 1.0)
    return float(np.mean(1 - miss_Q))


def retrieval(
    sim_QN: Values,
    ks: Sequence[int] = (1, 5, 10),
    positive_QN: Values | None = None,
    exclude_self: bool = False,
) -> Retrieval:
    """Recall at K, median rank and mean reciprocal rank of one direction. A K above N counts as N.

    Raises:
        ValueError: see :func:`ranks`; a K below 1; no query with a partner.
    """
    if any(k < 1 for k in ks):
        raise ValueError(f"each K must be at least 1, not {tuple(ks)}")
    rank_all_Q = ranks(sim_QN, positive_QN, exclude_self)
    sim_QN, positive_QN, candidate_QN = _inputs(sim_QN, positive_QN, exclude_self)
    kept_Q = ~np.isnan(rank_all_Q)
    if not kept_Q.any():
        raise ValueError("no query has a partner among the items")
    rank_Q = rank_all_Q[kept_Q]
    items_Q = candidate_QN[kept_Q].sum(1).astype(np.float64)
    partners_Q = positive_QN[kept_Q].sum(1).astype(np.float64)
    return Retrieval(
        recall={k: float((rank_Q <= k).mean()) for k in ks},
        chance={k: _chance_recall(items_Q, partners_Q, min(k, sim_QN.shape[1])) for k in ks},
        median_rank=float(np.median(rank_Q)),
        chance_rank=float(np.mean((items_Q + 1) / (partners_Q + 1))),
        reciprocal_rank=float((1 / rank_Q).mean()),
        queries=len(rank_Q),
        items=sim_QN.shape[1],
        skipped=int((~kept_Q).sum()),
    )


def chance_median(positive_QN: Values) -> int:
    """The median rank of random lists: the least K at which half of the queries find a partner among the first K.

    For one partner among N items that is N / 2, rounded up; with several, it is the best-ranked one's.

    Args:
        positive_QN: which items are partners; queries without one do not count.

    Raises:
        ValueError: no query with a partner.

    Examples:
        >>> chance_median(np.eye(512, dtype=bool))
        256
    """
    positive = masks(positive_QN, "positive_QN", 2)
    partners_Q = positive.sum(1).astype(np.float64)
    partners_Q = partners_Q[partners_Q > 0]
    if not len(partners_Q):
        raise ValueError("no query has a partner among the items")
    items_Q = np.full_like(partners_Q, positive.shape[1])
    wide = range(1, positive.shape[1] + 1)
    return 1 + bisect_left(wide, 0.5 - 1e-12, key=lambda k: _chance_recall(items_Q, partners_Q, k))


def both_directions(
    sim_QN: Values,
    ks: Sequence[int] = (1, 5, 10),
    positive_QN: Values | None = None,
    names: tuple[str, str] = ("image", "sound"),
) -> dict[str, Retrieval]:
    """:func:`retrieval` with rows as queries, then with columns: keys "image → sound" and "sound → image".

    DAVEnet's logs call the first "Audio R@K" (after what is found) and the second "Image R@K".
    """
    sim = floats(sim_QN, "sim_QN", 2)
    turned = None if positive_QN is None else masks(positive_QN, "positive_QN", 2).T
    rows, columns = names
    return {
        f"{rows} → {columns}": retrieval(sim, ks, positive_QN),
        f"{columns} → {rows}": retrieval(sim.T, ks, turned),
    }


def by_label(
    sim_QN: Values,
    label_Q: Values,
    label_N: Values,
    ks: Sequence[int] = (1, 5, 10, 20, 50),
    exclude_self: bool = False,
) -> Retrieval:
    """Every item of the query's class is a partner: from test into train, or within one set (``exclude_self``)."""
    label_Q, label_N = integers(label_Q, "label_Q"), integers(label_N, "label_N")
    return retrieval(sim_QN, ks, label_Q[:, None] == label_N[None, :], exclude_self)


def average_median_rank(query_BD: Values, item_BD: Values, chunk: int = 1000) -> tuple[float, float]:
    """Median rank within disjoint chunks of pairs, averaged, and its chance (chunk + 1) / 2 (Aytar et al. 2017).

    Row i of both belongs together; similarity is the dot product. A last, shorter chunk is left out, so every median is
    over equally long lists; fewer pairs than ``chunk`` make one chunk.

    Raises:
        ValueError: shapes differ, NaN, a chunk below 1.
    """
    query_BD, item_BD = floats(query_BD, "query_BD", 2), floats(item_BD, "item_BD", 2)
    same_shape(query_BD=query_BD, item_BD=item_BD)
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")
    size = min(chunk, len(query_BD))
    starts = range(0, len(query_BD) - size + 1, size)
    medians = [np.median(ranks(query_BD[s : s + size] @ item_BD[s : s + size].T)) for s in starts]
    return float(np.mean(medians)), (size + 1) / 2


def _discounted(score_N: Floats, gain_N: Floats, k: int) -> float:
    """DCG at k; tied items share the discounts of the places that they hold together."""
    order_N = np.argsort(-score_N, kind="stable")
    discount_N = 1 / np.log2(np.arange(len(score_N)) + 2)
    discount_N[k:] = 0
    _, group_N, size_G = np.unique(-score_N[order_N], return_inverse=True, return_counts=True)
    mean_discount_G = np.bincount(group_N, weights=discount_N) / size_G
    return float((mean_discount_G[group_N] * gain_N[order_N]).sum())


def ndcg(
    sim_QN: Values,
    relevance_QN: Values,
    k: int = 30,
    gain: Literal["linear", "exponential"] = "exponential",
    exclude_self: bool = False,
    draws: int = 5,
    seed: int = 0,
) -> Gain:
    """Normalised discounted cumulative gain at ``k``: Σ gain(rel_r) / log2(r + 1) over that of the ideal list.

    Args:
        sim_QN: higher is nearer; tied items share the discounts of their places.
        relevance_QN: graded relevance, ≥ 0. For AudioSet labels: 20 − distance in the ontology's tree.
        gain: "linear" uses the relevance, "exponential" 2^relevance − 1. State which one a number uses.
        exclude_self: item i is query i itself and is dropped (intra-modal search).
        draws: random lists a query for the chance level.

    Raises:
        ValueError: NaN, shapes that differ, negative relevance, k below 1, nothing relevant for any query.
    """
    sim_QN, relevance_QN = floats(sim_QN, "sim_QN", 2), floats(relevance_QN, "relevance_QN", 2)
    same_shape(sim_QN=sim_QN, relevance_QN=relevance_QN)
    if gain not in ("linear", "exponential"):
        raise unknown("gain", gain, ("linear", "exponential"))
    if (relevance_QN < 0).any() or k < 1 or draws < 1:
        raise ValueError("nDCG needs relevance ≥ 0, k ≥ 1 and draws ≥ 1")
    gain_QN = relevance_QN if gain == "linear" else np.exp2(relevance_QN) - 1
    candidate_QN = _inputs(sim_QN, np.ones_like(sim_QN, dtype=bool), exclude_self)[2]
    generator = np.random.default_rng(seed)
    values, chances = [], []
    for score_N, all_N, keep_N in zip(sim_QN, gain_QN, candidate_QN):
        gain_N = all_N[keep_N]
        ideal = _discounted(gain_N, gain_N, k)
        if ideal > 0:
            values.append(_discounted(score_N[keep_N], gain_N, k) / ideal)
            chances += [_discounted(generator.random(len(gain_N)), gain_N, k) / ideal for _ in range(draws)]
    if not values:
        raise ValueError("nothing is relevant to any query")
    return Gain(float(np.mean(values)), float(np.mean(chances)), k, gain, len(values), len(sim_QN) - len(values))
