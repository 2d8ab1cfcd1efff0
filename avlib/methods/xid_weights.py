"""What Robust-xID reads in its memory of pictures and sounds: how far to trust a pair, and who else is a partner.

image_MD and audio_MD hold a row of length 1 for each clip. Nothing here has a gradient. What oracles know comes from
outside; they are bounds, no methods.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from avlib import losses

TRUST = ("none", "agreement", "permuted", "oracle")
"""All pairs alike; by how well both senses of a pair agree; the same weights, but other clips'; as the truth has it."""
ESTIMATORS = ("bootstrapping", "swapped", "neighbours", "cycle")
TARGETS = ("none", *ESTIMATORS, "uniform", "oracle")
"""No other partner; as an estimator says; as much as the estimator `SPREAD` says, but to all alike; all of its kind."""
SPREAD = "cycle"
"""The estimator whose mass ``"uniform"`` spreads evenly."""


Dials = tuple[float, float, float]


def trusted(kind: str, agree_M: Tensor, order_M: Tensor, known_M: Tensor, curve: Dials) -> Tensor:
    """weight_M of each pair in the loss.

    Args:
        kind: see `TRUST`.
        agree_M: how well both senses of each pair agree.
        order_M: a permutation, whose weight each clip has instead of its own.
        known_M: the oracle's weights.
        curve: shift, width and least of `avlib.losses.agreement_weights`; mean and deviation are those of all pairs.

    Source: Morgado et al., Robust Audio-Visual Instance Discrimination, CVPR 2021, as remembered.
    """
    if kind == "oracle":
        return known_M
    if kind == "none":
        return torch.ones_like(agree_M)
    weight_M = losses.agreement_weights(agree_M, agree_M.mean(), agree_M.std(correction=0), *curve)
    return weight_M[order_M] if kind == "permuted" else weight_M


def scores(kind: str, image_MD: Tensor, audio_MD: Tensor, index_B: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """How good a partner clip j is for clip i: score_BM for what the picture i shall find, and for the sound i.

    * bootstrapping: clips whose sound is like this picture (whose picture is like this sound);
    * swapped: clips whose picture is like this sound;
    * neighbours: clips whose picture is like this picture;
    * cycle: clips whose sound is like this sound, and whose own two senses agree.

    Args:
        kind: one of `ESTIMATORS`.
        index_B: which clips i.
        ratio: how much the agreement counts in the cycle beside the likeness, tau_s / tau_t. (Its third term,
            how well i itself agrees, is the same for each j.)

    Source: Morgado et al., Robust Audio-Visual Instance Discrimination, CVPR 2021, as remembered.
    """
    image_BD, audio_BD = image_MD[index_B], audio_MD[index_B]
    if kind == "bootstrapping":
        return image_BD @ audio_MD.t(), audio_BD @ image_MD.t()
    if kind == "swapped":
        return audio_BD @ image_MD.t(), image_BD @ audio_MD.t()
    if kind == "neighbours":
        return image_BD @ image_MD.t(), audio_BD @ audio_MD.t()
    agree_M = ratio * (image_MD * audio_MD).sum(1)
    return audio_BD @ audio_MD.t() + agree_M, image_BD @ image_MD.t() + agree_M


def soft(
    kind: str, image_MD: Tensor, audio_MD: Tensor, index_B: Tensor, known_M: Tensor, dials: Dials
) -> tuple[Tensor, Tensor]:
    """What the picture and what the sound of each clip shall find: two target_BM, rows sum to 1.

    Args:
        kind: see `TARGETS`.
        known_M: int64, the kind of each clip, for the oracle.
        dials: lambda, how much of a target others may have (at most); tau_s and tau_t, temperatures.

    Source: Morgado et al., Robust Audio-Visual Instance Discrimination, CVPR 2021, as remembered.
    """
    keep, cool, tie = dials
    if kind == "none":
        own_BM = functional.one_hot(index_B, len(image_MD)).to(image_MD)
        return own_BM, own_BM
    if kind == "oracle":
        same_BM = (known_M[index_B, None] == known_M).to(image_MD)
        score_BM = same_BM.log()  # one temperature below, whatever it is: minus infinity stays so, and 0 stays 0
        return (losses.soft_targets(score_BM, index_B, keep, 1.0),) * 2
    both = scores(SPREAD if kind == "uniform" else kind, image_MD, audio_MD, index_B, cool / tie)
    picture_BM, sound_BM = (losses.soft_targets(score_BM, index_B, keep, cool) for score_BM in both)
    return (level(picture_BM, index_B), level(sound_BM, index_B)) if kind == "uniform" else (picture_BM, sound_BM)


def level(target_BM: Tensor, index_B: Tensor) -> Tensor:
    """The same targets, but what others have of them is shared out evenly among all others (label smoothing)."""
    own_B1 = target_BM.gather(1, index_B[:, None])
    share_B1 = (1 - own_B1) / (target_BM.shape[1] - 1)
    return share_B1.expand_as(target_BM).scatter(1, index_B[:, None], own_B1)
