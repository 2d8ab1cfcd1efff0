"""Losses: pure functions of tensors, in full precision even where the networks run in half.

Every function returns a scalar unless it says otherwise. Randomness enters through an explicit generator only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec

import torch
from torch import Tensor
from torch.nn import functional

P = ParamSpec("P")


def _widen(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16)
    return value.float() if half else value


def full_precision(loss: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Run ``loss`` outside autocast, its half-precision arguments widened to float32."""

    @functools.wraps(loss)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        device = next((v.device.type for v in (*args, *kwargs.values()) if isinstance(v, Tensor)), "cpu")
        with torch.autocast(device, enabled=False):
            return loss(*map(_widen, args), **{name: _widen(v) for name, v in kwargs.items()})  # type: ignore[arg-type]

    return wrapped


def _need(loss: str, value: Tensor, name: str, ndim: int) -> None:
    if value.ndim != ndim:
        raise ValueError(f"{loss} needs {name} with {ndim} axes, not shape {tuple(value.shape)}")
    if value.numel() == 0:
        raise ValueError(f"{loss} got an empty batch: {name} of shape {tuple(value.shape)}")


def _need_negatives(loss: str, clips: int) -> None:
    if clips < 2:
        raise ValueError(f"{loss} contrasts clips with one another and needs at least 2 of them, not {clips}")


def _need_square(loss: str, sim_BB: Tensor, name: str = "sim_BB") -> None:
    _need(loss, sim_BB, name, 2)
    if sim_BB.shape[0] != sim_BB.shape[1]:
        raise ValueError(f"{loss} needs a square {name}, not shape {tuple(sim_BB.shape)}")
    _need_negatives(loss, sim_BB.shape[0])


def _need_temperature(loss: str, temperature: float | Tensor) -> None:
    if not isinstance(temperature, Tensor) and not temperature > 0:
        raise ValueError(f"{loss} needs a temperature above 0, not {temperature}")


def _need_index(loss: str, index_B: Tensor, rows: int, columns: int, name: str = "index_B") -> None:
    if index_B.shape != (rows,):
        raise ValueError(f"{loss} needs {name} with one number for each of {rows} rows, not {tuple(index_B.shape)}")
    outside_B = (index_B < 0) | (index_B >= columns)
    if not torch.compiler.is_compiling() and bool(outside_B.any()):
        raise ValueError(f"{loss} needs {name} within 0…{columns - 1}, not {index_B[outside_B].tolist()[:8]}")


def off_diagonal(sim_BB: Tensor) -> Tensor:
    """The B·(B-1) entries beside the diagonal, row by row: (B, B-1)."""
    clips = sim_BB.shape[0]
    return sim_BB.flatten()[1:].view(clips - 1, clips + 1)[:, :-1].reshape(clips, clips - 1)


def random_shift(clips: int, generator: torch.Generator | None = None) -> int:
    """A cyclic shift within 1…clips-1, uniform: clip i meets clip i + shift, never itself.

    Raises:
        ValueError: fewer than two clips.
    """
    _need_negatives("random_shift", clips)
    return int(torch.randint(1, clips, (), generator=generator))


@full_precision
def correspondence(logit: Tensor, label_B: Tensor | None = None) -> Tensor:
    """Do this picture and this sound belong together? Binary cross entropy, ln 2 at zero logits.

    Two forms:

    * ``logit`` of shape (B,) with ``label_B`` (1 true pair, 0 false pair; any float or bool type): the mean over the
      pairs given, as in the paper, where half of them are true. A two-way softmax is the same with the difference of
      its two logits.
    * ``logit_BB`` without labels: row i is picture i, column j is sound j. The B true pairs (diagonal) together weigh
      as much as the B·(B-1) false ones, so that the loss stays balanced however large the batch.

    Raises:
        ValueError: an empty batch, labels of another shape, a matrix that is not square or holds one clip.

    Source: Arandjelović & Zisserman, Look, Listen and Learn, ICCV 2017, section 2; the matrix form is ours.
    """
    if label_B is not None:
        _need("correspondence", logit, "logit_B", 1)
        if label_B.shape != logit.shape:
            raise ValueError(
                f"correspondence needs one label a logit, not {tuple(label_B.shape)} for {tuple(logit.shape)}"
            )
        return functional.binary_cross_entropy_with_logits(logit, label_B.to(logit.dtype))
    _need_square("correspondence", logit, "logit_BB")
    true_B, false_BM = logit.diagonal(), off_diagonal(logit)
    return (functional.softplus(-true_B).mean() + functional.softplus(false_BM).mean()) / 2


def draw(allowed_BM: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """int64 other_BN: for each row ``count`` of the columns that it may be compared with, drawn with replacement.

    Args:
        allowed_BM: bool. The draw is made on the CPU, so that it is the same on each device.

    Raises:
        ValueError: not a matrix of bool, no draw, a row that may be compared with nobody.
    """
    if allowed_BM.ndim != 2 or allowed_BM.dtype != torch.bool:
        raise ValueError(f"draw needs allowed_BM of bool, not {allowed_BM.dtype} of shape {tuple(allowed_BM.shape)}")
    if count < 1:
        raise ValueError(f"draw needs at least one candidate, not {count}")
    alone_B = ~allowed_BM.any(1)
    if bool(alone_B.any()):
        raise ValueError(f"rows {alone_B.nonzero().flatten().tolist()[:8]} may be compared with nobody")
    chance_BM = allowed_BM.cpu().float()
    return torch.multinomial(chance_BM, count, replacement=True, generator=generator).to(allowed_BM.device)


@full_precision
def true_or_false(true_B: Tensor, false_BN: Tensor) -> Tensor:
    """Binary cross-entropy of logits of true and of false pairs, both together weighing alike: ln 2 at zero.

    Where the false ones are all others of the batch it is :func:`correspondence`.

    Raises:
        ValueError: an empty batch, no false pair.

    Source: Arandjelović & Zisserman, Look, Listen and Learn, ICCV 2017, section 2; how many false pairs is ours.
    """
    _need("true_or_false", true_B, "true_B", 1)
    _need("true_or_false", false_BN, "false_BN", 2)
    return (functional.softplus(-true_B).mean() + functional.softplus(false_BN).mean()) / 2


@full_precision
def among(own_B: Tensor, other_BN: Tensor, target_BN: Tensor | None = None) -> Tensor:
    """Find the own one among N others: -log softmax at the own logit, mean over clips; ln (N + 1) at equal logits.

    Args:
        own_B, other_BN: logits, already divided by the temperature.
        target_BN: N + 1 columns, the own one first, rows sum to 1: how much of the choice each shall have. No gradient.

    Raises:
        ValueError: an empty batch, no other, rows or columns that do not fit.

    Source: van den Oord et al., arXiv 1807.03748, equation 4; targets as Morgado et al., CVPR 2021, section 3.3.
    """
    _need("among", own_B, "own_B", 1)
    _need("among", other_BN, "other_BN", 2)
    if len(own_B) != len(other_BN):
        raise ValueError(f"among needs others of each clip, not {len(other_BN)} rows for {len(own_B)} clips")
    log_BN = torch.cat([own_B[:, None], other_BN], 1).log_softmax(1)
    if target_BN is None:
        return -log_BN[:, 0].mean()
    if target_BN.shape != log_BN.shape:
        raise ValueError(f"among needs target_BN of {tuple(log_BN.shape)}, not {tuple(target_BN.shape)}")
    return -(target_BN.detach() * log_BN).sum(1).mean()


@full_precision
def info_nce(
    sim_BM: Tensor, temperature: float | Tensor = 0.07, symmetric: bool = True, target_B: Tensor | None = None
) -> Tensor:
    """Find the partner among the batch: -log softmax_j(sim_ij / temperature) at j = i, mean over clips.

    Args:
        sim_BM: similarity of picture i and sound j, square unless ``target_B`` is given.
        temperature: number, or a tensor where it is learnt.
        symmetric: mean of both directions (rows and columns) rather than rows alone.
        target_B: int64, the column of each row's partner, where the columns are not the rows' own clips; rows only.

    Raises:
        ValueError: one clip, an empty batch, not square, a temperature of 0, ``symmetric`` together with ``target_B``,
            a target that is no column.

    Source: van den Oord et al., arXiv 1807.03748, equation 4; both directions as in Morgado et al. (AVID).
    """
    _need_temperature("info_nce", temperature)
    if target_B is None:
        _need_square("info_nce", sim_BM)
        target_B = torch.arange(sim_BM.shape[0], device=sim_BM.device)
    else:
        _need("info_nce", sim_BM, "sim_BM", 2)
        _need_negatives("info_nce", sim_BM.shape[1])
        if symmetric:
            raise ValueError("info_nce with target_B has one direction only; pass symmetric=False")
        _need_index("info_nce", target_B, len(sim_BM), sim_BM.shape[1], "target_B")
    logit_BM = sim_BM / temperature
    loss = functional.cross_entropy(logit_BM, target_B)
    return (loss + functional.cross_entropy(logit_BM.t(), target_B)) / 2 if symmetric else loss


@full_precision
def info_nce_bank(
    query_BD: Tensor,
    bank_MD: Tensor,
    index_B: Tensor,
    temperature: float | Tensor = 0.07,
    weight_B: Tensor | None = None,
) -> Tensor:
    """Find the partner among a whole bank: -log softmax_j(query_i · bank_j / temperature) at j = index_i.

    One direction; the cross-modal loss is the sum of both, 2·ln M at equal scores. The bank gets no gradient.

    Args:
        query_BD, bank_MD: usually of unit length; the bank holds one row for every clip of the set.
        index_B: int64, the row of each query's own clip.
        weight_B: weight of each clip; the loss is Σ w·l / Σ w.

    Raises:
        ValueError: an empty batch, a bank of one, an index outside the bank, a temperature of 0, weights that sum to 0.

    Source: Morgado et al., Robust Audio-Visual Instance Discrimination, CVPR 2021, equations 1 and 4.
    """
    _need("info_nce_bank", query_BD, "query_BD", 2)
    _need_negatives("info_nce_bank", bank_MD.shape[0])
    _need_temperature("info_nce_bank", temperature)
    _need_index("info_nce_bank", index_B, len(query_BD), len(bank_MD))
    logit_BM = query_BD @ bank_MD.detach().to(query_BD.dtype).t() / temperature
    return _weighted_mean("info_nce_bank", functional.cross_entropy(logit_BM, index_B, reduction="none"), weight_B)


@full_precision
def soft_nce(
    query_BD: Tensor,
    bank_MD: Tensor,
    target_BM: Tensor,
    temperature: float | Tensor = 0.07,
    weight_B: Tensor | None = None,
) -> Tensor:
    """Instance discrimination with soft targets: -Σ_j target_ij · log softmax_j(query_i · bank_j / temperature).

    One direction; with one-hot targets it is :func:`info_nce_bank`. Targets, weights and bank get no gradient.

    Args:
        target_BM: rows sum to 1, as from :func:`soft_targets`.
        weight_B: weight of each clip; the loss is Σ w·l / Σ w.

    Raises:
        ValueError: an empty batch, a bank of one, a temperature of 0, targets of another shape or whose rows are no
            distributions (to 1 %, which half precision keeps), weights that sum to 0.

    Source: Morgado et al., CVPR 2021, section 3.3 (Soft-xID) and, with both, Robust-xID.
    """
    _need("soft_nce", query_BD, "query_BD", 2)
    _need_negatives("soft_nce", bank_MD.shape[0])
    _need_temperature("soft_nce", temperature)
    if target_BM.shape != (query_BD.shape[0], bank_MD.shape[0]):
        raise ValueError(
            f"soft_nce needs target_BM of {query_BD.shape[0]}×{bank_MD.shape[0]}, not {tuple(target_BM.shape)}"
        )
    total_B = target_BM.detach().sum(1)
    bad_B = ~((total_B - 1).abs() <= 1e-2) | (target_BM.detach() < 0).any(1)
    if not torch.compiler.is_compiling() and bool(bad_B.any()):
        rows = f"rows {bad_B.nonzero().flatten().tolist()[:8]} sum to {total_B[bad_B].tolist()[:8]}"
        raise ValueError(f"soft_nce needs rows of target_BM that are 0 or more and sum to 1; {rows}")
    log_BM = functional.log_softmax(query_BD @ bank_MD.detach().to(query_BD.dtype).t() / temperature, 1)
    return _weighted_mean("soft_nce", -(target_BM.detach() * log_BM).sum(1), weight_B)


def _weighted_mean(loss: str, loss_B: Tensor, weight_B: Tensor | None) -> Tensor:
    if weight_B is None:
        return loss_B.mean()
    if weight_B.shape != loss_B.shape:
        raise ValueError(f"{loss}: weight_B of shape {tuple(weight_B.shape)} does not fit {loss_B.shape[0]} clips")
    weight_B = weight_B.detach()
    total = weight_B.sum()
    if not torch.compiler.is_compiling() and not bool(total > 0):
        raise ValueError(f"{loss} needs weights with a sum above 0, not {float(total):g}")
    return (weight_B * loss_B).sum() / total


@full_precision
def soft_targets(score_BM: Tensor, index_B: Tensor, keep: float, temperature: float) -> Tensor:
    """Targets that admit other clips: (1 - keep)·[j = index_i] + keep·softmax_j(score_ij / temperature), no gradient.

    ``keep`` is the paper's lambda; 0 gives one-hot rows. What ``score_BM`` compares (own or other modality, neighbours,
    cycles) is the paper's choice of estimator.

    Raises:
        ValueError: ``keep`` outside 0…1, an empty batch, a temperature of 0, an index that is no column.

    Source: Morgado et al., CVPR 2021, section 3.3.
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"soft_targets needs keep within 0…1, not {keep}")
    _need("soft_targets", score_BM, "score_BM", 2)
    _need_temperature("soft_targets", temperature)
    _need_index("soft_targets", index_B, len(score_BM), score_BM.shape[1])
    own_BM = functional.one_hot(index_B, score_BM.shape[1]).to(score_BM.dtype)
    return (1 - keep) * own_BM + keep * (score_BM.detach() / temperature).softmax(1)


@full_precision
def agreement_weights(
    score_B: Tensor,
    mean: float | Tensor,
    deviation: float | Tensor,
    shift: float = -1.0,
    width: float = 0.5,
    least: float = 0.25,
) -> Tensor:
    """Weight of each pair by how well its two modalities agree: w_B, no gradient.

    least + (1 - least)·Φ((score - mean - shift·deviation) / (√width·deviation)), Φ the normal distribution function:
    half way at ``shift`` deviations from the mean of the training set, steeper for a smaller ``width``.

    Source: Morgado et al., CVPR 2021, section 3.2; the defaults are ours.
    """
    scale = torch.as_tensor(deviation, dtype=score_B.dtype, device=score_B.device).clamp(min=1e-12)
    standard_B = (score_B.detach() - mean - shift * scale) / (width**0.5 * scale)
    return least + (1 - least) * torch.special.ndtr(standard_B)


@full_precision
def noise_contrastive(positive_B: Tensor, negative_BK: Tensor, normaliser: float, temperature: float = 0.07) -> Tensor:
    """Tell the partner from K drawn negatives, one by one: noise-contrastive estimation with a fixed normaliser Z.

    -log(p⁺ / (p⁺ + K·Z)) - Σ_k log(K·Z / (p_k + K·Z)) with p = exp(score / temperature); at equal scores with
    Z = p it is ln(1 + K) + K·ln(1 + 1/K).

    Raises:
        ValueError: an empty batch, no negatives, Z or temperature not positive.

    Source: Morgado et al., Audio-Visual Instance Discrimination, CVPR 2021 (as released).
    """
    _need("noise_contrastive", positive_B, "positive_B", 1)
    _need("noise_contrastive", negative_BK, "negative_BK", 2)
    _need_temperature("noise_contrastive", temperature)
    if not normaliser > 0:
        raise ValueError(f"noise_contrastive needs a normaliser above 0, not {normaliser}")
    offset = torch.log(torch.as_tensor(negative_BK.shape[1] * normaliser, dtype=positive_B.dtype))
    true_B = functional.softplus(offset.to(positive_B.device) - positive_B / temperature)
    false_B = functional.softplus(negative_BK / temperature - offset.to(negative_BK.device)).sum(1)
    return (true_B + false_B).mean()


@full_precision
def contrastive(image_BD: Tensor, audio_BD: Tensor, label_B: Tensor, margin: float = 0.99) -> Tensor:
    """Pull true pairs together, push false ones ``margin`` apart: mean of y·d² + (1 - y)·max(margin - d, 0)².

    d = sqrt(‖image - audio‖² + 1e-12), so that the gradient at d = 0 is finite.

    Raises:
        ValueError: an empty batch, shapes that differ, one label a pair missing.

    Source: Korbar, Tran & Torresani, Cooperative Learning of Audio and Video Models, NeurIPS 2018, equation 1.
    """
    _need("contrastive", image_BD, "image_BD", 2)
    if image_BD.shape != audio_BD.shape or label_B.shape != image_BD.shape[:1]:
        shapes = [tuple(t.shape) for t in (image_BD, audio_BD, label_B)]
        raise ValueError(f"contrastive needs image_BD, audio_BD and label_B of the same clips, not {shapes}")
    square_B = (image_BD - audio_BD).square().sum(1)
    gap_B = (margin - (square_B + 1e-12).sqrt()).clamp(min=0)
    true_B = label_B.to(square_B.dtype)
    return (true_B * square_B + (1 - true_B) * gap_B.square()).mean()


@full_precision
def triplet(anchor_BD: Tensor, positive_BD: Tensor, negative_BD: Tensor, margin: float = 0.2) -> Tensor:
    """The positive lies nearer than the negative by ``margin``: mean of max(0, margin + d⁺ - d⁻), Euclidean.

    Raises:
        ValueError: an empty batch, shapes that differ.

    Source: Schroff et al., FaceNet, CVPR 2015, with distances instead of their squares.
    """
    _need("triplet", anchor_BD, "anchor_BD", 2)
    if not anchor_BD.shape == positive_BD.shape == negative_BD.shape:
        shapes = [tuple(t.shape) for t in (anchor_BD, positive_BD, negative_BD)]
        raise ValueError(f"triplet needs three tensors of one shape, not {shapes}")
    near_B = ((anchor_BD - positive_BD).square().sum(1) + 1e-12).sqrt()
    far_B = ((anchor_BD - negative_BD).square().sum(1) + 1e-12).sqrt()
    return (margin + near_B - far_B).clamp(min=0).mean()


@full_precision
def margin(true_B: Tensor, false_B: Tensor, gap: float) -> Tensor:
    """True pairs score higher than false ones by ``gap``: mean of max(0, gap + false - true); ``gap`` at equal scores.

    Source: Hu, Nie & Li, Deep Multimodal Clustering, CVPR 2019 (the released gap is the number of clusters).
    """
    _need("margin", true_B, "true_B", 1)
    if true_B.shape != false_B.shape:
        raise ValueError(f"margin needs as many true as false scores, not {len(true_B)} and {tuple(false_B.shape)}")
    return (gap + false_B - true_B).clamp(min=0).mean()


@full_precision
def margin_rank(
    sim_BB: Tensor, gap: float = 1.0, impostors: str = "random", generator: torch.Generator | None = None
) -> Tensor:
    """Own pairs outscore impostors by ``gap``, in both directions; the two directions are added.

    mean_i max(0, gap + sim(i, j_i) - sim(i, i)) + mean_i max(0, gap + sim(k_i, i) - sim(i, i)); 2·gap at equal scores.

    Args:
        sim_BB: images in rows, sounds in columns.
        impostors: "random" (one uniform j ≠ i), "semi-hard" (the hardest that scores below the own pair; a row
            without one adds nothing), "hardest", or "all" (mean over all j ≠ i).
        generator: for "random".

    Raises:
        ValueError: not square, one clip, unknown impostors.

    Source: Harwath et al., DAVEnet, ECCV 2018, equation 4 ("random"); "all" on cosines is Aytar et al., See, Hear, and
    Read, 2017.
    """
    _need_square("margin_rank", sim_BB)
    pairs = (sim_BB, sim_BB.t())
    return sum((_rank_hinge(sim, gap, impostors, generator) for sim in pairs), start=sim_BB.new_zeros(()))


def _rank_hinge(sim_BB: Tensor, gap: float, impostors: str, generator: torch.Generator | None) -> Tensor:
    own_B, other_BM = sim_BB.diagonal(), off_diagonal(sim_BB)
    if impostors == "all":
        return (gap + other_BM - own_B[:, None]).clamp(min=0).mean()
    if impostors == "random":
        choice_B = torch.randint(other_BM.shape[1], (len(own_B), 1), generator=generator).to(sim_BB.device)
        rival_B = other_BM.gather(1, choice_B).squeeze(1)
    elif impostors == "hardest":
        rival_B = other_BM.max(1).values
    elif impostors == "semi-hard":
        # Minus infinity, not a product with 0: a zero would win wherever the similarities are negative.
        rival_B = other_BM.masked_fill(other_BM >= own_B[:, None], float("-inf")).max(1).values
    else:
        raise ValueError(f"unknown impostors {impostors!r}; there are: random, semi-hard, hardest, all")
    return (gap + rival_B - own_B).clamp(min=0).mean()


def kl_distillation(
    teacher_BK: Tensor | Sequence[Tensor],
    logit_BK: Tensor | Sequence[Tensor],
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Σ_k w_k·KL(teacher_k ‖ softmax(logit_k)), summed over classes and time, mean over clips ("batchmean").

    Args:
        teacher_BK: probabilities of one teacher, or a sequence of several teachers'; classes on the last axis, any
            axes between (time) are summed. 0·log 0 is 0. Teachers get no gradient.
        logit_BK: the student's logits for each.
        weights: one a teacher, 1 by default (the paper's formula); (1, 2.49) weighs objects and scenes as the
            released code does.

    Raises:
        ValueError: an empty batch, shapes that differ, as many weights as teachers missing.

    Source: Aytar, Vondrick & Torralba, SoundNet, NIPS 2016, equation 1.
    """
    pairs, factors = _teachers("kl_distillation", teacher_BK, logit_BK, weights)
    terms = [factor * _kl(teacher, logit) for factor, (teacher, logit) in zip(factors, pairs, strict=True)]
    return torch.stack(terms).sum()


def l2_distillation(
    teacher_BK: Tensor | Sequence[Tensor],
    logit_BK: Tensor | Sequence[Tensor],
    weights: Sequence[float] | None = None,
) -> Tensor:
    """Σ_k w_k·‖teacher_k - softmax(logit_k)‖², arguments and reduction as in :func:`kl_distillation`.

    Source: the ℓ2 ablation of Aytar, Vondrick & Torralba, SoundNet, NIPS 2016.
    """
    pairs, factors = _teachers("l2_distillation", teacher_BK, logit_BK, weights)
    terms = [factor * _l2(teacher, logit) for factor, (teacher, logit) in zip(factors, pairs, strict=True)]
    return torch.stack(terms).sum()


@full_precision
def _kl(teacher: Tensor, logit: Tensor) -> Tensor:
    return functional.kl_div(functional.log_softmax(logit, -1), teacher.detach(), reduction="sum") / teacher.shape[0]


@full_precision
def _l2(teacher: Tensor, logit: Tensor) -> Tensor:
    return (teacher.detach() - logit.softmax(-1)).square().sum() / teacher.shape[0]


def _teachers(
    loss: str, teacher: Tensor | Sequence[Tensor], logit: Tensor | Sequence[Tensor], weights: Sequence[float] | None
) -> tuple[list[tuple[Tensor, Tensor]], list[float]]:
    teachers = [teacher] if isinstance(teacher, Tensor) else list(teacher)
    logits = [logit] if isinstance(logit, Tensor) else list(logit)
    factors = [1.0] * len(teachers) if weights is None else list(weights)
    if not len(teachers) == len(logits) == len(factors) > 0:
        counts = f"{len(teachers)} teachers, {len(logits)} logits, {len(factors)} weights"
        raise ValueError(f"{loss} needs one logit tensor and one weight a teacher, not {counts}")
    for t, o in zip(teachers, logits, strict=True):
        if t.shape != o.shape or t.ndim < 2 or t.numel() == 0:
            raise ValueError(
                f"{loss} needs teacher and logits of one shape (B, …, K), not {tuple(t.shape)} and {tuple(o.shape)}"
            )
    return list(zip(teachers, logits, strict=True)), factors


@full_precision
def entropy(probability: Tensor) -> Tensor:
    """Entropy in nats over the last axis, (…, K) -> (…); 0·log 0 is 0, and its gradient finite.

    The derivative -ln p - 1 is infinite at 0, which a softmax that underflows would turn into NaN (0·∞): below the
    smallest normal number its logarithm stays as it is there.
    """
    least = torch.finfo(probability.dtype).tiny
    return -(probability * probability.clamp(min=least).log()).sum(-1)


@full_precision
def kl_divergence(first: Tensor, second: Tensor) -> Tensor:
    """KL(first ‖ second) of two distributions over the last axis, mean over the rest; both get a gradient."""
    if first.shape != second.shape or first.numel() == 0:
        raise ValueError(
            f"kl_divergence needs two tensors of one shape, not {tuple(first.shape)} and {tuple(second.shape)}"
        )
    log_ratio = first.clamp(min=1e-12).log() - second.clamp(min=1e-12).log()
    return (first * log_ratio).sum(-1).mean()
