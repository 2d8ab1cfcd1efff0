"""Probes: official folds, windows, named errors."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from avlib.evaluate import probe
from avlib.types import Batch


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    label = np.tile([3, 7, 11], 40)
    fold = np.repeat([1, 2, 3, 4, 5], 24)
    feature = rng.normal(size=(120, 6)) * [1, 100, 1, 1, 1, 1e-3]
    feature[:, 0] += 3 * (label == 7)
    feature[:, 2] += 3 * (label == 11)
    return feature, label, fold


def by_hand(feature, label, fold, C):
    right = []
    for k in np.unique(fold):
        train, test = fold != k, fold == k
        mean, scale = feature[train].mean(0), feature[train].std(0)
        machine = LinearSVC(C=C, dual=True, random_state=0, max_iter=100_000, tol=1e-6)
        machine.fit((feature[train] - mean) / scale, label[train])
        right.append((machine.predict((feature[test] - mean) / scale) == label[test]).mean())
    return right


def test_folds_equal_scikit_learn_by_hand(clips):
    feature, label, fold = clips
    score = probe.svm_folds(feature, label, fold, C=0.1)
    assert list(score.folds.values()) == pytest.approx(by_hand(feature, label, fold, 0.1))
    assert score.accuracy > 0.8 and list(score.folds) == [1, 2, 3, 4, 5] and score.chance == pytest.approx(1 / 3)
    assert score.sd == pytest.approx(np.std(list(score.folds.values()), ddof=1))
    assert score.accuracy == pytest.approx((score.predicted_B == label).mean())


def test_standardised_features_may_be_scaled_and_shifted(clips):
    feature, label, fold = clips
    plain = probe.svm_folds(feature, label, fold)
    moved = probe.svm_folds(feature * [1, 1e-3, 5, 2, 9, 1e4] + 7, label, fold)
    assert (plain.predicted_B == moved.predicted_B).all()


def test_a_constant_feature_changes_nothing(clips):
    feature, label, fold = clips
    wider = np.concatenate([feature, np.full((120, 1), 0.1)], 1)
    plain, wide = probe.svm_folds(feature, label, fold), probe.svm_folds(wider, label, fold)
    assert (plain.predicted_B == wide.predicted_B).all()
    assert probe.standardiser(np.full((7, 1), 0.1))[1] == [1]


def test_rows_are_standardised_by_column_and_never_divided_by_nothing():
    row_BD = np.array([[0.0, 5.0, 0.0], [4.0, 5.0, 1e-200]])  # the square of the last is no longer a number above 0
    mean_D, scale_D = probe.standardiser(row_BD)
    assert mean_D.tolist() == [2, 5, 5e-201] and scale_D.tolist() == [2, 1, 1]


def test_windows_inherit_the_label_and_vote_with_their_mean_whatever_the_order(clips):
    feature, label, fold = clips
    rng = np.random.default_rng(1)
    windows = feature[:, None] + rng.normal(size=(120, 4, 6)) * feature.std(0)
    score = probe.svm_folds(windows, label, fold, C=0.01)
    flat, owner = windows.reshape(480, 6), np.repeat(np.arange(120), 4)
    order = rng.permutation(480)
    again = probe.svm_folds(flat[order], label, fold, C=0.01, windows=owner[order])
    assert (score.predicted_B == again.predicted_B).mean() > 0.99
    assert score.accuracy > 0.7


def test_the_mean_of_decision_values_is_order_free():
    rng = np.random.default_rng(2)
    score, owner, order = rng.normal(size=(12, 3)), np.repeat([0, 1, 2], 4), rng.permutation(12)
    plain = probe._clip_mean(score, owner, np.arange(3))
    assert plain == pytest.approx(score.reshape(3, 4, 3).mean(1))
    assert probe._clip_mean(score[order], owner[order], np.arange(3)) == pytest.approx(plain)


def test_equal_scores_go_to_the_lowest_class():
    assert probe._probe(np.zeros((2, 3)), np.array([4, 5, 6]), np.array([4, 5]), 1.0).predicted_B.tolist() == [4, 4]


def test_soundnets_windows():
    esc = probe.soundnet_windows(torch.zeros(2, 256, 27), seconds=10)
    dcase = probe.soundnet_windows(torch.zeros(1, 256, 81), seconds=30, window=5)
    assert esc.shape == (2, 25, 768) and dcase.shape == (1, 68, 3584)
    ramp = torch.arange(6.0).reshape(1, 2, 3)
    assert probe.soundnet_windows(ramp, 3, 2).tolist() == [[[0, 1, 3, 4], [1, 2, 4, 5]]]


def test_subclips_are_equally_spaced_and_padded():
    wave = torch.arange(50.0)[None]
    assert probe.subclips(wave, 10, 5)[0, :, 0].tolist() == [0, 10, 20, 30, 40]
    assert probe.subclips(wave[:, :4], 10, 3).shape == (1, 3, 10)
    assert probe.subclips(wave[:, :4], 10, 3)[0, 2].tolist() == [0, 1, 2, 3] + [0] * 6
    assert probe.clip_starts(100, 10, 1) == probe.clip_starts(1, 1, 1) == [0]


def test_probabilities_are_averaged_not_logits():
    logit = np.array([[[10.0, 0, 0], [0, 1, 0], [0, 1, 0]]])
    want = torch.tensor(logit).softmax(2).mean(1).numpy()
    assert probe.average_probabilities(logit) == pytest.approx(want)


def test_c_is_chosen_inside_the_training_folds(clips):
    feature, label, fold = clips
    noisy = np.concatenate([feature, np.random.default_rng(3).normal(size=(120, 80))], 1)
    chosen = probe.svm_folds(noisy, label, fold, C=None)
    assert chosen.accuracy >= probe.svm_folds(noisy, label, fold, C=10).accuracy - 0.03
    split = probe.svm_split(noisy[:90], label[:90], noisy[90:], label[90:], C=None)
    assert split.C in probe.CHOICES


def test_c_is_the_best_of_an_inner_cross_validation_by_whole_folds(clips, monkeypatch):
    feature, label, fold = clips
    class_K, train, asked = np.unique(label), np.flatnonzero(fold != 5), []
    right = dict(zip(probe.CHOICES, (10, 20, 24, 23, 24, 0), strict=True))

    def score(rows, label_B, train_B, test_B, C, standardise):
        asked.append((C, train_B, test_B))
        truth_BK = (label_B[test_B][:, None] == class_K) * 1.0
        return np.where(np.arange(len(test_B))[:, None] < right[C], truth_BK, -truth_BK), class_K

    monkeypatch.setattr(probe, "_fit_and_score", score)
    assert probe._choose_C((feature, np.arange(120)), label, train, fold, True) == probe.CHOICES[2]
    assert [C for C, _, _ in asked] == [C for C in probe.CHOICES for _ in range(3)]
    assert [sorted(set(fold[test])) for _, _, test in asked[:3]] == [[1, 4], [2], [3]]
    for _, inner_train, inner_test in asked:
        assert sorted([*inner_train, *inner_test]) == train.tolist()


def test_without_folds_c_is_chosen_by_stratified_parts():
    label, train = np.tile([3, 7, 11, 3], 20), np.arange(60)
    for group in (None, np.zeros(80, int)):
        parts = probe._inner_parts(label, train, group)
        assert sorted(np.concatenate(parts)) == train.tolist()
        assert [np.unique(label[part], return_counts=True)[1].tolist() for part in parts] == [[10, 5, 5]] * 3
    few = np.r_[np.flatnonzero(label == 3)[:2], np.flatnonzero(label == 7)[:9]]
    assert sorted(map(len, probe._inner_parts(label, few, None))) == [5, 6]


def test_split_and_linear_probe_equal_scikit_learn(clips):
    feature, label, _ = clips
    train, test = (feature[:90], label[:90]), (feature[90:], label[90:])
    mean, scale = train[0].mean(0), train[0].std(0)
    model = LogisticRegression(C=0.5, max_iter=1000).fit((train[0] - mean) / scale, train[1])
    got = probe.linear_probe(*train, *test, C=0.5)
    assert got.predicted_B.tolist() == model.predict((test[0] - mean) / scale).tolist()
    assert got.class_K.tolist() == [3, 7, 11] and got.count == 30
    windows = train[0][:, None].repeat(3, 1), test[0][:, None].repeat(3, 1)
    single = probe.svm_split(*train, *test, C=0.3)
    triple = probe.svm_split(windows[0], train[1], windows[1], test[1], C=0.1)
    assert triple.score_BK == pytest.approx(single.score_BK, abs=1e-3)


def test_two_classes_have_two_columns(clips):
    feature, label, _ = clips
    two = label != 11
    got = probe.svm_split(feature[two][:60], label[two][:60], feature[two][60:], label[two][60:])
    assert got.score_BK.shape == (20, 2) and got.score_BK.sum() == pytest.approx(0) and got.accuracy > 0.8


def test_multilabel_drops_difficult_items(clips):
    feature, label, _ = clips
    target = np.where(label[:, None] == [7, 11], 1, -1)
    got, score = probe.multilabel_svm(feature[:90], target[:90], feature[90:], target[90:])
    assert got.value > 0.8 and got.rule == "voc07" and score.shape == (30, 2)
    target[95, 0] = 0
    target[:5, 1] = 0
    dropped, _ = probe.multilabel_svm(feature[:90], target[:90], feature[90:], target[90:])
    assert dropped.count_K.tolist() == [29, 30]


def test_feature_matrix_evaluates_without_gradient_and_restores_the_mode():
    layer = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.Dropout(0.5))
    batches = [Batch(index_B=torch.arange(3), wave_BS=torch.ones(3, 4)) for _ in range(2)]
    first, second = (probe.feature_matrix(lambda b: layer(b.wave_BS), batches, layer) for _ in range(2))
    assert first.shape == (6, 2) and not first.requires_grad and (first == second).all() and layer.training
    with pytest.raises(ValueError, match=r"rows \[0, 1, 2"):
        probe.feature_matrix(lambda b: b.wave_BS * float("nan"), batches)
    with pytest.raises(ValueError, match="no batches"):
        probe.feature_matrix(lambda b: b.wave_BS, [])


def test_a_class_missing_from_a_fold_is_named(clips):
    feature, label, fold = clips
    label[(fold == 4) & (label == 7)] = 3
    with pytest.raises(ValueError, match=r"fold 4 has no clip of classes \[7\]"):
        probe.svm_folds(feature, label, fold)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: probe.svm_folds(np.ones((4, 2)), [0, 1, 0, 1], [1, 1, 1, 1]), "two folds"),
        (lambda: probe.svm_folds(np.ones((4, 2)), [0, 0, 0, 0], [1, 1, 2, 2]), "two classes"),
        (lambda: probe.svm_folds(np.ones((3, 2)), [0, 1, 0, 1], [1, 1, 2, 2]), "feature 3, label_B 4"),
        (lambda: probe.svm_folds([[np.nan]] * 4, [0, 1, 0, 1], [1, 1, 2, 2]), "feature holds 4 NaN"),
        (lambda: probe.svm_folds(np.ones((4, 2)), [0, 1, 0, 1], [1, 1, 2, 2], C=0), "C must be positive"),
        (lambda: probe.svm_folds(np.ones((4, 2)), [0, 1, 0, 1], [1, 1, 2, 2], windows=[0, 1, 2, 2]), "windows_W"),
        (lambda: probe.svm_split(np.ones((2, 2)), [0, 1], np.ones((1, 2)), [2]), r"no clip of classes \[2\]"),
        (lambda: probe.svm_split(np.ones((2, 2)), [0, 1], np.ones((1, 3)), [1]), "2 features, test 3"),
        (lambda: probe.linear_probe(np.ones((2, 2)), [1, 1], np.ones((1, 2)), [1]), "fewer than two classes"),
        (lambda: probe.svm_split(np.eye(2), [0, 1], np.eye(2), [0, 1], C=None), "pass C"),
        (
            lambda: probe.multilabel_svm(np.eye(2), [[1], [1]], np.eye(2), [[1], [-1]]),
            "class 0 has no positive or no neg",
        ),
        (lambda: probe.multilabel_svm(np.eye(2), [[2], [1]], np.eye(2), [[1], [-1]]), "difficult"),
        (lambda: probe.soundnet_windows(torch.ones(2, 3), 1), "map_BDL"),
        (lambda: probe.soundnet_windows(torch.ones(1, 2, 3), 1, 2), "window"),
        (lambda: probe.subclips(torch.ones(3), 2), "wave_BS"),
        (
            lambda: probe.multilabel_svm(np.eye(2), [[1, -1], [-1, 1]], np.eye(2), [[1, -1, 1], [-1, 1, 1]]),
            "shapes differ: train_row",
        ),
        (lambda: probe.clip_starts(0, 1, 1), "at least 1, not 0, 1, 1"),
        (lambda: probe.clip_starts(1, 0, 1), "at least 1, not 1, 0, 1"),
        (lambda: probe.clip_starts(1, 1, 0), "at least 1, not 1, 1, 0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
