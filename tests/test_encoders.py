"""Shapes, sizes and named errors of every encoder."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from avlib import encoders
from avlib.encoders.wave import WaveNet

CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...], int]] = {
    "ImageSmall": (encoders.ImageSmall, (2, 3, 64, 64), (2, 128, 8, 8), 257_696),
    "ImageSmall stride 4": (lambda: encoders.ImageSmall(16, 32, 4), (2, 3, 64, 64), (2, 32, 16, 16), 25_776),
    "AudioSmall": (encoders.AudioSmall, (2, 64, 100), (2, 128, 8, 13), 113_904),
    "ImageVGG": (encoders.ImageVGG, (1, 3, 224, 224), (1, 512, 28, 28), 4_687_296),
    "ImageVGG of AVE": (lambda: encoders.ImageVGG(2), (1, 3, 224, 224), (1, 512, 14, 14), 4_687_296),
    "AudioVGG": (encoders.AudioVGG, (1, 257, 199), (1, 512, 32, 24), 4_686_144),
    "AudioVGG of AVE": (lambda: encoders.AudioVGG(2), (1, 257, 200), (1, 512, 16, 12), 4_686_144),
    "AudioConv9": (encoders.AudioConv9, (1, 257, 200), (1, 512, 17, 13), 4_725_696),
    "AudioResNet 9": (lambda: encoders.AudioResNet(9), (1, 64, 100), (1, 512, 2, 4), 4_899_520),
    "AudioResNet 18": (lambda: encoders.AudioResNet(18, 16), (1, 64, 100), (1, 512, 4, 7), 11_170_240),
    "ImageResNet18": (encoders.ImageResNet18, (1, 3, 64, 64), (1, 512, 2, 2), 11_176_512),
    "ImageResNet18 stride 16": (lambda: encoders.ImageResNet18(64, 16), (1, 3, 64, 64), (1, 64, 4, 4), 11_209_344),
    "VideoSmall": (encoders.VideoSmall, (2, 8, 3, 64, 64), (2, 128, 8, 8, 8), 48_368),
    "VideoSmall halves time": (
        lambda: encoders.VideoSmall(time_stride=4),
        (2, 8, 3, 32, 32),
        (2, 128, 2, 4, 4),
        48_368,
    ),
    "VideoR2Plus1D18": (encoders.VideoR2Plus1D18, (1, 8, 3, 32, 32), (1, 512, 1, 2, 2), 31_300_125),
    "VideoMC3": (encoders.VideoMC3, (1, 4, 3, 32, 32), (1, 512, 4, 2, 2), 11_490_240),
    "WaveSmall": (encoders.WaveSmall, (2, 32_000), (2, 256, 17), 190_928),
    "SpeechSmall": (encoders.SpeechSmall, (2, 40, 300), (2, 128, 75), 273_664),
    "SpeechDAVEnet": (encoders.SpeechDAVEnet, (2, 40, 300), (2, 1024, 19), 15_965_570),
    "ImageVGG16": (encoders.ImageVGG16, (1, 3, 64, 48), (1, 1024, 4, 3), 19_442_752),
    "UNetSmall": (encoders.UNetSmall, (2, 1, 129, 77), (2, 1, 129, 77), 776_929),
}


@pytest.mark.parametrize("name", CASES)
def test_shape_and_size(name: str) -> None:
    make, inputs, outputs, count = CASES[name]
    net = make()
    assert sum(p.numel() for p in net.parameters()) == count
    with torch.no_grad():
        assert net(torch.rand(inputs)).shape == outputs


@pytest.mark.parametrize("name", ["ImageSmall", "AudioSmall", "VideoSmall", "WaveSmall", "SpeechSmall", "UNetSmall"])
def test_every_parameter_learns(name: str) -> None:
    make, inputs, _, _ = CASES[name]
    net = make()
    net(torch.rand(inputs)).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in net.parameters())


@pytest.mark.parametrize("name", ["ImageSmall", "AudioSmall", "VideoSmall", "SpeechSmall"])
def test_the_first_normalisation_learns_nothing(name: str) -> None:
    assert not list(CASES[name][0]().input.parameters())


@pytest.mark.parametrize("name", ["ImageSmall", "AudioSmall", "UNetSmall", "ImageResNet18"])
def test_channels_last_changes_nothing(name: str) -> None:
    make, inputs, _, _ = CASES[name]
    net = make().eval()
    value = torch.rand(inputs)
    with torch.no_grad():
        plain = net(value)
        last = net.to(memory_format=torch.channels_last)(value)
    assert torch.allclose(plain, last, atol=1e-4)


@pytest.mark.parametrize(
    ("full", "side", "shapes", "parameters"),
    [(False, 48, ((128, 6, 6),) * 3, 422_176), (True, 227, ((256, 13, 13), (4096, 6, 6), (4096, 6, 6)), 21_590_752)],
)
def test_every_layer_of_a_picture_can_be_read(
    full: bool, side: int, shapes: tuple[tuple[int, ...], ...], parameters: int
) -> None:
    net = encoders.ImageLayers(full=full).eval()
    with torch.no_grad():
        found = net(torch.rand(1, 3, side, side))
    assert [tuple(value.shape[1:]) for value in found.values()] == list(shapes)
    assert list(found) == ["conv5", "fc6", "fc7"] and all(float(value.min()) >= 0 for value in found.values())
    assert net.dim == shapes[2][0] and sum(p.numel() for p in net.parameters()) == parameters


BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: encoders.ImageSmall(stride=5), "ImageSmall needs a stride among 2, 4, 8, 16"),
    (lambda: encoders.ImageSmall()(torch.zeros(2, 1, 64, 64)), "3 channels, not 1"),
    (lambda: encoders.ImageSmall()(torch.zeros(2, 3, 4, 64)), "at least 8×8"),
    (lambda: encoders.ImageSmall()(torch.zeros(0, 3, 64, 64)), "empty batch"),
    (lambda: encoders.ImageLayers()(torch.zeros(2, 1, 64, 64)), "3 channels, not 1"),
    (lambda: encoders.ImageLayers(full=True)(torch.zeros(2, 3, 48, 64)), "at least 64×64"),
    (lambda: encoders.AudioSmall()(torch.zeros(2, 1, 64, 100)), "AudioSmall needs mel_BFL with 3 axes"),
    (lambda: encoders.ImageVGG()(torch.zeros(1, 1, 64, 64)), "ImageVGG needs its input with 3 channels"),
    (lambda: encoders.ImageResNet18(stride=8), "16 or 32"),
    (lambda: encoders.AudioResNet(50), "depth of 9 or 18"),
    (lambda: encoders.VideoSmall()(torch.zeros(2, 3, 64, 64)), "VideoSmall needs video_BTCHW"),
    (lambda: encoders.VideoSmall()(torch.zeros(2, 4, 1, 64, 64)), "3 channels, not 1"),
    (lambda: encoders.VideoSmall(time_stride=3), "time_stride of 1, 2 or 4"),
    (lambda: encoders.VideoMC3()(torch.zeros(1, 2, 3, 8, 8)), "VideoMC3 needs"),
    (lambda: encoders.SpeechSmall()(torch.zeros(1, 64, 300)), "40 channels, not 64"),
    (lambda: encoders.SpeechDAVEnet()(torch.zeros(1, 40, 300, 1)), "SpeechDAVEnet needs mel_BFL with 3 axes"),
    (lambda: encoders.ImageVGG16()(torch.zeros(1, 3, 8, 64)), "at least 16×16"),
    (lambda: encoders.TextSmall(9)(torch.zeros(1, 3).long()), "captions without a word: rows .0."),
    (lambda: encoders.TextSmall(9)(torch.full((1, 3), 9)), "tokens 0…8"),
    (lambda: encoders.UNetSmall(condition=4)(torch.zeros(2, 1, 32, 32)), "condition_BD of shape .2, 4."),
    (lambda: encoders.WaveSmall()(torch.zeros(1, 1, 32_000)), "WaveSmall needs wave_BS"),
    (lambda: encoders.WaveSmall().features(torch.zeros(1, 32_000), "pool5"), "unknown layer 'pool5'.*conv1, pool1"),
]


@pytest.mark.parametrize(("call", "words"), BAD)
def test_bad_input_is_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_lengths_of_soundnet() -> None:
    eight, five = encoders.SoundNet8((10, 5)), encoders.SoundNet5((10, 5))
    assert list(eight.lengths(441_000).values()) == [220_501, 27_562, 13_782, 1722, 862, 432, 217, 54, 28, 15, 4]
    assert list(five.lengths(441_000).values()) == [220_501, 27_562, 13_782, 1722, 862, 107, 54, 4]
    assert eight.shortest("conv8") == 209_374 and eight.shortest("pool5") == 4574
    # ESC clips repeated to 10 s, and DCASE's 30 s, at 22,050 Hz.
    assert eight.lengths(220_500)["pool5"] == 27 and eight.lengths(661_500)["pool5"] == 81
    small = encoders.WaveSmall().lengths(32_000)
    assert small["pool4"] == 32 and small["conv5"] == 17


@pytest.mark.parametrize("make", [encoders.SoundNet8, encoders.SoundNet5])
def test_soundnet_has_one_output_a_teacher(make: Callable[..., WaveNet]) -> None:
    net = make((10, 5)).eval()
    with torch.no_grad():
        objects, places = net(torch.zeros(1, 441_000))
    assert objects.shape == (1, 10, 4) and places.shape == (1, 5, 4)
    last = net.table[-1].name
    shortest = net.shortest(last)
    with torch.no_grad():
        assert net.features(torch.zeros(1, shortest), last).shape == (1, 15, 1)
    with pytest.raises(ValueError, match=f"needs {shortest} samples for {last}, not {shortest - 1}"):
        net(torch.zeros(1, shortest - 1))


def test_soundnet_weights() -> None:
    net = encoders.SoundNet8()
    weights = [p for name, p in net.named_parameters() if p.ndim == 3]
    assert sum(p.numel() for p in weights) == 14_345_216
    assert float(weights[3].detach().std()) == pytest.approx(0.01, rel=0.1)
    assert bool((net.features(torch.randn(1, 22_050), "conv4") >= 0).all())


def test_pooling() -> None:
    value = torch.randn(2, 3, 4, 5)
    assert torch.equal(encoders.pool_max(value), value.flatten(2).max(2).values)
    assert torch.allclose(encoders.pool_mean(value), value.mean((2, 3)))
    mask = torch.zeros(2, 4, 5, dtype=torch.bool)
    mask[:, 1, 2] = True
    assert torch.equal(encoders.pool_max(value, mask), value[:, :, 1, 2])
    assert torch.allclose(encoders.pool_mean(value, mask), value[:, :, 1, 2])


def test_padding_changes_no_caption() -> None:
    net = encoders.TextSmall(20)
    token = torch.tensor([[3, 4, 5], [7, 0, 0]])
    longer = torch.cat([token, torch.zeros(2, 4).long()], 1)

    def pooled(token_BL: Tensor) -> Tensor:
        return encoders.pool_max(net(token_BL), encoders.TextSmall.mask(token_BL))

    assert torch.allclose(pooled(token), pooled(longer), atol=1e-6)


def test_time_is_kept_by_the_small_video_net() -> None:
    net = encoders.VideoSmall().eval()
    video = torch.rand(1, 12, 3, 32, 32)
    with torch.no_grad():
        early, late = net(video[:, :11]), net(video[:, 1:])
    assert torch.allclose(early[:, :, 5], late[:, :, 4], atol=1e-5)


@pytest.mark.parametrize(("net", "frames"), [(encoders.SpeechSmall(), 4), (encoders.SpeechDAVEnet(width=8), 16)])
def test_speech_cells(net: encoders.SpeechSmall | encoders.SpeechDAVEnet, frames: int) -> None:
    for count in (1, 4, 5, 16, 17, 300):
        cells = int(net.cells(torch.tensor([count])))
        assert net(torch.zeros(2, 40, count)).shape[-1] == cells == -(-count // frames)


@pytest.mark.parametrize(("net", "sees"), [(encoders.SpeechSmall(), 63), (encoders.SpeechDAVEnet(width=8), 265)])
def test_how_far_a_cell_of_speech_sees(net: torch.nn.Module, sees: int) -> None:
    mel_BFL = torch.randn(1, 40, 640, requires_grad=True)
    cell_BDL = net.eval()(mel_BFL)
    middle = cell_BDL.shape[2] // 2
    # a maximum hides the frames that lost: many draws show them all
    seen_L = torch.zeros(640, dtype=torch.bool)
    for _ in range(12):
        mel_BFL = torch.randn(1, 40, 640, requires_grad=True)
        (slope,) = torch.autograd.grad(net(mel_BFL)[0, :, middle].sum(), mel_BFL)
        seen_L |= (slope[0] != 0).any(0)
    where = seen_L.nonzero().flatten()
    assert int(where[-1] - where[0]) + 1 == sees


def test_what_is_seen_reaches_the_mask() -> None:
    net = encoders.UNetSmall(1, 3, condition=4).eval()
    spectrum = torch.rand(2, 1, 64, 50)
    with torch.no_grad():
        first, second = net(spectrum, torch.zeros(2, 4)), net(spectrum, torch.ones(2, 4))
    assert first.shape == (2, 3, 64, 50) and not torch.allclose(first, second)
