"""Windows of longer clips: in step, from the interior, and a shifted one as likely anywhere as a true one."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avlib.types import Batch
from avlib.world import World
from avlib.world.windows import Pairs, Windows, rendered

HARD, SUPER_HARD = (1.0, 9.0), (0.25, 0.75)


@pytest.fixture(scope="module")
def world() -> World:
    return World("orchestra", "moving", size=16, seconds=3.0, fps=8.0, onset_from=1.0)


@pytest.fixture(scope="module")
def windows(world: World) -> Windows:
    return rendered(world.batches(24, 10), frames=8, margin=1)


@pytest.fixture(scope="module")
def numbered() -> Windows:
    """Frame t of clip m has the value t; the sound of frame t is t, too, 2000 samples long."""
    time_T = torch.arange(24)
    video = time_T.to(torch.uint8).view(1, 24, 1, 1, 1).expand(400, 24, 3, 2, 2)
    wave = time_T.to(torch.int16).repeat_interleave(2000).expand(400, 48_000)
    truth = World("orchestra", "moving", size=16, fps=8.0).batch(range(400)).truth
    return Windows(video, wave, replace(truth, stem_BNS=None, box_BTN4=None), 8.0, 8)


def frames_of(batch: Batch) -> Tensor:
    """Numbers of the first and last frame seen, and of the first and last heard, (B, 4), of `numbered` clips."""
    assert batch.video_BTCHW is not None
    seen_BT, heard_BS = batch.video_BTCHW[:, :, 0, 0, 0] * 255, batch.wave_BS * 32767
    return torch.stack([seen_BT[:, 0], seen_BT[:, -1], heard_BS[:, 0], heard_BS[:, -1]], 1).round().long()


def test_a_whole_clip_comes_back_within_half_a_step(world: World) -> None:
    batch = world.batch(range(4))
    found = rendered([batch], frames=24).cut(torch.arange(4), torch.zeros(4, dtype=torch.int64))
    assert batch.video_BTCHW is not None and found.video_BTCHW is not None and found.fps == 8
    assert float((found.video_BTCHW - batch.video_BTCHW).abs().max()) <= 0.5 / 255 + 1e-6
    assert float((found.wave_BS - batch.wave_BS).abs().max()) <= 0.5 / 32767 + 1e-6
    torch.testing.assert_close(found.truth.onset_BNE, batch.truth.onset_BNE, equal_nan=True)


def test_sight_and_sound_of_a_window_begin_where_asked(numbered: Windows) -> None:
    found = frames_of(numbered.cut(torch.tensor([0, 1]), torch.tensor([3, 16]), torch.tensor([3, 0])))
    assert found.tolist() == [[3, 10, 3, 10], [16, 23, 0, 7]]


def test_the_truth_moves_with_the_window(windows: Windows) -> None:
    row_B, seen_B = torch.tensor([5, 7]), torch.tensor([4, 9])
    plain, late = windows.cut(row_B, seen_B).truth, windows.cut(row_B, seen_B, seen_B - 2).truth
    torch.testing.assert_close(
        plain.onset_BNE, windows.truth.onset_BNE[row_B] - seen_B[:, None, None] / 8, equal_nan=True  # type: ignore[index]
    )  # fmt: skip
    assert plain.shift_B.tolist() == [0, 0] and late.shift_B.tolist() == [0.25, 0.25]  # type: ignore[union-attr]
    assert plain.box_BTN4.shape[1] == 8  # type: ignore[union-attr]
    assert torch.equal(plain.box_BTN4[1], windows.truth.box_BTN4[7, 9:17])  # type: ignore[index]
    assert torch.equal(plain.box_BN4, plain.box_BTN4[:, 0])  # type: ignore[index]
    assert torch.equal(plain.label_B, windows.truth.label_B[row_B]) and plain.stem_BNS is None


def test_a_late_sound_is_what_its_truth_says(numbered: Windows) -> None:
    batch = numbered.cut(torch.tensor([0]), torch.tensor([10]), torch.tensor([6]))
    # what is seen at the window's beginning is heard four frames, half a second, later
    assert frames_of(batch).tolist() == [[10, 17, 6, 13]] and batch.truth.shift_B.tolist() == [0.5]  # type: ignore[union-attr]


@pytest.mark.parametrize("gap", [HARD, SUPER_HARD])
def test_starts_keep_their_gap_and_stay_inside(windows: Windows, gap: tuple[float, float]) -> None:
    start_B2 = torch.cat([windows.starts(torch.arange(24), [gap], seed) for seed in range(50)])
    assert int(start_B2.min()) == 1 and int(start_B2.max()) == 24 - 8 - 1
    apart_B = (start_B2[:, 0] - start_B2[:, 1]).abs()
    assert int(apart_B.min()) == round(gap[0] * 8) and int(apart_B.max()) <= min(gap[1] * 8, 14)
    overlap_B = (8 - apart_B).clamp(min=0)
    assert bool((overlap_B == 0).all()) if gap == HARD else bool((overlap_B > 0).all())


@pytest.mark.parametrize("gaps", [[HARD], [SUPER_HARD], [HARD, SUPER_HARD]])
def test_true_and_shifted_sound_begin_alike(windows: Windows, gaps: list[tuple[float, float]]) -> None:
    """Every pair of starts lies as often in one order as in the other: no start gives away which is the shifted one."""
    for gap in gaps:
        pairs = Counter(map(tuple, windows._apart(gap).tolist()))
        assert pairs == Counter((b, a) for a, b in pairs.elements()) and set(pairs.values()) == {1}
    start_B2 = torch.cat([windows.starts(torch.arange(24), gaps, seed) for seed in range(400)]).float()
    half_B2 = (start_B2 - 8).abs()
    assert float((start_B2[:, 0].mean() - start_B2[:, 1].mean()).abs()) < 0.25
    assert float((half_B2[:, 0].mean() - half_B2[:, 1].mean()).abs()) < 0.15


def test_each_gap_comes_as_often(windows: Windows) -> None:
    start_B2 = torch.cat([windows.starts(torch.arange(24), [HARD, SUPER_HARD], seed) for seed in range(100)])
    assert float(((start_B2[:, 0] - start_B2[:, 1]).abs() >= 8).float().mean()) == pytest.approx(0.5, abs=0.04)


def test_starts_depend_on_the_clip_and_the_seed_alone(windows: Windows) -> None:
    whole_B2 = windows.starts(torch.arange(24), [HARD], 3)
    assert torch.equal(windows.starts(torch.tensor([7, 2]), [HARD], 3), whole_B2[[7, 2]])
    assert not torch.equal(windows.starts(torch.arange(24), [HARD], 4), whole_B2)


def test_a_batch_shows_each_clip_twice_and_each_is_the_others_shifted_sound(numbered: Windows) -> None:
    stream, crossed = Pairs(numbered, 8, [HARD], seed=1), Pairs(numbered, 8, [HARD], apart=True, seed=1)
    for step in range(30):
        batch, other = stream(step), crossed(step)
        assert torch.equal(batch.index_B[:4], batch.index_B[4:]) and len(batch.index_B.unique()) == 4
        at_B4, cross_B4 = frames_of(batch), frames_of(other)
        assert torch.equal(at_B4[:, :2], at_B4[:, 2:]) and torch.equal(cross_B4[:, :2], at_B4[:, :2])
        assert torch.equal(cross_B4[:4, 2:], at_B4[4:, :2]) and torch.equal(cross_B4[4:, 2:], at_B4[:4, :2])
        assert bool(((at_B4[:4, 0] - at_B4[4:, 0]).abs() >= 8).all())


def test_a_stream_is_a_function_of_the_step_and_meets_each_clip_once_an_epoch(numbered: Windows) -> None:
    one, two = (Pairs(numbered, 16, [HARD, SUPER_HARD], seed=5) for _ in range(2))
    later = two(60)
    assert torch.equal(one(60).index_B, later.index_B) and torch.equal(frames_of(one(60)), frames_of(later))
    seen = torch.cat([one(step).index_B[:8] for step in range(50)])
    assert len(seen.unique()) == 400
    assert not torch.equal(frames_of(one(0))[:, 0], frames_of(one(50))[:, 0])


def test_ranks_share_a_batch_out(numbered: Windows) -> None:
    whole = Pairs(numbered, 16, [HARD], seed=2)(7)
    shares = [Pairs(numbered, 8, [HARD], seed=2, rank=rank, ranks=2)(7) for rank in (0, 1)]
    rows = {(int(i), *f) for i, f in zip(whole.index_B, frames_of(whole).tolist(), strict=True)}
    found = [(int(i), *f) for share in shares for i, f in zip(share.index_B, frames_of(share).tolist(), strict=True)]
    assert set(found) == rows and len(found) == 16


def test_shuffled_pictures_have_the_sound_of_one_other_clip(windows: Windows) -> None:
    other, row_B = windows.shuffled(), torch.arange(24)
    start_B = torch.full((24,), 5)
    own, dubbed = windows.cut(row_B, start_B), other.cut(row_B, start_B)
    assert torch.equal(own.video_BTCHW, dubbed.video_BTCHW) and other.moved == 12  # type: ignore[arg-type]
    assert torch.equal(dubbed.wave_BS, windows.cut((row_B + 12) % 24, start_B).wave_BS)


def test_bad_input_is_named(world: World, windows: Windows, numbered: Windows) -> None:
    with pytest.raises(ValueError, match=r"begin within 1…15, not at \[0\]"):
        windows.cut(torch.tensor([0]), torch.tensor([0]))
    with pytest.raises(ValueError, match=r"begin within 1…15, not at \[16\]"):
        windows.cut(torch.tensor([0]), torch.tensor([5]), torch.tensor([16]))
    with pytest.raises(ValueError, match=r"at most 1\.75 s apart"):
        windows.starts(torch.arange(3), [(2.0, 3.0)])
    with pytest.raises(ValueError, match="windows of 30 frames"):
        replace(windows, frames=30)
    with pytest.raises(ValueError, match="do not part evenly"):
        replace(windows, fps=7.0)
    with pytest.raises(ValueError, match="have none"):
        rendered(World("orchestra", size=16).batches(2), 1)
    with pytest.raises(ValueError, match="no clips"):
        rendered([], 8)
    with pytest.raises(ValueError, match="must be even"):
        Pairs(numbered, 7, [HARD])
    with pytest.raises(ValueError, match="does not fit"):
        Pairs(windows, 64, [HARD])
