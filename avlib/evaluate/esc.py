"""The baselines of ESC-10 and ESC-50: statistics of MFCCs into a linear SVM and a random forest (Piczak 2015)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.fft import dct
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from avlib.audio import LogMel
from avlib.evaluate.arrays import Floats, Values, floats, integers, same_length
from avlib.evaluate.probe import Folds, summarise_folds, svm_folds

HOP = 512
"""Samples of a frame and of a step: 11.6 ms at 44.1 kHz."""

RANGE = 80.0
"""dB below the loudest cell at which the mel spectrogram is cut off."""


def _frames(wave_S: Tensor) -> Tensor:
    """frame_LP: whole frames without overlap."""
    return wave_S[: wave_S.shape[0] // HOP * HOP].reshape(-1, HOP)


@lru_cache(maxsize=4)
def _front(rate: int) -> LogMel:
    return LogMel(bands=40, rate=rate, n_fft=HOP, window=HOP, hop=HOP, scale="slaney", normalise=True)


def mfcc_statistics(wave_S: Tensor, rate: int, drop_silence: bool = False) -> Floats:
    """statistic_26: means then deviations of MFCC 1–12 (0, the loudness, is left out) and of the zero-crossing rate.

    40 mel bands of 512 samples every 512, decibels cut off 80 below the loudest, orthonormal DCT; as in librosa.

    Args:
        rate: Hz; the published numbers are at 44,100.
        drop_silence: leave out frames without any signal (padding). The published rows of ESC-10 are met with the
            padding kept, on the first 5 s of each recording.

    Raises:
        ValueError: a rate of 0, fewer than two frames, NaN or infinite samples.
    """
    if wave_S.ndim != 1 or wave_S.shape[0] < 2 * HOP:
        raise ValueError(
            f"mfcc_statistics needs one wave_S of at least {2 * HOP} samples, not shape {tuple(wave_S.shape)}"
        )
    wave_S = wave_S.float()
    decibel_FL = 10 * _front(rate).power(wave_S[None])[0].clamp(min=1e-10).log10().double()
    decibel_FL = decibel_FL.clamp(min=float(decibel_FL.max()) - RANGE)
    mfcc_DL = dct(decibel_FL.numpy(), axis=0, norm="ortho")[1:13]
    frame_LP = _frames(wave_S)
    crossing_L = (torch.diff(torch.signbit(frame_LP).int(), dim=1) != 0).double().mean(1).numpy()
    value_DL = np.concatenate([mfcc_DL, crossing_L[None]])
    heard_L = frame_LP.abs().amax(1).numpy() > 0
    if drop_silence and heard_L.any():
        value_DL = value_DL[:, heard_L]
    return np.concatenate([value_DL.mean(1), value_DL.std(1)])


def mfcc_svm(statistic_BD: Values, label_B: Values, fold_B: Values) -> Folds:
    """The row "SVM on MFCC": linear, C = 0.1, standardised on the training folds."""
    return svm_folds(statistic_BD, label_B, fold_B, C=0.1)


def mfcc_forest(
    statistic_BD: Values, label_B: Values, fold_B: Values, trees: int = 500, seed: int = 0, jobs: int = 1
) -> Folds:
    """The row "random forest": 500 trees on the same statistics.

    Raises:
        ValueError: lengths differ, fewer than two folds, NaN.
    """
    statistic = floats(statistic_BD, "statistic_BD", 2)
    label, fold = integers(label_B, "label_B"), integers(fold_B, "fold_B")
    same_length(statistic_BD=statistic, label_B=label, fold_B=fold)
    if len(np.unique(fold)) < 2:
        raise ValueError("a cross-validation needs at least two folds")
    predicted, accuracy = np.zeros_like(label), {}
    for k in np.unique(fold):
        forest = RandomForestClassifier(trees, random_state=seed, n_jobs=jobs)
        predicted[fold == k] = forest.fit(statistic[fold != k], label[fold != k]).predict(statistic[fold == k])
        accuracy[int(k)] = float((predicted == label)[fold == k].mean())
    return summarise_folds(accuracy, predicted, label)


def baselines(statistic_BD: Values, label_B: Values, fold_B: Values, seed: int = 0, jobs: int = 1) -> dict[str, Folds]:
    """Both rows that the papers print beside their own: "SVM on MFCC" and "random forest"."""
    return {
        "SVM on MFCC": mfcc_svm(statistic_BD, label_B, fold_B),
        "random forest": mfcc_forest(statistic_BD, label_B, fold_B, seed=seed, jobs=jobs),
    }
