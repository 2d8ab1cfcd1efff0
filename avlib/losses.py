"""Losses: pure functions of tensors, in full precision even where the networks run in half.

Every function returns a scalar unless it says otherwise. Randomness enters through an explicit generator only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
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
        ValueError: one clip, an empty batch, not square, a temperature of 0, ``symmetric`` together with ``target_B``.

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
    logit_BM = sim_BM / temperature
    loss = functional.cross_entropy(logit_BM, target_B)
    return (loss + functional.cross_entropy(logit_BM.t(), target_B)) / 2 if symmetric else loss
