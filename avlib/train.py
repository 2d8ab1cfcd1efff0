"""The training loop: one function for every method.

`fit` asks a method for ``loss(batch, step)`` and a stream for ``batches(step)``. Because a batch is a pure function of
the step, a checkpoint needs only the number of the next step, the weights, the optimiser and the states of the random
generators, and a run that was cut off ends with exactly the weights of one that was not.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from avlib import checkpoints, distributed, files
from avlib.checkpoints import CHECKPOINT
from avlib.errors import CheckpointError, NonFiniteLoss, unknown
from avlib.types import Batch

if TYPE_CHECKING:
    import pandas as pd

Hook = Callable[[nn.Module, Batch, int], None]
SCHEDULES = ("onecycle", "constant")
RESERVED = ("step", "seconds", "lr")

_log = logging.getLogger(__name__)
_MAY_DIFFER = ("log_every", "checkpoint_every", "out", "device", "progress", "compile")


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: how many batches; 0 leaves the method untrained.
        lr: the highest learning rate.
        weight_decay: of matrices and kernels; vectors (biases, gains of norms, temperatures) never decay.
        warmup: fraction of the steps during which the rate rises.
        schedule: ``"onecycle"`` (a cosine up from ``lr / 25``, a cosine down to nothing) or ``"constant"``.
        clip: largest norm of the gradient; 0 never clips.
        amp: bfloat16 autocast, on CUDA only.
        channels_last: keep the kernels of 2-D convolutions with their channels innermost.
        compile: compile the loss with ``torch.compile``.
        log_every: steps between two entries of the log.
        checkpoint_every: steps between two checkpoints; 0 writes one at the end only.
        seed: of PyTorch's generators.
        out: folder of the log and the checkpoint. A checkpoint found there is continued from.
        device: ``"auto"`` (a GPU where there is one) or a device.
        progress: show a progress bar (needs tqdm).
    """

    steps: int = 400
    lr: float = 3e-3
    weight_decay: float = 1e-4
    warmup: float = 0.3
    schedule: str = "onecycle"
    clip: float = 5.0
    amp: bool = True
    channels_last: bool = True
    compile: bool = False
    log_every: int = 20
    checkpoint_every: int = 0
    seed: int = 0
    out: Path | None = None
    device: str = "auto"
    progress: bool = True

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", self.schedule, SCHEDULES)
        if self.steps < 0 or self.log_every < 1 or self.checkpoint_every < 0:
            raise ValueError(
                f"steps={self.steps} and checkpoint_every={self.checkpoint_every} must not be negative, "
                f"log_every={self.log_every} must be at least 1"
            )
        if not self.lr > 0 or not 0 <= self.warmup < 1 or self.clip < 0:
            raise ValueError(
                f"lr={self.lr} must be above 0, warmup={self.warmup} within 0…1, clip={self.clip} not negative"
            )


@dataclass
class History:
    """What a training run logged.

    Attributes:
        steps: how many steps were done at each entry.
        logs: the mean of each logged number since the entry before, and ``lr``; NaN where a number was not reported.
        seconds: how long training took, interruptions left out.
    """

    steps: list[int] = field(default_factory=list)
    logs: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, step: int, values: dict[str, float]) -> None:
        """Append one entry."""
        for name in values:
            self.logs.setdefault(name, [math.nan] * len(self.steps))
        self.steps.append(step)
        for name, column in self.logs.items():
            column.append(values.get(name, math.nan))

    def table(self) -> pd.DataFrame:
        """The log as a table: one row an entry, indexed by step."""
        import pandas as pd

        return pd.DataFrame(self.logs, index=pd.Index(self.steps, name="step"))


def rate(step: int, config: TrainConfig) -> float:
    """Learning rate of step ``step``: Smith's one-cycle policy with cosine flanks (arXiv:1708.07120), or a constant."""
    if config.schedule == "constant":
        return config.lr
    low, end = config.lr / 25, config.lr / 25e4
    rise = config.warmup * config.steps - 1
    if step <= rise:
        return _cosine(low, config.lr, step / rise if rise > 0 else 1.0)
    rise = max(rise, 0.0)
    fall = config.steps - 1 - rise
    return _cosine(config.lr, end, (step - rise) / fall if fall > 0 else 0.0)


def _cosine(begin: float, end: float, part: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * part)) / 2


def parameter_groups(method: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters in two groups: matrices and kernels decay, vectors and scalars do not.

    Raises:
        ValueError: the method has nothing to train.
    """
    trainable = [p for p in method.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError(f"{type(method).__name__} has no parameter to train: each has requires_grad=False")
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def fit(
    method: nn.Module, batches: Callable[[int], Batch], config: TrainConfig | None = None, hooks: Sequence[Hook] = ()
) -> History:
    """Train ``method`` in place.

    Args:
        method: has ``loss(batch, step) -> dict``: ``"loss"`` is minimised, every other number is logged.
        batches: step → batch, a pure function of the step (e.g. `avlib.world.Stream`).
        config: how; the defaults where left out.
        hooks: called as ``hook(method, batch, step)`` before the loss of each step. A hook that remembers something has
            ``state_dict()`` and ``load_state_dict(state)`` of tensors and plain values, so that a run can be continued.

    Returns:
        History: the log. The same lines stand in ``config.out / "log.jsonl"``.

    Raises:
        ValueError: an empty batch, a loss dictionary without ``"loss"``, nothing to train.
        NonFiniteLoss: the loss or its gradient became NaN or infinite; names the step and the clips, the weights are
            those before it, and so is the checkpoint.
        CheckpointError: the checkpoint in ``config.out`` is damaged or belongs to another run.
        OSError: no space for a checkpoint; the one before stays whole. A file named ``log.jsonl`` that is no log.
        KeyboardInterrupt: Ctrl-C ends the step, writes a checkpoint and says how to go on.

    Examples:
        >>> history = fit(method, Stream(world, 64), TrainConfig(steps=400))
        >>> history.logs["loss"][-1]
    """
    config = config or TrainConfig()
    device = _prepare(method, config)
    groups = parameter_groups(method, config.weight_decay)
    parameters = [p for group in groups for p in group["params"]]
    fused = device.type in ("cpu", "cuda") and all(p.is_floating_point() for p in parameters)
    optimiser = torch.optim.AdamW(groups, lr=config.lr, fused=fused)
    log = _Log(config)
    keeper = _Keeper(method, optimiser, hooks, log, config, device)
    first = keeper.resume()
    if first == config.steps:
        return log.history
    with distributed.synchronised(method), log.bar(method, first), _deferred_interrupt() as interrupted:
        loss_of = _loss_of(method, config)
        for step in range(first, config.steps):
            batch = _some(batches(step), step).to(device)
            for hook in hooks:
                hook(method, batch, step)
            if not method.training:
                method.train()
            with torch.autocast("cuda", torch.bfloat16, enabled=config.amp and device.type == "cuda"):
                values = _with_loss(loss_of(batch, step), method)
            optimiser.zero_grad(set_to_none=True)
            values["loss"].backward()
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            if config.clip:
                nn.utils.clip_grads_with_norm_(parameters, config.clip, norm)
            _check_finite(values["loss"], norm, batch, step)
            for group in optimiser.param_groups:
                group["lr"] = rate(step, config)
            optimiser.step()
            log.add(step + 1, values)
            if interrupted:
                raise KeyboardInterrupt(keeper.farewell(step + 1))
            keeper.save_if_due(step + 1)
    return log.history


def _prepare(method: nn.Module, config: TrainConfig) -> torch.device:
    """Join the other processes, if there are any, bring the method to its device, seed, and say which device it is."""
    device = device_of(config.device)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        device = distributed.setup(device)
    method.to(device)
    if config.channels_last:
        _channels_last(method)
    torch.manual_seed(config.seed)
    return device


def _loss_of(method: nn.Module, config: TrainConfig) -> Callable[[Batch, int], dict[str, Any]]:
    loss: Callable[[Batch, int], dict[str, Any]] = method.loss  # type: ignore[assignment]
    if distributed.world_size() > 1:
        loss = distributed.wrap(method)
    return torch.compile(loss) if config.compile else loss


def _some(batch: Batch, step: int) -> Batch:
    if len(batch) == 0:
        raise ValueError(f"the batch of step {step} is empty")
    return batch


def _with_loss(values: Any, method: nn.Module) -> dict[str, Any]:
    if not isinstance(values, dict) or "loss" not in values:
        found = sorted(values) if isinstance(values, dict) else type(values).__name__
        raise ValueError(f"{type(method).__name__}.loss must return a dict with the key 'loss'; it has: {found}")
    return values


def _check_finite(loss: Tensor, norm: Tensor, batch: Batch, step: int) -> None:
    # Read after the backward pass was queued, so that a GPU never idles while this waits for it; both in one copy.
    found = torch.stack([loss.detach().float(), norm.float()]).tolist()
    for name, value in zip(("loss", "norm of the gradient"), found, strict=True):
        if not math.isfinite(value):
            index = batch.index_B.tolist()
            raise NonFiniteLoss(f"the {name} is {value} at step {step}; the clips of this batch: {index}", step, index)


class _Log:
    """What a run reports: its history, the lines of ``log.jsonl``, the progress bar. The first process alone writes."""

    def __init__(self, config: TrainConfig) -> None:
        self.config, self.history, self.window = config, History(), _Window()
        self.path = config.out / "log.jsonl" if config.out and distributed.is_main() else None
        self.before, self.started, self.shown = 0.0, time.monotonic(), None

    @contextlib.contextmanager
    def bar(self, method: nn.Module, first: int) -> Iterator[None]:
        """Within, a progress bar stands on the screen, where it is wanted."""
        if not (self.config.progress and distributed.is_main() and importlib.util.find_spec("tqdm")):
            yield
            return
        from tqdm import tqdm

        with tqdm(total=self.config.steps, initial=first, desc=type(method).__name__, unit="step") as self.shown:
            yield

    def add(self, done: int, values: dict[str, Any]) -> None:
        """Count one step's numbers; write and show what is due after ``done`` steps."""
        self.window.add(values)
        if done == 1 or done == self.config.steps or done % self.config.log_every == 0:
            means = self.window.mean() | {"lr": rate(done - 1, self.config)}
            self.history.add(done, means)
            self.clock()
            self._write({"step": done, "seconds": round(self.history.seconds, 3)} | means)
            if self.shown is not None:
                self.shown.set_postfix(loss=f"{means['loss']:.4g}", refresh=False)
        if self.shown is not None:
            self.shown.update(1)

    def clock(self) -> None:
        """Bring ``history.seconds`` up to now."""
        self.history.seconds = self.before + time.monotonic() - self.started

    def _write(self, entry: dict[str, Any]) -> None:
        if self.path:
            files.append(self.path, json.dumps(entry), "the log")

    def cut(self, done: int) -> None:
        """Drop what was written after ``done`` steps: those steps are done again."""
        if self.path is None or not self.path.exists():
            return
        kept, lines = [], self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        if lines and not lines[0].startswith('{"step": '):
            raise FileExistsError(f"{self.path} is no log of avlib, and would be cut: give another `out`")
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that a kill cut short
                if json.loads(line)["step"] <= done:
                    kept.append(line + "\n")
        files.write(self.path, "".join(kept), "the log")

    def state_dict(self) -> dict[str, Any]:
        self.clock()
        return {"history": asdict(self.history), "window": self.window.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.history = History(**state["history"])
        self.window.load_state_dict(state["window"])
        self.before = self.history.seconds


class _Window:
    """Sums of the reported numbers since the last entry of the log, kept on the device so that nothing waits."""

    def __init__(self) -> None:
        self.total: dict[str, Tensor] = {}
        self.count: dict[str, int] = {}

    def add(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            if name in RESERVED:
                raise ValueError(
                    f"{name!r} is a name of the log's own ({', '.join(RESERVED)}): report it under another"
                )
            number = value.detach().float() if isinstance(value, Tensor) else torch.tensor(float(value))
            if number.numel() != 1:
                raise ValueError(
                    f"{name!r} cannot be logged: a single number was expected, its shape is {tuple(number.shape)}"
                )
            old = self.total.get(name)
            self.total[name] = number if old is None else old + number
            self.count[name] = self.count.get(name, 0) + 1

    def mean(self) -> dict[str, float]:
        """The means, and a fresh start."""
        means = {name: float(total) / self.count[name] for name, total in self.total.items()}
        self.total, self.count = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        return {"total": dict(self.total), "count": dict(self.count)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.total, self.count = dict(state["total"]), dict(state["count"])


@dataclass
class _Keeper:
    """Writes the checkpoint of a run and continues from it. The first process alone writes; all of them read."""

    method: nn.Module
    optimiser: torch.optim.Optimizer
    hooks: Sequence[Hook]
    log: _Log
    config: TrainConfig
    device: torch.device

    @property
    def path(self) -> Path | None:
        return self.config.out / CHECKPOINT if self.config.out else None

    def save_if_due(self, done: int) -> None:
        """Save at the end of the run, and every so many steps before it."""
        every = self.config.checkpoint_every
        if done == self.config.steps or (every and done % every == 0):
            self.save(done)

    def save(self, done: int) -> None:
        """Write the checkpoint, all of it or none."""
        if self.path is None or not distributed.is_main():
            return
        state = {
            "step": done,
            "config": _identity(self.config),
            "method": self.method.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": checkpoints.random_state(self.device),
            "hooks": [_hook_state(hook) for hook in self.hooks],
            "log": self.log.state_dict(),
        }
        checkpoints.save(state, self.path, done)

    def farewell(self, done: int) -> str:
        """Save before leaving early, and say how to go on."""
        if self.path is None:
            return f"training was interrupted after step {done}; nothing was kept, because no `out` was given"
        self.save(done)
        return f"training was interrupted after step {done}; the same call continues from {self.path}"

    def resume(self) -> int:
        """Continue from the checkpoint, where there is one; returns how many steps are done."""
        if self.path is None or not self.path.exists():
            self.log.cut(0)
            return 0
        state = checkpoints.load(self.path, self.device)
        self._compare(state, self.path)
        try:
            self.method.load_state_dict(state["method"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"{self.path} holds the weights of another {type(self.method).__name__}: {error}"
            ) from error
        for hook, saved in zip(self.hooks, state["hooks"], strict=True):
            if saved is not None:
                hook.load_state_dict(saved)  # type: ignore[attr-defined]
        checkpoints.set_random_state(state["random"], self.device)
        self.log.load_state_dict(state["log"])
        done: int = state["step"]
        self.log.cut(done)
        if done == self.config.steps:
            _log.info("%s is already trained: %d of %d steps; delete it to begin again", self.path, done, done)
        else:
            _log.info("continuing from %s after step %d", self.path, done)
        return done

    def _compare(self, state: dict[str, Any], path: Path) -> None:
        old, now = state["config"], _identity(self.config)
        differs = [f"{k} was {old.get(k)!r}, is {now[k]!r}" for k in now if old.get(k) != now[k]]
        if len(state["hooks"]) != len(self.hooks):
            differs.append(f"hooks were {len(state['hooks'])}, are {len(self.hooks)}")
        if differs:
            raise CheckpointError(
                f"{path} belongs to another run ({'; '.join(differs)}): give another `out`, or delete it to begin again"
            )


@contextlib.contextmanager
def _deferred_interrupt() -> Iterator[list[bool]]:
    """Collect a first Ctrl-C so that the step under way can end; a second one stops at once.

    Half a step cannot be continued from: its batch statistics and random numbers are spent already.
    """
    seen: list[bool] = []
    # An embedding application may have a handler that is not Python's (None); it keeps it.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield seen
        return

    def note(number: int, frame: Any) -> None:
        if seen:
            raise KeyboardInterrupt("interrupted twice: this step was not kept")
        seen.append(True)

    old = signal.signal(signal.SIGINT, note)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, old)


def device_of(name: str) -> torch.device:
    """The device of that name; ``"auto"`` is a GPU where there is one."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _channels_last(method: nn.Module) -> None:
    # Module.to(memory_format=…) refuses the 5-d kernels of video networks, so only the 4-d ones are turned.
    for parameter in method.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def _identity(config: TrainConfig) -> dict[str, Any]:
    """The settings that decide the weights."""
    return {name: value for name, value in asdict(config).items() if name not in _MAY_DIFFER}


def _hook_state(hook: Any) -> Any:
    if not hasattr(hook, "state_dict"):
        return None
    state = hook.state_dict()
    checkpoints.check_plain(state, f"the state of hook {type(hook).__name__}")
    return state
