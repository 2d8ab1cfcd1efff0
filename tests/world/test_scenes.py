"""Latents: a pure function of (pack, preset, split, seed, index), and every dial does what its name says."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from scipy import stats

from avlib.world import PRESETS, World, colours, library, scenes
from avlib.world.scenes import SPLITS, Draws

ALL = sorted(PRESETS)


def same(a, b) -> bool:
    pairs = ((getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    return all(torch.equal(x.nan_to_num(-9), y.nan_to_num(-9)) for x, y in pairs)


@pytest.mark.parametrize("name", ALL)
def test_a_scene_does_not_depend_on_its_batch(name: str) -> None:
    world = World(preset=name, size=32)
    whole = world.scene(range(12))
    assert same(whole.select([7, 2]), world.scene([7, 2]))
    again = World(preset=name, size=48)
    assert same(whole, again.scene(range(12)))


def test_seeds_splits_and_indices_give_other_scenes() -> None:
    base = World().scene(range(4))
    for other in (World(seed=1).scene(range(4)), World(split="val").scene(range(4)), World().scene(range(4, 8))):
        assert not torch.equal(base.x_BN, other.x_BN)


def equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a.nan_to_num(-9), b.nan_to_num(-9))


TURNED: dict[str, tuple[str, object, set[str]]] = {
    "hue": ("solo", 0.0, {"hue_BN", "colour_BN", "chunk_BE"}),
    "forms": ("solo", 1.0, {"picture_BN", "colour_BN", "chunk_BE"}),
    "warp": ("duet", 0.2, {"warp_BN2"}),
    "hands": ("cocktail", "new", {"picture_BN", "colour_BN", "chunk_BE"}),
    "voices": ("speech", "new", {"note_BNE", "onset_BNE"}),
    "mute": ("duet", 8, {"sounding_BN", "category_BN", "note_BNE"}),
    "steady": ("moving", True, {"onset_BNE", "tempo_BN"}),
    "onset_from": ("moving", 1.0, {"onset_BNE", "note_BNE"}),
    "class_seed": ("solo", 3, {"category_BN", "picture_BN", "note_BNE", "colour_BN", "chunk_BE"}),
    "captioned": ("solo", True, set()),
    "ambience": ("solo", -8.0, {"ambience_B", "recording_B"}),
    "noise": ("solo", -3.0, {"noise_B"}),
    "offscreen": ("solo", 1.0, {"sounding_BN"}),
    "backdrop": ("solo", 0.0, {"plain_B", "chunk_BE"}),
    "gain": ("solo", (0.0, 0.0), {"gain_BN"}),
    "light": ("solo", (1.0, 1.0), {"light_B"}),
}
"""dial: (preset, what it is turned to, the latents that may change by it)"""


@pytest.mark.parametrize("dial", sorted(TURNED))
def test_turning_one_dial_leaves_the_other_latents_alone(dial: str) -> None:
    preset, value, touched = TURNED[dial]
    base, turned = World(preset=preset).scene(range(60)), World(preset=preset, **{dial: value}).scene(range(60))
    assert {f.name for f in fields(base) if not equal(getattr(base, f.name), getattr(turned, f.name))} == touched


def test_draws_are_even_and_independent() -> None:
    draws = Draws(torch.arange(20_000), seed=3, split="train")
    a, b = draws("a", 2), draws("b")
    assert stats.kstest(a[:, 0].numpy(), "uniform").pvalue > 1e-3
    grid = torch.stack([a[:, 0], a[:, 1], b, a[:, 0].roll(1)])
    assert torch.corrcoef(grid).sub(torch.eye(4)).abs().max() < 0.03
    assert 0 <= float(a.min()) and float(a.max()) < 1


def test_large_and_negative_indices_are_scenes_too() -> None:
    scene = World().scene([2**40, 2**40 + 1, -5])
    assert len(set(scene.x_BN[:, 0].tolist())) == 3


def test_things_differ_in_class_unless_they_are_twins() -> None:
    scene = World(preset="cocktail").scene(range(300))
    ordered = scene.category_BN.sort(1).values
    assert (ordered[:, 1:] != ordered[:, :-1]).all()
    assert scene.sounding_BN[:, :4].sum(1).eq(2).all() and scene.visible_BN[:, :4].all()
    twins = World(preset="twins").scene(range(300))
    assert (twins.category_BN[:, 0] == twins.category_BN[:, 1]).all()
    assert (twins.category_BN[:, 0] != twins.category_BN[:, 2]).all()


@pytest.mark.parametrize("dial", ["offscreen", "voiceover"])
def test_flaws_come_as_often_as_asked(dial: str) -> None:
    scene = World(**{dial: 0.3}).scene(range(4000))
    share = (scene.faulty_B if dial == "voiceover" else scene.sounding_BN[:, -1]).float().mean().item()
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5
    if dial == "voiceover":
        assert not (scene.sounding_BN[:, 0] & scene.faulty_B).any()
        assert scene.sounding_BN[scene.faulty_B, -1].all()


def test_zipf_follows_its_law_and_few_classes_are_few() -> None:
    count = torch.bincount(World(preset="zipf").scene(range(6000)).category_BN[:, 0]).float()
    law = 1 / torch.arange(1.0, len(count) + 1) ** 1.2
    assert stats.chisquare(count.numpy(), (law / law.sum() * 6000).numpy()).pvalue > 1e-3
    assert int(World(classes=5).scene(range(500)).category_BN.max()) == 4
    with pytest.raises(ValueError, match="need 5 classes"):
        World(preset="cocktail", classes=3).scene([0])


def test_several_things_stand_each_near_the_middle_of_a_quarter_of_its_own() -> None:
    scene = World(things=(4, 4), side=(0.1, 0.1), drift=0.0).scene(range(500))
    right_BN, low_BN = scene.x_BN[:, :4] > 0.5, scene.y_BN[:, :4] > 0.5
    assert (right_BN + 2 * low_BN).sort(1).values.eq(torch.arange(4)).all()
    for at_BN, far_BN in ((scene.x_BN[:, :4], right_BN), (scene.y_BN[:, :4], low_BN)):
        share = (at_BN - 0.27 - 0.46 * far_BN) / 0.14 + 0.5
        assert stats.kstest(share.flatten().numpy(), "uniform").pvalue > 1e-3


def test_shift_is_never_small_and_goes_both_ways() -> None:
    shift_B = World(preset="sync").scene(range(500)).shift_B
    assert shift_B.abs().min() >= 0.35 and shift_B.abs().max() <= 0.8
    assert 0.4 < (shift_B > 0).float().mean() < 0.6


def test_phrases_reach_beyond_both_ends_of_a_clip() -> None:
    onset = World(preset="moving", seconds=2.0).scene(range(200)).onset_BNE[:, 0]
    first, last = onset.nan_to_num(9).amin(1), onset.nan_to_num(-9).amax(1)
    assert (first < 0).all() and (last > 2).float().mean() > 0.95
    assert ((onset >= 0) & (onset <= 0.35)).any(1).all()


@pytest.mark.parametrize("dial", ["ambience", "noise"])
def test_levels_behind_vary_evenly_by_three_decibels_either_way(dial: str) -> None:
    level_B = getattr(World(**{dial: -8.0}).scene(range(2000)), f"{dial}_B")
    assert stats.kstest((level_B.numpy() + 11) / 6, "uniform").pvalue > 1e-3
    assert (getattr(World(**{dial: None}).scene(range(20)), f"{dial}_B") <= -200).all()


# --- what things look like


def test_colours_go_all_around_the_wheel_and_stay_where_the_hue_is_not_turned() -> None:
    world = World(things=(2, 2), sounding=(1, 1))
    scene = world.scene(range(600))
    assert stats.kstest(scene.hue_BN.flatten().numpy(), "uniform").pvalue > 1e-3
    assert set(scene.colour_BN.unique().tolist()) == {-1, *range(len(colours.NAMES))}
    still = World(hue=0.0).scene(range(200))
    own_M = colours.index_of(world.pack.picture_hue_M, world.pack.picture_chroma_M)
    assert torch.equal(still.colour_BN, own_M[still.picture_BN])


def test_photographs_keep_their_colours_unless_asked_not_to() -> None:
    photographs = replace(library.load("orchestra"), photographic=True)
    assert not World(photographs).scene(range(20)).hue_BN.any() and World(photographs).preset.tilt == 0
    assert World(photographs, hue=0.5).scene(range(20)).hue_BN.any()


def test_a_form_is_another_picture_of_the_same_drawing() -> None:
    pack = library.load("orchestra")
    drawn, formed = World().scene(range(600)).picture_BN[:, 0], World(forms=1.0).scene(range(600)).picture_BN[:, 0]
    assert torch.equal(pack.picture_drawing_M[drawn], pack.picture_drawing_M[formed])
    assert pack.picture_form_M[drawn].eq(0).all()
    count = torch.bincount(pack.picture_form_M[formed], minlength=3)
    whole = torch.bincount(pack.picture_drawing_M)[pack.picture_drawing_M[formed]] == 3
    assert pack.picture_form_M[formed][whole].ne(0).all() and (count[1:] > 200).all()
    some = pack.picture_form_M[World(forms=0.3).scene(range(2000)).picture_BN[:, 0]] > 0
    assert abs(some.float().mean().item() - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5


def test_drawings_may_be_known_or_new_whatever_the_recordings_are() -> None:
    pack = library.load("orchestra")

    def splits(split: str, hands: str) -> tuple[set, set]:
        scene = World(split=split, hands=hands, forms=0.5).scene(range(300))
        return (
            set(pack.picture_split_M[scene.picture_BN].flatten().tolist()),
            set(pack.sounds.split_M[scene.note_BNE].flatten().tolist()),
        )

    assert splits("test", "own") == ({2}, {2}) and splits("val", "own") == ({1}, {1})
    assert splits("test", "known") == ({0}, {2})
    assert splits("train", "new") == ({2}, {0})
    known = World(preset="faces", split="test", hands="known").scene(range(20)).picture_BN
    assert pack.faces_split_M[known].eq(0).all()


def test_voices_may_be_known_or_new() -> None:
    pack = library.load("orchestra")
    for preset in ("speech", "faces"):
        for split, voices, which in (("test", "own", 2), ("test", "known", 0), ("val", "new", 2)):
            scene = World(preset=preset, split=split, voices=voices).scene(range(40))
            said = scene.note_BNE[~scene.onset_BNE.isnan()]
            assert pack.speech.split_M[said].eq(which).all()


def test_things_stay_within_the_frame_wherever_they_drift() -> None:
    for preset in ("moving", "sync", "crossing", "cocktail"):
        world = World(preset=preset)
        scene = world.scene(range(300))
        for rest in (scene.x_BN, scene.y_BN):
            assert (rest - scene.side_BN / 2 - world.preset.drift).min() >= -1e-6
            assert (rest + scene.side_BN / 2 + world.preset.drift).max() <= 1 + 1e-6


# --- what is heard


def test_ambience_is_of_the_scenes_split_and_place_and_no_latent_gives_away_another() -> None:
    pack = library.load("orchestra")
    for s, split in enumerate(SPLITS):
        scene = World(preset="ambient", split=split).scene(range(400))
        assert pack.ambience.split_M[scene.recording_B].eq(s).all()
        assert torch.equal(pack.ambience.label_M[scene.recording_B], scene.place_B)
    scene = World(preset="ambient", noise=-3.0).scene(range(4000))
    rank_B = torch.stack([scene.recording_B == row for row in scene.recording_B.unique()]).float()
    latents = [scene.mirror_B, scene.turn_B, scene.hiss_B, *scene.crop_B2.T, *rank_B]
    related = torch.corrcoef(torch.stack([t.float() for t in latents]))[:5]
    assert related.sub(torch.eye(len(latents))[:5]).abs().max() < 0.08


def test_the_last_classes_are_mute() -> None:
    world = World(preset="silent", mute=8, classes=15, class_seed=2, offscreen=0.5)
    scene = world.scene(range(800))
    order = scenes.class_order(20, 2)
    mute_BN = torch.isin(scene.category_BN, order[7:15])
    assert not scene.sounding_BN[mute_BN].any()
    assert mute_BN[:, :3].any() and scene.sounding_BN[:, :3].any(1).float().mean() > 0.3
    assert set(scene.category_BN.unique().tolist()) == set(order[:15].tolist())
    with pytest.raises(ValueError, match="classes=6, mute=4"):
        World(preset="duet", classes=6, mute=4).scene([0])


def test_a_class_seed_draws_which_classes_take_part() -> None:
    worlds = [World(classes=4, class_seed=seed) for seed in (0, 1)]
    first, other = (set(world.scene(range(200)).category_BN.flatten().tolist()) for world in worlds)
    assert first == {0, 1, 2, 3} and len(other) == 4 and other != first
    assert sorted(scenes.class_order(20, 5).tolist()) == list(range(20))


def test_a_companion_is_always_there_and_never_heard() -> None:
    scene = World(companion=True, things=(1, 2), sounding=(2, 2), class_seed=1, offscreen=1.0).scene(range(500))
    order = scenes.class_order(20, 1)
    place = order.argsort()[scene.category_BN[:, :4]].view(500, 2, 2)
    heard = scene.sounding_BN[:, :4].view(500, 2, 2)
    assert heard.sum(2).le(1).all() and heard.any(2)[:, 0].all()
    lead = place.masked_fill(~heard, 0).sum(2)[heard.any(2)]
    companion = place.masked_fill(heard, 0).sum(2)[heard.any(2)]
    assert torch.equal(companion, (lead + 1) % 20)
    assert torch.equal(scene.visible_BN[:, 0], scene.visible_BN[:, 1])
    assert 0.4 < heard[:, 0, 0].float().mean() < 0.6  # in front of it or behind it
    seen = scene.category_BN.masked_fill(~(scene.visible_BN | scene.sounding_BN), -1)
    for row in seen.tolist():
        there = [k for k in row if k >= 0]
        assert len(set(there)) == len(there)
    with pytest.raises(ValueError, match="companions too"):
        World(preset="cocktail", companion=True)


def test_steady_notes_fall_on_the_beats_of_one_rhythm() -> None:
    onset_BNE = World(preset="twins", steady=True, seconds=2.0).scene(range(50)).onset_BNE
    gap = onset_BNE.diff(dim=2)
    assert gap[~gap.isnan()].sub(1 / 2.75).abs().max() < 1e-4
    assert equal(onset_BNE[:, 0], onset_BNE[:, 1]) and not equal(onset_BNE[:1], onset_BNE[1:2])
    assert World(preset="twins", steady=True).batch(range(3)).truth.rhythm_BN.eq(2.75).all()


def told_apart(onset_from: float, count: int = 3000) -> float:
    """How often the best bound on the first onset in a clip tells a true sound from a shifted one."""
    first = []
    for n, shift in enumerate((0.0, 0.8)):
        dials = {"shift": shift, "shift_from": 0.35 if shift else 0.0, "onset_from": onset_from}
        scene = World(preset="moving", seconds=2.0, **dials).scene(range(n * count, (n + 1) * count))
        onset_BE = scene.onset_BNE[:, 0] + scene.shift_B[:, None]
        first.append(onset_BE.masked_fill(~(onset_BE >= 0), 9).amin(1))
    true, false = (t_B.numpy() for t_B in first)
    return max(((true < bound).mean() + (false >= bound).mean()) / 2 for bound in np.arange(0, 1, 0.01))


def test_sound_alone_does_not_tell_a_shift_where_no_note_is_bound_to_the_start() -> None:
    # .581 and .508 with 4,000 clips each; a forest on the histogram of onsets .577 and .498
    assert told_apart(0.0) > 0.56
    assert told_apart(1.0) < 0.5 + 4 * (0.25 / 6000) ** 0.5


def test_an_anchored_phrase_covers_the_whole_clip() -> None:
    onset_BNE = World(preset="moving", seconds=2.0, onset_from=2.0).scene(range(200)).onset_BNE
    first, last = onset_BNE.nan_to_num(9).amin(2), onset_BNE.nan_to_num(-9).amax(2)
    assert (first < 0).all() and (last > 2).float().mean() > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "sollo"}, "unknown preset 'sollo'.*solo"),
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"noize": 1.0}, "unknown dial 'noize'.*noise"),
        ({"pack": "orchestre"}, "orchestra"),
        ({"size": 4}, "size=4"),
        ({"things": (2, 1)}, "things"),
        ({"offscreen": 1.5}, "offscreen=1.5"),
        ({"things": (1, 9)}, "1 to 4 things"),
        ({"hands": "mine"}, "unknown hands 'mine'.*known"),
        ({"voices": "old"}, "unknown voices 'old'.*own"),
        ({"hue": 1.5}, "hue=1.5 must lie within 0…1"),
        ({"forms": -0.1}, "forms=-0.1"),
        ({"warp": 0.9}, "warp=0.9 must lie within 0…0.5"),
        ({"mute": -1}, "mute=-1"),
        ({"onset_from": -1.0}, "onset_from=-1.0"),
        ({"class_seed": -2}, "class_seed=-2"),
        ({"tempo": (0.0, 1.0)}, "tempo=.*above 0"),
        ({"shift_from": 0.5}, "shift_from=0.5 must not exceed shift=0.0"),
        ({"shift": 2.0}, "shift=2.0"),
        ({"sounding": (-1, 1)}, "sounding"),
        ({"preset": "faces", "companion": True}, "companion=True"),
    ],
)
def test_wrong_names_and_numbers_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        World(**arguments)


def test_an_empty_list_of_scenes_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one scene"):
        World().batch([])
