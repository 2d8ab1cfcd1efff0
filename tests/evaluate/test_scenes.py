"""Maps judged on scenes: equal to loops, closed forms, the choice of a rule, and what is asked of the input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from avlib.evaluate import localize, scenes
from avlib.types import Batch, Embedding, Truth
from avlib.world import World
from tests.reference import metrics as slow_metrics
from tests.reference import scenes as slow

SIDE, CLASSES = 12, 5


def made(clips: int = 9, things: int = 3, seed: int = 0, cells: int = SIDE) -> scenes.Scenes:
    """Random maps, boxes and classes; some slots are empty, some clips are silent."""
    rng = np.random.default_rng(seed)
    corner_BN2 = rng.integers(0, 7, (clips, things, 2)).astype(float)
    box_BN4 = np.concatenate([corner_BN2, corner_BN2 + rng.integers(2, 6, (clips, things, 2))], 2)
    category_BN = rng.integers(-1, CLASSES, (clips, things))
    box_BN4[category_BN < 0] = np.nan
    sounding_BN = (rng.random((clips, things)) < 0.6) & (category_BN >= 0)
    return scenes.Scenes(rng.random((clips, CLASSES, cells, cells)), box_BN4, category_BN, sounding_BN, CLASSES, SIDE)


@pytest.mark.parametrize("rule", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_ciou_equals_the_loop(seed: int, rule: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "CHUNK", 4)
    found = made(seed=seed)
    rows = zip(found.map_BKYX, found.box_BN4, found.category_BN, found.sounding_BN, strict=True)
    wanted = [slow.ciou(*row, rule) for row in rows]
    assert scenes.class_ciou(found, (rule,))[0] == pytest.approx(np.array(wanted), nan_ok=True)


def test_truth_equals_the_loop() -> None:
    found = made(seed=4)
    truth_BKYX, sounding_BK = found.class_truth
    for b in range(len(found)):
        masks, heard = slow.truths(found.box_BN4[b], found.category_BN[b], found.sounding_BN[b], CLASSES, SIDE)
        assert np.array_equal(truth_BKYX[b], masks) and sounding_BK[b].tolist() == heard


def test_shine_and_who_equal_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "CHUNK", 4)
    found = made(seed=2)
    rows = zip(found.map_BKYX, found.box_BN4, found.category_BN, strict=True)
    wanted = np.array([slow.shine(*row) for row in rows])
    assert scenes.shine(found) == pytest.approx(wanted)
    there = found.category_BN >= 0
    assert scenes.judge(found, 0.5)["who"] == pytest.approx(slow.who(wanted[there], found.sounding_BN[there]))


def test_scores_are_those_of_the_protocols() -> None:
    found = made(clips=20, seed=5)
    truth_BKYX, sounding_BK = found.class_truth
    ciou_B = localize.class_ciou(localize.to_mask(found.map_BKYX, "max", 0.4), truth_BKYX, sounding_BK)
    wanted = localize.success(ciou_B, (0.2,))
    scores = scenes.judge(found, 0.4, 0.2)
    assert scores["CIoU"] == wanted.success[0.2] and scores["AUC"] == wanted.auc
    nsa = [slow_metrics.nsa(*row, 0.2) for row in zip(found.map_BKYX, sounding_BK, strict=True) if not row[1].all()]
    assert scores["NSA"] == pytest.approx(float(np.mean(nsa)))


def test_one_map_for_all_classes_is_that_map_for_each() -> None:
    found = made(seed=1)
    one = replace(found, map_BKYX=found.map_BKYX[:, :1])
    each = replace(found, map_BKYX=np.repeat(found.map_BKYX[:, :1], CLASSES, 1))
    assert np.array_equal(scenes.class_ciou(one), scenes.class_ciou(each), equal_nan=True)
    assert np.array_equal(scenes.shine(one), scenes.shine(each))
    assert "NSA" not in scenes.judge(one, 0.5) and "NSA" in scenes.judge(each, 0.5)


def test_coarse_maps_are_enlarged_to_the_picture() -> None:
    coarse = made(cells=4, seed=3)
    sized = replace(coarse, map_BKYX=localize.resize(coarse.map_BKYX, SIDE))
    assert np.array_equal(scenes.class_ciou(coarse), scenes.class_ciou(sized), equal_nan=True)


def perfect(found: scenes.Scenes, low: float = 0.0) -> scenes.Scenes:
    """Heat 1 on what is heard, ``low`` elsewhere."""
    truth_BKYX, sounding_BK = found.class_truth
    return replace(found, map_BKYX=np.where(truth_BKYX & sounding_BK[:, :, None, None], 1.0, low))


def test_maps_that_are_the_truth_are_perfect() -> None:
    found = made(clips=30, things=1)
    scores = scenes.judge(perfect(found), 0.5, 0.5)
    assert scores["CIoU"] == 1 and scores["NSA"] == 1 and scores["who"] == 1
    assert scenes.judge(replace(found, map_BKYX=np.ones_like(found.map_BKYX)), 0.5)["who"] == 0.5


def test_right_places_with_wrong_names_find_little() -> None:
    found = perfect(made(clips=40, things=1))
    again = scenes.shuffled(found, 1)
    assert np.array_equal(np.sort(again.map_BKYX.sum((2, 3))), np.sort(found.map_BKYX.sum((2, 3))))
    assert scenes.judge(again, 0.5)["CIoU"] < 0.5
    assert np.array_equal(again.map_BKYX, scenes.shuffled(found, 1).map_BKYX)


def test_the_best_rule_is_the_one_that_the_loop_finds() -> None:
    # heat falls off around each thing: at 0.5 of the maximum, the mask is the box; below, it spills over
    found = made(clips=30, things=1)
    truth_BKYX = found.class_truth[0]
    halo = replace(found, map_BKYX=np.where(truth_BKYX, 1.0, 0.42))
    assert scenes.best_rule(halo) == 0.45  # the lowest of those that are right
    found = made(seed=8)
    auc = {rule: localize.success(scenes.class_ciou(found, (rule,))[0]).auc for rule in scenes.RULES}
    assert scenes.best_rule(found) == max(auc, key=lambda rule: auc[rule])
    assert {rule: value.auc for rule, value in scenes.curve(found).items()} == auc


def test_the_rule_of_validation_judges_the_test() -> None:
    assert scenes.RULES == pytest.approx([0.05 * n for n in range(1, 20)])
    made_up = made(clips=30, things=1)
    valid, test = (replace(made_up, map_BKYX=np.where(made_up.class_truth[0], 1.0, low)) for low in (0.42, 0.67))
    assert (scenes.best_rule(valid), scenes.best_rule(test)) == (0.45, 0.7)
    assert scenes.judge_best(test, valid, 0.2) == scenes.judge(test, 0.45, 0.2) | {"rule": 0.45}


def test_blind_masks_score_their_share_and_their_darkness() -> None:
    found = made(clips=30, things=1)
    rows = scenes.blind(found, 0.5)
    assert rows["whole image"]["NSA"] == 0.0
    assert rows["centre box"]["NSA"] == pytest.approx(1 - localize.centre_box(SIDE).mean())
    heard = found.sounding_BN[:, 0]
    share = found.box_masks[heard, 0].mean((1, 2))
    assert rows["whole image"]["CIoU"] == (share >= 0.5).mean()
    assert rows["whole image"]["AUC"] == localize.success(share).auc


def test_maps_of_clusters_are_added_up_by_name() -> None:
    score_BKYX = torch.randn(2, 4, 3, 3)
    got = scenes.by_class(score_BKYX, [2, 0, 2, 1], 4)
    soft = (3 * score_BKYX.double()).softmax(1).numpy()
    assert np.allclose(got, np.stack([soft[:, 1], soft[:, 3], soft[:, 0] + soft[:, 2], 0 * soft[:, 0]], 1))


def test_the_truth_is_told_in_shares_by_the_name_of_each_cluster() -> None:
    category_BN = torch.tensor([[2, 0, -1], [1, 1, 2], [0, -1, -1]])
    sounding_BN = torch.tensor([[True, False, False], [True, True, True], [False, False, False]])
    truth = Truth(category_BN=category_BN, sounding_BN=sounding_BN, offscreen_B=torch.tensor([3, -1, -1]))
    batch, name_K = Batch(torch.arange(3), torch.zeros(3, 4), truth=truth), [3, 2, 2, 0, 1]
    heard = [{2, 3}, {1, 2}, set()]
    got_BK = scenes.told(batch, name_K, 4)
    for b in range(3):
        share = [(name in heard[b]) + 1e-3 for name in name_K]
        assert got_BK[b].tolist() == pytest.approx([value / sum(share) for value in share])
    for missing in ("category_BN", "sounding_BN", "offscreen_B"):
        with pytest.raises(ValueError, match="do not say what is heard"):
            scenes.told(replace(batch, truth=replace(truth, **{missing: None})), name_K, 4)


class Flat(nn.Module):
    """Embeds a picture as its own colours and a sound as their weights, or no map at all."""

    def __init__(self, maps: bool = True) -> None:
        super().__init__()
        self.maps = maps

    def embed(self, batch: Batch) -> Embedding:
        audio_BD = torch.arange(3.0).expand(len(batch), 3)
        return Embedding(None, audio_BD, batch.frame_BCHW if self.maps else None)


def test_any_method_is_seen_through_what_it_embeds() -> None:
    party = World(size=32, preset="cocktail").batch(range(4))
    found = scenes.look(Flat(), [party.select([0, 1]), party.select([2, 3])], 24)
    wanted = party.frame_BCHW[:, 1] + 2 * party.frame_BCHW[:, 2]
    assert np.allclose(found.map_BKYX[:, 0], wanted.numpy(), atol=1e-6)
    assert np.array_equal(found.category_BN, party.truth.category_BN.numpy())
    assert (len(found), found.side, found.classes) == (4, 32, 24)


def test_a_video_is_judged_by_the_frame_that_was_seen() -> None:
    clip = World(size=32, preset="moving").batch(range(2))
    found = scenes.look(Flat(), [clip], 24, lambda batch: batch.frame_BCHW[:, 0])
    assert np.allclose(found.box_BN4, clip.truth.box_BTN4[:, clip.video_BTCHW.shape[1] // 2].numpy())


def test_the_method_sees_no_truth_and_keeps_its_mode() -> None:
    method, seen = Flat().train(), []

    def maps(batch: Batch) -> torch.Tensor:
        seen.append((method.training, bool(batch.truth.box_BN4.isnan().all())))
        return batch.frame_BCHW[:, 0]

    scenes.look(method, [World(size=32).batch([0])], 24, maps)
    assert seen == [(False, True)] and method.training


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda batch: scenes.look(Flat(), [], 3), "no clips"),
        (lambda batch: scenes.look(Flat(), [batch], 7, lambda b: b.frame_BCHW), r"cannot have maps of shape \(2, 3"),
        (lambda batch: scenes.look(Flat(), [batch], 7, lambda b: b.frame_BCHW[:1, 0]), "cannot have maps"),
        (lambda batch: scenes.look(Flat(), [batch], 7, lambda b: b.frame_BCHW[:, 0] / 0), "NaN or infinite"),
        (lambda batch: scenes.look(Flat(False), [batch], 7), "Flat embeds no map"),
        (lambda batch: scenes.look(Flat(), [replace(batch, truth=Truth())], 7), "no truth"),
    ],
)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call(World(size=32).batch(range(2)))
