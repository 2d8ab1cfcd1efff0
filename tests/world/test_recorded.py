"""What the sounds of the default pack tell: a class can be heard, yet not by how loud or how long a recording is."""

import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from torch import Tensor

from avlib import audio
from avlib.types import SAMPLE_RATE
from avlib.world import library
from avlib.world.packs import SoundBank


@pytest.fixture(scope="module")
def bank() -> SoundBank:
    return library.load("orchestra").sounds


def accuracy(bank: SoundBank, feature_MD: Tensor, seed: int = 0) -> float:
    """Of a random forest that learnt on the recordings for training, on those for testing."""
    train_M, test_M = bank.split_M == 0, bank.split_M == 2
    forest = RandomForestClassifier(100, random_state=seed)
    forest.fit(feature_MD[train_M].numpy(), bank.label_M[train_M].numpy())
    return float(forest.score(feature_MD[test_M].numpy(), bank.label_M[test_M].numpy()))


def learnt(seed: int) -> dict[str, float]:
    """Accuracy of mean MFCCs on pitches never trained on; chance is one in twenty."""
    sounds = library.load("orchestra").sounds
    wave = (sounds.wave(row)[None] for row in range(len(sounds)))
    return {"accuracy": accuracy(sounds, torch.stack([audio.mfcc(w, SAMPLE_RATE)[0].mean(1) for w in wave]), seed)}


@pytest.mark.learns
def test_classes_can_be_told_apart_by_ear() -> None:
    """20 runs (seeds 0–3; native, AVX2, SSE4.1; 1 and, but for SSE4.1, 2 threads): .945, deviation .005, least .94."""
    assert learnt(0)["accuracy"] > 0.9


def test_length_and_level_tell_next_to_nothing(bank: SoundBank) -> None:
    """Chance is one in twenty; a drum rings out by itself, so its length may tell it."""
    waves = [bank.wave(row) for row in range(len(bank))]
    loud = [wave_S[wave_S.abs() > 0.05 * wave_S.abs().max()] for wave_S in waves]
    rms_M = torch.stack([wave_S.square().mean().sqrt() for wave_S in loud])
    length_M = bank.length_M.float()
    assert accuracy(bank, torch.stack([length_M, rms_M], 1)) < 0.2
