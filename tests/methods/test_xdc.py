"""Cross-modal Deep Clustering: who learns whose clusters, closed forms, blindness to truth, and that it learns."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from avlib.encoders import pool_mean
from avlib.evaluate import clusters
from avlib.experiment import Run
from avlib.methods.xdc import ROUTES, SETS, CrossClusters, balance
from avlib.profiles import profile
from avlib.recipes import xdc
from avlib.rounds import Rounds
from avlib.train import Hook, TrainConfig, fit
from avlib.types import Batch, Embedding
from avlib.world import Stream, World
from tests.methods.blind import See, with_and_without_truth

CLIPS, K = 24, 4


@pytest.fixture(scope="module")
def batch() -> Batch:
    return World(size=32).batch(range(CLIPS))


def method_of(route: str = "cross", seed: int = 0, **settings: object) -> CrossClusters:
    torch.manual_seed(seed)
    return CrossClusters(CLIPS, K, route, dim=16, width=4, **settings)  # type: ignore[arg-type]


def planted(method: CrossClusters) -> dict[str, Tensor]:
    """Labels that differ from set to set, and how often each occurs differs too."""
    rows = {
        "image": torch.tensor([0, 1, 2, 3] * 6),
        "audio": torch.tensor([0] * 3 + [1] * 9 + [2] * 8 + [3] * 4),
        "both": torch.tensor([3] * 10 + [2] * 6 + [1] * 6 + [0] * 2),
    }
    for by, label_M in rows.items():
        getattr(method, f"{by}_label_M").copy_(label_M)
    return rows


# --- who learns what


@pytest.mark.parametrize(
    ("route", "wanted"),
    [
        ("single", {("image", "image"), ("audio", "audio")}),
        ("multi", {("image", "image"), ("image", "audio"), ("audio", "image"), ("audio", "audio")}),
        ("concat", {("image", "both"), ("audio", "both")}),
        ("cross", {("image", "audio"), ("audio", "image")}),
    ],
)
def test_each_route_is_the_loss_of_a_loop_over_senses_and_labels(
    batch: Batch, route: str, wanted: set[tuple[str, str]]
) -> None:
    method = method_of(route).double().eval()
    rows = planted(method)
    wide = replace(batch, wave_BS=batch.wave_BS.double(), image_BCHW=batch.frame_BCHW.double())
    some = wide.select([5, 2, 20, 11, 9])
    found = method.loss(some, 0)
    embedded, total = method.embed(some), 0.0
    for sense, by in wanted:
        head, label_M = method.heads[f"{sense} from {by}"], rows[by].tolist()
        logit_BK = head(getattr(embedded, f"{sense}_BD")).tolist()
        part = 0.0
        for n, index in enumerate(some.index_B.tolist()):
            k = label_M[index]
            weight = CLIPS / (K * label_M.count(k))
            part += weight * (math.log(sum(math.exp(x) for x in logit_BK[n])) - logit_BK[n][k]) / 5
        assert float(found[f"{sense} from {by}"].detach()) == pytest.approx(part, abs=1e-6)
        total += part
    assert float(found["loss"].detach()) == pytest.approx(total, abs=1e-6)
    assert set(method.heads) == {f"{sense} from {by}" for sense, by in wanted}


@pytest.mark.parametrize(("route", "mine", "other"), [("single", "image", "audio"), ("cross", "audio", "image")])
def test_the_eye_learns_from_one_set_of_labels_and_from_no_other(
    batch: Batch, route: str, mine: str, other: str
) -> None:
    def slope(changed: str | None) -> Tensor:
        method = method_of(route).eval()
        planted(method)
        if changed:
            label_M = getattr(method, f"{changed}_label_M")
            label_M.copy_(label_M.roll(1))
        method.loss(batch, 0)["loss"].backward()
        return torch.cat([p.grad.flatten() for p in method.image.parameters() if p.grad is not None])

    plain = slope(None)
    assert torch.equal(slope(other), plain) and torch.equal(slope("both"), plain)
    assert not torch.allclose(slope(mine), plain)


def test_two_heads_on_equal_labels_are_twice_one_head(batch: Batch) -> None:
    single, multi = method_of("single").eval(), method_of("multi").eval()
    for method in (single, multi):
        planted(method)
        method.audio_label_M.copy_(method.image_label_M)
    multi.load_state_dict({k: v for k, v in single.state_dict().items() if not k.startswith("heads")}, strict=False)
    for sense in ("image", "audio"):
        for by in ("image", "audio"):
            multi.heads[f"{sense} from {by}"].load_state_dict(single.heads[f"{sense} from {sense}"].state_dict())
    one, two = (float(method.loss(batch, 0)["loss"].detach()) for method in (single, multi))
    assert two == pytest.approx(2 * one, rel=1e-5)


@pytest.mark.parametrize("route", ROUTES)
def test_an_indifferent_head_pays_ln_k(batch: Batch, route: str) -> None:
    method = method_of(route)
    planted(method)
    for head in method.heads.values():
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    found = method.loss(batch, 0)
    for name in method.heads:
        assert float(found[name].detach()) == pytest.approx(math.log(K), abs=1e-5)


def test_every_cluster_weighs_the_same_and_an_empty_one_nothing() -> None:
    label_M = torch.tensor([0] * 6 + [2] * 2)
    weight_K = balance(label_M, 3)
    assert weight_K.tolist() == pytest.approx([8 / 12, 0, 2])
    assert float(weight_K[label_M].mean()) == pytest.approx(1)
    assert float(weight_K[label_M[:6]].sum()) == pytest.approx(float(weight_K[label_M[6:]].sum()))


def test_other_routes_and_too_many_clusters_are_named() -> None:
    with pytest.raises(ValueError, match="route of cross-modal clustering 'corss'"):
        CrossClusters(8, 2, "corss")
    with pytest.raises(ValueError, match="8 clips cannot form 9 clusters"):
        CrossClusters(8, 9)


# --- a round


def groups() -> tuple[Embedding, Tensor, Tensor]:
    """Well separated clusters, other ones by eye than by ear, the sounds a hundred times as long."""
    generator = torch.Generator().manual_seed(1)
    seen_M, heard_M = torch.arange(CLIPS) % K, torch.arange(CLIPS) // 6
    noise = 0.01 * torch.randn(2, CLIPS, 16, generator=generator)
    place_KD = torch.eye(16)[:K]
    return Embedding(place_KD[seen_M] + noise[0], 100 * (place_KD[heard_M] + noise[1])), seen_M, heard_M


def test_each_sense_is_clustered_by_itself_and_both_together() -> None:
    method = CrossClusters(CLIPS, K, dim=16, width=4)
    found, seen_M, heard_M = groups()
    order_M = torch.randperm(CLIPS, generator=torch.Generator().manual_seed(2))
    method.relabel(found.select(order_M), order_M, torch.Generator().manual_seed(0))
    for by, truth_M in (("image", seen_M), ("audio", heard_M)):
        assert clusters.agreement(getattr(method, f"{by}_label_M"), truth_M).nmi == pytest.approx(1)
    # of sixteen combinations, four clusters can follow neither sense alone unless one of them rules
    both_M = method.both_label_M
    assert max(clusters.agreement(both_M, truth_M).nmi for truth_M in (seen_M, heard_M)) > 0.4
    assert both_M.unique().tolist() == list(range(K))


def test_turning_the_space_of_one_sense_changes_no_cluster() -> None:
    found, _, _ = groups()
    turn_DD = torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(4)))[0]
    labels = []
    for audio_BD in (found.audio_BD, found.audio_BD @ turn_DD, 7 * found.audio_BD):
        method = CrossClusters(CLIPS, K, dim=16, width=4)
        method.relabel(replace(found, audio_BD=audio_BD), torch.arange(CLIPS), torch.Generator().manual_seed(0))
        labels.append([getattr(method, f"{by}_label_M").tolist() for by in SETS])
    assert labels[0] == labels[1] == labels[2]


@pytest.mark.parametrize("fresh", [True, False])
def test_a_round_renews_the_heads_and_nothing_else(fresh: bool) -> None:
    method = method_of(fresh=fresh)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.relabel(groups()[0], torch.arange(CLIPS), torch.Generator().manual_seed(0))
    changed = {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}
    heads = {name for name in before if name.startswith("heads")}
    assert changed & heads == (heads if fresh else set())
    assert changed - heads == {name for name in before if name.endswith(("_label_M", "_centre_KD"))}


def test_clusters_that_met_in_training_go_together() -> None:
    method = CrossClusters(CLIPS, K, dim=16, width=4)
    found, seen_M, _ = groups()
    found = replace(found, audio_BD=100 * (torch.eye(16)[:K].flip(0)[seen_M]))  # what is seen says what is heard
    method.relabel(found, torch.arange(CLIPS), torch.Generator().manual_seed(0))
    score_BB = method.compare(found, found)
    same_BB = seen_M[:, None] == seen_M
    assert float(score_BB[same_BB].min()) > 0 > float(score_BB[~same_BB].max())
    met, luck = 6.5, 8 * 8 / 32  # half a clip is added to each of the sixteen pairs of clusters
    assert float(score_BB[0, 0]) == pytest.approx(math.log(met / luck))


# --- learning


def test_embeddings_are_means_over_cells(batch: Batch) -> None:
    method = method_of().eval()
    found = method.embed(batch)
    assert found.image_BD.shape == found.audio_BD.shape == (CLIPS, 16)
    assert torch.equal(found.image_BD, pool_mean(method.image(batch.frame_BCHW)))


def test_the_truth_is_never_read() -> None:
    stream = Stream(World(size=32), 8, CLIPS)
    shown = [stream.world.batch(range(n, n + 8)) for n in range(0, CLIPS, 8)]

    def hook(see: See) -> Hook:
        return Rounds(lambda: [see(clips) for clips in shown], 2)

    assert torch.equal(*with_and_without_truth(method_of, stream, 4, hook))


def test_a_shuffled_clip_keeps_its_foreign_sound_in_every_round() -> None:
    run = Run(replace(profile("smoke"), **xdc.BUDGET["smoke"]), device="cpu")
    own, other = xdc.clips(run), xdc.clips(run, "shuffled pairs")
    assert torch.equal(own.batch([7]).frame_BCHW, other.batch([7]).frame_BCHW)
    assert torch.equal(other.batch([7]).wave_BS, own.batch([(7 - other.moved) % 256]).wave_BS)
    assert torch.equal(torch.cat([b.wave_BS for b in other.batches()]), other.whole.wave_BS)


def learnt(seed: int) -> dict[str, float]:
    """Agreement (AMI, luck is 0) of the ear's and of the eye's clusters with things after 5 rounds of 48 steps."""
    train = World(size=32, classes=10, side=(0.7, 0.8), hue=0.0, seed=seed)
    shown = [train.batch(range(n, n + 64)) for n in range(0, 640, 64)]
    torch.manual_seed(seed)
    method, rounds = CrossClusters(640, 20, dim=64, width=8, hop=320), Rounds(lambda: shown, 48, seed)
    config = TrainConfig(steps=240, lr=1e-2, seed=seed, device="cpu", progress=False)
    fit(method, Stream(train, 32, 640, seed), config, [rounds])
    rounds.relabel(method, 240)
    thing_M = torch.cat([batch.truth.label_B for batch in shown])
    labels = {"image": method.image_label_M, "audio": method.audio_label_M}
    return {f"{sense} AMI": clusters.agreement(label_M, thing_M).ami for sense, label_M in labels.items()}


@pytest.mark.learns
def test_the_eye_leaves_the_places_for_the_things_within_seconds() -> None:
    found = learnt(0)
    assert found["image AMI"] > 0.15
    assert found["audio AMI"] > 0.2
