"""Clusters against classes: loops, scikit-learn, edges."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from avlib.evaluate import clusters
from avlib.evaluate.features import Features
from avlib.types import Embedding, Truth
from tests.reference import metrics as slow


def test_renamed_classes_are_perfect():
    score = clusters.agreement([5, 5, 9, 9, 7, 7], [0, 0, 1, 1, 2, 2])
    assert (score.nmi, score.ami, score.ari, score.accuracy, score.purity) == pytest.approx((1,) * 5)
    assert score.entropy == 0 and score.chance == pytest.approx(1 / 3)


@pytest.mark.parametrize(("clusters_", "classes"), [(3, 4), (4, 3), (4, 4), (6, 2)])
def test_equal_to_loops_and_scikit_learn(clusters_, classes):
    rng = np.random.default_rng(clusters_)
    cluster, label = rng.integers(0, clusters_, 60), rng.integers(0, classes, 60)
    score, want = clusters.agreement(cluster, label), slow.clusters(cluster.tolist(), label.tolist())
    assert {name: getattr(score, name) for name in want} == pytest.approx(want)
    assert score.ami == pytest.approx(sk.adjusted_mutual_info_score(label, cluster))
    assert score.ari == pytest.approx(sk.adjusted_rand_score(label, cluster))
    assert (score.clusters, score.classes, score.count) == (clusters_, classes, 60)


def test_unmatched_clusters_count_as_wrong():
    score = clusters.agreement([0, 0, 1, 2], [0, 0, 0, 1])
    assert score.accuracy == 0.75 and score.purity == 1


def test_ids_do_not_matter():
    rng = np.random.default_rng(1)
    cluster, label = rng.integers(0, 5, 40), rng.integers(0, 4, 40)
    plain, renamed = clusters.agreement(cluster, label), clusters.agreement(97 - 3 * cluster, label * 10)
    assert vars(plain) == pytest.approx(vars(renamed))


def test_constant_partitions():
    assert clusters.agreement([0, 0, 0], [4, 4, 4]).nmi == 1
    assert clusters.agreement([0, 0, 0, 0], [0, 0, 1, 1]).nmi == 0
    score = clusters.agreement([0] * 4, [0, 0, 1, 1])
    assert score.entropy == pytest.approx(math.log(2)) and score.accuracy == score.chance == 0.5


def test_random_clusters_are_at_chance_once_corrected():
    rng = np.random.default_rng(2)
    score = clusters.agreement(rng.integers(0, 20, 400), rng.integers(0, 5, 400))
    assert abs(score.ami) < 0.03 and abs(score.ari) < 0.03 and score.nmi > 0.03


def test_names_are_fitted_on_train_and_applied_to_test():
    train_cluster, train_label = [0, 0, 1, 1, 2, 3, 3], [8, 8, 9, 9, 8, 9, 9]
    names = clusters.match(train_cluster, train_label)
    assert names == {0: 8, 1: 9, 2: 8, 3: 9}
    assert clusters.rename([3, 0, 12], names).tolist() == [9, 8, -1]


def test_a_surplus_cluster_is_named_by_its_majority_though_the_match_is_one_to_one():
    names = clusters.match([0] * 6 + [1] * 3 + [2] * 4, [0] * 6 + [0] * 3 + [1] * 4)
    assert names == {0: 0, 1: 0, 2: 1}


def test_names_weigh_the_share_of_a_class_not_that_of_a_cluster_nor_the_count():
    # class 2 is rare and lies wholly in cluster 2, which by count, or by its own share, belongs to class 0
    count = [[2, 4, 0], [0, 8, 0], [9, 0, 1]]
    pairs = [(k, c) for k, row in enumerate(count) for c, n in enumerate(row) for _ in range(n)]
    assert clusters.match(*zip(*pairs)) == {0: 0, 1: 1, 2: 2}


def test_nearness_over_hands_is_counted_pair_by_pair():
    value_BD = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    hand_B, thing_B = torch.arange(12) % 3, torch.arange(12) // 4
    sounding_BN = torch.ones(12, 1, dtype=torch.bool)
    truth = Truth(category_BN=thing_B[:, None], sounding_BN=sounding_BN, hand_BN=hand_B[:, None])
    near, far = [], []
    for i in range(12):
        for j in range(i):
            score = float(torch.nn.functional.cosine_similarity(value_BD[i], value_BD[j], dim=0))
            if thing_B[i] == thing_B[j] and hand_B[i] != hand_B[j]:
                near.append(score)
            if thing_B[i] != thing_B[j] and hand_B[i] == hand_B[j]:
                far.append(score)
    wins = sum((a > b) + (a == b) / 2 for a in near for b in far)
    found = clusters.other_hands(Features(Embedding(value_BD), truth, torch.arange(12)))
    assert found == pytest.approx(wins / (len(near) * len(far)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clusters.agreement([0, 1], [0]), "cluster_B 2, label_B 1"),
        (lambda: clusters.agreement([], []), "empty"),
        (lambda: clusters.agreement([0.5], [1]), "whole numbers"),
        (lambda: clusters.agreement([[1]], [1]), "1 axes"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
