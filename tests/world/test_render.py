"""Pixels and samples agree with the latents, and give nothing away."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.preprocessing import StandardScaler

from avlib.types import Batch
from avlib.world import PRESETS, Shuffled, Stream, World, colours, render
from tests.reference import render as reference


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


def written(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames of 8 and samples of 16 bits, as a file would hold them."""
    frames = batch.video_BTCHW if batch.image_BCHW is None else batch.image_BCHW
    return (frames * 255).round().byte(), (batch.wave_BS * 32767).round().short()


@pytest.mark.parametrize("name", ["cocktail", "sync", "crossing"])
def test_a_clip_has_the_same_bytes_in_any_batch(name: str) -> None:
    world = World(preset=name, size=48, warp=0.2, noise=-10.0, ambience=-10.0)
    whole, part = written(world.batch(range(12)).select([4, 7])), written(world.batch([4, 7]))
    assert all(torch.equal(a, b) for a, b in zip(whole, part, strict=True))


@pytest.mark.parametrize(
    "dials",
    [{}, {"side": (0.7, 0.95), "tilt": 90.0}, {"preset": "cocktail", "warp": 0.4, "forms": 0.5, "side": (0.3, 0.6)}],
)
def test_windows_paint_what_the_whole_frame_would_show(dials: dict) -> None:
    world = World(size=48, **dials)
    image_BCHW = world.batch(range(24)).image_BCHW
    for n, image_CHW in enumerate(image_BCHW):
        # sprites are looked up at multiples of 1/256 of their pixels
        assert (image_CHW - reference.frame(world, n)).abs().max() < 8e-3


@pytest.mark.parametrize(("drift", "motion", "mime"), [(0.0, 1.0, False), (0.05, 0.6, True), (0.03, 1.0, False)])
def test_a_thing_lies_where_drift_and_its_own_loudness_put_it(drift: float, motion: float, mime: bool) -> None:
    scene = World(preset="moving", things=(2, 2), sounding=(1, 1), warp=0.2).scene(range(16))
    assert set(scene.motion_BN.flatten().tolist()) == set(range(4))
    loud_BNT = torch.rand(16, 3, 5, generator=torch.Generator().manual_seed(0))
    time_T = torch.tensor([0.0, 0.3, 0.7, 1.1, 1.9], dtype=torch.float64)
    found = render.poses(scene, 64, loud_BNT, motion, drift, time_T, mime)
    for b, n, t in np.ndindex(16, 2, 5):
        loud = float(loud_BNT[b, n, t])
        x, y, angle, side = reference.pose(scene, b, n, float(time_T[t]), loud, motion, drift, mime)
        # places are rounded to 1/4096 px
        assert found.centre_BNT2[b, n, t].tolist() == pytest.approx([64 * x, 64 * y], abs=0.6 / 4096)
        assert torch.allclose(found.map_BNT22[b, n, t], reference.lies(scene, b, n, angle, 64 * side), atol=1e-9)


@pytest.mark.parametrize("warp", [0.0, 0.4])
@pytest.mark.parametrize("name", ["solo", "cocktail", "moving", "faces"])
def test_boxes_are_tight_around_what_is_seen(name: str, warp: float) -> None:
    # one thing at a time, so that nothing is covered
    world = World(preset=name, size=96, things=(1, 1), sounding=(1, 1), warp=warp)
    batch = world.batch(range(40), masks=True)
    mask_BHW, box_B4 = batch.truth.mask_BNHW[:, 0], batch.truth.box_BN4[:, 0]
    for mask_HW, box_4 in zip(mask_BHW, box_B4, strict=True):
        y, x = mask_HW.nonzero().T
        seen = torch.stack([x.min(), y.min(), x.max() + 1, y.max() + 1])
        # the rim adds a pixel or two around the drawing
        assert (seen - box_4).abs().max() <= 3.5, (seen, box_4)


def test_masks_never_overlap_and_an_empty_slot_has_none() -> None:
    batch = World(preset="silent", size=64).batch(range(60), masks=True)
    truth = batch.truth
    assert truth.mask_BNHW.sum(1).max() == 1
    empty = truth.category_BN < 0
    assert empty.any() and not truth.mask_BNHW[empty].any() and truth.box_BN4[empty].isnan().all()
    assert truth.box_BN4[~empty].isfinite().all()


def test_notes_that_overlap_are_added_alike_one_by_one_and_all_at_once() -> None:
    draw = torch.Generator().manual_seed(0)
    data_S = torch.randint(-32768, 32768, (9000,), dtype=torch.int16, generator=draw)
    count_L = torch.randint(0, 800, (2500,), generator=draw)
    target_L, source_L = (torch.randint(0, 8000, (2500,), generator=draw) for _ in range(2))
    each_S, all_S = torch.zeros(9000), torch.zeros(9000)
    render._add_each(each_S, data_S, target_L, source_L, count_L)
    render._add_all(all_S, data_S, target_L, source_L, count_L)
    assert torch.equal(each_S, all_S) and each_S.abs().max() > 2 * 32768


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


def overlap(box_BTN4: torch.Tensor) -> torch.Tensor:
    """Area that two boxes share over that of the smaller one, (B, T)."""
    a, b = box_BTN4.unbind(2)
    side = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    area = torch.stack([(t[..., 2:] - t[..., :2]).prod(-1) for t in (a, b)]).amin(0)
    return side.prod(-1) / area


def test_heads_move_and_in_crossing_they_pass_in_front_of_each_other() -> None:
    moves = {}
    for name in ("faces", "crossing"):
        batch = World(preset=name, size=48, seconds=3.0).batch(range(40), masks=True)
        truth = batch.truth
        centre = (truth.box_BTN4[..., :2] + truth.box_BTN4[..., 2:]) / 2
        moves[name] = float((centre.amax(1) - centre.amin(1)).mean())
        assert truth.colour_BN.eq(-1).all() and truth.drawing_BN.ge(0).all()
        voice_BN = truth.voice_BN
        assert (voice_BN >= 0).all() and (voice_BN[:, 0] != voice_BN[:, 1]).all()
        if name == "crossing":
            assert (overlap(truth.box_BTN4) > 0.4).any(1).float().mean() > 0.6
            # a head in front hides some of the other, and is in sight again elsewhere
            seen = truth.mask_BTNHW.sum((3, 4)).float()
            assert (seen.amin(1) < 0.7 * seen.amax(1)).any(1).float().mean() > 0.5
    assert moves["faces"] > 6 and moves["crossing"] > 16


# --- colours, levels, motion: against the pixels and samples themselves


def test_the_colour_that_the_truth_names_is_that_of_the_pixels() -> None:
    world = World(size=96, things=(1, 1), light=(1.0, 1.0), side=(0.5, 0.6), forms=0.3)
    batch = world.batch(range(120), masks=True)
    index_B, seen = batch.truth.colour_BN[:, 0], 0
    for image_CHW, mask_HW, index in zip(batch.image_BCHW, batch.truth.mask_BNHW[:, 0], index_B.tolist(), strict=True):
        inner = -F.max_pool2d(-mask_HW[None].float(), 5, 1, 2)[0] > 0
        point = colours.chroma(image_CHW.permute(1, 2, 0)[inner]).mean(0)
        if index >= 0 and inner.sum() > 30:
            hue = torch.atan2(point[1], point[0]) / (2 * np.pi)
            # colours at the border of what a screen shows are clamped, which bends their hue a little
            near = {int(colours.index_of(hue + off, torch.tensor(1.0))) for off in (-0.04, -0.02, 0.0, 0.02, 0.04)}
            assert index in near, (colours.NAMES[index], float(hue))
            seen += 1
    assert seen > 60 and len(set(index_B.tolist())) >= 8


def test_a_turn_of_hue_keeps_greys_rim_and_shadow() -> None:
    plain, turned = (World(size=64, hue=hue, light=(1.0, 1.0)).batch(range(30), masks=True) for hue in (0.0, 1.0))
    rgb = plain.image_BCHW.permute(0, 2, 3, 1)
    grey = (rgb.amax(3) - rgb.amin(3) < 0.02) & plain.truth.mask_BNHW[:, 0]
    assert grey.sum() > 500
    assert (rgb[grey] - turned.image_BCHW.permute(0, 2, 3, 1)[grey]).abs().max() < 0.06
    outside = ~plain.truth.mask_BNHW.any(1)
    change = (plain.image_BCHW - turned.image_BCHW).abs().amax(1)[outside]
    assert (change > 0.1).float().mean() < 0.01


@pytest.mark.parametrize(
    ("dial", "levels"), [("gain", (-12.0, 0.0, 6.0)), ("noise", (-20.0, -6.0)), ("ambience", (-20.0, -6.0))]
)
def test_levels_follow_their_decibels(dial: str, levels: tuple) -> None:
    for level in levels:
        if dial == "gain":
            batch = World(gain=(level, level)).batch(range(24))
            whole_B = batch.wave_BS.abs().amax(1) < 1  # a mixture that would leave -1…1 was turned down
            assert whole_B.sum() > 8
            rms = batch.truth.stem_BNS[whole_B, 0].square().mean(1).sqrt()
            want = torch.full_like(rms, render._LEVEL * 10 ** (level / 20))
        else:
            world = World(sounding=(0, 0), seconds=2.0, **{dial: level})
            rms = world.batch(range(12)).wave_BS.square().mean(1).sqrt()
            drawn_B = getattr(world.scene(range(12)), f"{dial}_B")
            assert (drawn_B - level).abs().max() <= 3 and drawn_B.std() > 0.5
            want = render._LEVEL * 10 ** (drawn_B / 20)
        # white noise of two seconds has its level within 1 %
        assert torch.allclose(rms, want, rtol=0.02)


def test_noise_of_a_long_clip_goes_on() -> None:
    wave_BS = World(sounding=(0, 0), seconds=20.0, noise=0.0, size=16).batch([0, 1]).wave_BS
    assert wave_BS.view(2, 20, -1).square().mean(2).sqrt().min() > 0.04


@pytest.mark.parametrize("preset", ["moving", "twins"])
def test_flow_leads_each_pixel_to_where_it_is_seen_next(preset: str) -> None:
    world = World(preset=preset, size=96, warp=0.3, seconds=1.0)
    batch = world.batch(range(12), masks=True, flow=True)
    video, mask, flow = batch.video_BTCHW, batch.truth.mask_BTNHW, batch.truth.flow_BTHW2
    assert flow.shape == (12, 8, 96, 96, 2)
    assert not flow[~mask.any(2)].any() and flow[mask.any(2)].abs().amax() > 3
    inner = -F.max_pool2d(-mask.flatten(0, 2)[:, None].float(), 7, 1, 3).view(mask.shape) > 0
    at = torch.arange(96) + 0.5
    pixel = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    moved, still = [], []
    for t in range(7):
        later = (pixel + flow[:, t]) / 48 - 1
        arrived = F.grid_sample(video[:, t + 1], later, align_corners=False)
        # the same thing is in sight there too, and not only just
        lands = F.grid_sample(inner[:, t + 1].float(), later, align_corners=False) > 0.99
        here = (inner[:, t] & lands).any(1)
        moved.append((arrived - video[:, t]).abs().amax(1)[here])
        still.append((video[:, t + 1] - video[:, t]).abs().amax(1)[here])
    moved_R, still_R = torch.cat(moved), torch.cat(still)
    assert len(moved_R) > 5000 and moved_R.mean() < 0.03 and moved_R.mean() < 0.4 * still_R.mean()


def test_flow_needs_a_video() -> None:
    with pytest.raises(ValueError, match="flow=True needs a preset that makes videos"):
        World().batch([0], flow=True)
    assert World(preset="static").batch([0], flow=True).truth.flow_BTHW2.abs().max() < 1e-9
    assert World(preset="static").batch([0], flow=True).truth.mask_BTNHW is None


def test_truth_names_drawings_hands_and_rhythms_of_what_is_there() -> None:
    world = World(preset="silent", size=32)
    truth, scene, pack = world.batch(range(40)).truth, world.scene(range(40)), world.pack
    empty_BN = truth.category_BN < 0
    for name in ("drawing_BN", "hand_BN", "colour_BN"):
        assert getattr(truth, name)[empty_BN].eq(-1).all()
    there = ~empty_BN
    assert torch.equal(truth.drawing_BN[there], pack.picture_drawing_M[scene.picture_BN][there])
    assert truth.hand_BN[there].ge(0).all() and truth.hand_BN.max() < len(pack.hands)
    assert truth.rhythm_BN[empty_BN].isnan().all() and truth.rhythm_BN[there].ge(1.5).all()
    assert truth.voice_BN.eq(-1).all() and truth.narrator_B.eq(-1).all()
    spoken = World(preset="speech", size=32).batch(range(20)).truth
    assert spoken.narrator_B.ge(0).all() and spoken.rhythm_BN.isnan().all()


def test_a_captioned_clip_has_a_text_that_tells_nothing_of_the_sound() -> None:
    silent, loud = (World(preset="silent", size=32, captioned=True, sounding=(n, n)) for n in (0, 2))
    a, b = silent.batch(range(20)), loud.batch(range(20))
    assert a.text == b.text == a.truth.caption and World(size=32).batch([0]).text is None
    assert a.blind().text == a.text and a.select([3]).text == a.text[3:4]


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


def test_batches_are_the_first_clips_in_order() -> None:
    world = World(size=16)
    made = list(world.batches(10, size=4))
    assert [batch.index_B.tolist() for batch in made] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert [b.index_B.tolist() for b in world.batches(3, size=2, start=7)] == [[7, 8], [9]]
    assert next(world.batches(2, masks=True)).truth.mask_BNHW is not None
    with pytest.raises(ValueError, match="size=0"):
        next(world.batches(3, size=0))


@pytest.mark.parametrize("count", [0, 32, 40])
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_shuffled_stream_takes_the_sound_of_another_step(count: int, ranks: int) -> None:
    streams = [Shuffled(Stream(World(size=16), 8 // ranks, count, seed=2, rank=r, ranks=ranks)) for r in range(ranks)]
    heard_in_epoch = []
    for step in range(12):
        seen, heard = (torch.cat([getattr(s, kind)(step) for s in streams]) for kind in ("indices", "heard"))
        assert not set(seen.tolist()) & set(heard.tolist()) and len(set(heard.tolist())) == 8
        heard_in_epoch += heard.tolist() if step < count // 8 else []
    assert len(set(heard_in_epoch)) == len(heard_in_epoch)
    if count == 32 and ranks == 1:
        plain, other = streams[0].stream(3), streams[0](3)
        assert torch.equal(other.image_BCHW, plain.image_BCHW) and torch.equal(other.index_B, plain.index_B)
        source = streams[0].stream.world.batch(streams[0].heard(3))
        assert torch.equal(other.wave_BS, source.wave_BS)
        assert torch.equal(other.truth.category_BN, plain.truth.category_BN)
        assert torch.equal(other.truth.offscreen_B, source.truth.label_B) and other.truth.faulty_B.all()
        assert not other.truth.sounding_BN.any() and not other.truth.stem_BNS.any()
        assert torch.allclose(other.truth.offscreen_stem_BS, other.wave_BS, atol=1e-6)


def test_a_shuffled_stream_needs_another_step() -> None:
    with pytest.raises(ValueError, match="no other step"):
        Shuffled(Stream(World(size=16), 8, count=12))
    with pytest.raises(ValueError, match="2 clips are seen, but 3 heard"):
        World(size=16).batch([0, 1], heard_B=[2, 3, 4])


def test_an_endless_stream_never_repeats_itself() -> None:
    stream = Stream(World(size=16), 4)
    seen = torch.cat([stream.indices(step) for step in range(50)])
    assert len(set(seen.tolist())) == 200
    with pytest.raises(ValueError, match="does not fit"):
        Stream(World(size=16), 64, count=32)
