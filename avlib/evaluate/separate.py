"""How well is a mixture taken apart? SI-SDR, and SDR, SIR, SAR through mir_eval."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass

import numpy as np

from avlib.evaluate.arrays import Floats, Values, floats, same_shape

LIMIT = 100.0
"""Ratios are kept within ±100 dB, so that a perfect estimate leaves an average finite."""

SILENT = 1e-5
"""A source whose absolute samples sum to at most this is silent (the limit of *The Sound of Pixels*)."""


@dataclass(frozen=True)
class Separation:
    """Means over the sources that sound, dB.

    Attributes:
        si_sdr: scale-invariant ratio of the source to everything else.
        improvement: SI-SDR minus that of the mixture itself; NaN without a mixture.
        count, skipped: sources judged, and silent ones left out.
    """

    si_sdr: float
    improvement: float
    count: int
    skipped: int


@dataclass(frozen=True)
class Ratios:
    """BSS-eval, means over sources in dB; ``nsdr`` is SDR minus the mixture's. Clips with silence are skipped."""

    sdr: float
    sir: float
    sar: float
    nsdr: float
    count: int
    skipped: int


def silent(wave_BS: Values) -> np.ndarray:
    """silent_B: nothing to hear, so no ratio is defined. Leading axes are kept."""
    return np.abs(floats(wave_BS, "wave_BS", (1, 2, 3))).sum(-1) <= SILENT


def _centred(wave_BS: Floats) -> Floats:
    """Without its mean; exactly 0 where nothing but rounding is left (a ten-millionth of the mean)."""
    mean_B1 = wave_BS.mean(-1, keepdims=True)
    rest_BS = wave_BS - mean_B1
    return np.where(np.abs(rest_BS).max(-1, keepdims=True) <= 1e-7 * np.abs(mean_B1), 0.0, rest_BS)


def si_sdr(estimate_BS: Values, reference_BS: Values, zero_mean: bool = True) -> Floats:
    """si_sdr_B in dB: with t = (⟨ŝ, s⟩ / ‖s‖²) s, 10·log10(‖t‖² / ‖ŝ − t‖²) (Le Roux et al. 2019).

    NaN for a silent reference, −100 dB for a silent estimate; where means are removed, a constant is silent. Scaling
    the estimate changes nothing. Leading axes stay.

    Raises:
        ValueError: shapes differ, NaN.
    """
    estimate, reference = floats(estimate_BS, "estimate_BS", (1, 2, 3)), floats(reference_BS, "reference_BS", (1, 2, 3))
    same_shape(estimate_BS=estimate, reference_BS=reference)
    quiet = silent(reference)
    if zero_mean:
        estimate, reference = _centred(estimate), _centred(reference)
    energy = (reference**2).sum(-1, keepdims=True)
    target = (estimate * reference).sum(-1, keepdims=True) / np.where(energy > 0, energy, 1) * reference
    kept, lost = (target**2).sum(-1), ((estimate - target) ** 2).sum(-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10(kept) - 10 * np.log10(lost)
    ratio = np.where(kept == 0, -LIMIT, np.clip(ratio, -LIMIT, LIMIT))
    return np.where(quiet | (energy[..., 0] == 0), np.nan, ratio)


def best_order(estimate_BNS: Values, reference_BNS: Values) -> np.ndarray:
    """order_BN: estimate order_BN[b, n] goes with reference n, by the highest mean SI-SDR (permutation invariant).

    Silent references take whatever is left.

    Raises:
        ValueError: shapes differ, NaN, more than 6 sources.
    """
    estimate, reference = floats(estimate_BNS, "estimate_BNS", 3), floats(reference_BNS, "reference_BNS", 3)
    same_shape(estimate_BNS=estimate, reference_BNS=reference)
    count = reference.shape[1]
    if count > 6:
        raise ValueError(f"all permutations of {count} sources are too many; at most 6")
    score = np.stack([si_sdr(np.roll(estimate, -shift, 1), reference) for shift in range(count)], 1)
    orders = list(itertools.permutations(range(count)))
    totals = [sum(np.nan_to_num(score[:, (order[n] - n) % count, n]) for n in range(count)) for order in orders]
    return np.array(orders)[np.argmax(np.stack(totals), 0)]


def separation(
    estimate_BNS: Values,
    reference_BNS: Values,
    mixture_BS: Values | None = None,
    permute: bool = False,
) -> Separation:
    """Mean SI-SDR over sources, and its improvement over the mixture; silent references are skipped and counted.

    Args:
        permute: take the best order of the estimates (methods that do not know which source is which).

    Raises:
        ValueError: shapes differ, NaN, no source that sounds.
    """
    estimate, reference = floats(estimate_BNS, "estimate_BNS", 3), floats(reference_BNS, "reference_BNS", 3)
    same_shape(estimate_BNS=estimate, reference_BNS=reference)
    if permute:
        estimate = np.take_along_axis(estimate, best_order(estimate, reference)[:, :, None], 1)
    score_BN = si_sdr(estimate, reference)
    heard_BN = ~np.isnan(score_BN)
    if not heard_BN.any():
        raise ValueError("every reference is silent")
    gain = float("nan")
    if mixture_BS is not None:
        mixture = np.broadcast_to(floats(mixture_BS, "mixture_BS", 2)[:, None], reference.shape)
        gain = float((score_BN - si_sdr(mixture, reference))[heard_BN].mean())
    return Separation(float(score_BN[heard_BN].mean()), gain, int(heard_BN.sum()), int((~heard_BN).sum()))


def bss_eval(
    estimate_BNS: Values,
    reference_BNS: Values,
    mixture_BS: Values | None = None,
    permute: bool = False,
) -> Ratios:
    """SDR, SIR, SAR with 512-tap distortion filters, by ``mir_eval.separation`` (Vincent et al. 2006).

    Args:
        permute: let mir_eval find the order by mean SIR; off where the order is known, as in *The Sound of Pixels*.

    Raises:
        ImportError: mir_eval is not installed.
        ValueError: shapes differ, NaN, no clip in which every source and estimate sounds.
    """
    try:
        from mir_eval.separation import bss_eval_sources
    except ImportError:
        raise ImportError("SDR, SIR and SAR need mir_eval: pip install 'avlib[dev]', or mir_eval alone") from None
    estimate, reference = floats(estimate_BNS, "estimate_BNS", 3), floats(reference_BNS, "reference_BNS", 3)
    same_shape(estimate_BNS=estimate, reference_BNS=reference)
    kept = np.flatnonzero(~(silent(reference) | silent(estimate)).any(1))
    if len(kept) == 0:
        raise ValueError("no clip in which every reference and every estimate sounds")
    mixture = None if mixture_BS is None else floats(mixture_BS, "mixture_BS", 2)
    rows, gains = [], []
    with warnings.catch_warnings():
        # mir_eval announces that a later release drops this function; there is no successor with the same numbers.
        warnings.simplefilter("ignore", FutureWarning)
        for b in kept:
            rows.append(np.stack(bss_eval_sources(reference[b], estimate[b], permute)[:3]))
            if mixture is not None:
                same = np.repeat(mixture[b][None], reference.shape[1], 0)
                gains.append(rows[-1][0] - bss_eval_sources(reference[b], same, False)[0])
    sdr, sir, sar = (float(value) for value in np.clip(np.stack(rows), -LIMIT, LIMIT).mean((0, 2)))
    nsdr = float(np.mean(gains)) if gains else float("nan")
    return Ratios(
        sdr, sir, sar, nsdr, len(kept) * reference.shape[1], (len(reference) - len(kept)) * reference.shape[1]
    )
