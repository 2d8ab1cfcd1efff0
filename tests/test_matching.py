"""Matchmaps, maxima, attention and heat maps against loops and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from avlib import matching
from avlib.matching import Pooling
from tests.reference import matching as reference
from tests.reference import sounding_objects

POOLINGS: tuple[Pooling, ...] = ("SISA", "MISA", "SIMA")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("at_once", [1, 2**22])
def test_all_pairs_equal_the_loop(
    pooling: Pooling, masked: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "CELLS_AT_ONCE", at_once)
    image, audio = random(4, 3, 2, 3), random(4, 3, 5, seed=1)
    frames = torch.tensor([5, 2, 1, 4]) if masked else None
    true = [5] * 4 if frames is None else frames.tolist()
    loop = [
        [reference.score(i.numpy(), a[:, :n].numpy(), pooling) for a, n in zip(audio, true, strict=True)] for i in image
    ]
    assert torch.allclose(matching.all_pairs(image, audio, pooling, frames), torch.tensor(loop, dtype=torch.float64))
    own = matching.pool_matchmap(matching.matchmap(image, audio), pooling, frames)
    assert torch.allclose(own, torch.tensor(loop, dtype=torch.float64).diagonal())


@pytest.mark.parametrize("pooling", POOLINGS)
def test_gradcheck(pooling: Pooling) -> None:
    image, audio = random(2, 2, 2, 2).requires_grad_(), random(2, 2, 3, seed=1).requires_grad_()
    frames = torch.tensor([3, 2])
    assert torch.autograd.gradcheck(lambda i, a: matching.all_pairs(i, a, pooling, frames), (image, audio))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_audio_maps_count_all_their_cells(pooling: Pooling) -> None:
    image, audio = random(3, 4, 2, 2), random(3, 4, 2, 5, seed=1)
    frames = torch.tensor([5, 3, 1])
    cut = [matching.all_pairs(image, audio[j : j + 1, :, :, :n], pooling) for j, n in enumerate(frames.tolist())]
    assert torch.allclose(matching.all_pairs(image, audio, pooling, frames), torch.cat(cut, 1))


def test_orderings_and_constants() -> None:
    image, audio = random(4, 3, 3, 3), random(4, 3, 6, seed=1)
    sisa, misa, sima = (matching.all_pairs(image, audio, p) for p in POOLINGS)
    assert bool((misa >= sisa - 1e-12).all()) and bool((sima >= sisa - 1e-12).all())
    pooled = image.flatten(2).mean(2) @ audio.mean(2).t()
    assert torch.allclose(sisa, pooled)
    for pooling in POOLINGS:
        constant = matching.all_pairs(torch.full((2, 5, 3, 3), 2.0), torch.full((2, 5, 4), 0.5), pooling)
        assert torch.allclose(constant, torch.full((2, 2), 5 * 2 * 0.5))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_invariances(pooling: Pooling) -> None:
    image, audio = random(3, 4, 2, 3), random(3, 4, 5, seed=1)
    plain = matching.all_pairs(image, audio, pooling)
    assert torch.allclose(matching.all_pairs(image.flip(2, 3), audio, pooling), plain)
    assert torch.allclose(matching.all_pairs(image, audio[:, :, torch.randperm(5)], pooling), plain)
    padded = torch.cat([audio, torch.full((3, 4, 3), 99.0).double()], 2)
    assert torch.allclose(matching.all_pairs(image, padded, pooling, torch.full((3,), 5)), plain)


def test_maxima_over_cells() -> None:
    image, audio = random(3, 4, 2, 3), random(5, 4, seed=1)
    hard, soft = matching.max_over_cells(image, audio), matching.soft_max_over_cells(image, audio, 3.0)
    for i in range(3):
        for j in range(5):
            cells = (image[i].flatten(1).t() @ audio[j]).tolist()
            assert float(hard[i, j]) == pytest.approx(max(cells))
            assert float(soft[i, j]) == pytest.approx(reference.log_mean_exp(cells, 3.0))
    assert bool((soft <= hard + 1e-12).all())
    assert torch.allclose(matching.soft_max_over_cells(image, audio, 1e5), hard, atol=1e-4)
    flat = image.flatten(2).mean(2) @ audio.t()
    assert torch.allclose(matching.soft_max_over_cells(image, audio, 1e-5), flat, atol=1e-3)


def test_the_maximum_teaches_one_cell() -> None:
    image = random(1, 4, 3, 3).requires_grad_()
    (gradient,) = torch.autograd.grad(matching.max_over_cells(image, random(1, 4, seed=1)).sum(), image)
    assert int(gradient.abs().sum(1).count_nonzero()) == 1
    (gradient,) = torch.autograd.grad(matching.soft_max_over_cells(image, random(1, 4, seed=1)).sum(), image)
    assert int(gradient.abs().sum(1).count_nonzero()) == 9


def test_heat_map_points_at_the_planted_cell() -> None:
    audio = torch.tensor([[0.0, 1.0, 0.0]])
    image = torch.zeros(1, 3, 4, 4)
    image[0, 0] = 1
    image[0, :, 2, 1] = audio[0]
    heat = matching.heatmap(image, audio)
    assert divmod(int(heat.argmax()), 4) == (2, 1)
    blank = matching.heatmap(torch.zeros(1, 3, 4, 4), audio)
    assert float(blank.max() - blank.min()) == 0


@pytest.mark.parametrize("size", [64, 50, (33, 47)])
def test_upsampling_keeps_the_best_cell(size: int | tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    heat = torch.rand(20, 7, 8, generator=generator) * 0.7
    heat.view(20, -1).scatter_(1, torch.randint(56, (20, 1), generator=generator), 1.0)
    large = matching.upsample(heat, size)
    height, width = large.shape[1:]
    for small, map_HW in zip(heat, large, strict=True):
        y, x = divmod(int(map_HW.argmax()), width)
        cell = int((y + 0.5) * 7 / height), int((x + 0.5) * 8 / width)
        assert cell == divmod(int(small.argmax()), 8)
    assert torch.allclose(matching.upsample(torch.full((1, 3, 3), 0.7), 10), torch.full((1, 10, 10), 0.7))


def test_upsampling_aligns_the_centres_of_pixels() -> None:
    large = matching.upsample(torch.tensor([[[0.0, 1.0], [2.0, 3.0]]]), (2, 4))
    assert large[0].tolist() == [[0.0, 0.25, 0.75, 1.0], [2.0, 2.25, 2.75, 3.0]]


@pytest.mark.parametrize(("y", "x", "cells"), [(2, 2, 5), (1, 3, 5), (0, 2, 1), (4, 0, 1), (0, 0, 1)])
def test_an_inner_cell_grows_to_five_and_one_on_the_border_stays_one(y: int, x: int, cells: int) -> None:
    mask_BYX = torch.zeros(1, 5, 5, dtype=torch.bool)
    mask_BYX[0, y, x] = True
    assert int(matching.dilate(mask_BYX).sum()) == cells


def test_dilation_equals_the_loop() -> None:
    mask_BYX = torch.rand(6, 7, 9) > 0.7
    for got, mask in zip(matching.dilate(mask_BYX), mask_BYX, strict=True):
        assert np.array_equal(got.numpy(), sounding_objects.dilate(mask.numpy()))


def test_attention() -> None:
    image, audio = random(3, 4, 2, 3), random(3, 4, seed=1)
    attended, weight = matching.attend(image, audio, temperature=1.0)
    assert torch.allclose(weight.sum((1, 2)), torch.ones(3).double())
    assert bool((weight.flatten(1).amax(1) / weight.flatten(1).amin(1) <= 2.7183).all())
    loop = sum(weight[:, None, y, x] * image[:, :, y, x] for y in range(2) for x in range(3))
    assert torch.allclose(attended, torch.as_tensor(loop))
    sharp = matching.attend(image, audio, temperature=0.01)[1]
    assert bool((sharp.flatten(1).amax(1) > weight.flatten(1).amax(1)).all())


def test_cosine() -> None:
    first, second = random(3, 4), random(5, 4, seed=1)
    loop = torch.stack([torch.nn.functional.cosine_similarity(row[None], second) for row in first])
    assert torch.allclose(matching.cosine(first, second), loop)
    assert matching.cosine(torch.zeros(1, 4).double(), second).tolist() == [[0.0] * 5]


def test_bad_input_is_named() -> None:
    image, audio = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 5)
    with pytest.raises(ValueError, match="D = 3, the sound D = 2"):
        matching.all_pairs(image, torch.zeros(2, 2, 5))
    with pytest.raises(ValueError, match="SISA, MISA, SIMA"):
        matching.all_pairs(image, audio, "MAXA")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="SISA, MISA, SIMA"):
        matching.pool_matchmap(matching.matchmap(image, audio), "MAXA")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="frames_B must hold 1…5"):
        matching.all_pairs(image, audio, "MISA", torch.tensor([5, 0]))
    with pytest.raises(ValueError, match="heatmap needs image_BDYX"):
        matching.heatmap(image, audio)
    with pytest.raises(ValueError, match="empty batch"):
        matching.all_pairs(torch.zeros(0, 3, 4, 4), torch.zeros(0, 3, 5))
    with pytest.raises(ValueError, match="no larger than 2×2"):
        matching.upsample(torch.zeros(1, 4, 4), 2)
    with pytest.raises(ValueError, match="sharpness"):
        matching.soft_max_over_cells(image, torch.zeros(2, 3), 0.0)
    with pytest.raises(ValueError, match="temperature"):
        matching.attend(image, torch.zeros(2, 3), 0.0)
