"""Groups without labels: k-means, optimal transport, and the alignment of one labelling with another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


@dataclass(frozen=True)
class Clusters:
    """A k-means solution: centre_KD, label_N (int64) and the sum of squared distances to the own centre."""

    centre_KD: Tensor
    label_N: Tensor
    inertia: float

    def assign(self, value_ND: Tensor) -> Tensor:
        """int64, the nearest centre of each row."""
        return _square_distance(value_ND.to(self.centre_KD.dtype), self.centre_KD).argmin(1)


def kmeans(
    value_ND: Tensor, clusters: int, generator: torch.Generator | None = None, restarts: int = 5, rounds: int = 100
) -> Clusters:
    """The best of ``restarts`` runs of Lloyd's algorithm from k-means++ seeds; no cluster is left empty.

    An empty cluster takes the row farthest from its own centre. The same generator state gives the same clusters.

    Raises:
        ValueError: fewer rows than clusters, no clusters, NaN, not (rows, coordinates).

    Source: Arthur & Vassilvitskii, k-means++, SODA 2007.
    """
    if value_ND.ndim != 2 or not 1 <= clusters <= value_ND.shape[0]:
        raise ValueError(
            f"kmeans needs value_ND with at least {max(clusters, 1)} rows, not shape {tuple(value_ND.shape)}"
        )
    if clusters < 1 or restarts < 1:
        raise ValueError(f"kmeans needs at least one cluster and one run, not {clusters} and {restarts}")
    if not bool(value_ND.isfinite().all()):
        raise ValueError("kmeans cannot cluster NaN or infinite values")
    value_ND = value_ND.detach() if value_ND.is_floating_point() else value_ND.float()
    mean_D = value_ND.mean(0)
    centred_ND = value_ND - mean_D
    runs = [_lloyd(centred_ND, _seeds(centred_ND, clusters, generator), rounds) for _ in range(restarts)]
    best = min(runs, key=lambda run: run.inertia)
    return Clusters(best.centre_KD + mean_D, best.label_N, best.inertia)


def principal_axes(value_ND: Tensor, count: int) -> Tensor:
    """The ``count`` directions along which rows vary most, in that order: axis_KD of length 1 (PCA).

    An axis and its opposite are the same axis; here its largest coordinate is positive, so that it does not flip from
    one machine to the next.

    Raises:
        ValueError: more axes than coordinates or than rows less one, NaN, not (rows, coordinates).

    Source: Hotelling, 1933; scikit-learn's PCA gives the same axes.
    """
    if value_ND.ndim != 2 or not 1 <= count <= min(value_ND.shape[1], len(value_ND) - 1):
        raise ValueError(f"principal_axes cannot find {count} axes of rows of shape {tuple(value_ND.shape)}")
    if not bool(value_ND.isfinite().all()):
        raise ValueError("principal_axes needs finite rows")
    wide_ND = value_ND.detach().double()
    axis_KD = torch.linalg.svd(wide_ND - wide_ND.mean(0), full_matrices=False).Vh[:count]
    largest_K1 = axis_KD.gather(1, axis_KD.abs().argmax(1, keepdim=True))
    return (axis_KD * largest_K1.sign()).to(value_ND.dtype)


def _square_distance(value_ND: Tensor, centre_KD: Tensor) -> Tensor:
    square_NK = value_ND.square().sum(1, keepdim=True) + centre_KD.square().sum(1) - 2 * value_ND @ centre_KD.t()
    return square_NK.clamp(min=0)


def _seeds(value_ND: Tensor, clusters: int, generator: torch.Generator | None) -> Tensor:
    """k-means++: draw each seed in proportion to its squared distance from those before; keep the best of a few."""
    trials = 2 + max(clusters, 1).bit_length()
    first = int(torch.randint(len(value_ND), (), generator=generator))
    chosen, nearest_N = [first], (value_ND - value_ND[first]).square().sum(1)
    while len(chosen) < clusters:
        total_N = nearest_N.double().cumsum(0).cpu()
        draw_R = torch.rand(trials, generator=generator, dtype=torch.float64) * total_N[-1]
        row_R = torch.searchsorted(total_N, draw_R, right=True).clamp(max=len(value_ND) - 1).to(value_ND.device)
        closer_RN = torch.minimum(_square_distance(value_ND[row_R], value_ND), nearest_N)
        best = int(closer_RN.sum(1).argmin())
        chosen.append(int(row_R[best]))
        nearest_N = torch.minimum(nearest_N, (value_ND - value_ND[chosen[-1]]).square().sum(1))
    return value_ND[chosen]


def _lloyd(value_ND: Tensor, centre_KD: Tensor, rounds: int) -> Clusters:
    label_N = torch.full((len(value_ND),), -1, device=value_ND.device)
    for _ in range(rounds):
        distance_NK = _square_distance(value_ND, centre_KD)
        new_N = _repair(distance_NK.argmin(1), distance_NK)
        if torch.equal(new_N, label_N):
            break
        label_N = new_N
        total_KD = torch.zeros_like(centre_KD).index_add_(0, label_N, value_ND)
        centre_KD = total_KD / label_N.bincount(minlength=len(centre_KD)).to(value_ND.dtype)[:, None]
    inertia = float((value_ND - centre_KD[label_N]).double().square().sum())
    return Clusters(centre_KD, label_N, inertia)


def _repair(label_N: Tensor, distance_NK: Tensor) -> Tensor:
    """Give every empty cluster the row farthest from its centre, never the last row of another cluster."""
    size_K = label_N.bincount(minlength=distance_NK.shape[1])
    empty = (size_K == 0).nonzero().flatten().tolist()
    if not empty:
        return label_N
    label_N = label_N.clone()
    far = distance_NK.gather(1, label_N[:, None]).squeeze(1).argsort(descending=True).tolist()
    for row in far:
        if not empty:
            break
        if size_K[label_N[row]] > 1:
            size_K[label_N[row]] -= 1
            label_N[row] = empty.pop()
    return label_N


@dataclass(frozen=True)
class Transport:
    """A plan_NK (sums to 1), the largest error of a row's weight relative to the mean weight, and the rounds taken."""

    plan_NK: Tensor
    error: float
    rounds: int

    @property
    def label_N(self) -> Tensor:
        """int64, the cluster that gets most of each row."""
        return self.plan_NK.argmax(1)


def sinkhorn(
    score_NK: Tensor,
    share_K: Tensor | None = None,
    share_N: Tensor | None = None,
    strength: float = 20.0,
    tolerance: float = 1e-9,
    rounds: int = 2000,
) -> Transport:
    """Spread rows over clusters of given sizes: the plan of maximal ⟨plan, score⟩ + entropy / strength.

    In the log domain and float64 throughout: exp(20·ln .001) is 1e-60, nothing in float32.

    Args:
        score_NK: log-probabilities (or minus a cost); only differences within a row and a column matter.
        share_K, share_N: the size of each cluster and the weight of each row; uniform by default, scaled to sum to 1.
        strength: lambda; 0 spreads every row by ``share_K``, infinity assigns.
        tolerance: stop when no row's weight is off by more than this share of the mean weight (columns are exact).

    Raises:
        ValueError: NaN or +infinite scores, a row of -infinity, shares of another length or not positive.

    Source: Cuturi, NIPS 2013; Asano et al., SeLaVi, NeurIPS 2020, equation 4.
    """
    if score_NK.ndim != 2 or score_NK.numel() == 0:
        raise ValueError(f"sinkhorn needs score_NK (rows, clusters), not shape {tuple(score_NK.shape)}")
    best = torch.cat([score_NK.amax(1), score_NK.amax(0)])
    if not bool(best.isfinite().all()) or bool(score_NK.isnan().any()) or rounds < 1:
        raise ValueError("sinkhorn needs scores below infinity, a finite one in every row and column, and a round")
    log_plan_NK = strength * score_NK.detach().double()
    log_row_N = _log_share(share_N, score_NK.shape[0], "share_N", score_NK.device)
    log_column_K = _log_share(share_K, score_NK.shape[1], "share_K", score_NK.device)
    right_K, done, error = torch.zeros_like(log_column_K), 0, float("inf")
    while done < rounds and error > tolerance:
        left_N = log_row_N - torch.logsumexp(log_plan_NK + right_K, 1)
        right_K = log_column_K - torch.logsumexp(log_plan_NK + left_N[:, None], 0)
        row_N = torch.logsumexp(log_plan_NK + left_N[:, None] + right_K, 1)
        error, done = float((row_N.exp() - log_row_N.exp()).abs().max()) * len(row_N), done + 1
    return Transport((log_plan_NK + left_N[:, None] + right_K).exp(), error, done)


def _log_share(share: Tensor | None, count: int, name: str, device: torch.device) -> Tensor:
    if share is None:
        return torch.full((count,), 1.0 / count, dtype=torch.float64, device=device).log()
    if share.shape != (count,) or not bool((share > 0).all()):
        raise ValueError(f"{name} must hold {count} positive numbers, not {tuple(share.shape)}")
    wide = share.to(device=device, dtype=torch.float64)
    return (wide / wide.sum()).log()


def contingency(label_N: Tensor, truth_N: Tensor, clusters: int, classes: int) -> Tensor:
    """int64 count_KC of rows with cluster k and class c.

    Raises:
        ValueError: different lengths, no rows, a label outside 0…clusters-1 or 0…classes-1.
    """
    if label_N.shape != truth_N.shape or label_N.ndim != 1 or len(label_N) == 0:
        raise ValueError(f"contingency needs two rows of labels, not {tuple(label_N.shape)} and {tuple(truth_N.shape)}")
    for name, value, count in (("label_N", label_N, clusters), ("truth_N", truth_N, classes)):
        if int(value.min()) < 0 or int(value.max()) >= count:
            raise ValueError(f"{name} must lie within 0…{count - 1}, not {int(value.min())}…{int(value.max())}")
    return (label_N * classes + truth_N).bincount(minlength=clusters * classes).view(clusters, classes)


def match_labels(label_N: Tensor, truth_N: Tensor, clusters: int, classes: int, surplus: bool = False) -> Tensor:
    """The class of each cluster, one to one, that agrees with most rows (Hungarian): int64 class_K.

    With more clusters than classes the surplus ones get -1, or with ``surplus`` their majority class.

    Source: Kuhn 1955; scipy.optimize.linear_sum_assignment.
    """
    count_KC = contingency(label_N, truth_N, clusters, classes)
    row, column = linear_sum_assignment(count_KC.cpu().numpy(), maximize=True)
    class_K = count_KC.argmax(1) if surplus else torch.full((clusters,), -1, device=label_N.device)
    class_K[torch.as_tensor(row, device=label_N.device)] = torch.as_tensor(column, device=label_N.device)
    return class_K


def align_heads(image_prob_NK: Tensor, audio_prob_NK: Tensor) -> Tensor:
    """The order of the audio head's clusters that fits the image head's: int64 order_K, audio_prob_NK[:, order_K].

    Minimises Σ_n Σ_k |image(k|n) - audio(order(k)|n)| exactly: the cost is a sum over k, an assignment problem.

    Raises:
        ValueError: shapes that differ.

    Source: Asano et al., SeLaVi, NeurIPS 2020, section 3.2, where random swaps approximate it.
    """
    if image_prob_NK.shape != audio_prob_NK.shape or image_prob_NK.ndim != 2 or image_prob_NK.numel() == 0:
        shapes = f"{tuple(image_prob_NK.shape)} and {tuple(audio_prob_NK.shape)}"
        raise ValueError(f"align_heads needs two tensors (clips, clusters) of one shape, not {shapes}")
    cost_KK = torch.cdist(image_prob_NK.detach().double().t(), audio_prob_NK.detach().double().t(), p=1)
    return torch.as_tensor(linear_sum_assignment(cost_KK.cpu().numpy())[1], device=audio_prob_NK.device)
