"""Retrieval: ties, several partners, chance, nDCG."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score

from avlib.evaluate import retrieval as ret
from tests.reference import metrics as slow


def test_constant_similarity_is_chance_and_not_perfect():
    score = ret.retrieval(np.ones((9, 9)), (1, 5))
    assert score.median_rank == score.chance_rank == 5
    assert score.recall == {1: 0, 5: 1} and score.chance[1] == pytest.approx(1 / 9)


def test_the_identity_is_perfect_both_ways():
    for score in ret.both_directions(torch.eye(12)).values():
        assert score.recall == {1: 1, 5: 1, 10: 1} and score.median_rank == score.reciprocal_rank == 1
    assert list(ret.both_directions(np.eye(3), names=("text", "sound"))) == ["text → sound", "sound → text"]


def test_each_direction_takes_the_same_ks_and_its_own_partners():
    rng = np.random.default_rng(4)
    sim, positive = rng.random((6, 9)), rng.random((6, 9)) > 0.7
    positive[0], positive[:, 0] = True, True
    there, back = ret.both_directions(sim, (2, 3), positive).values()
    assert there == ret.retrieval(sim, (2, 3), positive) and back == ret.retrieval(sim.T, (2, 3), positive.T)
    assert (there.queries, back.queries, list(back.recall)) == (6, 9, [2, 3])
    square = rng.random((7, 7))
    there, back = ret.both_directions(square).values()
    assert there == ret.retrieval(square) and back == ret.retrieval(square.T) and there != back


def test_chance_is_k_over_n():
    score = ret.retrieval(np.eye(1000), (1, 10))
    assert score.chance == pytest.approx({1: 0.001, 10: 0.01}) and score.chance_rank == 500.5


def test_the_median_of_random_lists_is_met_by_random_lists():
    assert ret.chance_median(np.eye(9, dtype=bool)) == 5 and ret.chance_median(np.ones((3, 7), bool)) == 1
    rng = np.random.default_rng(2)
    positive = rng.random((3000, 40)) < 0.04
    due = ret.chance_median(positive)
    rank = ret.ranks(rng.random((3000, 40)), positive)
    assert 5 < due < 20 and (rank < due).sum() < (~np.isnan(rank)).sum() / 2 < (rank <= due).sum() + 90
    assert np.nanmedian(rank) == pytest.approx(due, abs=1)
    with pytest.raises(ValueError, match="no query has a partner"):
        ret.chance_median(np.zeros((2, 2), bool))


def test_ranks_equal_all_orders_of_the_tied_items():
    rng = np.random.default_rng(0)
    sim, positive = rng.integers(0, 3, (15, 6)), rng.random((15, 6)) > 0.6
    positive[:, 0] |= ~positive.any(1)
    want = [slow.rank(s.tolist(), p.tolist()) for s, p in zip(sim, positive)]
    assert ret.ranks(sim, positive) == pytest.approx(want)


def test_chance_with_several_partners_is_what_random_lists_reach():
    rng = np.random.default_rng(1)
    positive = np.zeros((4000, 8), bool)
    positive[:, :3] = True
    score = ret.retrieval(rng.random((4000, 8)), (1, 3), positive)
    assert score.chance == pytest.approx({1: 3 / 8, 3: 1 - 5 * 4 * 3 / (8 * 7 * 6)})
    assert score.recall == pytest.approx(score.chance, abs=0.03)
    assert ret.ranks(rng.random((4000, 8)), positive).mean() == pytest.approx(score.chance_rank, abs=0.06)


def test_random_similarity_ranks_in_the_middle():
    sim = np.random.default_rng(2).random((1000, 1000))
    assert abs(ret.retrieval(sim).median_rank - 500) < 50


def test_shuffling_both_sides_together_leaves_ranks_alone():
    rng = np.random.default_rng(3)
    sim, order = rng.random((20, 20)), rng.permutation(20)
    assert ret.ranks(sim[order][:, order]) == pytest.approx(ret.ranks(sim)[order])
    assert ret.ranks(sim * 7 - 3) == pytest.approx(ret.ranks(sim))


def test_k_beyond_the_list_counts_as_its_length():
    score = ret.retrieval(np.eye(4), (10,))
    assert score.recall == {10: 1} and score.chance == {10: 1}


def test_queries_without_a_partner_are_skipped_and_counted():
    score = ret.by_label(np.eye(3), [0, 1, 7], [0, 1, 2], (1,))
    assert (score.queries, score.skipped, score.recall[1]) == (2, 1, 1)


def test_a_query_does_not_find_itself():
    sim = np.array([[9, 1, 2], [1, 9, 3], [2, 3, 9.0]])
    assert ret.ranks(sim, np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]), exclude_self=True)[:2].tolist() == [2, 2]
    assert math.isnan(ret.ranks(sim, np.eye(3), exclude_self=True)[0])


def test_average_median_rank_over_disjoint_chunks():
    rng = np.random.default_rng(4)
    query = rng.normal(size=(25, 6))
    value, chance = ret.average_median_rank(query, query / np.linalg.norm(query, axis=1, keepdims=True), 10)
    parts = [
        ret.retrieval(query[s : s + 10] @ (query[s : s + 10] / np.linalg.norm(query[s : s + 10], axis=1)[:, None]).T)
        for s in (0, 10)
    ]
    assert value == np.mean([p.median_rank for p in parts]) and chance == 5.5
    assert ret.average_median_rank(query, query, 100)[1] == 13
    assert ret.average_median_rank(query, query, 1) == (1, 1)


def test_ndcg_of_the_hand_computed_list():
    # The list shows relevance 1, 0, 1; the pool holds two relevant items.
    score = ret.ndcg([[3, 2, 1]], [[1, 0, 1]], k=3, gain="linear")
    assert score.value == pytest.approx(1.5 / (1 + 1 / math.log2(3)))
    assert score.value == pytest.approx(0.9197, abs=5e-5)


def test_ndcg_equals_a_loop_and_scikit_learn_ties_included():
    rng = np.random.default_rng(5)
    sim, relevance = rng.random((8, 12)), rng.integers(0, 4, (8, 12)).astype(float)
    for gain, value in (("linear", relevance), ("exponential", 2**relevance - 1)):
        got = ret.ndcg(sim, relevance, 5, gain).value
        assert got == pytest.approx(np.mean([slow.ndcg(s.tolist(), g.tolist(), 5) for s, g in zip(sim, value)]))
        assert got == pytest.approx(ndcg_score(value, sim, k=5))
        tied = np.round(sim * 3)
        assert ret.ndcg(tied, relevance, 5, gain).value == pytest.approx(ndcg_score(value, tied, k=5))


def test_ndcg_names_its_chance_and_skips_lists_with_nothing_relevant():
    rng = np.random.default_rng(6)
    relevance = rng.integers(0, 3, (300, 40)).astype(float)
    relevance[0] = 0
    score = ret.ndcg(rng.random((300, 40)), relevance, 30)
    assert (score.queries, score.skipped) == (299, 1) and score.value == pytest.approx(score.chance, abs=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ret.ranks(np.ones((2, 3))), "square"),
        (lambda: ret.ranks([[np.nan]]), "sim_QN holds 1 NaN"),
        (lambda: ret.retrieval(np.eye(2), (0,)), "at least 1"),
        (lambda: ret.retrieval(np.eye(2), (1,), np.zeros((2, 2))), "no query has a partner"),
        (lambda: ret.ranks(np.eye(2), np.eye(3)), "shapes differ"),
        (lambda: ret.ndcg(np.eye(2), -np.eye(2)), "relevance"),
        (lambda: ret.ndcg(np.eye(2), np.zeros((2, 2))), "nothing is relevant"),
        (lambda: ret.ndcg(np.eye(2), np.eye(2), gain="log"), "unknown gain"),
        (lambda: ret.average_median_rank(np.eye(2), np.eye(3)), "shapes differ"),
        (lambda: ret.average_median_rank(np.eye(2), np.eye(2), 0), "chunk"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
