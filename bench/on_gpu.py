"""Ten minutes on a GPU: what only a card can show, in one script that a person starts once.

    avlib pack build orchestra                                   # here, where the drawings are; take the file along
    python bench/on_gpu.py --minutes 9 --out OUT --pack orchestra.safetensors
    python bench/on_gpu.py --minutes 2 --out OUT --device cpu    # a dry run: smaller sizes, profile smoke

Four sections, in this order, each with a share of the time: what CPU and card must agree on, speed beside peers, how
much of the card training uses, and the claims of each method under profile ``gpu``, as many seeds as fit. What fails or
finds no time is said and loses nothing else. ``OUT/report.jsonl`` grows line by line, ``OUT/report.md`` is a table of
it, ``OUT/results`` holds the records (those under ``gpu`` may be committed as ``results/gpu``).

It needs no network and no package beyond torch, torchvision, torchaudio, numpy, pandas, scikit-learn and safetensors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ["TQDM_DISABLE"] = "1"

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from avlib import clustering, experiment, losses, matching, profiles, provenance, recipes, results
from avlib.audio import LogMel
from avlib.encoders import AudioResNet, ImageResNet18, VideoR2Plus1D18, pool_max
from avlib.train import History, TrainConfig, fit
from avlib.types import SAMPLE_RATE, Batch
from avlib.world import World, library

BEGUN = time.monotonic()
UNTIL = {"agreement": 0.15, "speed": 0.3, "training": 0.45, "claims": 1.0}
"""The sections, and the share of the time after which each is over; what one leaves over the next ones have."""
FIRST = ("l3", "dsol", "soundnet")
"""Methods whose claims come first; then the others of the library."""
PEAKS = {
    "B200": 2250e12, "GH200": 989e12, "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12,
    "L40S": 362e12, "L40": 181e12, "L4": 121e12, "A10G": 70e12, "A10": 125e12, "4090": 165e12, "3090": 71e12,
}  # fmt: skip
"""Dense bfloat16 FLOP/s of cards by a part of their names, the first that fits; an unknown card counts as infinite."""
RESERVE = 3.0
"""Seconds kept for the last table."""

Numbers = dict[str, Any]


class OutOfTime(BaseException):
    """A section's time is over. No ``except Exception`` below must swallow it."""


@dataclass
class Setting:
    """What is run where.

    Attributes:
        device, profile, methods, arms, seeds: as in the command line.
        end: when all must be over, in seconds of the monotonic clock.
        minutes: how long a cell of each method takes, as far as it was estimated.
    """

    device: torch.device
    profile: str
    methods: tuple[str, ...]
    arms: tuple[str, ...] | None
    seeds: int
    end: float
    minutes: dict[str, float] = field(default_factory=dict)

    @property
    def small(self) -> bool:
        """Sizes of a dry run."""
        return self.device.type == "cpu"


class Report:
    """Lines of JSON as they come, and a Markdown table of them."""

    def __init__(self, out: Path) -> None:
        self.path, self.lines = out / "report.jsonl", list[Numbers]()
        self.path.write_text("", encoding="utf-8")

    def add(self, section: str, name: str, status: str, numbers: Numbers) -> None:
        line = {"section": section, "name": name, "status": status, **numbers}
        self.lines.append(line)
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{time.monotonic() - BEGUN:5.0f} s  {section}: {name}: {status}  {_shown(numbers)}", flush=True)

    def write_table(self, below: str) -> None:
        rows = ["| section | what | | numbers |", "|---|---|---|---|"]
        rows += [
            f"| {line['section']} | {line['name']} | {line['status']} | "
            f"{_shown({k: v for k, v in line.items() if k not in ('section', 'name', 'status')})} |"
            for line in self.lines
        ]
        self.path.with_suffix(".md").write_text("\n".join([*rows, "", below]) + "\n", encoding="utf-8")


def _shown(numbers: Numbers) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in numbers.items())


@contextlib.contextmanager
def until(end: float) -> Iterator[None]:
    """Raises `OutOfTime` within, once the clock says so (where the system has alarms, so not on Windows)."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: object) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(end - time.monotonic(), 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(report: Report, section: str, name: str, run: Callable[[], Numbers], end: float) -> None:
    """Run one thing and report it, whatever becomes of it; ``good`` among its numbers says whether all is well."""
    if time.monotonic() >= end:
        report.add(section, name, "no time", {})
        return
    begun = time.monotonic()
    try:
        with until(end):
            numbers = run()
    except OutOfTime as over:
        why = {"why": str(over)} if str(over) else {}
        report.add(section, name, "no time", {"seconds": time.monotonic() - begun} | why)
    except Exception as error:
        trace = "".join(traceback.format_exception(error)[-3:])
        report.add(section, name, "error", {"error": f"{type(error).__name__}: {error}"[:500], "trace": trace[-1500:]})
    else:
        good = numbers.pop("good", None)
        report.add(section, name, {None: "done", True: "good", False: "BAD"}[good], numbers)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


# --- agreement -------------------------------------------------------------------------------------------------------


def agreement(setting: Setting) -> Iterator[tuple[str, Callable[[], Numbers]]]:
    """What must come out alike on both devices, in both precisions, in both layouts, compiled or not."""
    for preset in ("solo", "cocktail", "moving", "faces", "ambient"):
        yield f"clips of {preset}, device against CPU", lambda preset=preset: clips_alike(setting, preset)
    for name in ("correspondence", "InfoNCE", "KL", "noise-contrastive"):
        yield f"{name}: a loss of bfloat16 inputs is in float32", lambda name=name: loss_in_float32(setting, name)
    for name in setting.methods:
        yield f"{name}: bfloat16 against float32", lambda name=name: precisions_alike(setting, name)
        yield f"{name}: channels_last", lambda name=name: layouts_alike(setting, name)
    yield f"{setting.methods[0]}: compiled", lambda: compiled_alike(setting, setting.methods[0])


def clips_alike(setting: Setting, preset: str) -> Numbers:
    """Latents are drawn on the CPU for both; frames to 8 bits and sounds must not depend on the device."""
    worlds = [World(preset=preset, split="test", device=device) for device in ("cpu", setting.device)]
    ours, theirs = (world.batch(range(16)).to("cpu") for world in worlds)
    frames = [(b.image_BCHW if b.video_BTCHW is None else b.video_BTCHW) for b in (ours, theirs)]
    apart = (frames[0] - frames[1]).abs()
    sound = float((ours.wave_BS - theirs.wave_BS).abs().max())
    truth = all(
        torch.allclose(getattr(ours.truth, n), getattr(theirs.truth, n), atol=1e-3, equal_nan=True)
        for n in ("category_BN", "box_BN4", "sounding_BN", "shift_B")
    )
    numbers = {"largest": float(apart.max()), "pixels off by 1/255": float((apart > 1 / 255).float().mean())}
    return numbers | {"sound": sound, "good": truth and float(apart.max()) < 2 / 255 and sound < 1e-3}


def loss_in_float32(setting: Setting, name: str) -> Numbers:
    """A loss under autocast, of bfloat16 inputs, beside float64 of the same rounded inputs."""
    generator = torch.Generator().manual_seed(0)
    sim_BB = torch.randn(256, 256, generator=generator).to(setting.device).bfloat16()
    other_BB = torch.randn(256, 256, generator=generator).to(setting.device).softmax(1).bfloat16()
    run: Callable[[Tensor, Tensor], Tensor] = {
        "correspondence": lambda sim, _: losses.correspondence(sim),
        "InfoNCE": lambda sim, _: losses.info_nce(sim, 0.07),
        "KL": lambda sim, other: losses.kl_distillation(other, sim),
        "noise-contrastive": lambda sim, _: losses.noise_contrastive(sim[:, 0], sim[:, 1:], 256.0, 0.5),
    }[name]
    with torch.autocast(setting.device.type, torch.bfloat16):
        found = run(sim_BB, other_BB)
    expected = run(sim_BB.double(), other_BB.double())
    apart = float((found.double() - expected).abs() / expected.abs())
    return {"relative": apart, "good": found.dtype == torch.float32 and apart < 1e-4}


class Peek(experiment.Run):
    """A run that trains nothing: it remembers the net of the last stage and the first batch it would learn from.

    Hooks see that batch, since a net may need what they make (clusters).
    """

    found: tuple[nn.Module, Batch]

    def fit(self, method: nn.Module, batches: experiment.Batches, *_: Any, **settings: Any) -> History:
        self.found = method.to(self.device), batches(0).to(self.device)
        for hook in settings.get("hooks", ()):
            hook(*self.found, 0)
        return History()


def learner(setting: Setting, name: str) -> tuple[nn.Module, Batch]:
    """A method's net at the size of the profile, in training mode, and a batch that it would learn from."""
    budget, batch = profiles.profile(setting.profile, name), 16 if setting.small else 64
    small = replace(budget, batch=batch, count=min(budget.count, 4 * batch), steps=20)
    run, recipe = Peek(small, device=str(setting.device)), recipes.load(name)
    run.trained(recipe, next(iter(recipe.ARMS)))
    return run.found[0].train(), run.found[1]


def gradient(loss: Callable[[Batch, int], Numbers], method: nn.Module, batch: Batch) -> tuple[float, Tensor]:
    """A loss and its gradient as one vector; what the method keeps between steps is as before."""
    before = {name: kept.clone() for name, kept in method.state_dict().items()}
    method.zero_grad(set_to_none=True)
    value = loss(batch, 0)["loss"]
    value.backward()
    method.load_state_dict(before)
    parts = [p.grad.flatten().float() for p in method.parameters() if p.grad is not None]
    return float(value.detach()), torch.cat(parts)


def beside(first: tuple[float, Tensor], second: tuple[float, Tensor], least_cosine: float, most: float) -> Numbers:
    """How far two losses and their gradients are apart, and whether that is little enough."""
    apart = abs(first[0] - second[0]) / max(abs(first[0]), 1e-9)
    cosine = float(functional.cosine_similarity(first[1], second[1], dim=0))
    good = apart < most and cosine > least_cosine
    return {"loss": first[0], "relative": apart, "cosine of gradients": cosine, "good": good}


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """No TensorFloat-32 in convolutions: the two sides of a comparison round alike."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def precisions_alike(setting: Setting, name: str) -> Numbers:
    """A method's loss and gradient under bfloat16 autocast, beside float32."""
    method, batch = learner(setting, name)
    with exact():
        whole = gradient(method.loss, method, batch)
    with torch.autocast(setting.device.type, torch.bfloat16):
        return beside(whole, gradient(method.loss, method, batch), 0.8, 0.02)


def layouts_alike(setting: Setting, name: str) -> Numbers:
    """A method's loss and gradient with channels innermost, beside the usual layout."""
    method, batch = learner(setting, name)
    with exact():
        usual = gradient(method.loss, method, batch)
        for weight in method.parameters():
            if weight.ndim == 4:  # those of films and of sounds over time have no such layout
                weight.data = weight.data.to(memory_format=torch.channels_last)
        return beside(usual, gradient(method.loss, method, batch), 0.999, 1e-3)


def compiled_alike(setting: Setting, name: str) -> Numbers:
    """A method's compiled loss and gradient, beside what it is without; on a CPU it is traced only."""
    method, batch = learner(setting, name)
    with exact():
        usual = gradient(method.loss, method, batch)
        begun = time.monotonic()
        compiled = torch.compile(method.loss, backend="eager" if setting.small else "inductor")
        numbers = beside(usual, gradient(compiled, method, batch), 0.999, 1e-3)
    return numbers | {"seconds to compile": time.monotonic() - begun}


# --- speed -----------------------------------------------------------------------------------------------------------


def speed(setting: Setting) -> Iterator[tuple[str, Callable[[], Numbers]]]:
    """Each row beside a peer that is measured in the same minute."""
    yield "renderer, frames/s, beside the same on the CPU", lambda: renderer(setting)
    yield "log-mel beside torchaudio", lambda: log_mel(setting)
    yield "matchmap of all pairs (MISA) beside one einsum", lambda: matchmap(setting)
    yield "Sinkhorn (log domain) beside a loop of divisions", lambda: transport(setting)
    yield "k-means beside scikit-learn", lambda: k_means(setting)


def seconds(setting: Setting, run: Callable[[], object], repeats: int = 7) -> float:
    """Median time of ``run`` after two that are not counted, with all that the device still had to do."""
    times = []
    for _ in range(3 if setting.small else repeats + 2):
        begun = time.perf_counter()
        run()
        if setting.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return statistics.median(times[2:])


def ratio(ours: float, peer: float) -> Numbers:
    return {"ours, ms": ours * 1e3, "peer, ms": peer * 1e3, "ratio": peer / ours}


def renderer(setting: Setting) -> Numbers:
    clips, size = (8, 64) if setting.small else (64, 128)
    dials = {"preset": "moving", "size": size, "seconds": 1.0, "fps": 8, "things": (3, 3), "sounding": (1, 3)}
    ours, peer = (World(device=device, **dials) for device in (setting.device, "cpu"))
    few = 8
    rate = clips * ours.frames / seconds(setting, lambda: ours.batch(range(clips)))
    slow = few * ours.frames / seconds(setting, lambda: peer.batch(range(few)), 1)
    return {"frames/s": rate, "CPU, frames/s": slow, "ratio": rate / slow, "px": size}


def log_mel(setting: Setting) -> Numbers:
    import torchaudio

    wave_BS = torch.randn(16 if setting.small else 1024, SAMPLE_RATE, device=setting.device) * 0.1
    ours = LogMel().to(setting.device)
    sizes = {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 64}
    theirs = torchaudio.transforms.MelSpectrogram(SAMPLE_RATE, **sizes).to(setting.device)
    times = [seconds(setting, run) for run in (lambda: ours(wave_BS), lambda: (theirs(wave_BS) + 1e-6).log())]
    return ratio(*times) | {"clips": len(wave_BS)}


def matchmap(setting: Setting) -> Numbers:
    clips = 8 if setting.small else 64
    image = torch.randn(clips, 128, 8, 8, device=setting.device, requires_grad=True)
    audio = torch.randn(clips, 128, 50, device=setting.device, requires_grad=True)

    def einsum() -> Tensor:
        return torch.einsum("idyx,jdl->ijlyx", image, audio).flatten(3).amax(3).mean(2)

    def step(score: Callable[[], Tensor]) -> None:
        image.grad = audio.grad = None
        score().square().mean().backward()

    own = lambda: matching.all_pairs(image, audio)  # noqa: E731
    good = torch.allclose(own(), einsum(), atol=1e-2, rtol=1e-2)
    return ratio(*(seconds(setting, lambda score=score: step(score)) for score in (own, einsum))) | {"good": good}


def transport(setting: Setting) -> Numbers:
    score_NK = torch.randn(512 if setting.small else 16384, 64, device=setting.device).log_softmax(1)

    def plain() -> Tensor:
        plan_NK = (5.0 * score_NK.double()).exp()
        for _ in range(20):
            plan_NK = plan_NK / plan_NK.sum(1, keepdim=True)
            plan_NK = plan_NK / plan_NK.sum(0, keepdim=True)
        return plan_NK

    ours = seconds(setting, lambda: clustering.sinkhorn(score_NK, strength=5.0, rounds=20, tolerance=0.0))
    return ratio(ours, seconds(setting, plain)) | {"rows": len(score_NK), "rounds": 20}


def k_means(setting: Setting) -> Numbers:
    from sklearn.cluster import KMeans

    rows, clusters = (500, 10) if setting.small else (16384, 64)
    value_ND = torch.randn(rows, 64, generator=torch.Generator().manual_seed(0))
    array, there_ND = value_ND.numpy(), value_ND.to(setting.device)
    found: dict[str, float] = {}

    def ours() -> None:
        found["ours"] = clustering.kmeans(there_ND, clusters, torch.Generator().manual_seed(0), 1).inertia

    def peer() -> None:
        found["peer"] = float(KMeans(clusters, n_init=1, max_iter=100, random_state=0).fit(array).inertia_)

    numbers = ratio(seconds(setting, ours, 3), seconds(setting, peer, 3)) | {"rows": rows}
    return numbers | {"inertia over the peer's": found["ours"] / found["peer"]}


# --- training --------------------------------------------------------------------------------------------------------


class Pair(nn.Module):
    """An encoder of pictures or videos and one of sounds; InfoNCE of their maxima."""

    def __init__(self, sight: nn.Module) -> None:
        super().__init__()
        self.sight, self.mel, self.sound = sight, LogMel(), AudioResNet()

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        seen = batch.video_BTCHW if batch.image_BCHW is None else batch.image_BCHW
        pooled = (pool_max(self.sight(seen)), pool_max(self.sound(self.mel(batch.wave_BS))))
        image_BD, audio_BD = (functional.normalize(value.float(), dim=1) for value in pooled)
        return {"loss": losses.info_nce(image_BD @ audio_BD.t())}


def training(setting: Setting) -> Iterator[tuple[str, Callable[[], Numbers]]]:
    """Clips a second of whole steps of `fit`, and which part of the card's peak they use; what a cell would cost."""
    shapes = {"ResNet-18": (4, (3, 32, 32)), "R(2+1)D-18": (2, (4, 3, 32, 32))}
    if not setting.small:
        shapes = {"ResNet-18": (512, (3, 224, 224)), "R(2+1)D-18": (64, (16, 3, 112, 112))}
    for compiled in (False, True)[: 1 if setting.small else 2]:
        for name, (clips, shape) in shapes.items():
            about = f"{name} and audio ResNet-18{', compiled' if compiled else ''}"
            yield about, lambda name=name, shape=shape, n=clips, c=compiled: throughput(setting, name, n, shape, c)
    for name in setting.methods:
        yield f"{name}: one cell of profile {setting.profile}", lambda name=name: estimate(setting, name)


def throughput(setting: Setting, name: str, clips: int, shape: tuple[int, ...], compiled: bool) -> Numbers:
    """Whole steps of `fit` on a batch in memory, in bfloat16; half the clips where the card's memory is too small."""
    sight = ImageResNet18() if name == "ResNet-18" else VideoR2Plus1D18()
    method = Pair(sight).to(setting.device)
    seen = torch.rand(clips, *shape, device=setting.device)
    wave_BS = torch.randn(clips, SAMPLE_RATE, device=setting.device) * 0.1
    batch = Batch(torch.arange(clips), wave_BS, **{"image_BCHW" if len(shape) == 3 else "video_BTCHW": seen})
    steps = 1 if setting.small else 30

    def train(count: int) -> None:
        config = TrainConfig(count, compile=compiled, progress=False, device=str(setting.device), clip=0.0)
        fit(method, lambda step: batch, config)

    try:
        with FlopCounterMode(display=False) as counter:
            gradient(method.loss, method, batch)
        train(1 if setting.small else 5)
        begun = time.monotonic()
        train(steps)
    except torch.OutOfMemoryError:
        return throughput(setting, name, clips // 2, shape, compiled)
    spent = (time.monotonic() - begun) / steps
    used = counter.get_total_flops() / spent
    return {"clips/s": clips / spent, "TFLOP/s": used / 1e12, "MFU": used / peak(setting.device), "batch": clips}


def peak(device: torch.device) -> float:
    """FLOP/s of a card in bfloat16; infinite where it is unknown, so that utilisation shows 0."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((value for part, value in PEAKS.items() if part in name), float("inf"))


def estimate(setting: Setting, name: str) -> Numbers:
    """From two short trainings: what a step costs, and how long the method's own arm would take."""
    budget, recipe = profiles.profile(setting.profile, name), recipes.load(name)
    spent = {}
    for steps in (8, 24):
        run, begun = experiment.Run(replace(budget, steps=steps), device=str(setting.device)), time.monotonic()
        run.trained(recipe, next(iter(recipe.ARMS)))
        spent[steps] = time.monotonic() - begun
    step = max((spent[24] - spent[8]) / 16, 1e-6)
    setting.minutes[name] = max(spent[8] + (budget.steps - 8) * step, 0.0) / 60
    return {"ms a step": step * 1e3, "clips/s": budget.batch / step, "minutes to train": setting.minutes[name]}


# --- claims ----------------------------------------------------------------------------------------------------------


def measure_claims(setting: Setting) -> Iterator[tuple[str, Callable[[], Numbers]]]:
    """Every method's own arm once, most important first; then all arms, seed by seed."""
    for name in setting.methods:
        own = next(iter(recipes.load(name).ARMS))
        if setting.arms is None or own in setting.arms:
            yield f"{name}, own arm, seed 0", lambda name=name, own=own: cells(setting, name, 0, (own,))
    for seed in range(setting.seeds):
        for name in setting.methods:
            yield f"{name}, seed {seed}", lambda name=name, seed=seed: cells(setting, name, seed, setting.arms)


def cells(setting: Setting, name: str, seed: int, arms: tuple[str, ...] | None) -> Numbers:
    """Cells of one seed, recorded one by one; none is begun that would not be over in time."""
    shortest = setting.minutes.get(name, 0.0)
    measured: list[str] = []

    def say(line: str) -> None:
        print(f"        {name}: {line}", flush=True)
        measured.append(line)
        check()

    def check() -> None:
        left = (setting.end - time.monotonic()) / 60
        if shortest > left:
            raise OutOfTime(f"a cell takes about {shortest:.1f} min, {left:.1f} min are left")

    check()
    results.run_claims(name, setting.profile, [seed], 1, arms, str(setting.device), say=say)
    return {"cells": len(measured)}


def verdicts(setting: Setting) -> str:
    """What the records say so far, method by method."""
    found = []
    for name in setting.methods:
        if (results.folder() / setting.profile / f"{name}.json").exists():
            with contextlib.suppress(ValueError, OSError):
                found.append(f"## {name}\n\n```\n{results.read(name, setting.profile).verdicts()}\n```\n")
    return "\n".join(found)


# --- the whole -------------------------------------------------------------------------------------------------------

SECTIONS = {"agreement": agreement, "speed": speed, "training": training, "claims": measure_claims}


def main(argv: list[str] | None = None) -> int:
    """Run the sections and write the report; 0 where nothing was bad and nothing raised."""
    arguments = parsed(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("there is no CUDA device here; --device cpu makes a dry run")
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ["AVLIB_RESULTS"] = str(arguments.out / "results")
    with tempfile.TemporaryDirectory() as cache:
        if arguments.pack:
            os.environ["AVLIB_CACHE"] = cache
            library.compiled("orchestra").parent.mkdir(parents=True)
            shutil.copy(arguments.pack, library.compiled("orchestra"))
        return run_all(arguments)


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.0, help="when all must be over (default: 9)")
    parser.add_argument("--out", type=Path, default=Path("runs", "gpu"), help="folder of report and records")
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument("--pack", type=Path, help="the compiled pack, where its assets are not installed")
    parser.add_argument("--profile", help="default: gpu; smoke on a CPU")
    parser.add_argument("--methods", type=listed, help="whose claims (default: all that need no real data)")
    parser.add_argument("--arms", type=listed, help="only these arms")
    parser.add_argument("--seeds", type=int, default=5, help="at most so many (default: 5)")
    parser.add_argument("--sections", type=listed, default=tuple(UNTIL), help=f"default: {','.join(UNTIL)}")
    return parser.parse_args(argv)


def listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def run_all(arguments: argparse.Namespace) -> int:
    made = [name for name in recipes.names() if not name.endswith("_real")]
    methods = arguments.methods or (*FIRST, *(name for name in made if name not in FIRST))
    device, total = torch.device(arguments.device), arguments.minutes * 60
    profile = arguments.profile or ("smoke" if device.type == "cpu" else "gpu")
    end = BEGUN + total - RESERVE
    setting = Setting(device, profile, tuple(methods), arguments.arms, arguments.seeds, end)
    report = Report(arguments.out)
    attempt(report, "machine", provenance.device_name(str(device)), lambda: machine(device), end)
    for section in arguments.sections:
        for name, run in SECTIONS[section](setting):
            attempt(report, section, name, run, min(end, BEGUN + total * UNTIL[section]))
    report.write_table(verdicts(setting))
    print(f"{report.path.with_suffix('.md')}: {len(report.lines)} rows")
    return int(any(line["status"] in ("BAD", "error") for line in report.lines))


def machine(device: torch.device) -> Numbers:
    """What it runs on and with."""
    versions = {name: value for name, value in provenance.versions().items() if value}
    commit = provenance.commit(Path(__file__).parent.parent)
    return {**versions, "commit": commit, "threads": torch.get_num_threads(), "peak TFLOP/s": peak(device) / 1e12,
            "pack": library.load("orchestra").sha256[:16]}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
