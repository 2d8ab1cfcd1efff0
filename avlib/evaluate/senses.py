"""Several senses in one space: does each find the others, how far apart do they lie, and what carries over?

A space is a value_BD for each sense, by name; row i of all of them is clip i.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from avlib.evaluate import retrieval
from avlib.evaluate.arrays import Bools
from avlib.evaluate.exam import probe_score
from avlib.matching import cosine, unit

Space = Mapping[str, Tensor]
TEXT = "text"
"""The sense in which two clips can be word for word the same."""


def centred(space: Space) -> dict[str, Tensor]:
    """The same less each sense's own mean over these clips: no sense has a side of the space for itself."""
    return {name: value_BD - value_BD.mean(0) for name, value_BD in space.items()}


def right(said: Sequence[str], one: str, other: str) -> Bools:
    """right_BB: own pairs; where a text is sought or searched with, whatever has the very same sentence as well."""
    said_B = np.array(said)
    return said_B[:, None] == said_B[None] if TEXT in (one, other) else np.eye(len(said_B), dtype=bool)


def searches(space: Space, said: Sequence[str], label_B: Tensor, size: int) -> dict[str, float]:
    """Each sense searched with each other, in chunks of ``size`` clips; a last, shorter one is left out.

    Where a text is sought, each sentence is there once: two that are the same would not be two chances.

    Args:
        said: the sentence of each clip.
        label_B: what each clip shows.

    Returns:
        For each way the means over the chunks: "sound → text, rank", the median rank over that of random lists (1 is
        luck, less is better); "…, median rank" itself; "…, same thing", how often the first is of the query's label.

    Raises:
        ValueError: fewer clips than one chunk.

    Source: the average median rank of Aytar et al., See, Hear, and Read, 2017; cosines.
    """
    rows = [slice(n, n + size) for n in range(0, len(said) - size + 1, size)]
    if not rows:
        raise ValueError(f"{len(said)} clips make no chunk of {size}")
    parts = [_searches({name: v[row] for name, v in space.items()}, said[row], label_B[row]) for row in rows]
    return {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}


def _searches(space: Space, said: Sequence[str], label_B: Tensor) -> dict[str, float]:
    scores: dict[str, float] = {}
    once_N = np.sort(np.unique(np.array(said), return_index=True)[1])
    for query, item in itertools.permutations(space, 2):
        kept_N = once_N if item == TEXT else np.arange(len(said))
        right_QN = right(said, query, item)[:, kept_N]
        sim_QN = cosine(space[query], space[item][kept_N])
        median = retrieval.retrieval(sim_QN, (1,), right_QN).median_rank
        same = retrieval.by_label(sim_QN, label_B, label_B[kept_N], (1,)).recall[1]
        way = f"{query} → {item}"
        scores[f"{way}, rank"] = median / retrieval.chance_median(right_QN)
        scores |= {f"{way}, median rank": median, f"{way}, same thing": same}
    return scores


def knowing(class_B: Tensor, said: Sequence[str]) -> float:
    """How well a text finds a sound for whoever knows a class of each clip and nothing else.

    The median rank over that of random lists; clips of one class are tied.
    """
    right_BB = right(said, TEXT, "sound")
    same_BB = (class_B[:, None] == class_B).double()
    return retrieval.retrieval(same_BB, (1,), right_BB).median_rank / retrieval.chance_median(right_BB)


def gaps(space: Space) -> dict[str, float]:
    """How far apart each two senses lie: the distance of the means of what is brought to length 1, 0…2."""
    mean = {name: unit(value_BD).mean(0) for name, value_BD in space.items()}
    return {f"{a} and {b}": float(torch.dist(mean[a], mean[b])) for a, b in itertools.combinations(mean, 2)}


def transfer(*parts: tuple[Space, Tensor]) -> dict[tuple[str, str], float]:
    """Accuracy of a linear probe that learnt from one sense and is asked in another, (taught, asked) → 0…1.

    Args:
        parts: a space and its label_B for training, validation and test. C is chosen in the sense that teaches: no
            label of the other one is seen.
    """
    (train, train_B), (valid, valid_B), (test, test_B) = parts
    with np.errstate(divide="ignore"):  # far from what it learnt, a probe is so sure that it takes the logarithm of 0
        return {
            (taught, asked): probe_score((train[taught], train_B), (valid[taught], valid_B), (test[asked], test_B))
            for taught, asked in itertools.product(train, train)
        }
