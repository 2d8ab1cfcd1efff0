"""What lies together without labels: clusters and classes, things and their kind or their style.

Chance-corrected and not; natural logarithms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score, roc_auc_score

from avlib.evaluate.arrays import Ints, Values, integers, same_length
from avlib.evaluate.features import Features
from avlib.matching import cosine


@dataclass(frozen=True)
class Clusters:
    """Agreement of clusters with classes.

    Attributes:
        nmi: mutual information over the mean of both entropies (0…1); rises with the number of clusters by itself.
        ami, ari: corrected for chance (0 is chance; either may be negative).
        accuracy: share of clips whose cluster was matched (Hungarian, one to one) to their class; unmatched are wrong.
        purity, entropy: unweighted means over the non-empty clusters of the largest class share, and of the entropy of
            the classes (nats).
        chance: accuracy of one single cluster, the largest class's share.
        clusters, classes, count: non-empty clusters, classes present, clips.
    """

    nmi: float
    ami: float
    ari: float
    accuracy: float
    purity: float
    entropy: float
    chance: float
    clusters: int
    classes: int
    count: int


def contingency(cluster_B: Values, label_B: Values) -> tuple[Ints, Ints, Ints]:
    """count_KC of clips in cluster k and class c, with the ids of rows and columns (those that occur, sorted).

    Raises:
        ValueError: different lengths, empty, not whole numbers.
    """
    cluster_B, label_B = integers(cluster_B, "cluster_B"), integers(label_B, "label_B")
    same_length(cluster_B=cluster_B, label_B=label_B)
    cluster_K, row_B = np.unique(cluster_B, return_inverse=True)
    class_C, column_B = np.unique(label_B, return_inverse=True)
    count_KC = np.zeros((len(cluster_K), len(class_C)), dtype=np.int64)
    np.add.at(count_KC, (row_B, column_B), 1)
    return count_KC, cluster_K, class_C


def agreement(cluster_B: Values, label_B: Values) -> Clusters:
    """All measures of :class:`Clusters`.

    Two constant partitions have NMI 1 and one constant partition has 0, as in scikit-learn.

    Raises:
        ValueError: different lengths, empty, not whole numbers.
    """
    count_KC, cluster_K, class_C = contingency(cluster_B, label_B)
    clusters, labels = integers(cluster_B, "cluster_B"), integers(label_B, "label_B")
    total = int(count_KC.sum())
    row_K, column_K = linear_sum_assignment(-count_KC)
    share_KC = count_KC / count_KC.sum(1, keepdims=True)
    entropy_K = -(share_KC * np.log(np.where(share_KC > 0, share_KC, 1))).sum(1)
    return Clusters(
        nmi=float(normalized_mutual_info_score(labels, clusters)),
        ami=float(adjusted_mutual_info_score(labels, clusters)),
        ari=float(adjusted_rand_score(labels, clusters)),
        accuracy=int(count_KC[row_K, column_K].sum()) / total,
        purity=float(share_KC.max(1).mean()),
        entropy=float(entropy_K.mean()),
        chance=int(count_KC.sum(0).max()) / total,
        clusters=len(cluster_K),
        classes=len(class_C),
        count=total,
    )


def match(cluster_B: Values, label_B: Values) -> dict[int, int]:
    """Name each cluster: Hungarian on P(cluster | class), surplus clusters get their own majority class.

    Fit it on training clips and apply it to test clips with :func:`rename`.

    Raises:
        ValueError: different lengths, empty, not whole numbers.
    """
    count_KC, cluster_K, class_C = contingency(cluster_B, label_B)
    row_K, column_K = linear_sum_assignment(-count_KC / count_KC.sum(0, keepdims=True))
    names = {int(k): int(class_C[count_KC[i].argmax()]) for i, k in enumerate(cluster_K)}
    return names | {int(cluster_K[row]): int(class_C[column]) for row, column in zip(row_K, column_K)}


def rename(cluster_B: Values, names: dict[int, int]) -> Ints:
    """label_B by the names that :func:`match` gave; −1 for a cluster that it never saw."""
    return np.array([names.get(int(k), -1) for k in integers(cluster_B, "cluster_B")], dtype=np.int64)


def other_hands(found: Features) -> float:
    """Chance that a thing is nearer (cosine) to the same thing by another hand than to another thing by its own hand.

    Half of them are nearer by luck; a net that knows styles, or colours, and not things, stays below.
    """
    hand_B, thing_B = found.truth.hand_BN[:, 0], found.label_B  # type: ignore[index]
    same_BB, styled_BB = thing_B[:, None] == thing_B, hand_B[:, None] == hand_B
    pairs_BB = (same_BB != styled_BB).triu(1)
    near_BB = cosine(found.image_BD, found.image_BD)
    return float(roc_auc_score(same_BB[pairs_BB], near_BB[pairs_BB]))
