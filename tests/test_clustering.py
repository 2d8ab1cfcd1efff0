"""k-means, optimal transport and alignment against loops, scikit-learn and POT."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from torch import Tensor

from avlib import clustering
from tests.reference import clustering as reference


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(clusters: int, rows: int, spread: float = 0.1) -> tuple[Tensor, Tensor]:
    centre = torch.randn(clusters, 4, generator=generator(1)) * 5
    truth = torch.arange(clusters).repeat_interleave(rows)
    return centre[truth] + spread * torch.randn(len(truth), 4, generator=generator(2)), truth


def test_kmeans_finds_separated_blobs() -> None:
    value, truth = blobs(6, 20)
    found = clustering.kmeans(value, 6, generator())
    assert reference.best_matching(found.label_N.tolist(), truth.tolist(), 6) == 120
    assert torch.equal(found.assign(value), found.label_N)
    assert found.inertia == pytest.approx(reference.inertia(value.numpy(), found.centre_KD.numpy()), rel=1e-5)


def test_kmeans_is_as_good_as_scikit_learns() -> None:
    value = torch.randn(400, 8, generator=generator())
    ours = clustering.kmeans(value, 12, generator(), restarts=8).inertia
    theirs = KMeans(12, n_init=8, random_state=0).fit(value.numpy()).inertia_
    assert ours <= 1.01 * theirs


def test_kmeans_is_a_function_of_its_generator() -> None:
    value = torch.randn(100, 3, generator=generator())
    runs = [clustering.kmeans(value, 7, generator(5)) for _ in range(2)]
    assert torch.equal(runs[0].label_N, runs[1].label_N) and torch.equal(runs[0].centre_KD, runs[1].centre_KD)


def test_principal_axes_are_scikit_learns() -> None:
    value = torch.randn(60, 7, generator=generator()).double() * torch.arange(1, 8) + 3
    ours, theirs = clustering.principal_axes(value, 4), PCA(4).fit(value.numpy()).components_
    assert torch.allclose((ours @ torch.from_numpy(theirs).T).abs(), torch.eye(4, dtype=torch.float64), atol=1e-8)
    largest = ours.gather(1, ours.abs().argmax(1, keepdim=True))
    assert bool((largest > 0).all())
    projection = (value - value.mean(0)) @ ours.T
    assert torch.allclose(projection.mean(0), torch.zeros(4, dtype=torch.float64), atol=1e-9)
    assert torch.equal(clustering.principal_axes(value.flip(0), 4).sign(), ours.sign())


@pytest.mark.parametrize(
    ("value", "count", "said"),
    [
        (torch.zeros(9, 3), 4, "cannot find 4 axes"),
        (torch.zeros(3, 9), 3, "cannot find 3 axes"),
        (torch.full((9, 3), float("nan")), 2, "finite rows"),
    ],
)
def test_principal_axes_name_what_is_wrong(value: Tensor, count: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        clustering.principal_axes(value, count)


def test_kmeans_far_from_the_origin() -> None:
    value, truth = blobs(4, 10)
    assert (
        reference.best_matching(clustering.kmeans(value + 1e3, 4, generator()).label_N.tolist(), truth.tolist(), 4)
        == 40
    )


def test_no_cluster_is_left_empty() -> None:
    value = torch.randn(15, 2, generator=generator())
    single = clustering.kmeans(value, 15, generator())
    assert single.inertia == pytest.approx(0, abs=1e-6) and len(single.label_N.unique()) == 15
    # Only three places for five clusters: two of them must share a place, none may be empty.
    repeated = torch.tensor([[0.0, 0.0], [9.0, 9.0], [5.0, 0.0]]).repeat(6, 1)
    assert len(clustering.kmeans(repeated, 5, generator()).label_N.unique()) == 5


def test_one_cluster_is_the_mean() -> None:
    value = torch.randn(40, 3, generator=generator(), dtype=torch.float64) + 5
    found = clustering.kmeans(value, 1, generator())
    assert torch.allclose(found.centre_KD[0], value.mean(0)) and not found.label_N.any()
    assert found.inertia == pytest.approx(float(value.var(0, correction=0).sum()) * 40)


def test_an_empty_cluster_takes_the_farthest_row_but_never_the_last_of_another() -> None:
    distance_NK = torch.tensor([[9.0, 10.0, 10.0], [5.0, 1.0, 5.0], [5.0, 2.0, 5.0]])
    assert clustering._repair(torch.tensor([0, 1, 1]), distance_NK).tolist() == [0, 1, 2]


def test_kmeans_rejects_what_it_cannot_cluster() -> None:
    with pytest.raises(ValueError, match="at least 4 rows"):
        clustering.kmeans(torch.zeros(3, 2), 4)
    with pytest.raises(ValueError, match="NaN"):
        clustering.kmeans(torch.full((3, 2), float("nan")), 2)


def random_scores(rows: int, clusters: int) -> Tensor:
    return torch.randn(rows, clusters, generator=generator(), dtype=torch.float64).log_softmax(1)


def test_sinkhorn_marginals_loop_and_pot() -> None:
    score = random_scores(30, 5)
    share, weight = torch.tensor([5.0, 1.0, 1.0, 2.0, 1.0]), torch.rand(30, generator=generator(1)) + 0.1
    found = clustering.sinkhorn(score, share, weight, strength=3.0)
    column, row = (share / share.sum()).double(), (weight.double() / weight.double().sum())
    assert found.error <= 1e-9
    assert torch.allclose(found.plan_NK.sum(0), column, atol=1e-9)
    assert torch.allclose(found.plan_NK.sum(1), row, atol=1e-9)
    loop = reference.sinkhorn(score.numpy(), row.numpy(), column.numpy(), 3.0, 500)
    pot = ot.sinkhorn(row.numpy(), column.numpy(), -score.numpy(), reg=1 / 3.0, numItermax=5000, stopThr=1e-12)
    assert np.abs(found.plan_NK.numpy() - loop).max() < 1e-9
    assert np.abs(found.plan_NK.numpy() - pot).max() < 1e-9


def test_sinkhorn_in_the_log_domain_survives_sharp_scores() -> None:
    score = torch.full((4, 4), 0.001).log() + torch.eye(4) * 6.9
    found = clustering.sinkhorn(score, strength=20.0)
    assert bool(found.plan_NK.isfinite().all()) and found.label_N.tolist() == [0, 1, 2, 3]


def test_sinkhorn_closed_forms() -> None:
    share = torch.tensor([0.5, 0.3, 0.2]).double()
    flat = clustering.sinkhorn(torch.zeros(10, 3), share)
    assert torch.allclose(flat.plan_NK, (share / 10).expand(10, 3))
    weak = clustering.sinkhorn(random_scores(10, 3), share, strength=0.0)
    assert torch.allclose(weak.plan_NK, (share / 10).expand(10, 3))
    (a, b), (c, d) = (0.7, 0.3), (0.4, 0.6)
    square = clustering.sinkhorn(torch.tensor([[a, b], [c, d]], dtype=torch.float64).log(), strength=1.0)
    diagonal = 0.5 * (a * d) ** 0.5 / ((a * d) ** 0.5 + (b * c) ** 0.5)
    assert float(square.plan_NK[0, 0]) == pytest.approx(diagonal, abs=1e-9)
    one_hot = torch.eye(3).repeat(4, 1).double()
    assert torch.allclose(clustering.sinkhorn((one_hot + 1e-30).log()).plan_NK, one_hot / 12, atol=1e-9)


def test_sinkhorn_symmetries() -> None:
    score, share = random_scores(12, 4), torch.tensor([4.0, 3.0, 2.0, 1.0])
    plan = clustering.sinkhorn(score, share, strength=2.0).plan_NK
    rows, columns = torch.randperm(12, generator=generator()), torch.tensor([2, 0, 3, 1])
    moved = clustering.sinkhorn(score[rows][:, columns], share[columns], strength=2.0).plan_NK
    assert torch.allclose(moved, plan[rows][:, columns], atol=1e-9)
    scaled = clustering.sinkhorn(score + torch.arange(12.0)[:, None], share, strength=2.0).plan_NK
    assert torch.allclose(scaled, plan, atol=1e-9)


def test_sinkhorn_gives_the_largest_share_the_most_rows() -> None:
    found = clustering.sinkhorn(random_scores(200, 3), torch.tensor([6.0, 3.0, 1.0]))
    size = found.label_N.bincount(minlength=3)
    assert size.tolist() == sorted(size.tolist(), reverse=True)


def test_sinkhorn_rejects_bad_scores_and_shares() -> None:
    with pytest.raises(ValueError, match="finite one in every row"):
        clustering.sinkhorn(torch.full((2, 2), float("-inf")))
    with pytest.raises(ValueError, match="finite one in every row"):
        clustering.sinkhorn(torch.tensor([[float("nan"), 1.0]]))
    with pytest.raises(ValueError, match="share_K must hold 3 positive"):
        clustering.sinkhorn(torch.zeros(2, 3), torch.tensor([1.0, 0.0, 1.0]))


def test_labels_are_matched_like_the_loop() -> None:
    label, truth = torch.randint(4, (60,), generator=generator()), torch.randint(4, (60,), generator=generator(1))
    names = clustering.match_labels(label, truth, 4, 4)
    assert int((names[label] == truth).sum()) == reference.best_matching(label.tolist(), truth.tolist(), 4)
    assert sorted(names.tolist()) == [0, 1, 2, 3]


def test_surplus_clusters() -> None:
    label, truth = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2]), torch.tensor([0, 0, 0, 0, 0, 1, 1, 1])
    assert clustering.match_labels(label, truth, 4, 2).tolist()[:3] == [0, -1, 1]
    assert clustering.match_labels(label, truth, 4, 2, surplus=True).tolist()[:3] == [0, 0, 1]
    with pytest.raises(ValueError, match="label_N must lie within"):
        clustering.match_labels(label, truth, 2, 2)


def test_heads_are_aligned_exactly() -> None:
    image = torch.randn(40, 5, generator=generator()).softmax(1)
    planted = torch.tensor([3, 1, 4, 0, 2])
    audio = torch.empty_like(image)
    audio[:, planted] = image
    order = clustering.align_heads(image, audio)
    assert torch.equal(order, planted) and torch.equal(audio[:, order], image)
    other = torch.randn(40, 5, generator=generator(1)).softmax(1)
    cost = float((image - other[:, clustering.align_heads(image, other)]).abs().double().sum())
    assert cost == pytest.approx(reference.alignment_cost(image.numpy(), other.numpy()), rel=1e-5)
