"""Features: what a method embeds, with the truth beside it."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from avlib.evaluate.features import features, join
from avlib.types import Batch, Embedding, Truth


class Mean(nn.Module):
    """Embeds the mean of the sound, and nothing of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        self.saw: list[Truth] = []

    def embed(self, batch: Batch) -> Embedding:
        self.saw.append(batch.truth)
        return Embedding(audio_BD=self.norm(batch.wave_BS.mean(1, keepdim=True)))


def clips(count: int, value: float = 1.0) -> Batch:
    truth = Truth(category_BN=torch.arange(count)[:, None], caption=("a",) * count)
    return Batch(torch.arange(count), torch.full((count, 5), value), truth=truth)


def test_features_lie_beside_their_truth_and_the_mode_comes_back() -> None:
    method = Mean()
    for training in (True, False):
        method.train(training)
        found = features(method, [clips(3), clips(2, 4.0)], ("audio_BD",))
        assert method.training is training
    assert found.audio_BD.flatten().tolist() == pytest.approx([1, 1, 1, 4, 4], abs=1e-4)
    assert not found.audio_BD.requires_grad and len(found) == 5
    assert found.label_B.tolist() == [0, 1, 2, 0, 1] and found.truth.caption == ("a",) * 5
    assert float(method.norm.running_mean) == 0


def test_the_method_sees_no_truth() -> None:
    method = Mean()
    features(method, [clips(2)], ("audio_BD",))
    assert method.saw[0].category_BN is not None and set(method.saw[0].category_BN.flatten().tolist()) == {-1}


def test_what_is_not_there_is_named() -> None:
    method = Mean()
    with pytest.raises(ValueError, match=r"Mean\.embed gives no image_BD; it gives audio_BD"):
        features(method, [clips(2)])
    with pytest.raises(ValueError, match="unknown field of an embedding 'audio_B'; did you mean 'audio_BD'"):
        features(method, [clips(2)], ("audio_B",))
    with pytest.raises(ValueError, match="no batches"):
        features(method, [], ("audio_BD",))
    with pytest.raises(ValueError, match=r"audio_BD of Mean is NaN or infinite for the clips \[0, 1\]"):
        features(method, [clips(2, float("nan"))], ("audio_BD",))
    found = features(method, [clips(2)], ("audio_BD",))
    with pytest.raises(AttributeError, match="image_BD was not asked for"):
        _ = found.image_BD
    with pytest.raises(AttributeError, match="has no 'audio_B'"):
        _ = found.audio_B


def test_the_mode_comes_back_after_an_error() -> None:
    method = Mean().train()
    with pytest.raises(ValueError):
        features(method, [clips(2)])
    assert method.training


def test_parts_are_joined_end_to_end() -> None:
    whole = join([clips(2), clips(1, 3.0)])
    assert whole.wave_BS[:, 0].tolist() == [1, 1, 3] and whole.truth.caption == ("a",) * 3
    assert whole.image_BCHW is None and whole.fps == 0
    with pytest.raises(ValueError, match="caption is there for some parts and missing for others"):
        join([clips(1), replace(clips(1), truth=replace(clips(1).truth, caption=None))])
    with pytest.raises(ValueError, match="nothing to join"):
        join([])
