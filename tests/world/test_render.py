"""Pixels and samples agree with the latents, and give nothing away."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import StandardScaler

from avlib.world import PRESETS, Stream, World, render


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_renders_clips_within_range(name: str) -> None:
    world = World(preset=name, size=48, seconds=1.0)
    batch = world.batch(range(5), masks=True)
    frames = batch.video_BTCHW if PRESETS[name].video else batch.image_BCHW
    assert frames.shape[-3:] == (3, 48, 48) and frames.min() >= 0 and frames.max() <= 1
    assert batch.wave_BS.shape == (5, 16_000) and batch.wave_BS.abs().max() <= 1 and batch.wave_BS.isfinite().all()
    assert batch.wave_BS.square().mean(1).min() > 1e-5
    assert batch.truth.mask_BNHW.shape == (5, PRESETS[name].things[1], 48, 48)
    assert len(batch.truth.caption) == 5


def test_a_clip_does_not_depend_on_its_batch() -> None:
    world = World(preset="cocktail", size=48)
    whole, part = world.batch(range(6)), world.batch([4])
    assert torch.allclose(whole.image_BCHW[4], part.image_BCHW[0], atol=1e-6)
    assert torch.allclose(whole.wave_BS[4], part.wave_BS[0], atol=1e-6)


@pytest.mark.parametrize("name", ["solo", "cocktail", "moving", "faces"])
def test_boxes_are_tight_around_what_is_seen(name: str) -> None:
    # one thing at a time, so that nothing is covered
    world = World(preset=name, size=96, things=(1, 1), sounding=(1, 1))
    batch = world.batch(range(40), masks=True)
    mask_BHW, box_B4 = batch.truth.mask_BNHW[:, 0], batch.truth.box_BN4[:, 0]
    for mask_HW, box_4 in zip(mask_BHW, box_B4, strict=True):
        y, x = mask_HW.nonzero().T
        seen = torch.tensor([x.min(), y.min(), x.max() + 1, y.max() + 1])
        # the rim adds a pixel or two around the drawing
        assert (seen - box_4).abs().max() <= 3.5, (seen, box_4)


def test_masks_never_overlap_and_an_empty_slot_has_none() -> None:
    batch = World(preset="silent", size=64).batch(range(60), masks=True)
    truth = batch.truth
    assert truth.mask_BNHW.sum(1).max() == 1
    empty = truth.category_BN < 0
    assert empty.any() and not truth.mask_BNHW[empty].any() and truth.box_BN4[empty].isnan().all()
    assert truth.box_BN4[~empty].isfinite().all()


def test_stems_sum_to_the_mixture_and_the_silent_are_silent() -> None:
    truth_of = World(preset="cocktail", seed=4).batch(range(30))
    truth = truth_of.truth
    assert torch.allclose(truth.stem_BNS.sum(1) + truth.offscreen_stem_BS, truth_of.wave_BS, atol=1e-6)
    assert truth.stem_BNS[~truth.sounding_BN].abs().max() == 0
    assert truth.stem_BNS[truth.sounding_BN].square().mean(1).min() > 1e-5
    heard = truth.offscreen_stem_BS.abs().amax(1) > 0
    assert torch.equal(heard, truth.offscreen_B >= 0) and heard.any() and not heard.all()


def test_a_dubbed_clip_holds_another_class() -> None:
    truth = World(preset="voiceover").batch(range(60)).truth
    assert truth.faulty_B.any() and not truth.faulty_B.all()
    assert (truth.offscreen_B[truth.faulty_B] != truth.category_BN[truth.faulty_B, 0]).all()
    assert not truth.sounding_BN[truth.faulty_B].any() and truth.sounding_BN[~truth.faulty_B].all()


def correlation(a_BT: torch.Tensor, b_BT: torch.Tensor) -> float:
    return float(np.nanmean([np.corrcoef(a, b)[0, 1] for a, b in zip(a_BT.numpy(), b_BT.numpy(), strict=True)]))


def test_things_move_with_their_loudness_and_static_clips_do_not() -> None:
    still = World(preset="static", size=48).batch(range(8)).video_BTCHW
    assert (still - still[:, :1]).abs().max() < 1e-5
    world = World(preset="moving", size=48, drift=0.0, seconds=2.0, fps=10.0, gain=(0.0, 0.0))
    scene, batch = world.scene(range(24)), world.batch(range(24))
    time_T = (torch.arange(20) + 0.5) / 10
    loud_BT = render.loudness(scene, world.stage.loudness_MQ, time_T)[:, 0]
    heard_BT = batch.truth.stem_BNS[:, 0].view(24, 20, -1).square().mean(2).sqrt()
    assert correlation(loud_BT, heard_BT) > 0.5
    change_BT = batch.video_BTCHW.diff(dim=1).abs().mean((2, 3, 4))
    step_BT = loud_BT.diff(dim=1).abs()
    assert correlation(change_BT, step_BT) > 0.35
    assert correlation(change_BT.roll(1, 0), step_BT) < 0.15  # another clip's


def test_a_shift_moves_the_sound_and_not_the_picture() -> None:
    early, late = World(preset="moving", seconds=2.0), World(preset="moving", seconds=2.0, shift=0.5, shift_from=0.5)
    a, b = early.batch(range(12)), late.batch(range(12))
    assert torch.equal(a.video_BTCHW, b.video_BTCHW)
    step = (b.truth.shift_B * 16_000).round().long().tolist()
    for wave_a, wave_b, n in zip(a.wave_BS, b.wave_BS, step, strict=True):
        assert abs(n) == 8000
        left, right = (wave_a[:-n], wave_b[n:]) if n > 0 else (wave_a[-n:], wave_b[:n])
        assert np.corrcoef(left.numpy(), right.numpy())[0, 1] > 0.99


def test_spoken_words_name_what_is_seen_at_their_times() -> None:
    world = World(preset="speech", seconds=3.0)
    batch = world.batch(range(20))
    for b in range(20):
        seen = [world.classes[k] for k in batch.truth.category_BN[b].tolist() if k >= 0]
        text = " ".join(w.text for w in batch.truth.words[b])
        assert all(name in text for name in seen), (seen, text)
        for word in batch.truth.words[b]:
            span = batch.wave_BS[b, int(word.start * 16_000) : int(word.end * 16_000)]
            assert span.square().mean() > 0 and word.end <= 3.0


def test_faces_move_their_mouths_and_only_one_is_heard() -> None:
    batch = World(preset="faces", size=64, seconds=2.0, drift=0.0, motion=1.0).batch(range(6))
    assert batch.truth.sounding_BN.sum(1).eq(1).all()
    assert batch.video_BTCHW.std(1).amax((1, 2, 3)).min() > 0.05
    assert all(batch.truth.words)


# --- nothing but content tells the class or the match


def nuisances(count: int = 1600):
    world = World(size=32)
    scene, batch = world.scene(range(count)), world.batch(range(count))
    look = torch.stack(
        [scene.x_BN[:, 0], scene.y_BN[:, 0], scene.side_BN[:, 0], scene.angle_BN[:, 0], scene.light_B], 1
    )
    loud = torch.stack([batch.wave_BS.square().mean(1).log(), scene.gain_BN[:, 0]], 1)
    bright = batch.image_BCHW.mean((1, 2, 3))[:, None]
    return batch.truth.label_B.numpy(), look.numpy(), loud.numpy(), bright.numpy()


def test_position_size_light_and_loudness_do_not_tell_the_class() -> None:
    label, look, loud, _ = nuisances()
    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0)
    guess = cross_val_predict(forest, np.hstack([look, loud]), label, cv=4)
    chance = np.bincount(label).max() / len(label)
    assert (guess == label).mean() < chance + 4 * (chance / len(label)) ** 0.5


def test_brightness_and_loudness_do_not_tell_true_pairs_from_false() -> None:
    _, look, loud, bright = nuisances()
    sight = np.hstack([look, bright])
    pairs = np.vstack([np.hstack([sight, loud]), np.hstack([sight, np.roll(loud, 1, 0)])])
    pairs = np.hstack([pairs, StandardScaler().fit_transform(pairs).prod(1, keepdims=True)])
    label = np.repeat([1, 0], len(sight))
    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0)
    right = (cross_val_predict(forest, pairs, label, cv=4) == label).mean()
    assert abs(right - 0.5) < 4 * (0.25 / len(label)) ** 0.5


def test_place_in_the_picture_does_not_tell_who_sounds() -> None:
    world = World(preset="silent", size=32, things=(3, 3))
    scene = world.scene(range(1200))
    look = torch.stack([scene.x_BN, scene.y_BN, scene.side_BN, scene.angle_BN], 2)
    order = torch.arange(3.0).expand(1200, 3)[..., None]
    features = torch.cat([look, order], 2).flatten(0, 1).numpy()
    label = scene.sounding_BN[:, :3].flatten().numpy()
    forest = RandomForestClassifier(100, min_samples_leaf=5, random_state=0, class_weight="balanced")
    guess = cross_val_predict(forest, features, label, cv=4)
    balanced = ((guess[label]).mean() + (~guess[~label]).mean()) / 2
    assert abs(balanced - 0.5) < 0.04


# --- streams


def test_a_stream_is_a_function_of_the_step_and_visits_every_scene_once_an_epoch() -> None:
    stream = Stream(World(size=16), 8, count=32, seed=1)
    assert torch.equal(stream.indices(5), Stream(World(size=16), 8, count=32, seed=1).indices(5))
    epoch = torch.cat([stream.indices(step) for step in range(4)])
    assert sorted(epoch.tolist()) == list(range(32))
    assert not torch.equal(epoch, torch.cat([stream.indices(step) for step in range(4, 8)]))
    parts = [Stream(World(size=16), 4, count=32, seed=1, rank=r, ranks=2).indices(5) for r in range(2)]
    assert torch.equal(torch.cat(parts), stream.indices(5))


def test_an_endless_stream_never_repeats_itself() -> None:
    stream = Stream(World(size=16), 4)
    seen = torch.cat([stream.indices(step) for step in range(50)])
    assert len(set(seen.tolist())) == 200
    with pytest.raises(ValueError, match="does not fit"):
        Stream(World(size=16), 64, count=32)
