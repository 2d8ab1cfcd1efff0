"""Two processes on half a batch each give the gradient of one on all of it: every method, every stage of its recipe.

A worker (this file, run twice) lets each recipe train; but where the recipe calls `fit`, one gradient of the method on
the first batch is taken instead. So a new recipe is tested as soon as it exists, with the streams that it makes.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import pkgutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from avlib import distributed, experiment, methods, profiles, recipes, train
from avlib.types import Batch

CLIPS = 16
FILE = Path(__file__).resolve()
REAL = tuple(name for name in recipes.names() if name.endswith("_real"))
"""Recipes that need real data: the same methods as those without it."""
Stage = dict[str, Any]


def arms(recipe: ModuleType) -> list[str]:
    """The method, and the arms that build it otherwise."""
    return [name for n, (name, arm) in enumerate(recipe.ARMS.items()) if n == 0 or (arm.build and arm.steps != 0)]


CASES = [(name, arm) for name in recipes.names() if name not in REAL for arm in arms(recipes.load(name))]


# --- what a worker does


def stages(name: str) -> dict[str, list[Stage]]:
    """By arm of a recipe: the gradient of each training, in double precision, and whose it is; what is shared, once."""
    found: list[Stage] = []

    def gradient_only(
        method: nn.Module, batches: Callable[[int], Batch], config: train.TrainConfig, hooks: Sequence[train.Hook] = ()
    ) -> train.History:
        if config.steps:
            batch = batches(0)
            for hook in hooks:
                hook(method, batch, 0)
            found.append({"method": type(method).__name__} | gradient(method, batch))
        return train.History()

    recipe, budget = recipes.load(name), profiles.profile("smoke", name)
    budget = dataclasses.replace(budget, batch=CLIPS // distributed.world_size(), count=192, steps=6)
    run, by_arm = experiment.Run(budget, device="cpu"), {}
    whole, experiment.fit = experiment.fit, gradient_only
    try:
        for arm in arms(recipe):
            found.clear()
            run.trained(recipe, arm)
            by_arm[arm] = list(found)
    finally:
        experiment.fit = whole
    return by_arm


def gradient(method: nn.Module, batch: Batch) -> Stage:
    """What the first step of `fit` hands to its optimiser, and the means that the normalisations met."""
    in_precision(method.train(), torch.float64)
    with distributed.synchronised(method):
        loss = distributed.wrap(method)
        loss(batch._map(lambda t: t.double() if t.is_floating_point() else t, lambda rows: rows), 0)["loss"].backward()
    grads = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    means = {name: b.clone() for name, b in method.named_buffers() if name.endswith("running_mean")}
    method.zero_grad()
    in_precision(method, torch.float32)
    return {"gradient": grads, "means": means}


def in_precision(method: nn.Module, dtype: torch.dtype) -> None:
    """Also of a teacher, which belongs to no method's own modules."""
    parts = [p for value in vars(method).values() if isinstance(value, tuple) for p in value]
    for module in [method, *(p for p in parts if isinstance(p, nn.Module))]:
        module.to(dtype)


NORMS = {
    "rows": (lambda: nn.BatchNorm1d(3), (CLIPS, 3)),
    "frames": (lambda: nn.BatchNorm1d(3), (CLIPS, 3, 5)),
    "maps": (lambda: nn.BatchNorm2d(3, momentum=None), (CLIPS, 3, 4, 2)),
    "input": (lambda: nn.BatchNorm3d(3, affine=False, eps=0.1), (CLIPS, 3, 2, 2, 2)),
    "stateless": (lambda: nn.BatchNorm2d(3, track_running_stats=False).eval(), (CLIPS, 3, 2, 2)),
    "kept": (lambda: nn.BatchNorm2d(3).eval(), (CLIPS, 3, 2, 2)),
}


def normalised(name: str) -> list[Tensor]:
    """Two batches through one layer: its outputs, gradients and statistics, summed over the processes."""
    torch.manual_seed(0)
    make, shape = NORMS[name]
    layer = make().double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    out = []
    with distributed.synchronised(layer):
        for _ in range(2):
            x, slope = distributed.own(2 + 3 * torch.randn(2, *shape, dtype=torch.float64).transpose(0, 1)).unbind(1)
            y = layer(x.requires_grad_())
            (y * slope).sum().backward()
            out += [distributed.gather(y.detach()), distributed.gather(x.grad)]  # type: ignore[arg-type]
    out += [distributed.total(p.grad) for p in layer.parameters()]  # type: ignore[arg-type]
    return out + [b.clone() for b in layer.buffers()]


def work() -> dict[str, Any]:
    """Everything that is compared, by name."""
    found: dict[str, Any] = {name: stages(name) for name in dict(CASES)}
    return found | {name: normalised(name) for name in NORMS}


# --- the tests


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What one process finds, and what each of two finds."""
    folder = tmp_path_factory.mktemp("two")
    together = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    environment = os.environ | together | {"PYTHONPATH": str(FILE.parent.parent)}
    workers = [
        subprocess.Popen([sys.executable, FILE, folder / f"{rank}.pt"], env=environment | {"RANK": str(rank)})
        for rank in range(2)
    ]
    try:
        one = work()
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    return one, [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """‖a - b‖ / ‖a‖, over all tensors."""
    assert a.keys() == b.keys()
    parts = [torch.cat([value.flatten() for value in tensors]) for tensors in (a.values(), (b[name] for name in a))]
    return float((parts[0] - parts[1]).norm() / parts[0].norm())


@pytest.mark.parametrize(("name", "arm"), CASES)
def test_two_processes_give_the_gradient_of_one(name: str, arm: str, both: Any) -> None:
    one, two = both[0][name][arm], [found[name][arm] for found in both[1]]
    assert one, "nothing was trained"
    for halves in two:
        for whole, half in zip(one, halves, strict=True):
            assert difference(whole["gradient"], half["gradient"]) < 1e-10, whole["method"]
            assert not whole["means"] or difference(whole["means"], half["means"]) < 1e-10, whole["method"]


def test_no_method_is_left_out(both: Any) -> None:
    modules = [importlib.import_module(f"avlib.methods.{m.name}") for m in pkgutil.iter_modules(methods.__path__)]
    there = {
        name
        for module in modules
        for name, kind in inspect.getmembers(module, inspect.isclass)
        if kind.__module__ == module.__name__ and issubclass(kind, nn.Module) and hasattr(kind, "loss")
    }
    met = {stage["method"] for name, arm in CASES for stage in both[0][name][arm]}
    assert there and there - met == set(), "give it a recipe"


@pytest.mark.parametrize("name", NORMS)
def test_normalisation_is_that_of_the_whole_batch(name: str, both: Any) -> None:
    for found in both[1]:
        for whole, half in zip(both[0][name], found[name], strict=True):
            torch.testing.assert_close(half, whole)


def test_layers_are_themselves_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.BatchNorm1d(2)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(RuntimeError, match="halt"), distributed.synchronised(nn.Sequential(layer)):
        assert "forward" in vars(layer) and list(layer.state_dict()) == list(nn.BatchNorm1d(2).state_dict())
        raise RuntimeError("halt")
    assert "forward" not in vars(layer)


def test_alone_nothing_is_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    assert distributed.setup("cpu") == torch.device("cpu")
    assert (distributed.world_size(), distributed.rank(), distributed.is_main()) == (1, 0, True)
    value, layer = torch.arange(6.0).view(3, 2), nn.BatchNorm1d(2)
    assert distributed.gather(value) is value and distributed.total(value) is value
    assert torch.equal(distributed.own(value), value) and torch.equal(distributed.roll(value, 1), value.roll(1, 0))
    with distributed.synchronised(layer):
        assert "forward" not in vars(layer)
    distributed.teardown()


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.setup("cpu")
    torch.save(work(), sys.argv[1])
    distributed.teardown()
