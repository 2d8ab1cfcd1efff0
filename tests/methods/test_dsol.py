"""Sounding objects: closed forms, loops, two stages that read no truth, and that both learn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from avlib.encoders import ImageAligned, ImageSmall
from avlib.evaluate import clusters, localize
from avlib.methods import dsol as method_module
from avlib.methods.dsol import Recluster, SoundingObjects, dilate, unit
from avlib.profiles import profile
from avlib.recipes import dsol
from avlib.train import TrainConfig, fit
from avlib.types import Batch, Truth
from avlib.world import Stream, World
from tests.reference import sounding_objects as reference

CLIPS = 24


@pytest.fixture(scope="module")
def world() -> World:
    return World(size=32, classes=6, side=(0.5, 0.6))


def small(**options: object) -> SoundingObjects:
    return SoundingObjects(CLIPS, clusters=4, dim=16, width=4, **options)  # type: ignore[arg-type]


def clips(world: World, blind: bool = False) -> Iterable[Batch]:
    for start in range(0, CLIPS, 8):
        batch = world.batch(range(start, start + 8))
        yield batch.blind() if blind else batch


def with_dictionary(world: World, **options: object) -> SoundingObjects:
    """A net at the start of stage two."""
    method = small(**options)
    hook = Recluster(lambda: clips(world), 1)
    hook(method, world.batch([0]), 0)
    hook.finish(method)
    return method


# --- the mask, the object, the dictionary


@pytest.mark.parametrize(("y", "x", "cells"), [(2, 2, 5), (1, 3, 5), (0, 2, 1), (4, 0, 1), (0, 0, 1)])
def test_an_inner_cell_grows_to_five_and_one_on_the_border_stays_one(y: int, x: int, cells: int) -> None:
    mask_BYX = torch.zeros(1, 5, 5, dtype=torch.bool)
    mask_BYX[0, y, x] = True
    assert int(dilate(mask_BYX).sum()) == cells


def test_dilation_equals_the_loop() -> None:
    mask_BYX = torch.rand(6, 7, 9) > 0.7
    for got, mask in zip(dilate(mask_BYX), mask_BYX, strict=True):
        assert np.array_equal(got.numpy(), reference.dilate(mask.numpy()))


def test_the_object_is_the_mean_over_all_cells_of_those_in_the_mask() -> None:
    method = small()
    look_BDYX, area_BYX = unit(torch.randn(3, 16, 6, 6)), torch.rand(3, 6, 6) * 0.4
    got_BD = method.objects(look_BDYX, area_BYX)
    for b in range(3):
        mask_YX = reference.dilate((area_BYX[b] > method.floor).numpy())
        assert np.allclose(
            got_BD[b].numpy(), reference.object_vector(look_BDYX[b].double().numpy(), mask_YX), atol=1e-6
        )


def test_a_whole_picture_is_pooled_without_a_mask() -> None:
    look_BDYX = torch.randn(2, 16, 4, 4)
    got_BD = small(whole=True).objects(look_BDYX, torch.zeros(2, 4, 4))
    assert torch.allclose(got_BD, look_BDYX.mean((2, 3)), atol=1e-6)


def test_an_entry_is_the_mean_object_of_its_cluster() -> None:
    method = small()
    object_MD, label_M = torch.randn(12, 16), torch.arange(12) % 4
    method.begin_mixtures(object_MD, label_M)
    for k in range(4):
        assert torch.allclose(method.entry_KD[k], object_MD[label_M == k].mean(0), atol=1e-6)


def test_reclustering_renews_labels_and_heads_and_repeats_itself(world: World) -> None:
    torch.manual_seed(0)
    method = small()
    weight = method.head.weight.clone()
    hook = Recluster(lambda: clips(world), 2, seed=3)
    hook(method, world.batch([0]), 1)
    assert int(method.label_M.max()) == -1 and torch.equal(weight, method.head.weight)
    hook(method, world.batch([0]), 2)
    first = method.label_M.clone()
    assert not torch.equal(weight, method.head.weight) and set(first.tolist()) == {0, 1, 2, 3}
    hook(method, world.batch([0]), 2)
    assert torch.equal(first, method.label_M)


# --- class maps and the filter


def test_class_maps_equal_the_loop() -> None:
    method = small()
    method.entry_KD.copy_(torch.rand(4, 16) + 0.1)
    look_BDYX, area_BYX = unit(torch.randn(2, 16, 3, 5)), torch.rand(2, 3, 5)
    got = method.scores(look_BDYX, area_BYX).detach()
    arrays = (t.double().numpy() for t in (look_BDYX[1], method.entry_KD, area_BYX[1]))
    assert np.allclose(got[1].numpy(), reference.class_scores(*arrays, 12.0), atol=1e-5)


def test_a_cell_that_is_an_orthonormal_entry_belongs_to_it() -> None:
    method = small()
    method.entry_KD.copy_(torch.linalg.qr(torch.randn(16, 16))[0][:4])
    look_BDYX = method.entry_KD[[2, 0, 3, 1]].t().reshape(1, 16, 2, 2)
    score_BKYX = method.scores(look_BDYX, torch.full((1, 2, 2), 0.5))
    assert score_BKYX.argmax(1).flatten().tolist() == [2, 0, 3, 1]


def test_without_sounding_area_there_is_no_score_and_an_even_belief(world: World) -> None:
    method = with_dictionary(world).eval()
    method.shift.data.fill_(-1e4)
    batch = world.batch(range(4))
    assert float(method.class_maps(batch).detach().abs().max()) == 0.0
    q_BK = method.heard(batch)
    wanted = np.mean([reference.kl(q.numpy(), np.full(4, 0.25)) for q in q_BK.double()])
    assert float(method.loss(batch, 0)["agree"].detach()) == pytest.approx(wanted, abs=1e-5)


def test_the_filter_multiplies_by_the_sounding_area(world: World) -> None:
    method = with_dictionary(world).eval()
    batch = world.batch(range(4))
    gated = method.class_maps(batch)
    area_BYX = method.area(*method.maps(batch))
    method.gate = False
    assert torch.allclose(method.class_maps(batch) * area_BYX[:, None], gated, atol=1e-5)


def test_agreement_of_sight_and_sound_costs_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    method = with_dictionary(world).eval()
    batch = world.batch(range(4))
    belief_BK = method.class_maps(batch).mean((2, 3)).softmax(1).detach()
    monkeypatch.setattr(method, "heard", lambda batch: belief_BK)
    assert float(method.loss(batch, 0)["agree"].detach()) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.filterwarnings("ignore:reduction")
def test_the_sum_over_classes_is_k_times_the_mean() -> None:
    p_BK, q_BK = torch.randn(5, 7).softmax(1), torch.randn(5, 7).log_softmax(1)
    whole = nn.functional.kl_div(q_BK, p_BK, reduction="batchmean")
    assert float(nn.functional.kl_div(q_BK, p_BK, reduction="mean") / whole) == pytest.approx(1 / 7)


def test_an_offset_of_all_classes_is_seen_by_no_softmax() -> None:
    score_BKYX, area_BYX = torch.randn(2, 5, 3, 3, dtype=torch.float64), torch.rand(2, 3, 3, dtype=torch.float64)
    moved_BKYX = score_BKYX + 4.0 * area_BYX[:, None]
    assert np.allclose(localize.class_softmax(score_BKYX), localize.class_softmax(moved_BKYX))
    pooled = (score_BKYX.mean((2, 3)).softmax(1), moved_BKYX.mean((2, 3)).softmax(1))
    assert torch.allclose(*pooled)


def test_permuting_the_dictionary_permutes_maps_and_leaves_ciou_alone(world: World) -> None:
    duet = World(size=32, preset="duet", classes=6)
    method = with_dictionary(world).eval()
    batch, order_K = duet.batch(range(12)), torch.tensor([2, 0, 3, 1])
    truth_BKYX, sounding_BK = dsol.class_truth(batch, 6, 32)
    label_M = torch.cat([part.truth.label_B for part in clips(world)])

    def score() -> tuple[torch.Tensor, np.ndarray]:
        with torch.no_grad():
            maps = method.class_maps(batch)
        names = clusters.match(method.label_M, label_M)
        heat = dsol.class_maps(method, batch, np.array([names.get(k, 0) for k in range(4)]), 6)
        mask = localize.to_mask(localize.resize(heat, 32), "max", 0.5)
        return maps, localize.class_ciou(mask, truth_BKYX, sounding_BK)

    with torch.no_grad():
        before, ciou_B = score()
        method.entry_KD.copy_(method.entry_KD[order_K].clone())
        method.label_M.copy_(order_K.argsort()[method.label_M])
        after, again_B = score()
    assert torch.allclose(after, before[:, order_K], atol=1e-5)
    assert np.allclose(ciou_B, again_B)


# --- losses


def test_an_indifferent_net_pays_ln_2_for_places_and_ln_b_for_pairs(world: World) -> None:
    method = small()
    method.scale.data.zero_()
    parts = method.loss(world.batch(range(8)), 0)
    assert set(parts) == {"loss", "place", "pair"}
    assert float(parts["place"].detach()) == pytest.approx(math.log(2), abs=1e-6)
    assert float(parts["pair"].detach()) == pytest.approx(math.log(8), abs=1e-6)


def test_with_labels_both_senses_name_and_the_ear_hears_two(world: World) -> None:
    method = small()
    method.label_M.copy_(torch.arange(CLIPS) % 4)
    for head in (method.head, method.ear.head):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    parts = method.loss(world.batch(range(8)), 0)
    for name in ("see", "hear", "sum"):
        assert float(parts[name].detach()) == pytest.approx(math.log(4) / 2, abs=1e-6)
    assert float(parts["loss"].detach()) == pytest.approx(
        sum(float(v.detach()) for k, v in parts.items() if k != "loss")
    )


def test_every_quarter_of_a_foreign_picture_is_asked_to_be_quiet() -> None:
    method = small(quarters=True).double()
    look_BDYX, audio_BD = unit(torch.randn(3, 16, 4, 6, dtype=torch.float64)), torch.randn(3, 16, dtype=torch.float64)
    logit_BB = method.pairs(look_BDYX, audio_BD)
    halves = [look_BDYX[:, :, :2], look_BDYX[:, :, 2:]]
    quarters = [method.pairs(half[..., part], audio_BD) for half in halves for part in (slice(3), slice(3, 6))]
    wanted = reference.quiet(logit_BB.detach().numpy(), torch.stack(quarters).detach().numpy())
    assert float(method.quiet(logit_BB, look_BDYX, audio_BD).detach()) == pytest.approx(wanted, abs=1e-6)


def test_quarters_count_in_stage_two_only(world: World) -> None:
    method, batch = small(quarters=True).eval(), world.batch(range(6))
    plain = small().eval()
    plain.load_state_dict(method.state_dict())
    assert torch.equal(method.loss(batch, 0)["place"], plain.loss(batch, 0)["place"])
    for net in (method, plain):
        net.mixing.fill_(True)
    assert not torch.equal(method.loss(batch, 0)["place"], plain.loss(batch, 0)["place"])


def test_stage_two_leaves_the_eye_and_the_teacher_alone_and_moves_the_ear(world: World) -> None:
    method = with_dictionary(world)
    still = {n: v.clone() for n, v in method.state_dict().items() if n.split(".")[0] in ("image", "output", "teacher")}
    ear = method.ear.head.weight.clone(), method.ear.net.output.weight.clone()
    fit(method, Stream(world, 8, CLIPS), TrainConfig(steps=2, progress=False))
    now = method.state_dict()
    assert all(torch.equal(now[name], value) for name, value in still.items())
    assert not torch.equal(ear[1], method.ear.net.output.weight)


def test_the_truth_is_never_read(world: World) -> None:
    mixed = World(size=32, preset="cocktail", classes=6)

    def weights(blind: bool) -> torch.Tensor:
        torch.manual_seed(0)
        method = small()
        solo, party = Stream(world, 8, CLIPS), Stream(mixed, 8, CLIPS)
        see = (lambda stream: lambda step: stream(step).blind()) if blind else (lambda stream: stream)
        hook = Recluster(lambda: clips(world, blind), 2)
        fit(method, see(solo), TrainConfig(steps=4, progress=False), [hook])
        hook.finish(method)
        fit(method, see(party), TrainConfig(steps=3, progress=False))
        return torch.cat([p.flatten() for p in method.parameters()] + [method.entry_KD.flatten()])

    assert torch.equal(weights(True), weights(False))


def test_embeddings_have_the_shapes_they_promise(world: World) -> None:
    found = small().embed(world.batch(range(3)))
    assert found.image_BD.shape == found.audio_BD.shape == (3, 16)
    assert found.image_BDYX.shape == (3, 16, 8, 8)
    assert torch.allclose(found.image_BDYX.norm(dim=1), torch.ones(3, 8, 8), atol=1e-5)


def test_cells_lie_in_the_middle_of_their_pixels() -> None:
    def turned(net: nn.Module) -> float:
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.data = (layer.weight + layer.weight.flip(2)) / 2
        image_BCHW = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            return float((net(image_BCHW.flip(2)).flip(2) - net(image_BCHW)).abs().max())

    assert turned(ImageAligned(4, 8).eval()) < 1e-6
    assert turned(ImageSmall(4, 8, stride=4).eval()) > 1e-4


# --- bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda world: SoundingObjects(0), "finite number of solo scenes"),
        (lambda world: small().loss(world.batch([0]), 0), "at least 2"),
        (lambda world: small().loss(world.batch([3, CLIPS]), 0), f"clip {CLIPS} has no label"),
        (lambda world: small().begin_mixtures(torch.zeros(2, 16), torch.tensor([0, -1])), "clustered clips"),
        (lambda world: Recluster(lambda: [world.batch([0, 1])], 1)(small(), world.batch([0]), 0), "at least 4 rows"),
    ],
)
def test_bad_input_is_named(world: World, call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call(world)


# --- it learns


def test_it_finds_and_groups_things_within_seconds() -> None:
    torch.manual_seed(0)
    world = World(size=32, classes=8, side=(0.5, 0.6), backdrop=0.0)
    method = SoundingObjects(256, clusters=8, dim=32, width=8)
    fit(method, Stream(world, 32, 256), TrainConfig(steps=150, lr=1.5e-2, progress=False))
    Recluster(lambda: dsol.batches(world, 256), 1)(method, world.batch([0]), 0)
    assert dsol.dictionary(method, world, 256).purity > 0.5
    batch = world.batch(range(500, 564))
    with torch.no_grad():
        area_BYX = method.eval().area(*method.maps(batch))
    hit_B = localize.pointing(localize.resize(area_BYX, 32), dsol.box_masks(batch, 32)[:, 0])
    assert float(np.nanmean(hit_B)) > 0.6


# --- the recipe


def test_the_phases_share_all_steps() -> None:
    assert sum(dsol.phases(500)) == 500 and sum(dsol.phases(12)) == 12


@pytest.mark.parametrize("steps", [12, 100, 500, 560, 4000])
def test_no_head_begins_again_in_the_last_steps(steps: int) -> None:
    naming, period = dsol.phases(steps)[1], dsol.period(steps)
    last = (naming - 1) // period * period
    assert naming - last >= period - dsol.ROUNDS + 1


def test_class_truth_is_the_union_of_a_class_and_says_who_sounds() -> None:
    batch = World(size=32, preset="twins", classes=3, video=False, motion=0.0).batch(range(6))
    truth_BKYX, sounding_BK = dsol.class_truth(batch, 3, 32)
    both_BNYX = dsol.box_masks(batch, 32)
    for b in range(6):
        k = int(batch.truth.category_BN[b, 0])
        assert np.array_equal(truth_BKYX[b, k], both_BNYX[b].any(0))
        assert truth_BKYX[b].any((1, 2)).sum() == 1 and sounding_BK[b].sum() == 1


def test_a_perfect_ear_is_told_the_shares_in_the_order_of_the_clusters() -> None:
    truth = Truth(
        category_BN=torch.tensor([[2, 5, 1, -1]]),
        sounding_BN=torch.tensor([[True, False, True, False]]),
        offscreen_B=torch.tensor([7]),
    )
    batch = Batch(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 8), truth=truth)
    prob_BK = dsol.told(batch, np.array([1, 0, 2, 7, 5, 3, 4, 6]))
    assert torch.allclose(prob_BK, torch.tensor([[1.0, 0, 1, 1, 0, 0, 0, 0]]) / 3, atol=2e-3)


def test_who_counts_how_often_the_heard_outshine_the_silent() -> None:
    party = World(size=32, preset="cocktail", classes=8).batch(range(6))
    truth_BKYX, sounding_BK = dsol.class_truth(party, 8, 32)
    heat_BKYX = truth_BKYX * sounding_BK[:, :, None, None]
    found = dsol.Judged(np.ones(6), None, dsol.shine(heat_BKYX, party), party.truth.sounding_BN.numpy())
    assert found.scores("party")["party who"] == 1.0
    even = dsol.Judged(np.ones(6), None, np.ones((6, 4)), party.truth.sounding_BN.numpy())
    assert even.scores("party")["party who"] == 0.5


def test_blind_masks_score_their_share_and_their_darkness() -> None:
    budget = replace(profile("smoke", "dsol"), eval_count=16)
    whole = dsol.trivial(budget, 0, "whole image")
    assert whole["cocktail NSA"] == 0.0 and whole["solo IoU"] == 0.0
    assert dsol.trivial(budget, 0, "centre box")["duet NSA"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("arm", dsol.ARMS)
def test_every_arm_runs_at_smoke(arm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = replace(profile("smoke", "dsol"), eval_count=8, steps=6, count=24, batch=8)
    scores = dsol.run(budget, 0, arm)
    assert all(0 <= value <= 1 for value in scores.values())
    needed = {c.metric for c in dsol.CLAIMS if arm in (c.better, c.worse)}
    assert needed <= scores.keys()


def test_a_run_with_a_folder_keeps_its_stages_and_goes_on(tmp_path: Path) -> None:
    budget = replace(profile("smoke", "dsol"), steps=6, count=24, batch=8)
    first, _ = dsol.train(budget, 0, out=tmp_path, device="cpu")
    assert {p.name for p in tmp_path.iterdir()} == {"localise", "name", "mix"}
    again, _ = dsol.train(budget, 0, out=tmp_path, device="cpu")
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_the_module_says_why_it_is_long() -> None:
    assert "lines" in (method_module.__doc__ or "")
