from dataclasses import replace

import pytest
import torch

from avlib.types import Batch, Truth, Word


def clips(n: int = 3) -> Batch:
    truth = Truth(
        category_BN=torch.tensor([[0, -1], [1, 2], [3, 4]])[:n],
        sounding_BN=torch.tensor([[False, False], [False, True], [True, True]])[:n],
        box_BN4=torch.ones(n, 2, 4),
        caption=("a", "b", "c")[:n],
        words=((Word("a", 0.0, 0.1),), (), ())[:n],
    )
    return Batch(torch.arange(n), torch.zeros(n, 16), image_BCHW=torch.rand(n, 3, 8, 8), truth=truth)


def test_select_keeps_rows_of_every_field_together() -> None:
    picked = clips().select([2, 0])
    assert picked.index_B.tolist() == [2, 0]
    assert picked.truth.category_BN.tolist() == [[3, 4], [0, -1]]
    assert picked.truth.caption == ("c", "a")
    assert picked.truth.words[1][0].text == "a"


def test_label_is_the_first_sounding_thing_else_the_first_thing() -> None:
    assert clips().truth.label_B.tolist() == [0, 2, 3]
    with pytest.raises(ValueError, match="no category truth"):
        Truth().label_B  # noqa: B018


def test_blind_hides_every_truth_and_nothing_else() -> None:
    batch = replace(clips(), text=("a dog", "a cat", "a bell"))
    blind = batch.blind()
    assert torch.equal(blind.wave_BS, batch.wave_BS) and torch.equal(blind.index_B, batch.index_B)
    assert blind.text == ("a dog", "a cat", "a bell")  # an input, like picture and sound
    assert blind.truth.box_BN4.isnan().all() and (blind.truth.category_BN == -1).all()
    assert not blind.truth.sounding_BN.any() and blind.truth.caption is None and blind.truth.words is None


def test_frame_is_the_picture_or_the_middle_of_the_video() -> None:
    video = torch.arange(5.0).view(1, 5, 1, 1, 1).expand(1, 5, 3, 2, 2)
    assert Batch(torch.zeros(1), torch.zeros(1, 4), video_BTCHW=video).frame_BCHW.unique().item() == 2
    with pytest.raises(ValueError, match="neither a picture nor a video"):
        Batch(torch.zeros(1), torch.zeros(1, 4)).frame_BCHW  # noqa: B018
