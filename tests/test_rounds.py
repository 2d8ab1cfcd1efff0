"""Rounds: when labels are given, to whom, and that an interrupted run goes on with them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from avlib.rounds import Growing, Rounds, everything, settle
from avlib.train import TrainConfig, fit
from avlib.types import Batch, Embedding


class Toy(nn.Module):
    """Labels a clip by the sign of its first coordinate, and notes in which mode it was asked, and what was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.layer = nn.BatchNorm1d(4), nn.Linear(4, 3)
        self.register_buffer("toy_label_M", torch.full((8,), -1))
        self.modes: list[bool] = []
        self.drawn: list[int] = []

    def embed(self, batch: Batch) -> Embedding:
        self.modes.append(self.training)
        value_BD = self.layer(self.norm(batch.wave_BS[:, :4]))
        return Embedding(value_BD, -value_BD)

    def relabel(self, found: Embedding, index_M: Tensor, generator: torch.Generator) -> None:
        assert found.image_BD is not None
        self.drawn.append(int(torch.randint(10**6, (), generator=generator)))
        self.toy_label_M[index_M] = (found.image_BD[:, 0] > 0).long()

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        logit_BK = self.layer(self.norm(batch.wave_BS[:, :4]))
        return {"loss": nn.functional.cross_entropy(logit_BK, self.toy_label_M[batch.index_B])}


def clips(rows: list[int]) -> Batch:
    generator = torch.Generator().manual_seed(3)
    return Batch(torch.arange(8), torch.randn(8, 16, generator=generator)).select(rows)


def all_clips() -> list[Batch]:
    return [clips([6, 1, 0]), clips([2, 7]), clips([5, 4, 3])]


def test_labels_are_given_every_period_in_evaluation_mode_with_a_generator_of_their_own() -> None:
    method, rounds = Toy(), Rounds(all_clips, 3, seed=5)
    for step in range(7):
        rounds(method, None, step)
        assert method.training
    drawn = [int(torch.randint(10**6, (), generator=torch.Generator().manual_seed(5 + step))) for step in (0, 3, 6)]
    assert method.drawn == drawn
    assert method.modes == [True] * 3 + [False] * 9  # all clips settle the normalisations before the first round
    assert len(rounds.labels) == 3


def test_each_clip_gets_its_own_label_whatever_the_order() -> None:
    method = Toy().eval()
    Rounds(all_clips, 1).relabel(method, 0)
    with torch.no_grad():
        expected_M = (method.embed(clips(list(range(8)))).image_BD[:, 0] > 0).long()
    assert torch.equal(method.toy_label_M, expected_M)


def test_everything_holds_each_clip_once_and_leaves_the_mode_alone() -> None:
    for training in (True, False):
        method = Toy().train(training)
        found, index_M = everything(method, all_clips())
        assert method.training is training
        assert index_M.tolist() == [6, 1, 0, 2, 7, 5, 4, 3]
        assert torch.equal(found.audio_BD, -found.image_BD)


def test_settling_moves_the_normalisations_and_no_weight() -> None:
    method = Toy()
    before = {name: p.clone() for name, p in method.named_parameters()}
    settle(method, all_clips() * 60)
    assert all(torch.equal(p, before[name]) for name, p in method.named_parameters())
    wave_MS = torch.stack([clips([n]).wave_BS[0, :4] for n in range(8)])
    assert torch.allclose(method.norm.running_mean, wave_MS.mean(0), atol=0.35)
    assert not torch.allclose(method.norm.running_mean, torch.zeros(4), atol=0.05)


class Grouped(Toy):
    """Notes whom it was asked to label, and what was drawn for it."""

    def relabel(self, found: Embedding, index_M: Tensor, generator: torch.Generator, group: int = 0) -> None:
        super().relabel(found, index_M, generator)
        self.drawn[-1] += group * 10**6


def test_growing_rounds_settle_first_and_label_each_group_by_a_look_of_its_own() -> None:
    looks: list[int] = []

    def look(number: int) -> list[Batch]:
        looks.append(number)
        return all_clips()

    method, rounds = Grouped(), Growing(look, 20, 3, seed=5, groups=2)
    for step in range(20):
        rounds(method, None, step)
    asked = [(5 + 2 * step + group, group) for step in (0, 3, 10) for group in (0, 1)]  # 20 (i / 3) ** 1.5
    assert looks == [5, *(seed for seed, _ in asked)]
    drawn = [int(torch.randint(10**6, (), generator=torch.Generator().manual_seed(seed))) for seed, _ in asked]
    assert method.drawn == [value + group * 10**6 for value, (_, group) in zip(drawn, asked, strict=True)]
    assert method.modes == [True] * 3 + [False] * 18 and len(rounds.labels) == 3


def test_a_period_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="period=0"):
        Rounds(all_clips, 0)


def trained(out: Path, stop: int | None = None) -> tuple[Toy, Rounds]:
    torch.manual_seed(0)
    method, rounds = Toy(), Rounds(all_clips, 3)

    def stream(step: int) -> Batch:
        if step == stop:
            raise KeyboardInterrupt
        return clips([(step + n) % 8 for n in range(4)])

    config = TrainConfig(steps=8, out=out, checkpoint_every=1, device="cpu", progress=False)
    if stop is None:
        fit(method, stream, config, [rounds])
    else:
        with pytest.raises(KeyboardInterrupt):
            fit(method, stream, config, [rounds])
    return method, rounds


def test_a_run_that_stops_in_the_middle_of_a_round_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole, told = trained(tmp_path / "whole")
    trained(tmp_path / "parts", stop=5)
    method, rounds = trained(tmp_path / "parts")
    assert all(
        torch.equal(a, b) for a, b in zip(whole.state_dict().values(), method.state_dict().values(), strict=True)
    )
    assert len(rounds.labels) == len(told.labels) == 3
    for ours, theirs in zip(rounds.labels, told.labels, strict=True):
        assert torch.equal(ours["toy_label_M"], theirs["toy_label_M"])
