"""Spoken captions: scores and losses by hand, silence that counts for nothing, blindness to truth; and it learns."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from avlib import experiment
from avlib.evaluate import retrieval
from avlib.evaluate.features import features
from avlib.experiment import run_cell
from avlib.methods.davenet import POOLINGS, RIVALS, SpokenCaptions, spoken
from avlib.recipes import davenet
from avlib.train import TrainConfig, fit
from avlib.types import Batch
from avlib.world import Stream, World
from tests.methods.blind import with_and_without_truth

SECONDS = 3.2
make = partial(SpokenCaptions, dim=16, width=4, hop=320)


@pytest.fixture(scope="module")
def world() -> World:
    return World("orchestra", "speech", size=32, seconds=SECONDS)


@pytest.fixture(scope="module")
def batch(world: World) -> Batch:
    return world.batch(range(6))


def wide(method: SpokenCaptions, batch: Batch) -> tuple[SpokenCaptions, Batch]:
    """Both in double precision; the net does not normalise over the batch."""
    wave_BS, image_BCHW = batch.wave_BS.double(), batch.frame_BCHW.double()
    return method.double().eval(), replace(batch, wave_BS=wave_BS, image_BCHW=image_BCHW)


# --- scores


def by_loop(image_DYX: Tensor, speech_DL: Tensor, pooling: str) -> float:
    """The score of one pair, product by product."""
    cells, frames = image_DYX.flatten(1).T.tolist(), speech_DL.T.tolist()
    frames = frames[: max([n + 1 for n, frame in enumerate(frames) if any(frame)], default=1)]
    dot = [[sum(a * b for a, b in zip(cell, frame, strict=True)) for frame in frames] for cell in cells]
    if pooling == "SISA":
        return sum(map(sum, dot)) / (len(cells) * len(frames))
    if pooling == "MISA":
        return sum(max(dot[p][n] for p in range(len(cells))) for n in range(len(frames))) / len(frames)
    if pooling == "SIMA":
        return sum(max(row) for row in dot) / len(cells)
    one = [sum(column) / len(cells) for column in zip(*cells, strict=True)]
    two = [sum(column) / len(frames) for column in zip(*frames, strict=True)]
    length = math.sqrt(sum(a * a for a in one) * sum(b * b for b in two))
    return sum(a * b for a, b in zip(one, two, strict=True)) / length


@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_pair_is_scored_as_by_a_loop(batch: Batch, pooling: str) -> None:
    method, clips = wide(make(pooling), batch)
    found = method.embed(clips)
    score_BB = method.compare(found, found)
    assert found.image_BDYX is not None and found.speech_BDL is not None
    for i in range(6):
        for j in range(6):
            due = by_loop(found.image_BDYX[i].detach(), found.speech_BDL[j].detach(), pooling)
            assert float(score_BB[i, j].detach()) == pytest.approx(due, abs=1e-6)


def test_the_mean_of_all_products_is_the_product_of_the_means(batch: Batch) -> None:
    method = make("SISA").eval()
    found = method.embed(batch)
    assert found.image_BD is not None and found.audio_BD is not None
    assert torch.allclose(method.compare(found, found), found.image_BD @ found.audio_BD.T, atol=1e-6)


def test_cells_have_length_one_and_silence_has_none(batch: Batch) -> None:
    found = make().eval().embed(batch)
    assert found.image_BDYX is not None and found.speech_BDL is not None and batch.truth.words is not None
    torch.testing.assert_close(found.image_BDYX.norm(dim=1), torch.ones(6, 4, 4))
    length_BL, there_BL = found.speech_BDL.norm(dim=1), spoken(found.speech_BDL)
    torch.testing.assert_close(length_BL, there_BL.float())
    cell = SECONDS / length_BL.shape[1]
    for cells, sentence in zip(there_BL.sum(1).tolist(), batch.truth.words, strict=True):
        assert sentence[-1].end - cell < cells * cell < sentence[-1].end + 0.25


def test_more_silence_changes_no_score(world: World) -> None:
    batch = world.batch(range(12))
    assert batch.truth.words is not None
    short = [n for n, sentence in enumerate(batch.truth.words) if sentence[-1].end < 1.9]
    plain = batch.select(short)
    longer = replace(plain, wave_BS=torch.cat([plain.wave_BS, torch.zeros(len(short), 16_000)], 1))
    for pooling in POOLINGS:
        method = make(pooling).eval()
        one, two = method.embed(plain), method.embed(longer)
        torch.testing.assert_close(method.compare(one, one), method.compare(two, two))
    assert len(short) > 3


def test_what_is_spoken_ends_with_the_last_cell_that_is_not_nought() -> None:
    speech_BDL = torch.zeros(3, 2, 5)
    speech_BDL[0, 1, 3] = -1.0
    speech_BDL[1, :, [0, 2, 4]] = 1.0
    assert spoken(speech_BDL).sum(1).tolist() == [4, 5, 1]
    assert spoken(speech_BDL)[0].tolist() == [True] * 4 + [False]


def test_a_clip_without_any_sound_has_a_score(batch: Batch) -> None:
    for pooling in POOLINGS:
        method = make(pooling).eval()
        found = method.embed(replace(batch, wave_BS=torch.zeros_like(batch.wave_BS)))
        assert bool(method.compare(found, found).isfinite().all())


# --- losses


@pytest.mark.parametrize("rivals", RIVALS)
def test_the_loss_is_that_of_a_loop(batch: Batch, rivals: str) -> None:
    method, clips = wide(make(rivals=rivals), batch)
    found = method.embed(clips)
    sim = (method.compare(found, found) * method.log_scale.exp()).tolist()
    generator, total = torch.Generator().manual_seed(3), 0.0
    for rows in (sim, [list(column) for column in zip(*sim, strict=True)]):
        drawn = torch.randint(5, (6, 1), generator=generator)[:, 0].tolist() if rivals == "random" else [0] * 6
        for i, row in enumerate(rows):
            others = [value for j, value in enumerate(row) if j != i]
            below = [value for value in others if value < row[i]]
            gaps = {
                "choice": [],
                "random": [others[drawn[i]]],
                "semi-hard": [max(below)] if below else [],
                "hardest": [max(others)],
                "all": others,
            }[rivals]
            if rivals == "choice":
                total += (math.log(sum(math.exp(value) for value in row)) - row[i]) / 12
            elif gaps:
                total += sum(max(0.0, 1 + value - row[i]) for value in gaps) / (6 * len(gaps))
    assert float(method.loss(clips, 3)["loss"].detach()) == pytest.approx(total, abs=1e-6)


def test_equal_scores_cost_ln_b_or_twice_the_margin(batch: Batch) -> None:
    same = Batch(batch.index_B, batch.wave_BS[:1].expand(6, -1), batch.frame_BCHW[:1].expand(6, -1, -1, -1))
    for rivals, due in (("choice", math.log(6)), ("random", 2.0), ("all", 2.0)):
        found = make(rivals=rivals).eval().loss(same, 0)["loss"]
        assert float(found.detach()) == pytest.approx(due, abs=1e-4)


def test_bad_input_is_named(batch: Batch) -> None:
    with pytest.raises(ValueError, match="pooling of a matchmap 'misa'"):
        SpokenCaptions("misa")
    with pytest.raises(ValueError, match="rivals of a spoken caption 'semihard'"):
        SpokenCaptions(rivals="semihard")
    with pytest.raises(ValueError, match="two clips a batch"):
        make().loss(batch.select([0]), 0)


def test_the_truth_is_never_read(world: World) -> None:
    assert torch.equal(*with_and_without_truth(make, Stream(world, 6), 3))


# --- the recipe


def test_a_second_voice_is_that_of_the_next_clip(batch: Batch) -> None:
    (both,) = davenet.overheard([batch])
    assert torch.equal(both.wave_BS[2], batch.wave_BS[2] + batch.wave_BS[1])
    assert torch.equal(both.frame_BCHW, batch.frame_BCHW) and both.truth is batch.truth


def test_equal_sentences_are_equally_right(world: World) -> None:
    method = make().eval()
    found = features(method, [world.batch([0, 1, 2, 1])], davenet.FIELDS)  # the same sentence under two numbers
    scores = davenet.search(method, found)
    sim_BB = method.score(found.image_BDYX, found.speech_BDL).detach()
    right_BB = torch.eye(4, dtype=torch.bool)
    right_BB[1, 3] = right_BB[3, 1] = True
    assert scores["speech → picture R@1"] == retrieval.retrieval(sim_BB.T, (1,), right_BB).recall[1]


def test_labels_teach_the_picture_tower_alone_for_half_of_the_steps() -> None:
    run = experiment.open("davenet", "smoke", device="cpu")
    run_cell(davenet, run, "labels first")
    assert run.spent["labels first"] == run.spent["MISA"]
    named = davenet.Named(make().image, 20)
    batch = davenet.world(run).batch(range(5))
    logit_BK, category_BN = torch.zeros(5, 20), batch.truth.category_BN
    nn.init.zeros_(named.head.weight)
    nn.init.constant_(named.head.bias, 2.0)
    assert category_BN is not None
    total = 0.0
    for row in category_BN.tolist():
        for k in range(logit_BK.shape[1]):
            total += math.log1p(math.exp(-2.0 if k in row else 2.0)) / 100
    assert float(named.loss(batch, 0)["loss"].detach()) == pytest.approx(total, abs=1e-5)


def learnt(seed: int) -> dict[str, float]:
    """How often a sentence outscores one about another thing, and how often it finds a picture of its thing (R@1)."""
    dials = {
        "size": 32,
        "seconds": 2.4,
        "classes": 4,
        "things": (1, 1),
        "side": (0.7, 0.8),
        "hue": 0.0,
        "backdrop": 0.0,
    }
    dials |= {"hands": "known", "voices": "known", "seed": seed}
    train, test = (World("orchestra", "speech", split, **dials) for split in ("train", "test"))
    torch.manual_seed(seed)
    method = SpokenCaptions(dim=32, width=8, hop=320)
    fit(method, Stream(train, 48, 960, seed), TrainConfig(160, 5e-3, seed=seed, device="cpu", progress=False))
    found = features(method, test.batches(192), ("image_BDYX", "speech_BDL"))
    with torch.no_grad():
        sim_BB = method.eval().score(found.image_BDYX, found.speech_BDL)
    differs_BB = found.label_B[:, None] != found.label_B
    wins_BB = (sim_BB.diagonal()[None] > sim_BB)[differs_BB]
    return {
        "pairs": float(wins_BB.float().mean()),
        "R@1": retrieval.by_label(sim_BB.T, found.label_B, found.label_B, (1,)).recall[1],
    }


@pytest.mark.learns
def test_sentences_find_pictures_of_what_they_say_within_seconds() -> None:
    """24 runs (seeds 0–3; native, AVX2, SSE4.1; 1 and 2 threads): pairs .85 to .96, mean .921, deviation .031; R@1 .77
    to .97, mean .885, deviation .055. By luck .5 and .25.
    """
    found = learnt(0)
    assert found["pairs"] > 0.79
    assert found["R@1"] > 0.66
