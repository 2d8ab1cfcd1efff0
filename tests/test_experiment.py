"""Arms and runs: worlds and clips made once, what each arm spent, and that equal budgets are demanded."""

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from avlib import distributed, experiment, recipes
from avlib.experiment import Arm, Run, Spent, run_cell
from avlib.profiles import profile
from avlib.train import History, TrainConfig
from avlib.types import Batch
from avlib.world import World

BUDGET = replace(profile("smoke"), size=16, batch=4, steps=3, eval_count=6)


class Toy(nn.Module):
    """Learns a number from the loudness of its clips."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((2, 2), start) + torch.randn(2, 2))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return {"loss": (self.weight.mean() - batch.wave_BS.square().mean()).square()}


@pytest.fixture
def run() -> Run:
    return Run(BUDGET, device="cpu")


def clips(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    return Batch(torch.arange(4), torch.rand(4, 8, generator=generator))


def recipe(arms: dict[str, Arm], train: Callable[[Run, str], nn.Module]) -> types.ModuleType:
    made = types.ModuleType("own.toy")
    made.ARMS, made.CLAIMS, made.train = arms, (), train
    made.measure = lambda method, run, arm: {"weight": method.weight.mean().detach(), "arm": len(arm)}
    return made


def plain(run: Run, arm: str = "trained", **more: int) -> nn.Module:
    method = run.build(Toy)
    run.fit(method, clips, run.budget.steps + more.get(arm, 0), 1e-2)
    return method


# --- worlds, clips, nets


def test_a_world_is_made_once_for_the_same_arguments(run: Run) -> None:
    world = run.world("solo", "test", side=(0.5, 0.6))
    assert world is run.world("solo", split="test", side=(0.5, 0.6))
    others = [run.world("solo", "test"), run.world("solo", "train", side=(0.5, 0.6)), run.world("duet", "test")]
    assert len({id(w) for w in [world, *others]}) == 4
    assert (world.size, world.seed, world.preset.side) == (16, 0, (0.5, 0.6))
    assert run.world(size=32, seed=3).size == 32 and Run(BUDGET, 7, "cpu").world().seed == 7
    assert run.world(pack=world.pack) is run.world(pack=world.pack) is not run.world()


def test_clips_are_rendered_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    world = run.world()
    first = run.batches(world)
    monkeypatch.setattr(World, "batch", None)
    assert run.batches(world) is first and sum(map(len, first)) == 6
    assert first[0].truth.stem_BNS is None and first[0].truth.label_B.shape == (6,)


def test_clips_that_are_kept_are_the_worlds_own(run: Run) -> None:
    world = run.world()
    kept, rendered = run.stream(world, 8, kept=True), run.stream(world, 8)
    for step in (0, 3):
        assert torch.equal(kept(step).wave_BS, rendered(step).wave_BS)
        assert torch.equal(kept(step).image_BCHW, rendered(step).image_BCHW)
        assert torch.equal(kept(step).truth.label_B, rendered(step).truth.label_B)


def test_shuffled_clips_have_the_sound_from_half_a_set_away(run: Run) -> None:
    world = run.world()
    (own,), (other,) = run.clips(world, 7).batches(), run.clips(world, 7, shuffled=True).batches()
    assert torch.equal(own.image_BCHW, other.image_BCHW) and torch.equal(own.index_B, other.index_B)
    assert torch.equal(own.wave_BS[torch.arange(4, 11) % 7], other.wave_BS)
    assert run.clips(world, 7, shuffled=True).moved == 3 and run.clips(world, 7).moved == 0


@pytest.mark.parametrize("count", [0, 16])
def test_a_shuffled_stream_takes_the_sounds_of_another_step(run: Run, count: int) -> None:
    world = run.world()
    plain, shuffled = run.stream(world, count), run.stream(world, count, shuffled=True)
    for step in range(5):
        own, other = plain(step), shuffled(step)
        assert torch.equal(own.image_BCHW, other.image_BCHW) and torch.equal(own.index_B, other.index_B)
        same_BB = (own.wave_BS[:, None] == other.wave_BS[None]).all(2)
        assert not bool(same_BB.any())


def test_a_process_takes_its_own_share(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    world = run.world()
    alone = replace(BUDGET, batch=8)
    whole = Run(alone, device="cpu").stream(world, 16)(1).index_B
    parts = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(distributed, "world_size", lambda: 2)
        parts.append(run.stream(world, 16)(1).index_B)
    assert torch.equal(torch.cat(parts), whole)


def test_a_nets_weights_are_the_seeds(run: Run) -> None:
    first, again, other = run.build(Toy), run.build(Toy), Run(BUDGET, 1, "cpu").build(Toy, start=2.0)
    assert torch.equal(first.weight, again.weight) and not torch.equal(first.weight, other.weight)
    assert float(other.weight.mean().detach()) > 0.5


def test_a_training_in_parts_has_a_folder_each(tmp_path: Path) -> None:
    run = Run(BUDGET, device="cpu", out=tmp_path)
    method = run.build(Toy)
    run.fit(method, clips, 2, 1e-2, part="one")
    run.fit(method, clips, 3, 1e-2, part="two", log_every=1)
    assert len((tmp_path / "two/log.jsonl").read_text().splitlines()) == 3 == len(run.history.steps)
    assert (tmp_path / "one/checkpoint.pt").exists()


def test_an_experiment_opens_by_name() -> None:
    run = experiment.open("l3", "smoke", seed=3, device="cpu", out="there")
    assert run.budget == profile("smoke", "l3") and (run.seed, run.out) == (3, Path("there"))
    with pytest.raises(ValueError, match="unknown method 'l4'"):
        experiment.open("l4")
    with pytest.raises(ValueError, match="unknown profile 'cpuu'"):
        experiment.open("l3", "cpuu")


# --- what is shared, and what is spent


def test_what_is_kept_is_made_once_and_billed_to_each_arm_that_uses_it(run: Run) -> None:
    made = []

    def stage_one() -> nn.Module:
        made.append(1)
        method = run.build(Toy)
        run.fit(method, clips, 5, 1e-2)
        return method

    def train(run: Run, arm: str) -> nn.Module:
        for _ in range(2):  # twice in an arm: billed once
            run.once("one", stage_one)
        return plain(run) if arm != "alone" else run.once("one", stage_one)

    toy = recipe({"two": Arm(), "other": Arm(), "alone": Arm(unequal="stage one alone")}, train)
    for arm in toy.ARMS:
        run_cell(toy, run, arm)
    assert made == [1]
    assert run.spent == {"two": Spent(8, 32), "other": Spent(8, 32), "alone": Spent(5, 20)}


def test_parts_within_parts_are_billed_too(run: Run) -> None:
    inner = lambda: run.once("inner", lambda: run.fit(run.build(Toy), clips, 2, 1e-2))  # noqa: E731

    def train(run: Run, arm: str) -> nn.Module:
        run.once("outer", inner)
        return plain(run)

    toy = recipe({"trained": Arm(), "same": Arm()}, train)
    run_cell(toy, run, "trained")
    run_cell(toy, run, "same")
    assert run.spent["same"] == run.spent["trained"] == Spent(5, 20)


def test_a_net_that_is_kept_cannot_be_trained_further(run: Run) -> None:
    kept = run.once("net", lambda: run.build(Toy))
    with pytest.raises(ValueError, match="this Toy is kept for several arms: train a copy"):
        run.fit(kept, clips, 1, 1e-2)


@pytest.mark.parametrize("first", ["trained", "greedy"])
def test_an_arm_that_spends_more_is_refused_whatever_ran_before(run: Run, first: str) -> None:
    toy = recipe({"trained": Arm(), "greedy": Arm()}, lambda run, arm: plain(run, arm, greedy=1))
    if first == "trained":
        run_cell(toy, run, "trained")
    message = r"arm 'greedy' of toy spends 4 steps of 16 clips in all, the method itself \('trained'\) 3 of 12"
    with pytest.raises(ValueError, match=message):
        run_cell(toy, run, "greedy")
    assert set(run_cell(toy, run, "trained")) == {"weight", "arm"}


def test_more_clips_a_step_are_more(run: Run) -> None:
    def train(run: Run, arm: str) -> nn.Module:
        method = run.build(Toy)
        run.fit(method, (lambda step: clips(step).select([0, 1])) if arm == "half" else clips, 3, 1e-2)
        return method

    with pytest.raises(ValueError, match="3 steps of 6 clips"):
        run_cell(recipe({"trained": Arm(), "half": Arm()}, train), run, "half")


def test_named_exceptions_may_spend_otherwise(run: Run) -> None:
    arms = {"trained": Arm(), "longer": Arm(unequal="a stage more"), "untrained": Arm(steps=0)}
    toy = recipe(arms, lambda run, arm: plain(run, arm, longer=2, untrained=-3))
    for arm in arms:
        run_cell(toy, run, arm)
    assert [run.spent[arm].steps for arm in arms] == [3, 5, 0]
    few = recipe({"trained": Arm(), "few": Arm(steps=1)}, lambda run, arm: plain(run, arm, few=-2))
    with pytest.raises(ValueError, match="arm 'few' of toy spends 1 steps"):
        run_cell(few, run, "few")


def test_a_rehearsal_counts_all_steps_and_takes_one(run: Run) -> None:
    taken = []

    def train(run: Run, arm: str) -> nn.Module:
        method = run.build(Toy)
        run.fit(method, clips, 3, 1e-2, hooks=[lambda method, batch, step: taken.append((arm, step))])
        return method

    run_cell(recipe({"trained": Arm(), "other": Arm()}, train), run, "other")
    assert taken == [("other", 0), ("other", 1), ("other", 2), ("trained", 0)]
    assert run.spent == {"other": Spent(3, 12), "trained": Spent(3, 12)}


def test_a_rehearsal_shows_no_progress(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, fit = [], experiment.fit

    def noted(method: nn.Module, batches: object, config: TrainConfig, hooks: object) -> History:
        shown.append((config.steps, config.progress))
        return fit(method, batches, config, hooks)

    monkeypatch.setattr(experiment, "fit", noted)
    run_cell(recipe({"trained": Arm(), "other": Arm()}, plain), run, "other")
    assert shown == [(3, True), (1, False)]


def test_an_arm_like_another_has_its_net(run: Run) -> None:
    trained = []

    def train(run: Run, arm: str) -> nn.Module:
        trained.append(arm)
        return plain(run)

    toy = recipe({"trained": Arm(), "judged": Arm(like="trained", judge={"rule": 0.2})}, train)
    scores = [run_cell(toy, run, arm) for arm in toy.ARMS]
    assert trained == ["trained"] and scores[0]["weight"] == scores[1]["weight"]
    assert [score["arm"] for score in scores] == [7, 6]
    assert run.spent["judged"] == run.spent["trained"]


def test_what_cannot_be_is_named(run: Run) -> None:
    with pytest.raises(ValueError, match="unknown arm of toy 'traned'; did you mean 'trained'"):
        run.trained(recipe({"trained": Arm()}, plain), "traned")
    with pytest.raises(ValueError, match="unknown arm of toy 'traned'; did you mean 'trained'"):
        run_cell(recipe({"trained": Arm()}, plain), run, "traned")
    with pytest.raises(ValueError, match="like 'trained' has that arm's net"):
        Arm(like="trained", steps=0)
    with pytest.raises(ValueError, match="steps=-1"):
        Arm(steps=-1)


# --- the recipes that come along


@pytest.mark.parametrize("name", recipes.names())
def test_recipes_keep_no_nets_worlds_or_clips(name: str, repo: Path) -> None:
    text = (repo / f"avlib/recipes/{name}.py").read_text()
    assert "cache" not in text and "global " not in text
    module = sys.modules[recipes.load(name).__name__]
    assert not [key for key, value in vars(module).items() if isinstance(value, nn.Module | World | Batch | Tensor)]


@pytest.mark.parametrize("name", recipes.names())
def test_what_a_claim_compares_is_an_arm(name: str) -> None:
    recipe = recipes.load(name)
    for arm in recipe.ARMS.values():
        assert arm.like is None or recipe.ARMS[arm.like].like is None
    assert next(iter(recipe.ARMS.values())) == Arm()
