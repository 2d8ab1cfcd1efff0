"""The published baselines of ESC-10, on its own recordings and folds."""

import csv

import librosa
import numpy as np
import pytest
import soundfile
import torch

from avlib.evaluate import esc

RATE, SAMPLES = 44_100, 5 * 44_100


def test_statistics_equal_librosas():
    wave = np.random.default_rng(0).normal(size=RATE).astype(np.float32) * np.linspace(0, 0.3, RATE, dtype=np.float32)
    power = librosa.feature.melspectrogram(y=wave, sr=RATE, n_fft=512, hop_length=512, n_mels=40, pad_mode="reflect")[
        :, : RATE // 512
    ]
    mfcc = librosa.feature.mfcc(S=librosa.power_to_db(power), n_mfcc=13)[1:]
    frames = wave[: RATE // 512 * 512].reshape(-1, 512)
    crossing = librosa.zero_crossings(frames, pad=False, axis=1).sum(1) / 511
    want = np.concatenate([mfcc.mean(1), [crossing.mean()], mfcc.std(1), [crossing.std()]])
    assert esc.mfcc_statistics(torch.from_numpy(wave), RATE) == pytest.approx(want, rel=1e-3, abs=2e-3)


def test_padding_can_be_left_out():
    wave = torch.randn(20 * 512)
    padded = torch.cat([wave, torch.zeros(20 * 512)])
    kept, dropped = esc.mfcc_statistics(padded, RATE), esc.mfcc_statistics(padded, RATE, drop_silence=True)
    # The 21st frame is centred on the edge, so only the crossings are free of the padding exactly.
    plain = esc.mfcc_statistics(wave, RATE)
    assert dropped[12] == pytest.approx(plain[12]) and kept[12] == pytest.approx(plain[12] / 2)
    assert np.isfinite(esc.mfcc_statistics(torch.zeros(4096), RATE, drop_silence=True)).all()


@pytest.mark.parametrize(
    ("wave", "rate", "message"),
    [
        (torch.zeros(100), RATE, "1024 samples"),
        (torch.zeros(4096), 0, "rate"),
        (torch.full((4096,), float("nan")), RATE, "NaN"),
    ],
)
def test_bad_waves_are_named(wave, rate, message):
    with pytest.raises(ValueError, match=message):
        esc.mfcc_statistics(wave, rate)


def test_the_forest_needs_folds():
    with pytest.raises(ValueError, match="two folds"):
        esc.mfcc_forest(np.eye(4), [0, 1, 0, 1], [1, 1, 1, 1], trees=2)


@pytest.fixture(scope="module")
def esc10(real_data):
    table = real_data / "esc10" / "meta" / "esc50.csv"
    if not table.is_file():
        pytest.skip(f"no ESC-10 at {table.parent.parent}")
    with table.open() as lines:
        rows = list(csv.DictReader(lines))
    waves = [soundfile.read(table.parent.parent / "audio" / row["filename"], frames=SAMPLES)[0] for row in rows]
    statistic = np.stack([esc.mfcc_statistics(torch.from_numpy(wave), RATE) for wave in waves])
    return statistic, [int(row["target"]) for row in rows], [int(row["fold"]) for row in rows]


@pytest.mark.slow
def test_both_published_rows_are_reproduced(esc10):
    rows = esc.baselines(*esc10)
    svm, forest = rows["SVM on MFCC"], rows["random forest"]
    assert svm.count == 400 and svm.chance == pytest.approx(0.1) and len(svm.folds) == 5
    assert abs(svm.accuracy - 0.675) <= 0.015
    assert abs(forest.accuracy - 0.727) <= 0.03
