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

from avlib import experiment
from avlib.encoders import ImageAligned, ImageSmall
from avlib.evaluate import clusters, localize, scenes
from avlib.matching import unit
from avlib.methods.dsol import SoundingObjects
from avlib.methods.dsol_dictionary import Recluster, means
from avlib.methods.dsol_mixtures import SoundingMixtures
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


def stage_two(world: World, **options: object) -> SoundingMixtures:
    """A net at the start of stage two."""
    first = small()
    hook = Recluster(lambda: clips(world), 1)
    hook(first, world.batch([0]), 0)
    hook.finish(first)
    return SoundingMixtures(first, **options)  # type: ignore[arg-type]


def with_entries(entry_KD: torch.Tensor, **options: object) -> SoundingMixtures:
    """Stage two with this dictionary."""
    first = small()
    first.entry_KD.copy_(entry_KD)
    first.label_M.zero_()
    return SoundingMixtures(first, **options)  # type: ignore[arg-type]


# --- the mask, the object, the dictionary


def test_a_sound_is_normalised_before_what_is_below_nought_is_cut_off() -> None:
    ear, wave_BS = small().ear.train(), torch.randn(6, 8000, generator=torch.Generator().manual_seed(0))
    value_BD = ear.net(ear.mel(wave_BS)).amax((2, 3))
    deviation_D = (value_BD.var(0, correction=0) + 1e-5).sqrt()
    hidden_BD = ((value_BD - value_BD.mean(0)) / deviation_D).clamp(min=0)
    assert torch.allclose(ear(wave_BS), ear.output[-1](hidden_BD), atol=1e-5)


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
    object_MD, label_M = torch.randn(12, 16), torch.arange(12) % 3
    entry_KD = means(object_MD, label_M, 4)
    for k in range(3):
        assert torch.allclose(entry_KD[k], object_MD[label_M == k].mean(0), atol=1e-6)
    assert not entry_KD[3].any()


def test_the_dictionary_is_made_of_the_last_labels(world: World) -> None:
    method = small()
    hook = Recluster(lambda: clips(world), 1)
    hook(method, world.batch([0]), 0)
    method.label_M.copy_(method.label_M.roll(5))
    hook.finish(method)
    with torch.no_grad():
        object_MD = torch.cat([method.eval().embed(batch).image_BD for batch in clips(world)])
    assert torch.allclose(method.entry_KD, means(object_MD, method.label_M, 4), atol=1e-6)


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
    method = with_entries(torch.rand(4, 16) + 0.1, contrast=12.0)
    look_BDYX, area_BYX = unit(torch.randn(2, 16, 3, 5)), torch.rand(2, 3, 5)
    got = method.scores(look_BDYX, area_BYX).detach()
    arrays = (t.double().numpy() for t in (look_BDYX[1], method.first.entry_KD, area_BYX[1]))
    assert np.allclose(got[1].numpy(), reference.class_scores(*arrays, 12.0), atol=1e-5)


def test_a_cell_that_is_an_orthonormal_entry_belongs_to_it() -> None:
    entry_KD = torch.linalg.qr(torch.randn(16, 16))[0][:4]
    look_BDYX = entry_KD[[2, 0, 3, 1]].t().reshape(1, 16, 2, 2)
    score_BKYX = with_entries(entry_KD).scores(look_BDYX, torch.full((1, 2, 2), 0.5))
    assert score_BKYX.argmax(1).flatten().tolist() == [2, 0, 3, 1]


def test_without_sounding_area_there_is_no_score_and_an_even_belief(world: World) -> None:
    method = stage_two(world).eval()
    method.first.shift.data.fill_(-1e4)
    batch = world.batch(range(4))
    assert float(method.class_maps(batch).detach().abs().max()) == 0.0
    q_BK = method.heard(batch)
    wanted = np.mean([reference.kl(q.numpy(), np.full(4, 0.25)) for q in q_BK.double()])
    assert float(method.loss(batch, 0)["agree"].detach()) == pytest.approx(wanted, abs=1e-5)


def test_the_filter_multiplies_by_the_sounding_area(world: World) -> None:
    method = stage_two(world).eval()
    batch = world.batch(range(4))
    gated = method.class_maps(batch)
    area_BYX = method.first.area(*method.first.maps(batch))
    method.gate = False
    assert torch.allclose(method.class_maps(batch) * area_BYX[:, None], gated, atol=1e-5)


def test_agreement_of_sight_and_sound_costs_nothing(world: World) -> None:
    method = stage_two(world).eval()
    batch = world.batch(range(4))
    belief_BK = method.class_maps(batch).mean((2, 3)).softmax(1).detach()
    method.belief = lambda batch: belief_BK
    assert float(method.loss(batch, 0)["agree"].detach()) == pytest.approx(0.0, abs=1e-6)


def test_what_is_heard_is_the_belief_of_stage_ones_ear(world: World) -> None:
    method, batch = stage_two(world), world.batch(range(4))
    first = method.first.eval()
    with torch.no_grad():
        q_BK = first.ear.head(first.ear(batch.wave_BS)).softmax(1)
        for value in first.ear.parameters():
            value.add_(1.0)  # what learns on must not move what is believed
    assert torch.allclose(method.train().heard(batch), q_BK, atol=1e-6)


def test_both_terms_have_their_weights(world: World) -> None:
    batch = world.batch(range(4))
    parts = stage_two(world, place=0.5, agree=3.0).loss(batch, 0)
    assert float(parts["loss"].detach()) == pytest.approx(float((0.5 * parts["place"] + 3 * parts["agree"]).detach()))


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
    method = stage_two(world).eval()
    duets, order_K = [World(size=32, preset="duet", classes=6).batch(range(12))], torch.tensor([2, 0, 3, 1])
    truth_M = torch.cat([part.truth.label_B for part in clips(world)])

    def score() -> tuple[torch.Tensor, np.ndarray]:
        names = clusters.match(method.first.label_M, truth_M)
        name_K = [names.get(k, 0) for k in range(4)]
        found = scenes.look(method, duets, 6, lambda b: scenes.by_class(method.class_maps(b), name_K, 6))
        return method.class_maps(duets[0]), scenes.class_ciou(found, (0.5,))

    with torch.no_grad():
        before, ciou_RB = score()
        method.first.entry_KD.copy_(method.first.entry_KD[order_K].clone())
        method.first.label_M.copy_(order_K.argsort()[method.first.label_M])
        after, again_RB = score()
    assert torch.allclose(after, before[:, order_K], atol=1e-5)
    assert np.allclose(ciou_RB, again_RB)


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


def test_a_batch_with_a_clip_beyond_those_that_are_clustered_is_not_named(world: World) -> None:
    method = small()
    method.label_M.copy_(torch.arange(CLIPS) % 4)
    batch = world.batch([3, 10**9, 6, CLIPS])
    assert method.labels(batch).tolist() == [3, -1, 2, -1]
    assert set(method.loss(batch, 0)) == {"loss", "place", "pair"}
    assert "see" in method.loss(batch.select([0, 2]), 0)


def test_the_sum_of_two_sounds_equals_the_loop(world: World) -> None:
    """Each clip's sound with that of the clip before it, and the labels of just these two."""
    method, batch = small().double().eval(), world.batch(range(5))
    wave_BS, label_B = batch.wave_BS.double(), torch.tensor([3, 0, 1, 1, 2])
    heard = []
    for i in range(5):
        both_S = wave_BS[i] + wave_BS[i - 1]
        heard.append(method.ear.head(method.ear(both_S[None]))[0].detach().numpy())
    wanted = reference.two_at_once(heard, label_B.tolist())
    vector_BD = torch.randn(5, 16, dtype=torch.float64)
    got = method.naming(wave_BS, vector_BD, vector_BD, label_B)["sum"]
    assert float(got.detach()) == pytest.approx(wanted / 2, abs=1e-9)


def test_every_quarter_of_a_foreign_picture_is_asked_to_be_quiet() -> None:
    method = with_entries(torch.eye(16)[:4], quarters=True).double()
    look_BDYX, audio_BD = unit(torch.randn(3, 16, 4, 6, dtype=torch.float64)), torch.randn(3, 16, dtype=torch.float64)
    logit_BB = method.first.pairs(look_BDYX, audio_BD)
    halves = [look_BDYX[:, :, :2], look_BDYX[:, :, 2:]]
    quarters = [method.first.pairs(half[..., part], audio_BD) for half in halves for part in (slice(3), slice(3, 6))]
    wanted = reference.quiet(logit_BB.detach().numpy(), torch.stack(quarters).detach().numpy())
    assert float(method.quiet(logit_BB, look_BDYX, audio_BD).detach()) == pytest.approx(wanted, abs=1e-6)


def test_quarters_change_how_places_are_learnt_and_nothing_else(world: World) -> None:
    method, batch = stage_two(world).eval(), world.batch(range(6))
    whole = method.loss(batch, 0)
    method.quarters = True
    parted = method.loss(batch, 0)
    assert not torch.equal(whole["place"], parted["place"]) and torch.equal(whole["agree"], parted["agree"])


def test_stage_two_leaves_the_eye_and_the_teacher_alone_and_moves_the_ear(world: World) -> None:
    method = stage_two(world)
    fixed = ("first.image.", "first.output.", "first.head.", "first.label_M", "first.entry_KD", "teacher.")
    still = {name: value.clone() for name, value in method.state_dict().items() if name.startswith(fixed)}
    ear = method.first.ear.net.output.weight.clone()
    fit(method, Stream(world, 8, CLIPS), TrainConfig(steps=2, progress=False))
    now = method.state_dict()
    assert len(still) > 40 and all(torch.equal(now[name], value) for name, value in still.items())
    assert not torch.equal(ear, method.first.ear.net.output.weight)


def test_stage_two_learns_in_a_copy_of_stage_one(world: World) -> None:
    first = small()
    first.label_M.zero_()
    before = {name: value.clone() for name, value in first.state_dict().items()}
    fit(SoundingMixtures(first), Stream(world, 8, CLIPS), TrainConfig(steps=1, progress=False))
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())
    assert all(value.requires_grad for value in first.parameters())


def test_the_truth_is_never_read(world: World) -> None:
    mixed = World(size=32, preset="cocktail", classes=6)

    def weights(blind: bool) -> torch.Tensor:
        torch.manual_seed(0)
        first = small()
        solo, party = Stream(world, 8, CLIPS), Stream(mixed, 8, CLIPS)
        see = (lambda stream: lambda step: stream(step).blind()) if blind else (lambda stream: stream)
        hook = Recluster(lambda: clips(world, blind), 2)
        fit(first, see(solo), TrainConfig(steps=4, progress=False), [hook])
        hook.finish(first)
        second = SoundingMixtures(first)
        fit(second, see(party), TrainConfig(steps=3, progress=False))
        return torch.cat([p.flatten() for p in second.parameters()] + [first.entry_KD.flatten()])

    assert torch.equal(weights(True), weights(False))


def test_embeddings_have_the_shapes_they_promise(world: World) -> None:
    batch = world.batch(range(3))
    for method in (small().eval(), stage_two(world).eval()):
        found = method.embed(batch)
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
        (lambda world: SoundingMixtures(small()), "no dictionary yet"),
        (lambda world: stage_two(world).loss(world.batch([0]), 0), "at least 2"),
        (lambda world: Recluster(lambda: clips(world), 1).finish(small()), "clustered clips"),
        (lambda world: Recluster(lambda: [world.batch([0, 1])], 1)(small(), world.batch([0]), 0), "at least 4 rows"),
    ],
)
def test_bad_input_is_named(world: World, call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call(world)


# --- it learns


def learnt(seed: int, steps: int = 240) -> dict[str, float]:
    """NMI of clusters and classes, and pointing: how often the peak of the sounding area lies on the thing."""
    torch.manual_seed(seed)
    world = World(size=32, classes=5, side=(0.5, 0.6), hue=0.0)
    method = SoundingObjects(192, clusters=8, dim=32, width=8, hop=320)
    if steps:
        fit(method, Stream(world, 32, seed=seed), TrainConfig(steps=steps, lr=1.2e-2, seed=seed, progress=False))
    solo = [world.batch(range(start, start + 64)) for start in range(0, 192, 64)]
    Recluster(lambda: solo, 1, seed)(method, solo[0], 0)
    grouped = clusters.agreement(method.label_M, torch.cat([batch.truth.label_B for batch in solo]))
    unseen = [world.batch(range(10**6, 10**6 + 128))]
    found = scenes.look(method, unseen, 5, lambda batch: method.area(*method.maps(batch)))
    heat_BYX, truth_BYX = localize.resize(found.map_BKYX, 32)[:, 0], found.class_truth[0].any(1)
    return {"NMI": grouped.nmi, "pointing": float(np.nanmean(localize.pointing(heat_BYX, truth_BYX)))}


@pytest.mark.learns
def test_it_finds_and_groups_things_within_seconds() -> None:
    """24 runs (seeds 0–3; native, AVX2, SSE4.1; 1 and 2 threads): NMI .619, deviation .099, least .432; pointing .919,
    .051, .805. Untrained (seeds 0–5): NMI below .1, pointing .19 on average."""
    scores = learnt(0)
    assert scores["NMI"] > 0.2 and scores["pointing"] > 0.7


# --- the recipe


def tiny(**changes: object) -> experiment.Run:
    budget = replace(profile("smoke", "dsol"), eval_count=16, steps=8, count=24, batch=8)
    return experiment.Run(replace(budget, **changes), device="cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [8, 12, 100, 560, 4000])
@pytest.mark.parametrize("arm", ["two stages", "one stage"])
def test_the_phases_share_all_steps(steps: int, arm: str) -> None:
    shares = dsol.phases(tiny(steps=steps), arm)
    assert sum(shares.values()) == steps and (shares["mix"] == 0) == (arm == "one stage")
    solo = shares["localise"] + shares["name"]
    assert abs(shares["localise"] - solo * 0.6 / 0.86) <= 0.5  # whole steps, and nothing but their rounding


@pytest.mark.parametrize("arm", ["two stages", "shuffled pairs", "no solo scenes", "untrained"])
def test_an_arm_runs_at_smoke_and_gives_what_is_claimed_of_it(arm: str) -> None:
    run = tiny()
    for name, how in dsol.ARMS.items():
        if arm in (name, how.like):
            scores = experiment.run_cell(dsol, run, name)
            assert all(0 <= value <= 1 for value in scores.values())
            assert {c.metric for c in dsol.CLAIMS if name in (c.better, c.worse)} <= scores.keys()


def test_arms_that_are_compared_spend_the_same() -> None:
    run = tiny()
    for arm in dsol.ARMS:
        run.trained(dsol, arm)
    spent = {run.spent[arm] for arm, how in dsol.ARMS.items() if "untrained" not in (arm, how.like)}
    assert spent == {(8, 64)}


def test_a_perfect_ear_is_told_the_shares_in_the_order_of_the_clusters() -> None:
    truth = Truth(
        category_BN=torch.tensor([[2, 5, 1, -1]]),
        sounding_BN=torch.tensor([[True, False, True, False]]),
        offscreen_B=torch.tensor([7]),
    )
    batch = Batch(torch.zeros(1, dtype=torch.int64), torch.zeros(1, 8), truth=truth)
    prob_BK = scenes.told(batch, [1, 0, 2, 7, 5, 3, 4, 6], 8)
    assert torch.allclose(prob_BK, torch.tensor([[1.0, 0, 1, 1, 0, 0, 0, 0]]) / 3, atol=2e-3)


def test_a_run_with_a_folder_keeps_its_stages_and_goes_on(tmp_path: Path) -> None:
    budget = replace(profile("smoke", "dsol"), steps=6, count=24, batch=8)
    first, again = (experiment.Run(budget, device="cpu", out=tmp_path).trained(dsol, "two stages") for _ in range(2))
    assert {p.name for p in tmp_path.iterdir()} == {"localise", "name", "mix"}
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
