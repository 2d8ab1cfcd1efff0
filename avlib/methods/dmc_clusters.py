"""Soft clusters of the cells of a map: which cell belongs to which of K components, and what each is like.

Two forms, as Deep Multimodal Clustering was written (:func:`projected`) and released in short (:func:`euclidean`).
Both alternate what k-means alternates: shares from centres, centres from shares.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

TINY = 1e-8
"""Below this, a length counts as none."""


class Components(NamedTuple):
    """K components of each clip: centre_BKD, and share_BPK, how much of each of P cells is whose (sums to 1 over K)."""

    centre_BKD: Tensor
    share_BPK: Tensor

    def over(self, map_BDYX: Tensor) -> Tensor:
        """share_BKYX, the shares as maps of the shape of the one that they are of."""
        return self.share_BPK.transpose(1, 2).unflatten(2, map_BDYX.shape[2:])


def squash(value: Tensor) -> Tensor:
    """Length tanh(10·length) along the last axis: 1 for all but the shortest; zeros stay zeros.

    Source: Hu, Nie & Li, Deep Multimodal Clustering, CVPR 2019, released code.
    """
    length = (value.square().sum(-1, keepdim=True) + TINY**2).sqrt()
    return (10 * length).tanh() * value / length


def project(cell_BPC: Tensor, weight_KDC: Tensor) -> Tensor:
    """Each cell as each component sees it, W_k u_i: view_BPKD."""
    return torch.einsum("bpc,kdc->bpkd", cell_BPC, weight_KDC)


def projected(view_BPKD: Tensor, rounds: int = 3, sharpness: float = 1.0) -> Components:
    """The paper's form: a cell goes to the component whose centre points where the cell's own view points.

    Shares begin equal. Each round sums up c_k = Σ_i s_ik·W_k u_i; all but the last then share anew, s_i = softmax over
    k of sharpness·⟨c_k/‖c_k‖, W_k u_i⟩. So one round never shares, and its centres are plain sums.

    Args:
        view_BPKD: every cell by every component's projection, see :func:`project`.
        rounds: T.
        sharpness: z of the soft minimum (:func:`soft_min`), which the released code has as 1.

    Raises:
        ValueError: not four axes, no cell or component, no round, a sharpness below 0.

    Source: Hu, Nie & Li, Deep Multimodal Clustering, CVPR 2019, released code.
    """
    _check("projected", view_BPKD, 4, rounds, sharpness)
    logit_BPK = view_BPKD.new_zeros(view_BPKD.shape[:3])
    for n in range(rounds):
        share_BPK = logit_BPK.softmax(2)
        centre_BKD = torch.einsum("bpk,bpkd->bkd", share_BPK, view_BPKD)
        if n < rounds - 1:
            direction_BKD = functional.normalize(centre_BKD, dim=2, eps=TINY)
            logit_BPK = sharpness * torch.einsum("bkd,bpkd->bpk", direction_BKD, view_BPKD)
    return Components(centre_BKD, share_BPK)


def euclidean(cell_BPD: Tensor, clusters: int, rounds: int = 4, sharpness: float = 30.0) -> Components:
    """The short form: soft k-means of the cells, from centres at evenly spaced cells.

    s_i = softmax over k of -sharpness·‖c_k - u_i‖, then c_k = Σ_i s_ik·u_i / Σ_i s_ik; infinitely sharp, it is a round
    of k-means, and with sharpness 0 all centres are the mean.

    Raises:
        ValueError: not three axes, no cells, fewer cells than clusters, no round, a sharpness below 0.

    Source: the released simplified form of Hu, Nie & Li, Deep Multimodal Clustering, CVPR 2019.
    """
    _check("euclidean", cell_BPD, 3, rounds, sharpness)
    cells = cell_BPD.shape[1]
    if not 1 <= clusters <= cells:
        raise ValueError(f"euclidean cannot make {clusters} clusters of {cells} cells")
    centre_BKD = cell_BPD[:, [n * cells // clusters for n in range(clusters)]]
    for _ in range(rounds):
        share_BPK = (-sharpness * distances(cell_BPD, centre_BKD)).softmax(2)
        total_BKD = torch.einsum("bpk,bpd->bkd", share_BPK, cell_BPD)
        centre_BKD = total_BKD / share_BPK.sum(1).clamp(min=TINY)[:, :, None]
    return Components(centre_BKD, share_BPK)


def distances(first_BPD: Tensor, second_BKD: Tensor) -> Tensor:
    """Euclidean distance of each row with each row of the same clip, (B, P, K); its gradient is finite at 0."""
    square_BPK = (first_BPD[:, :, None] - second_BKD[:, None]).square().sum(3)
    return square_BPK.clamp(min=1e-10).sqrt()


def soft_min(distance_PK: Tensor, sharpness: float) -> Tensor:
    """-(1/z)·ln Σ_k exp(-z·d_k) over the last axis: what both forms lower; its derivative in d_k is the share of k.

    Raises:
        ValueError: a sharpness that is not positive.

    Source: Hu, Nie & Li, Deep Multimodal Clustering, CVPR 2019, as remembered.
    """
    if not sharpness > 0:
        raise ValueError(f"soft_min needs a sharpness above 0, not {sharpness}")
    return -torch.logsumexp(-sharpness * distance_PK, -1) / sharpness


def _check(owner: str, value: Tensor, ndim: int, rounds: int, sharpness: float) -> None:
    if value.ndim != ndim or value.numel() == 0:
        raise ValueError(f"{owner} needs cells with {ndim} axes, not shape {tuple(value.shape)}")
    if rounds < 1 or not sharpness >= 0:
        raise ValueError(f"{owner} needs a round and a sharpness of at least 0, not {rounds} and {sharpness}")
