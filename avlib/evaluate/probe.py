"""Linear probes of frozen features: logistic regression and linear SVMs, with official folds, windows and sub-clips."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import LinearSVC
from torch import Tensor, nn

from avlib.evaluate.arrays import Floats, Ints, Values, floats, integers, same_length, same_shape
from avlib.evaluate.classify import MeanAP, Rule, mean_ap
from avlib.types import Batch

CHOICES = tuple(10.0**power for power in range(-4, 2))
"""Values of C that the inner cross-validation tries."""


@dataclass(frozen=True)
class Probe:
    """Accuracy of one split.

    Attributes:
        accuracy: 0…1.
        chance: share of the most frequent class among the test clips.
        predicted_B: class of each test clip.
        score_BK: decision values (or log-probabilities), columns in the order of ``class_K``.
        class_K: classes, ascending.
        C: inverse strength of the regularisation.
        count: test clips.
    """

    accuracy: float
    chance: float
    predicted_B: Ints
    score_BK: Floats
    class_K: Ints
    C: float
    count: int


@dataclass(frozen=True)
class Folds:
    """Accuracy over official folds.

    Attributes:
        accuracy, sd: mean and standard deviation (n − 1) of the folds' accuracies.
        folds: accuracy of each fold, in the order of its id.
        chance: share of the most frequent class.
        predicted_B: class of every clip, from the fold in which it was tested.
        count: clips.
    """

    accuracy: float
    sd: float
    folds: dict[int, float]
    chance: float
    predicted_B: Ints
    count: int


def feature_matrix(
    encode: Callable[[Batch], Tensor], batches: Iterable[Batch], module: nn.Module | None = None
) -> Tensor:
    """Run ``encode`` over all batches without gradients: feature_BD (or more axes), float32, on the CPU.

    Args:
        module: put into evaluation mode meanwhile, and back.

    Raises:
        ValueError: no batches, or features that are NaN or infinite.
    """
    training = module.training if module is not None else False
    if module is not None:
        module.eval()
    try:
        with torch.no_grad():
            rows = [encode(batch).float().cpu() for batch in batches]
    finally:
        if module is not None:
            module.train(training)
    if not rows:
        raise ValueError("no batches to encode")
    feature = torch.cat(rows)
    if not bool(torch.isfinite(feature).all()):
        bad = (~torch.isfinite(feature)).flatten(1).any(1).nonzero().flatten().tolist()
        raise ValueError(f"features of {len(bad)} clips are NaN or infinite, rows {bad[:8]}")
    return feature


def standardiser(train_BD: Values) -> tuple[Floats, Floats]:
    """mean_D and scale_D of the training rows; a constant feature gets scale 1, so it becomes 0 and not NaN."""
    train_BD = floats(train_BD, "train_BD", 2)
    constant_D = train_BD.max(0) == train_BD.min(0)
    deviation_D = train_BD.std(0)
    return train_BD.mean(0), np.where(constant_D | (deviation_D == 0), 1.0, deviation_D)


def clip_starts(samples: int, length: int, count: int) -> list[int]:
    """First samples (or frames) of ``count`` equally spaced sub-clips: i · max(samples − length, 0) / (count − 1).

    Examples:
        >>> clip_starts(samples=5, length=1, count=5)
        [0, 1, 2, 3, 4]
    """
    if samples < 1 or length < 1 or count < 1:
        raise ValueError(f"samples, length and count must be at least 1, not {samples}, {length}, {count}")
    room = max(samples - length, 0)
    return [round(i * room / max(count - 1, 1)) for i in range(count)]


def subclips(wave_BS: Tensor, length: int, count: int = 10) -> Tensor:
    """wave_BMS: ``count`` equally spaced pieces of ``length`` samples each, zero-padded where the clip is shorter.

    Raises:
        ValueError: not two axes, or a length or count below 1.
    """
    if wave_BS.ndim != 2:
        raise ValueError(f"subclips needs wave_BS, not shape {tuple(wave_BS.shape)}")
    starts = clip_starts(wave_BS.shape[1], length, count)
    padded_BS = nn.functional.pad(wave_BS, (0, max(0, length - wave_BS.shape[1])))
    return torch.stack([padded_BS[:, start : start + length] for start in starts], 1)


def soundnet_windows(map_BDL: Tensor, seconds: float, window: float = 1.0) -> Tensor:
    """feature_BWD: all windows of w = ceil(L · window / seconds) frames, stride 1, channel × time flattened (SoundNet).

    pool5 of ESC-50 (10 s, 27 frames) gives 25 windows of 3 × 256; of DCASE (30 s, 81 frames, windows of 5 s) 68 of
    14 × 256.

    Raises:
        ValueError: not three axes, or a window that is not within 0…``seconds``.
    """
    if map_BDL.ndim != 3:
        raise ValueError(f"soundnet_windows needs map_BDL, not shape {tuple(map_BDL.shape)}")
    if not 0 < window <= seconds:
        raise ValueError(f"need 0 < window ≤ seconds, not {window} and {seconds}")
    size = math.ceil(map_BDL.shape[2] * window / seconds - 1e-9)
    return map_BDL.unfold(2, size, 1).transpose(1, 2).flatten(2)


def average_probabilities(logit_BMK: Values) -> Floats:
    """probability_BK: mean over M sub-clips of their softmax (of probabilities, not of logits)."""
    return torch.from_numpy(floats(logit_BMK, "logit_BMK", 3)).softmax(2).mean(1).numpy()


def _rows(feature: Values, label_B: Ints, windows_W: Values | None) -> tuple[Floats, Ints]:
    """feature_WD, one row a window, and clip_W, which clip each belongs to."""
    feature = floats(feature, "feature", (2, 3))
    if windows_W is not None:
        clip_W = integers(windows_W, "windows_W")
        same_length(feature=feature, windows_W=clip_W)
        if set(clip_W.tolist()) != set(range(len(label_B))):
            raise ValueError(
                f"windows_W must name each of the {len(label_B)} clips (0…{len(label_B) - 1}) at least once"
            )
        return feature, clip_W
    same_length(feature=feature, label_B=label_B)
    if feature.ndim == 2:
        return feature, np.arange(len(feature))
    return feature.reshape(-1, feature.shape[2]), np.repeat(np.arange(len(feature)), feature.shape[1])


def _decisions(train_WD: Floats, label_W: Ints, test_WD: Floats, C: float, standardise: bool) -> Floats:
    """Decision values of one-vs-rest SVMs, squared hinge, regularised bias (liblinear, -B 1)."""
    if standardise:
        mean_D, scale_D = standardiser(train_WD)
        train_WD, test_WD = (train_WD - mean_D) / scale_D, (test_WD - mean_D) / scale_D
    # "auto" takes the primal where there are more rows than features: the dual then needs up to a hundred times longer.
    machine = LinearSVC(C=C, loss="squared_hinge", dual="auto", intercept_scaling=1, random_state=0, max_iter=20_000)
    score = machine.fit(train_WD, label_W).decision_function(test_WD)
    return np.stack([-score, score], 1) if score.ndim == 1 else score


def _clip_mean(score_WK: Floats, clip_W: Ints, clips: Ints) -> Floats:
    """Mean over the windows of each clip, whatever their order."""
    return np.stack([score_WK[clip_W == clip].mean(0) for clip in clips])


def _fit_and_score(
    rows: tuple[Floats, Ints], label_B: Ints, train_B: Ints, test_B: Ints, C: float, standardise: bool
) -> tuple[Floats, Ints]:
    feature_WD, clip_W = rows
    train_W, test_W = np.isin(clip_W, train_B), np.isin(clip_W, test_B)
    score_WK = _decisions(feature_WD[train_W], label_B[clip_W[train_W]], feature_WD[test_W], C, standardise)
    return _clip_mean(score_WK, clip_W[test_W], test_B), np.unique(label_B[train_B])


def _choose_C(
    rows: tuple[Floats, Ints], label_B: Ints, train_B: Ints, group_B: Ints | None, standardise: bool
) -> float:
    """Best of CHOICES by cross-validation inside the training clips: by official folds where there are several."""
    parts = _inner_parts(label_B, train_B, group_B)
    accuracy = []
    for C in CHOICES:
        right = 0
        for inner_test in parts:
            inner_train = np.setdiff1d(train_B, inner_test)
            score_BK, class_K = _fit_and_score(rows, label_B, inner_train, inner_test, C, standardise)
            right += int((class_K[score_BK.argmax(1)] == label_B[inner_test]).sum())
        accuracy.append(right)
    return CHOICES[int(np.argmax(accuracy))]


def _inner_parts(label_B: Ints, train_B: Ints, group_B: Ints | None) -> list[Ints]:
    if group_B is not None and len(np.unique(group_B[train_B])) > 1:
        _, rank_B = np.unique(group_B[train_B], return_inverse=True)
        return [train_B[rank_B % 3 == part] for part in range(min(3, rank_B.max() + 1))]
    if np.unique(label_B[train_B], return_counts=True)[1].min() < 2:
        raise ValueError("choosing C needs at least two training clips of each class; pass C")
    smallest = int(np.unique(label_B[train_B], return_counts=True)[1].min())
    cutter = StratifiedKFold(min(3, smallest), shuffle=True, random_state=0)
    return [train_B[test] for _, test in cutter.split(train_B, label_B[train_B])]


def _check_classes(label_B: Ints, part_B: Ints, class_K: Ints, what: str) -> None:
    missing = sorted(set(class_K.tolist()) - set(label_B[part_B].tolist()))
    if missing:
        raise ValueError(f"{what} has no clip of classes {missing}")


def _check_C(C: float | None) -> None:
    if C is not None and not (math.isfinite(C) and C > 0):
        raise ValueError(f"C must be positive, not {C}")


def svm_folds(
    feature: Values,
    label_B: Values,
    fold_B: Values,
    C: float | None = 1.0,
    windows: Values | None = None,
    standardise: bool = True,
) -> Folds:
    """Linear SVM over official folds: train on all folds but one, test on that one, for each; mean accuracy.

    With windows, each inherits its clip's label, all are trained on, and a test clip's score is the mean of their
    decision values. The highest score wins, of equal ones the lowest class id. The folds are never cut anew.

    Args:
        feature: feature_BD; feature_BWD, the same number of windows a clip; or feature_WD with ``windows``.
        fold_B: the official fold of each clip.
        C: None chooses it inside the training folds.
        windows: clip (row of ``label_B``) of each row of feature_WD.
        standardise: by mean and deviation of the training rows. SoundNet used C = 0.01 and no standardisation.

    Raises:
        ValueError: lengths differ, fewer than two folds or classes, a class missing from a fold (named), NaN features.
    """
    label_B, fold_B = integers(label_B, "label_B"), integers(fold_B, "fold_B")
    same_length(label_B=label_B, fold_B=fold_B)
    _check_C(C)
    rows, class_K, fold_ids = _rows(feature, label_B, windows), np.unique(label_B), np.unique(fold_B)
    if len(class_K) < 2 or len(fold_ids) < 2:
        raise ValueError(f"need at least two classes and two folds, not {len(class_K)} and {len(fold_ids)}")
    for fold in fold_ids:
        _check_classes(label_B, np.flatnonzero(fold_B == fold), class_K, f"fold {fold}")
    predicted_B, accuracy = np.zeros_like(label_B), {}
    for fold in fold_ids:
        train_B, test_B = np.flatnonzero(fold_B != fold), np.flatnonzero(fold_B == fold)
        strength = _choose_C(rows, label_B, train_B, fold_B, standardise) if C is None else C
        score_BK, _ = _fit_and_score(rows, label_B, train_B, test_B, strength, standardise)
        predicted_B[test_B] = class_K[score_BK.argmax(1)]
        accuracy[int(fold)] = float((predicted_B[test_B] == label_B[test_B]).mean())
    return summarise_folds(accuracy, predicted_B, label_B)


def summarise_folds(accuracy: dict[int, float], predicted_B: Ints, label_B: Ints) -> Folds:
    """Mean and deviation of the folds' accuracies, with the share of the most frequent class as chance."""
    values = np.array(list(accuracy.values()))
    chance = float(np.unique(label_B, return_counts=True)[1].max() / len(label_B))
    return Folds(float(values.mean()), float(values.std(ddof=1)), accuracy, chance, predicted_B, len(label_B))


def svm_split(
    train: Values,
    train_label_B: Values,
    test: Values,
    test_label_B: Values,
    C: float | None = 1.0,
    standardise: bool = True,
) -> Probe:
    """Linear SVM on one official split (DCASE, or the world's): feature_BD, or feature_BWD with windows.

    Raises:
        ValueError: shapes that do not fit, a test class without a training clip, NaN features.
    """
    labels = integers(train_label_B, "train_label_B"), integers(test_label_B, "test_label_B")
    _check_C(C)
    train_WD, train_clip_W = _rows(train, labels[0], None)
    test_WD, test_clip_W = _rows(test, labels[1], None)
    if train_WD.shape[1] != test_WD.shape[1]:
        raise ValueError(f"train has {train_WD.shape[1]} features, test {test_WD.shape[1]}")
    _check_split(*labels)
    train_B = np.arange(len(labels[0]))
    inner = (train_WD, train_clip_W)
    strength = _choose_C(inner, labels[0], train_B, None, standardise) if C is None else C
    score_WK = _decisions(train_WD, labels[0][train_clip_W], test_WD, strength, standardise)
    score_BK = _clip_mean(score_WK, test_clip_W, np.arange(len(labels[1])))
    return _probe(score_BK, np.unique(labels[0]), labels[1], strength)


def _check_split(train_label_B: Ints, test_label_B: Ints) -> None:
    if len(np.unique(train_label_B)) < 2:
        raise ValueError("the training clips hold fewer than two classes")
    _check_classes(train_label_B, np.arange(len(train_label_B)), np.unique(test_label_B), "the training part")


def _probe(score_BK: Floats, class_K: Ints, test_label_B: Ints, C: float) -> Probe:
    predicted_B = class_K[score_BK.argmax(1)]
    chance = float(np.unique(test_label_B, return_counts=True)[1].max() / len(test_label_B))
    accuracy = float((predicted_B == test_label_B).mean())
    return Probe(accuracy, chance, predicted_B, score_BK, class_K, C, len(test_label_B))


def linear_probe(
    train_BD: Values,
    train_label_B: Values,
    test_BD: Values,
    test_label_B: Values,
    C: float = 1.0,
    max_iter: int = 1000,
) -> Probe:
    """Linear softmax (logistic regression, L-BFGS) on frozen features, standardised on the training clips.

    Convex, so it has one answer: no seed, no schedule.

    Raises:
        ValueError: shapes that do not fit, a test class without a training clip, NaN features.
    """
    train, test = floats(train_BD, "train_BD", 2), floats(test_BD, "test_BD", 2)
    labels = integers(train_label_B, "train_label_B"), integers(test_label_B, "test_label_B")
    _check_C(C)
    same_length(train_BD=train, train_label_B=labels[0])
    same_length(test_BD=test, test_label_B=labels[1])
    if train.shape[1] != test.shape[1]:
        raise ValueError(f"train has {train.shape[1]} features, test {test.shape[1]}")
    _check_split(*labels)
    mean_D, scale_D = standardiser(train)
    model = LogisticRegression(C=C, max_iter=max_iter).fit((train - mean_D) / scale_D, labels[0])
    score_BK = model.predict_log_proba((test - mean_D) / scale_D)
    return _probe(score_BK, model.classes_.astype(np.int64), labels[1], C)


def multilabel_svm(
    train_BD: Values,
    train_label_BK: Values,
    test_BD: Values,
    test_label_BK: Values,
    C: float = 1.0,
    rule: Rule = "voc07",
    standardise: bool = True,
) -> tuple[MeanAP, Floats]:
    """K independent one-vs-rest SVMs, as on VOC 2007: mean AP, and the decision values score_BK of the test items.

    Labels are +1, −1, and 0 for "only difficult instances": those are dropped for that class, in train and test.

    Raises:
        ValueError: shapes that do not fit, other labels, a class without a positive or a negative to train on (named).
    """
    train, test = floats(train_BD, "train_BD", 2), floats(test_BD, "test_BD", 2)
    labels = integers(train_label_BK, "train_label_BK", 2), integers(test_label_BK, "test_label_BK", 2)
    _check_C(C)
    same_length(train_BD=train, train_label_BK=labels[0])
    same_length(test_BD=test, test_label_BK=labels[1])
    same_shape(train_row=labels[0][0], test_row=labels[1][0])
    if not (np.isin(labels[0], (-1, 0, 1)).all() and np.isin(labels[1], (-1, 0, 1)).all()):
        raise ValueError("labels must be +1, −1, or 0 for difficult")
    score_BK = np.zeros(labels[1].shape)
    for k, label_B in enumerate(labels[0].T):
        kept_B = label_B != 0
        if len(np.unique(label_B[kept_B])) < 2:
            raise ValueError(f"class {k} has no positive or no negative clip to train on")
        score_BK[:, k] = _decisions(train[kept_B], label_B[kept_B], test, C, standardise)[:, 1]
    return mean_ap(score_BK, labels[1], rule, drop_difficult=True), score_BK
