"""Separation: SI-SDR by hand and by torchmetrics, BSS-eval by mir_eval, silence."""

import math
import sys
import warnings

import numpy as np
import pytest
import torch

from avlib.evaluate import separate
from tests.reference import metrics as slow


@pytest.fixture
def sources():
    return np.random.default_rng(0).normal(size=(3, 2, 1600))


@pytest.mark.parametrize("gain", [0.01, 1.0, 30.0])
def test_a_scaled_copy_is_perfect(sources, gain):
    assert (separate.si_sdr(gain * sources, sources) > 60).all()


def test_equal_to_a_loop_and_torchmetrics(sources):
    from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio as reference

    estimate = sources + np.random.default_rng(1).normal(size=sources.shape) + 0.3
    got = separate.si_sdr(estimate, sources)
    assert got[0, 0] == pytest.approx(slow.si_sdr(estimate[0, 0].tolist(), sources[0, 0].tolist()))
    for zero_mean in (True, False):
        want = reference(torch.tensor(estimate), torch.tensor(sources), zero_mean=zero_mean)
        assert separate.si_sdr(estimate, sources, zero_mean) == pytest.approx(want.numpy(), abs=1e-6)


def test_leading_axes_stay(sources):
    estimate = sources + 0.1 * sources[:, ::-1]
    got = separate.si_sdr(estimate, sources)
    assert got.shape == (3, 2) and separate.si_sdr(estimate[1], sources[1]) == pytest.approx(got[1])
    assert separate.si_sdr(estimate[1, 0], sources[1, 0]) == pytest.approx(got[1, 0])


def test_orthogonal_noise_gives_the_ratio_of_energies():
    t = np.arange(1600) / 1600
    sine, noise = np.sin(2 * np.pi * 8 * t), 0.1 * np.sin(2 * np.pi * 21 * t)
    assert separate.si_sdr(sine + noise, sine) == pytest.approx(20)


def test_silent_references_are_skipped_and_counted(sources):
    reference = sources.copy()
    reference[0, 1] = 0
    score = separate.separation(sources, reference)
    assert (score.count, score.skipped) == (5, 1) and score.si_sdr == separate.LIMIT
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(separate.si_sdr(sources[0, 1], reference[0, 1]))
    assert separate.si_sdr(np.zeros(9), np.arange(9.0)) == -separate.LIMIT


def test_what_sums_to_no_more_than_the_limit_is_silent():
    wave_BS = separate.SILENT * np.array([[0.5, -0.5], [1.0, 0.0], [1.0, -0.5]])
    assert separate.silent(wave_BS).tolist() == [True, True, False]


def test_a_constant_is_silent_where_means_are_removed(sources):
    for level in (0.1, -1 / 3, 1e-3):
        constant = np.full(1600, level)
        assert math.isnan(separate.si_sdr(sources[0, 0], constant))
        assert math.isnan(separate.si_sdr(constant, constant))
        assert separate.si_sdr(constant, sources[0, 0]) == -separate.LIMIT
        assert separate.si_sdr(2 * constant, constant, zero_mean=False) == separate.LIMIT
        quiet_on_it = constant + 1e-3 * sources[0, 0]
        assert separate.si_sdr(quiet_on_it, sources[0, 0]) > 60
    reference = sources.copy()
    reference[1, 0] = 0.25
    assert separate.separation(sources, reference).skipped == 1


def test_improvement_over_the_mixture(sources):
    mixture = sources.sum(1)
    kept = separate.separation(np.stack([mixture, mixture], 1), sources, mixture)
    assert kept.improvement == pytest.approx(0) and abs(kept.si_sdr) < 1
    assert separate.separation(sources, sources, mixture).improvement > 90


def test_the_better_order_is_found(sources):
    three = np.concatenate([sources, np.random.default_rng(2).normal(size=(3, 1, 1600))], 1)
    shuffled = three[:, [2, 0, 1]]
    assert separate.best_order(shuffled, three).tolist() == [[1, 2, 0]] * 3
    assert separate.separation(shuffled, three, permute=True).si_sdr == separate.LIMIT
    assert separate.separation(shuffled, three).si_sdr < 0


def test_bss_eval_is_mir_evals_and_skips_silence(sources):
    from mir_eval.separation import bss_eval_sources

    estimate = sources + 0.1 * sources[:, ::-1] + 0.05 * np.random.default_rng(3).normal(size=sources.shape)
    reference = sources.copy()
    reference[2, 0] = 0
    score = separate.bss_eval(estimate, reference, sources.sum(1))
    assert (score.count, score.skipped) == (4, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        want = np.stack([bss_eval_sources(sources[b], estimate[b], False)[:3] for b in range(2)]).mean((0, 2))
        mixed = np.mean([bss_eval_sources(sources[b], sources.sum(1)[[b, b]], False)[0] for b in range(2)])
    assert (score.sdr, score.sir, score.sar) == pytest.approx(want)
    assert score.nsdr == pytest.approx(want[0] - mixed)
    assert math.isnan(separate.bss_eval(estimate[:1], reference[:1]).nsdr)
    assert score.sir > score.sdr


def test_without_mir_eval_the_error_says_what_to_install(sources, monkeypatch):
    monkeypatch.setitem(sys.modules, "mir_eval.separation", None)
    with pytest.raises(ImportError, match="pip install"):
        separate.bss_eval(sources, sources)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: separate.si_sdr(np.ones(4), np.ones(5)), "shapes differ"),
        (lambda: separate.si_sdr([np.nan], [1.0]), "estimate_BS holds 1 NaN"),
        (lambda: separate.separation(np.ones((1, 1, 4)), np.zeros((1, 1, 4))), "silent"),
        (lambda: separate.bss_eval(np.ones((1, 1, 4)), np.zeros((1, 1, 4))), "no clip"),
        (lambda: separate.best_order(np.ones((1, 7, 4)), np.ones((1, 7, 4))), "at most 6"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
