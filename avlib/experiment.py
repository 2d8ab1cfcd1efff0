"""An experiment is a table of arms: what each changes about the method, what they share, and what each one spent.

``Arm`` says in what an arm differs; ``Run`` carries one seed of it through: worlds, streams, nets and clips are made
here, each once, with the ranks, the device and the precision set in this one place. A recipe (see `avlib.recipes`)
holds the table and says how a net is trained and measured; ``run_cell`` does both, and compares what was spent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from avlib import distributed, recipes
from avlib.evaluate import exam
from avlib.evaluate.features import join
from avlib.profiles import Profile
from avlib.profiles import profile as find_profile
from avlib.train import History, Hook, TrainConfig, device_of, fit
from avlib.types import Batch
from avlib.world import Preset, Shuffled, Stream, World
from avlib.world.packs import Pack

T = TypeVar("T")
Net = TypeVar("Net", bound=nn.Module)
Batches = Callable[[int], Batch]


@dataclass(frozen=True)
class Arm:
    """In what an arm differs from the method itself; ``Arm()`` is the method.

    Attributes:
        build: constructor arguments.
        world: dials of the world that it trains in.
        shuffled: hear the sounds of another step's clips.
        steps: steps of training; None for the budget's, 0 leaves the net as it was born.
        like: the name of an arm whose net this one is, only judged otherwise.
        judge: how it is judged otherwise.
        unequal: why it spends other steps or clips than the method itself (an added stage, say).
    """

    build: Mapping[str, Any] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)
    shuffled: bool = False
    steps: int | None = None
    like: str | None = None
    judge: Mapping[str, Any] = field(default_factory=dict)
    unequal: str = ""

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 0:
            raise ValueError(f"steps={self.steps} of an arm must not be negative")
        if self.like and (self.build or self.world or self.shuffled or self.steps is not None):
            raise ValueError(f"an arm like {self.like!r} has that arm's net: only `judge` can differ")


@dataclass(frozen=True)
class Clips:
    """Clips that were rendered once, in place of their world.

    Attributes:
        whole: all of them.
        moved: how many rows further down the sound of each picture is from.
    """

    whole: Batch
    moved: int = 0

    def batch(self, index_B: Any) -> Batch:
        """Some of them."""
        return self.whole.select(index_B)  # type: ignore[no-any-return]

    def batches(self, size: int = 64) -> list[Batch]:
        """All of them, in order."""
        return [self.batch(torch.arange(n, min(n + size, len(self.whole)))) for n in range(0, len(self.whole), size)]


class Spent(NamedTuple):
    """What training cost: steps, and clips in them (a clip that is seen twice counts twice)."""

    steps: int
    clips: int


class Run:
    """One seed of an experiment: everything that its arms share lives as long as this does.

    Args:
        budget: the profile, as `avlib.profiles.profile` gives it.
        seed: of the nets, the worlds and the order of clips.
        device: ``"auto"`` (a GPU where there is one) or a device; under torchrun each process takes its own.
        out: folder of logs and checkpoints; a training found there is continued.

    Attributes:
        history: the log of the last `fit`.
        method: the net of the last cell.
        spent: what each arm cost that was trained here, shared parts included.
    """

    def __init__(self, budget: Profile, seed: int = 0, device: str = "auto", out: Path | str | None = None) -> None:
        self.budget, self.seed, self.out = budget, seed, None if out is None else Path(out)
        self.device = distributed.setup(device_of(device))
        self.history = History()
        self.method: nn.Module | None = None
        self.spent: dict[str, Spent] = {}
        self.rehearsing = False
        self._bill: dict[object, Spent] = {}
        self._kept: dict[object, tuple[Any, dict[object, Spent]]] = {}

    # --- what there is to see and hear

    def world(
        self, preset: Preset | str = "solo", split: str = "train", pack: Pack | str = "orchestra", **settings: Any
    ) -> World:
        """The world of these arguments, made once; ``settings`` are arguments of `World`, dials among them.

        Size, seed and device are the run's own where they are not given.
        """
        given: dict[str, Any] = {"size": self.budget.size, "seed": self.seed, "device": self.device} | settings
        named = pack if isinstance(pack, str) else id(pack)
        return self.once(
            ("world", preset, split, named, repr(sorted(given.items()))), lambda: World(pack, preset, split, **given)
        )

    def stream(
        self,
        world: World | Clips,
        count: int | None = None,
        shuffled: bool = False,
        kept: bool = False,
        seed: int | None = None,
    ) -> Batches:
        """Batches of this process's share of a world, as a function of the step.

        Args:
            count: how many scenes there are, 0 for endlessly many; the budget's where left out.
            shuffled: with the sounds of another step's clips.
            kept: render those scenes once and keep them, instead of once a step (shuffled ones are not kept).
            seed: of the order; the run's own where left out.
        """
        count = self.budget.count if count is None else count
        kept = kept and count > 0 and not shuffled and not self.rehearsing
        source: Any = self.clips(world, count) if kept and isinstance(world, World) else world
        stream = Stream(
            source, self.budget.batch, count, self.seed if seed is None else seed,
            distributed.rank(), distributed.world_size(),
        )  # fmt: skip
        return Shuffled(stream) if shuffled else stream

    def clips(self, world: World, count: int | None = None, shuffled: bool = False) -> Clips:
        """The first ``count`` scenes of a world (the budget's), rendered once; a hundred thousand fill the memory.

        Args:
            shuffled: each picture has the sound of one other clip, always the same.
        """
        count = self.budget.count if count is None else count
        whole: Batch = self.once(("clips", world, count), lambda: join(tuple(_rendered(world, count))))
        moved = len(whole) // 2 if shuffled else 0
        return Clips(replace(whole, wave_BS=whole.wave_BS.roll(moved, 0)), moved) if moved else Clips(whole)

    def batches(self, world: World, count: int | None = None) -> tuple[Batch, ...]:
        """The first ``count`` clips of a world (the budget's ``eval_count``), rendered once and kept on the CPU.

        What each thing adds to the sound (``stem_BNS``) is not kept: it takes several times the room of the mixture.
        """
        count = self.budget.eval_count if count is None else count
        return self.once(("batches", world, count), lambda: tuple(_rendered(world, count)))

    def exam(self, method: nn.Module, scenes: Sequence[str] = exam.SCENES, **dials: Any) -> dict[str, float]:
        """What every method is asked, see `avlib.evaluate.exam`; ``dials`` are those of all its worlds."""

        def clips(preset: str, split: str, hands: str, **turned: Any) -> tuple[Batch, ...]:
            return self.batches(self.world(preset, split, **{"hands": hands} | dials | turned))

        return exam.exam(method, clips, scenes, self.seed)

    # --- nets and training

    def build(self, factory: Callable[..., Net], *arguments: Any, **settings: Any) -> Net:
        """A new net on the run's device: the one place in which the generator of its weights is seeded."""
        torch.manual_seed(self.seed)
        return factory(*arguments, **settings).to(self.device)

    def steps(self, arm: Arm) -> int:
        """How many steps an arm takes."""
        return self.budget.steps if arm.steps is None else arm.steps

    def fit(
        self,
        method: nn.Module,
        batches: Batches,
        steps: int,
        lr: float,
        weight_decay: float = 1e-4,
        hooks: Sequence[Hook] = (),
        part: str = "",
        **settings: Any,
    ) -> History:
        """Train a net in place, and note what that cost.

        Args:
            part: a name for this part of a training in stages; its log and checkpoint lie in that folder of ``out``.
            settings: further settings of `TrainConfig`.

        Raises:
            ValueError: the net is kept for several arms (see `once`): a copy of it must be trained.
        """
        if any(value is method for value, _ in self._kept.values()):
            raise ValueError(f"this {type(method).__name__} is kept for several arms: train a copy of it")
        folder = None if self.out is None else self.out / part
        taken, settings = (min(steps, 1), settings | {"progress": False}) if self.rehearsing else (steps, settings)
        here = {"seed": self.seed, "out": folder, "device": str(self.device), "amp": self.budget.amp}
        config = TrainConfig(taken, lr, weight_decay, **(here | settings))
        sizes: list[int] = []

        def counted(step: int) -> Batch:
            batch = batches(step)
            sizes.append(len(batch))
            return batch

        self.history = fit(method, counted, config, hooks)
        self._bill[object()] = Spent(steps, round(steps * sum(sizes) / max(len(sizes), 1)) * distributed.world_size())
        return self.history

    def once(self, key: object, make: Callable[[], T]) -> T:
        """What ``make`` gives, made the first time and kept as long as this run; each arm that asks is billed for it.

        A net that is kept cannot be trained further: copy it (`copy.deepcopy`).
        """
        if key not in self._kept:
            with self._account() as bill:
                value = make()
            self._kept[key] = value, bill
        value, bill = self._kept[key]
        self._bill |= bill
        return value  # type: ignore[no-any-return]

    @contextmanager
    def _account(self) -> Iterator[dict[object, Spent]]:
        outer, self._bill = self._bill, {}
        try:
            yield self._bill
        finally:
            self._bill = outer

    def trained(self, recipe: ModuleType, arm: str) -> nn.Module:
        """The net of an arm; of an arm like another, that one's. ``spent`` then tells what it cost.

        Raises:
            ValueError: an unknown arm; the right ones are listed.
        """
        recipes.check_arm(recipe, arm)
        source = recipe.ARMS[arm].like or arm
        with self._account() as bill:
            if any(other.like == source for other in recipe.ARMS.values()):
                key = ("arm", recipe.__name__, source)
                method: nn.Module = self.once(key, lambda: recipe.train(self, source))
            else:
                method = recipe.train(self, source)
        self.spent[arm] = Spent(*(sum(column) for column in zip(*bill.values(), (0, 0))))
        return method


def run_cell(recipe: ModuleType, run: Run, arm: str) -> dict[str, float]:
    """Train one arm and measure it: name of each metric → number.

    Raises:
        ValueError: an unknown arm; or an arm that spends other steps or clips than the method itself (the first arm of
            the table, with all that it shares), and names no reason. Without a step there is nothing to compare.
    """
    recipes.check_arm(recipe, arm)
    run.method = run.trained(recipe, arm)
    _check_budget(recipe, run, arm)
    found = recipe.measure(run.method, run, arm)
    return {name: float(value) for name, value in found.items()}


def _check_budget(recipe: ModuleType, run: Run, arm: str) -> None:
    own, how = next(iter(recipe.ARMS)), recipe.ARMS[recipe.ARMS[arm].like or arm]
    if how.unequal or how.steps == 0:
        return
    if own not in run.spent:
        run.spent[own] = _rehearsal(recipe, run, own)
    if run.spent[arm] != run.spent[own]:
        spent, method = run.spent[arm], run.spent[own]
        raise ValueError(
            f"arm {arm!r} of {recipe.__name__.rpartition('.')[2]} spends {spent.steps} steps of {spent.clips} clips in "
            f"all, the method itself ({own!r}) {method.steps} of {method.clips}: what is compared must spend the same, "
            "or name the exception: Arm(unequal=…)"
        )


def _rehearsal(recipe: ModuleType, run: Run, arm: str) -> Spent:
    """What an arm costs, found by training it with one step in each of its parts."""
    other = Run(run.budget, run.seed, str(run.device))
    other.rehearsing = True
    other.trained(recipe, arm)
    return other.spent[arm]


def open(name: str, profile: str = "cpu", seed: int = 0, device: str = "auto", out: Path | str | None = None) -> Run:
    """A run of the method ``name`` under a profile, with what its recipe's ``BUDGET`` changes in it.

    Raises:
        ValueError: an unknown method or profile; the right names are listed.

    Examples:
        >>> run = open("l3", "smoke")
        >>> run.world("solo", split="test").size
        32
    """
    return Run(find_profile(profile, name), seed, device, out)


def _rendered(world: World, count: int) -> Iterator[Batch]:
    for batch in world.batches(count):
        plain: Batch = batch.to("cpu")
        yield replace(plain, truth=replace(plain.truth, stem_BNS=None, offscreen_stem_BS=None))
