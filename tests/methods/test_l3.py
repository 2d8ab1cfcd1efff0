"""Look, Listen and Learn: closed forms, blindness to truth, and that it learns."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from avlib import losses
from avlib.encoders import pool_max
from avlib.evaluate.features import Features, features
from avlib.experiment import Run, run_cell
from avlib.methods.l3 import Fusion, LookListenLearn
from avlib.profiles import profile
from avlib.recipes import l3
from avlib.train import TrainConfig, fit
from avlib.types import Embedding, Truth
from avlib.world import Stream, World
from tests.methods.blind import with_and_without_truth


@pytest.fixture(scope="module")
def world() -> World:
    return World(size=32)


@pytest.mark.parametrize(("pairs", "parts"), [("cyclic", 1), ("all", 1), ("choice", 8)])
def test_an_indifferent_net_pays_ln_2_and_ln_b_for_a_choice(world: World, pairs: str, parts: int) -> None:
    method = LookListenLearn(dim=16, width=4, pairs=pairs)
    nn.init.zeros_(method.fusion.output.weight)
    nn.init.zeros_(method.fusion.output.bias)
    found = float(method.loss(world.batch(range(8)), 0)["loss"].detach())
    assert found == pytest.approx(math.log(2) + math.log(parts), abs=1e-6)


def test_other_pairs_are_named() -> None:
    with pytest.raises(ValueError, match="pairs of Look, Listen and Learn 'al'"):
        LookListenLearn(pairs="al")


def test_all_pairs_hold_the_true_pairs_on_the_diagonal() -> None:
    fusion = Fusion(8, 6).eval()
    image_BD, audio_BD = torch.randn(5, 8), torch.randn(5, 8)
    logit_BB = fusion.all_pairs(image_BD, audio_BD)
    assert torch.allclose(logit_BB.diagonal(), fusion.pairs(image_BD, audio_BD), atol=1e-6)
    assert torch.allclose(logit_BB[1, 3], fusion.pairs(image_BD[1:2], audio_BD[3:4])[0], atol=1e-6)


def test_the_fusion_is_a_layer_of_the_concatenation() -> None:
    fusion = Fusion(8, 6).eval()
    image_BD, audio_BD = torch.randn(5, 8), torch.randn(5, 8)
    weight = torch.cat([fusion.image[1].weight, fusion.audio[1].weight], 1)
    both = torch.cat([fusion.image[0](image_BD), fusion.audio[0](audio_BD)], 1)
    by_hand = fusion.output(torch.relu(both @ weight.T + fusion.image[1].bias)).squeeze(1)
    assert torch.allclose(fusion.pairs(image_BD, audio_BD), by_hand, atol=1e-5)


@pytest.mark.parametrize("step", range(20))
def test_a_false_pair_is_never_a_clip_with_itself(world: World, step: int) -> None:
    method = LookListenLearn(dim=16, width=4, pairs="cyclic")
    seen = []
    method.fusion.pairs = lambda image, audio: seen.append((image, audio)) or image.sum(1)  # type: ignore[method-assign]
    method.loss(world.batch(range(6)), step)
    (_, own), (_, other) = seen
    assert not any(torch.equal(a, b) for a, b in zip(own, other, strict=True))


@pytest.mark.parametrize("step", range(3))
def test_the_loss_of_cyclic_pairs_is_that_of_a_loop(world: World, step: int) -> None:
    torch.manual_seed(step)
    method = LookListenLearn(dim=8, width=4, pairs="cyclic").double()
    batch = world.batch(range(5))
    batch = replace(batch, wave_BS=batch.wave_BS.double(), image_BCHW=batch.frame_BCHW.double())
    asked = []
    plain = method.fusion.pairs

    def watched(image_BD: torch.Tensor, audio_BD: torch.Tensor) -> torch.Tensor:
        asked.append(plain(image_BD, audio_BD))
        return asked[-1]

    method.fusion.pairs = watched  # type: ignore[method-assign]
    found = float(method.loss(batch, step)["loss"].detach())
    image_BD, audio_BD = (pool_max(cells) for cells in method.maps(batch))
    shift = losses.random_shift(5, torch.Generator().manual_seed(step))
    true_B, false_B = ([float(x) for x in row.detach()] for row in asked)
    expected_false_B = plain(image_BD, torch.stack([audio_BD[(i - shift) % 5] for i in range(5)])).detach()
    assert false_B == pytest.approx(expected_false_B.tolist(), abs=1e-6)
    total = 0.0
    for i in range(5):
        total += math.log1p(math.exp(-true_B[i])) / 10
        total += math.log1p(math.exp(false_B[i])) / 10
    assert found == pytest.approx(total, abs=1e-7)


def test_flipping_the_labels_flips_the_gradient() -> None:
    from avlib.losses import correspondence

    logit = torch.zeros(4, requires_grad=True)
    label = torch.tensor([1.0, 0.0, 1.0, 0.0])
    (a,) = torch.autograd.grad(correspondence(logit, label), logit)
    (b,) = torch.autograd.grad(correspondence(logit, 1 - label), logit)
    assert torch.allclose(a, -b)


def test_the_truth_is_never_read(world: World) -> None:
    method = partial(LookListenLearn, dim=16, width=4)
    assert torch.equal(*with_and_without_truth(method, Stream(world, 8), 4))


def test_embeddings_have_the_shapes_they_promise(world: World) -> None:
    found = LookListenLearn(dim=16, width=4).embed(world.batch(range(3)))
    assert found.image_BD.shape == found.audio_BD.shape == (3, 16)
    assert found.image_BDYX.shape == (3, 16, 4, 4) and found.audio_BDFL.shape == (3, 16, 8, 13)
    assert torch.equal(pool_max(found.image_BDYX), found.image_BD)


def test_one_clip_has_no_false_pair(world: World) -> None:
    with pytest.raises(ValueError, match="clip"):
        LookListenLearn(dim=16, width=4).loss(world.batch([0]), 0)


def learnt(seed: int) -> dict[str, float]:
    """Share of right verdicts on new recordings of known drawings after 150 steps in a plain world; chance is .5."""
    torch.manual_seed(seed)
    plain = {"size": 32, "classes": 8, "side": (0.6, 0.7), "hue": 0.0, "backdrop": 0.0}
    train, test = World(**plain), World(split="test", hands="known", **plain)  # type: ignore[arg-type]
    method = LookListenLearn(dim=64, width=8)
    fit(method, Stream(train, 32, seed=seed), TrainConfig(steps=150, lr=1e-2, seed=seed, progress=False))
    return {"correspondence": l3.correspondence(method, features(method, [test.batch(range(256))]))}


@pytest.mark.learns
def test_it_learns_a_few_classes_within_seconds() -> None:
    """24 runs (seeds 0–3; native, AVX2, SSE4.1; 1 and 2 threads): .856, deviation .021, least .805."""
    assert learnt(0)["correspondence"] > 0.75


# --- the recipe


def test_correspondence_pairs_each_clip_with_another_class() -> None:
    class Knows(nn.Module):
        """Says yes where both ends carry the same class."""

        def pairs(self, image_BD, audio_BD):  # type: ignore[no-untyped-def]
            return (image_BD[:, 0] == audio_BD[:, 0]).float() - 0.5

    method = LookListenLearn(dim=2, width=4)
    method.fusion = Knows()  # type: ignore[assignment]
    label_B = torch.tensor([0, 0, 1, 2, 2, 2, 0])
    code_BD = label_B[:, None].float()

    def found(audio_BD: torch.Tensor) -> Features:
        return Features(Embedding(code_BD, audio_BD), Truth(category_BN=label_B[:, None]), torch.arange(7))

    assert l3.correspondence(method, found(code_BD)) == 1.0
    assert l3.correspondence(method, found(code_BD.roll(1, 0) + 7)) == 0.5


@pytest.fixture(scope="module")
def run() -> Run:
    return Run(replace(profile("smoke", "l3"), eval_count=96, steps=2), device="cpu")


@pytest.mark.parametrize("arm", l3.ARMS)
def test_every_arm_runs_at_smoke(run: Run, arm: str) -> None:
    scores = run_cell(l3, run, arm)
    assert all(0 <= value <= 1 for value in scores.values())
    assert {claim.metric for claim in l3.CLAIMS} <= scores.keys()
