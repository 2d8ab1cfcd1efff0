"""The loop: what it optimises, how it resumes, and how it fails."""

import errno
import json
import logging
import math
import os
import random
import resource
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avlib import checkpoints
from avlib.errors import CheckpointError, NonFiniteLoss
from avlib.train import History, TrainConfig, fit, parameter_groups, rate
from avlib.types import Batch


class Toy(nn.Module):
    """Convolution, batch norm, dropout, a temperature: whatever has a state."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(4, 1)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        assert batch.image_BCHW is not None
        found_B = self.head(self.body(batch.image_BCHW)).squeeze(1) * self.scale
        return {"loss": (found_B - batch.wave_BS.mean(1)).square().mean(), "counter": float(step)}


def batches(step: int) -> Batch:
    generator = torch.Generator().manual_seed(step)
    wave_BS = torch.randn(4, 10, generator=generator)
    return Batch(torch.arange(4) + 4 * step, wave_BS, torch.rand(4, 3, 8, 8, generator=generator))


def config(**settings: object) -> TrainConfig:
    return TrainConfig(**{"steps": 12, "device": "cpu", "progress": False, "log_every": 5} | settings)


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


class Kick:
    """A hook with a state and with random numbers from three generators; it can be made to stop the run."""

    def __init__(self, stop: int | None = None):
        self.total, self.calls, self.stop = torch.zeros(3), 0, stop

    def __call__(self, method: nn.Module, batch: Batch, step: int) -> None:
        self.calls += 1
        self.total += torch.tensor([torch.rand(()).item(), np.random.randn(), random.gauss(0, 1)])
        with torch.no_grad():
            method.scale += 0.01 * self.total.sum()
        if step == self.stop:
            signal.raise_signal(signal.SIGINT)

    def state_dict(self) -> dict[str, object]:
        return {"total": self.total, "calls": self.calls}

    def load_state_dict(self, state: dict) -> None:
        self.total, self.calls = state["total"], state["calls"]


# --- optimisation ----------------------------------------------------------------------------------------------------


def test_equals_the_loop_written_out() -> None:
    method, plain = Toy(), Toy()
    history = fit(method, batches, config(clip=0.5, log_every=1, channels_last=False))
    torch.manual_seed(0)
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in plain.parameters() if p.ndim > 1], "weight_decay": 1e-4},
            {"params": [p for p in plain.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=3e-3,
        fused=True,
    )
    losses = []
    for step in range(12):
        loss = plain.loss(batches(step), step)["loss"]
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        for group in optimiser.param_groups:
            group["lr"] = rate(step, config())
        optimiser.step()
        losses.append(loss.item())
    assert history.logs["loss"] == pytest.approx(losses, rel=1e-6)
    for a, b in zip(method.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("steps", "warmup"), [(10, 0.3), (400, 0.3), (7, 0.5), (50, 0.1)])
def test_the_rate_is_torchs_one_cycle(steps: int, warmup: float) -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps, pct_start=warmup, cycle_momentum=False)
    for step in range(steps):
        assert rate(step, TrainConfig(steps=steps, warmup=warmup)) == pytest.approx(
            schedule.get_last_lr()[0], abs=1e-12
        )
        optimiser.step()
        if step < steps - 1:
            schedule.step()


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.3, 0.9])
def test_the_rate_of_very_short_runs_is_sane(steps: int, warmup: float) -> None:
    rates = [rate(step, TrainConfig(steps=steps, warmup=warmup)) for step in range(steps)]
    assert all(0 < r <= 3e-3 for r in rates) and max(rates) > 1e-4


def test_a_constant_rate_stays() -> None:
    assert {rate(step, TrainConfig(schedule="constant", lr=0.1)) for step in range(400)} == {0.1}


def test_vectors_and_scalars_do_not_decay() -> None:
    decaying, free = parameter_groups(Toy(), 0.1)
    assert (
        decaying["weight_decay"] == 0.1 and all(p.ndim > 1 for p in decaying["params"]) and len(decaying["params"]) == 2
    )
    assert free["weight_decay"] == 0.0 and all(p.ndim <= 1 for p in free["params"]) and len(free["params"]) == 4


def test_frozen_parameters_stay_and_nothing_to_train_is_an_error() -> None:
    method = Toy()
    method.body.requires_grad_(False)
    before = method.body[0].weight.clone()
    fit(method, batches, config())
    assert torch.equal(method.body[0].weight, before)
    with pytest.raises(ValueError, match="Toy has no parameter to train"):
        fit(method.requires_grad_(False), batches, config())


def test_no_steps_leave_the_method_untrained() -> None:
    method = Toy()
    history = fit(method, batches, config(steps=0))
    assert same(method, Toy()) and history.steps == [] and history.table().empty


def test_kernels_get_channels_last_and_video_kernels_are_let_be() -> None:
    method = Toy()
    method.video = nn.Conv3d(1, 1, 2)
    fit(method, batches, config(steps=1))
    assert method.body[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not Toy().body[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_the_method_is_in_training_mode_even_after_a_hook_that_evaluates() -> None:
    modes = []

    class Watched(Toy):
        def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
            modes.append(self.training)
            return super().loss(batch, step)

    fit(Watched().eval(), batches, config(steps=3), [lambda method, batch, step: method.eval()])
    assert modes == [True] * 3


def test_hooks_see_each_step_before_its_loss() -> None:
    seen = []
    fit(Toy(), batches, config(steps=3), [lambda method, batch, step: seen.append((step, batch.index_B[0].item()))])
    assert seen == [(0, 0), (1, 4), (2, 8)]


def test_the_seed_decides() -> None:
    runs = []
    for seed in (0, 0, 1):
        runs.append(Toy())
        fit(runs[-1], batches, config(seed=seed))
    assert same(runs[0], runs[1]) and not same(runs[0], runs[2])


# --- the log ---------------------------------------------------------------------------------------------------------


def test_the_log_holds_means_since_the_entry_before(tmp_path: Path) -> None:
    history = fit(Toy(), batches, config(out=tmp_path))
    assert history.steps == [1, 5, 10, 12]
    assert history.logs["counter"] == [0.0, 2.5, 7.0, 10.5]
    assert history.logs["lr"] == [rate(step - 1, config()) for step in history.steps]
    assert history.seconds > 0
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 5, 10, 12]
    assert [line["loss"] for line in lines] == history.logs["loss"]


def test_the_table_has_a_row_an_entry() -> None:
    table = fit(Toy(), batches, config()).table()
    assert list(table.index) == [1, 5, 10, 12] and {"loss", "lr", "counter"} == set(table.columns)


def test_numbers_that_come_and_go_leave_gaps() -> None:
    history = History()
    history.add(1, {"a": 1.0})
    history.add(2, {"b": 2.0})
    assert history.logs["a"][0] == 1.0 and math.isnan(history.logs["a"][1]) and math.isnan(history.logs["b"][0])


def test_nothing_is_printed_without_a_progress_bar(capfd: pytest.CaptureFixture[str]) -> None:
    fit(Toy(), batches, config())
    assert capfd.readouterr() == ("", "")
    fit(Toy(), batches, config(progress=True))
    assert "12/12" in capfd.readouterr().err


# --- resuming --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [0, 3, 4, 10])
def test_an_interrupted_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path, stop: int) -> None:
    whole, broken, hook = Toy(), Toy(), Kick()
    np.random.seed(5), random.seed(5)
    history = fit(whole, batches, config(), [hook])
    np.random.seed(5), random.seed(5)
    with pytest.raises(
        KeyboardInterrupt, match=rf"after step {stop + 1}; the same call continues from .*checkpoint\.pt"
    ):
        fit(broken, batches, config(out=tmp_path), [Kick(stop)])
    torch.manual_seed(9), np.random.seed(9), random.seed(9)  # another process, whose generators stand elsewhere
    again, resumed = Toy(), Kick()
    after = fit(again, batches, config(out=tmp_path), [resumed])
    assert same(whole, again)
    assert torch.equal(hook.total, resumed.total) and resumed.calls == 12
    assert after.logs == history.logs and after.steps == history.steps
    lines = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == history.steps


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    whole, again = Toy(), Toy()
    fit(whole, batches, config())

    def dies(step: int) -> Batch:
        if step == 9:
            raise RuntimeError("killed")
        return batches(step)

    with pytest.raises(RuntimeError, match="killed"):
        fit(Toy(), dies, config(out=tmp_path, checkpoint_every=4))
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')  # the kill cut a line
    steps = []
    fit(again, lambda step: steps.append(step) or batches(step), config(out=tmp_path, checkpoint_every=4))
    assert steps == [8, 9, 10, 11] and same(whole, again)
    assert [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 5, 10, 12]


def test_a_finished_run_is_only_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, second = Toy(), Toy()
    history = fit(first, batches, config(out=tmp_path))
    with caplog.at_level(logging.INFO, "avlib"):
        again = fit(second, batches, config(out=tmp_path))
    assert same(first, second) and again == history
    assert "is already trained: 12 of 12 steps" in caplog.text


def test_weights_can_be_loaded_alone(tmp_path: Path) -> None:
    method = Toy()
    fit(method, batches, config(out=tmp_path))
    assert same(checkpoints.load_weights(Toy(), tmp_path), method)
    with pytest.raises(CheckpointError, match="does not hold the weights of this Linear"):
        checkpoints.load_weights(nn.Linear(2, 2), tmp_path)
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        checkpoints.load_weights(Toy(), tmp_path / "absent")


def test_a_second_interrupt_stops_at_once(tmp_path: Path) -> None:
    def impatient(step: int) -> Batch:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="interrupted twice"):
        fit(Toy(), impatient, config(out=tmp_path))
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_without_a_folder_says_that_nothing_was_kept() -> None:
    with pytest.raises(KeyboardInterrupt, match="after step 3; nothing was kept"):
        fit(Toy(), batches, config(), [Kick(2)])


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    fit(Toy(), batches, config(out=tmp_path))
    with pytest.raises(CheckpointError, match=r"another run \(steps was 12, is 13; lr was 0.003, is 0.1\)"):
        fit(Toy(), batches, config(out=tmp_path, steps=13, lr=0.1))
    with pytest.raises(CheckpointError, match="hooks were 0, are 1"):
        fit(Toy(), batches, config(out=tmp_path), [Kick()])
    larger = Toy()
    larger.head = nn.Linear(4, 2)
    with pytest.raises(CheckpointError, match="weights of another Toy"):
        fit(larger, batches, config(out=tmp_path))


@pytest.mark.parametrize("damage", ["cut", "flip", "text", "pickle", "empty"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: str) -> None:
    fit(Toy(), batches, config(out=tmp_path))
    path = tmp_path / "checkpoint.pt"
    data = bytearray(path.read_bytes())
    if damage == "cut":
        data = data[: len(data) // 2]
    elif damage == "flip":
        weight = Toy()
        fit(weight, batches, config())
        place = data.index(weight.head.weight.detach().numpy().tobytes())
        data[place] ^= 1
    elif damage == "text":
        data = bytearray(b"hello")
    elif damage == "empty":
        data = bytearray()
    else:
        torch.save({"step": Evil()}, path)
        data = bytearray(path.read_bytes())
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged or no checkpoint of avlib"):
        fit(Toy(), batches, config(out=tmp_path))


class Evil:
    def __reduce__(self) -> tuple:
        return (os.system, ("echo must not run",))


def test_a_hooks_state_must_be_plain(tmp_path: Path) -> None:
    class Strange(Kick):
        def state_dict(self) -> dict[str, object]:
            return {"a": [1, {"b": object()}]}

    with pytest.raises(TypeError, match=r"state of hook Strange\['a'\]\[1\]\['b'\] is a object"):
        fit(Toy(), batches, config(out=tmp_path), [Strange()])


# --- no space --------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match=r"checkpoint of step 8 could not be written \(No space left on device; .*checkpoint\.pt"
    ) as caught:
        fit(Toy(), batches, config(out=tmp_path, checkpoint_every=4))
    assert caught.value.errno == errno.ENOSPC
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pt", "log.jsonl"]
    assert checkpoints.load(tmp_path / "checkpoint.pt")["step"] == 4
    monkeypatch.undo()
    whole, again = Toy(), Toy()
    fit(whole, batches, config())
    fit(again, batches, config(out=tmp_path, checkpoint_every=4))
    assert same(whole, again)


def test_a_real_limit_on_the_size_of_files(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match=r"checkpoint of step 12 could not be written .*there is none before it"):
            fit(Toy(), batches, config(out=tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_a_log_that_is_none_of_ours_is_not_cut(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("my diary")
    with pytest.raises(FileExistsError, match=r"log\.jsonl is no log of avlib"):
        fit(Toy(), batches, config(out=tmp_path))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["my diary"]


# --- bad input -------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_names_step_and_clips_and_keeps_the_weights() -> None:
    method, before = Toy(), {}

    def bad(step: int) -> Batch:
        if step == 3:
            before.update({k: v.clone() for k, v in method.named_parameters()})
            return replace(batches(step), wave_BS=torch.full((4, 10), math.inf))
        return batches(step)

    with pytest.raises(
        NonFiniteLoss, match=r"the loss is inf at step 3; the clips of this batch: \[12, 13, 14, 15\]"
    ) as e:
        fit(method, bad, config())
    assert (e.value.step, e.value.index) == (3, [12, 13, 14, 15])
    assert all(torch.equal(v, before[k]) for k, v in method.named_parameters())


@pytest.mark.parametrize("clip", [0.0, 5.0])
def test_a_gradient_that_is_no_number_stops_before_the_weights_are_spoilt(tmp_path: Path, clip: float) -> None:
    class Cusp(Toy):
        """A finite loss whose slope is not defined at step 3."""

        def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
            values, zero = super().loss(batch, step), self.scale - self.scale
            return values | {"loss": values["loss"] + zero.sqrt()} if step == 3 else values

    method, before = Cusp(), {}

    def seen(step: int) -> Batch:
        before.update({name: value.clone() for name, value in method.named_parameters()})
        return batches(step)

    with pytest.raises(
        NonFiniteLoss, match=r"the norm of the gradient is nan at step 3; the clips of this batch: \[12, 13, 14, 15\]"
    ) as e:
        fit(method, seen, config(clip=clip, out=tmp_path, checkpoint_every=2))
    assert (e.value.step, e.value.index) == (3, [12, 13, 14, 15])
    assert all(torch.equal(value, before[name]) for name, value in method.named_parameters())
    kept = checkpoints.load(tmp_path / "checkpoint.pt")
    assert kept["step"] == 2 and all(bool(value.isfinite().all()) for value in kept["method"].values())


def test_an_empty_batch_is_named() -> None:
    with pytest.raises(ValueError, match="the batch of step 2 is empty"):
        fit(Toy(), lambda step: batches(step) if step < 2 else Batch(torch.zeros(0), torch.zeros(0, 10)), config())


@pytest.mark.parametrize(
    ("value", "message"), [({"los": 1}, r"it has: \['los'\]"), (torch.tensor(1.0), "it has: Tensor")]
)
def test_a_loss_without_its_key_is_named(value: object, message: str) -> None:
    class Wrong(Toy):
        def loss(self, batch: Batch, step: int) -> object:  # type: ignore[override]
            return value

    with pytest.raises(ValueError, match=rf"Wrong.loss must return a dict with the key 'loss'; {message}"):
        fit(Wrong(), batches, config())


def test_what_is_logged_must_be_one_number() -> None:
    class Wrong(Toy):
        def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
            return super().loss(batch, step) | {"many": torch.zeros(3)}

    with pytest.raises(ValueError, match=r"'many' cannot be logged.*\(3,\)"):
        fit(Wrong(), batches, config())


def test_names_of_the_log_are_taken() -> None:
    class Wrong(Toy):
        def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
            return super().loss(batch, step) | {"step": torch.zeros(())}

    with pytest.raises(ValueError, match="'step' is a name of the log's own"):
        fit(Wrong(), batches, config())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": "onecicle"}, "unknown schedule 'onecicle'; did you mean 'onecycle'"),
        ({"steps": -1}, "must not be negative"),
        ({"log_every": 0}, "log_every=0 must be at least 1"),
        ({"lr": 0.0}, "lr=0.0 must be above 0"),
        ({"lr": math.nan}, "lr=nan must be above 0"),
        ({"warmup": 1.0}, "warmup=1.0 within"),
        ({"clip": -1.0}, "clip=-1.0 not negative"),
    ],
)
def test_bad_settings_are_named(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)
