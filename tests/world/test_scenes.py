"""Latents: a pure function of (pack, preset, split, seed, index), and every dial does what its name says."""

from dataclasses import fields

import pytest
import torch
from scipy import stats

from avlib.world import PRESETS, World
from avlib.world.scenes import Draws

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


def test_turning_one_dial_leaves_the_other_latents_alone() -> None:
    base, noisy = World().scene(range(20)), World(noise=-3.0, offscreen=1.0).scene(range(20))
    for name in ("x_BN", "side_BN", "picture_BN", "note_BNE", "onset_BNE", "backdrop_B", "light_B"):
        assert torch.equal(getattr(base, name).nan_to_num(-9), getattr(noisy, name).nan_to_num(-9)), name
    assert noisy.sounding_BN[:, -1].all() and not base.sounding_BN[:, -1].any()


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


def test_shift_is_never_small_and_goes_both_ways() -> None:
    shift_B = World(preset="sync").scene(range(500)).shift_B
    assert shift_B.abs().min() >= 0.35 and shift_B.abs().max() <= 0.8
    assert 0.4 < (shift_B > 0).float().mean() < 0.6


def test_phrases_reach_beyond_both_ends_of_a_clip() -> None:
    onset = World(preset="moving", seconds=2.0).scene(range(200)).onset_BNE[:, 0]
    first, last = onset.nan_to_num(9).amin(1), onset.nan_to_num(-9).amax(1)
    assert (first < 0).all() and (last > 2).float().mean() > 0.95
    assert ((onset >= 0) & (onset <= 0.35)).any(1).all()


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
    ],
)
def test_wrong_names_and_numbers_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        World(**arguments)


def test_an_empty_list_of_scenes_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one scene"):
        World().batch([])
