"""Varied clips: the same things otherwise, a function of index and seed alone, and clear errors."""

import pytest
import torch

from avlib.types import Batch, Truth
from avlib.world import Stream, World
from avlib.world.variation import Varied, vary

PLAIN = {"crop": 1.0, "colour": 0.0, "gain": 0.0}


@pytest.fixture(scope="module")
def batch():
    return World(size=32).batch(range(40))


def test_with_nothing_to_vary_pictures_are_mirrored_or_not_and_sounds_are_turned(batch):
    found = vary(batch, 0, **PLAIN)
    rows = torch.stack(
        [(found.frame_BCHW - image).abs().amax((1, 2, 3)) for image in (batch.frame_BCHW, batch.frame_BCHW.flip(3))]
    )
    assert rows.min(0).values.max() < 1e-5
    assert 8 < int((rows[0] < 1e-5).sum()) < 32
    torch.testing.assert_close(found.wave_BS.sort(1).values, batch.wave_BS.sort(1).values)
    for turned, wave in zip(found.wave_BS[:5], batch.wave_BS, strict=False):
        spectra = [torch.fft.rfft(x).abs() for x in (turned, wave)]
        torch.testing.assert_close(*spectra, atol=1e-2, rtol=1e-3)
    assert not torch.equal(found.wave_BS, batch.wave_BS)


def test_what_becomes_of_a_clip_depends_on_its_index_and_the_seed_alone(batch):
    whole, some = vary(batch, 3), vary(batch.select([9, 5]), 3)
    assert torch.equal(whole.frame_BCHW[[9, 5]], some.frame_BCHW) and torch.equal(whole.wave_BS[[9, 5]], some.wave_BS)
    assert not torch.equal(vary(batch, 4).frame_BCHW, whole.frame_BCHW)
    assert torch.equal(whole.index_B, batch.index_B) and whole.truth == Truth()


def test_a_cut_shows_a_part_that_lies_within_the_picture(batch):
    ramp = torch.linspace(0, 1, 32)
    flat = Batch(batch.index_B, batch.wave_BS, ramp.expand(40, 3, 32, 32).contiguous())
    row_BW = vary(flat, 1, crop=0.5, colour=0.0).frame_BCHW[:, 0, 16]
    span_B = (row_BW[:, -2] - row_BW[:, 1]).abs() * 31 / 29
    assert span_B.min() > 0.48 and span_B.max() <= 1.01 and span_B.std() > 0.05
    assert 0 < int((row_BW[:, -1] > row_BW[:, 0]).sum()) < 40


def test_colours_and_loudness_stay_in_range_and_frames_change_alike(batch):
    video = Batch(batch.index_B, batch.wave_BS, None, batch.frame_BCHW[:, None].expand(-1, 3, -1, -1, -1), fps=4.0)
    found = vary(video, 2, colour=1.0, gain=0.5)
    assert found.image_BCHW is None and found.fps == 4.0 and found.video_BTCHW.shape == video.video_BTCHW.shape
    assert all(torch.equal(found.video_BTCHW[:, 0], found.video_BTCHW[:, t]) for t in (1, 2))
    assert found.video_BTCHW.min() >= 0 and found.video_BTCHW.max() <= 1
    louder_B = vary(batch, 2, crop=1.0, gain=0.5).wave_BS.abs().amax(1) / batch.wave_BS.abs().amax(1)
    assert louder_B.min() > 0.49 and louder_B.max() < 1.51 and louder_B.std() > 0.1


def test_a_stream_varies_anew_each_step_and_can_be_gone_on_with():
    varied = Varied(Stream(World(size=32), 8, count=8, seed=1), seed=5)
    first, second = varied(0), varied(1)
    order = [batch.index_B.argsort() for batch in (first, second)]
    assert not torch.equal(first.frame_BCHW[order[0]], second.frame_BCHW[order[1]])
    assert torch.equal(varied(1).frame_BCHW, second.frame_BCHW)


@pytest.mark.parametrize("bad", [{"crop": 0.0}, {"crop": 1.2}, {"colour": -0.1}, {"gain": 2.0}])
def test_bad_shares_are_named(batch, bad):
    with pytest.raises(ValueError, match="shares lie within 0…1"):
        vary(batch, 0, **bad)
