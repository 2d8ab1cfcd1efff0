"""Encoders of raw waveforms: SoundNet in its two published sizes and a small one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One row of a SoundNet table: a convolution, or (channels 0) a max-pooling."""

    name: str
    channels: int
    kernel: int
    stride: int
    pad: int = 0

    def length(self, samples: int) -> int:
        """Outputs along time; below 1 the input is too short."""
        return (samples + 2 * self.pad - self.kernel) // self.stride + 1


EIGHT = (
    Layer("conv1", 16, 64, 2, 32),
    Layer("pool1", 0, 8, 8),
    Layer("conv2", 32, 32, 2, 16),
    Layer("pool2", 0, 8, 8),
    Layer("conv3", 64, 16, 2, 8),
    Layer("conv4", 128, 8, 2, 4),
    Layer("conv5", 256, 4, 2, 2),
    Layer("pool5", 0, 4, 4),
    Layer("conv6", 512, 4, 2, 2),
    Layer("conv7", 1024, 4, 2, 2),
)
FIVE = (
    Layer("conv1", 32, 64, 2, 32),
    Layer("pool1", 0, 8, 8),
    Layer("conv2", 64, 32, 2, 16),
    Layer("pool2", 0, 8, 8),
    Layer("conv3", 128, 16, 2, 8),
    Layer("pool3", 0, 8, 8),
    Layer("conv4", 256, 8, 2, 4),
)
SMALL = (
    Layer("conv1", 16, 64, 4, 32),
    Layer("pool1", 0, 4, 4),
    Layer("conv2", 32, 16, 2, 8),
    Layer("pool2", 0, 4, 4),
    Layer("conv3", 64, 8, 2, 4),
    Layer("conv4", 128, 4, 2, 2),
    Layer("pool4", 0, 2, 2),
    Layer("conv5", 256, 4, 2, 2),
)


class WaveConv(nn.Conv1d):
    """A strided convolution of one channel, (B, 1, S) -> (B, D, L): the same numbers, in a third of the time on a CPU.

    Each ``stride`` neighbouring samples become the channels of one place; then the convolution needs no stride, and
    libraries are good at those.

    Raises:
        ValueError: a stride that does not divide the kernel, more than one channel.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, pad: int) -> None:
        if inputs != 1 or kernel % stride:
            raise ValueError(f"WaveConv needs one channel, not {inputs}, and a stride that divides {kernel}: {stride}")
        super().__init__(inputs, outputs, kernel, stride, pad)

    def forward(self, wave_B1S: Tensor) -> Tensor:
        stride, pad = self.stride[0], int(self.padding[0])
        padded_B1S = nn.functional.pad(wave_B1S, (pad, pad))
        places = padded_B1S.shape[2] // stride
        phase_BCL = padded_B1S[:, 0, : places * stride].unflatten(1, (places, stride)).transpose(1, 2)
        weight = self.weight.view(self.out_channels, -1, stride).transpose(1, 2)
        return nn.functional.conv1d(phase_BCL, weight, self.bias)


class WaveNet(nn.Module):
    """Convolutions (normalised, rectified) and poolings along a waveform, in the order of ``layers``.

    The waveform (-1…1) is multiplied by 256, SoundNet's own range. Weights start from N(0, 0.01), biases from 0, the
    scale of each normalisation from N(1, 0.02), as released.
    """

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        super().__init__()
        self.table = layers
        modules: dict[str, nn.Module] = {}
        inputs = 1
        for row in layers:
            if row.channels == 0:
                modules[row.name] = nn.MaxPool1d(row.kernel, row.stride)
                continue
            kind = nn.Conv1d if inputs > 1 else WaveConv
            conv = kind(inputs, row.channels, row.kernel, row.stride, row.pad)
            modules[row.name] = nn.Sequential(conv, nn.BatchNorm1d(row.channels), nn.ReLU(inplace=True))
            inputs = row.channels
        self.layers = nn.ModuleDict(modules)
        self.apply(_released_init)

    def lengths(self, samples: int) -> dict[str, int]:
        """Outputs along time of every layer for ``samples``; stops before the first that would be empty."""
        found: dict[str, int] = {}
        for row in self.table:
            samples = row.length(samples)
            if samples < 1:
                break
            found[row.name] = samples
        return found

    def shortest(self, layer: str) -> int:
        """The fewest samples for one output of ``layer``."""
        need = 1
        for row in reversed(self.table[: self._place(layer) + 1]):
            need = max((need - 1) * row.stride + row.kernel - 2 * row.pad, 1)
        return need

    def features(self, wave_BS: Tensor, layer: str) -> Tensor:
        """The output of ``layer`` (after its rectification), (B, D, L).

        Raises:
            ValueError: an unknown layer, a wave that is not (clips, samples) or too short for one output.
        """
        place = self._place(layer)
        if wave_BS.ndim != 2 or wave_BS.shape[0] == 0:
            raise ValueError(f"{type(self).__name__} needs wave_BS (clips, samples), not shape {tuple(wave_BS.shape)}")
        if layer not in self.lengths(wave_BS.shape[1]):
            need = self.shortest(layer)
            raise ValueError(f"{type(self).__name__} needs {need} samples for {layer}, not {wave_BS.shape[1]}")
        return list(self._run(wave_BS, self.table[: place + 1]).values())[-1]

    def activations(self, wave_BS: Tensor) -> dict[str, Tensor]:
        """The output of every layer that ``wave_BS`` is long enough for, name to (B, D, L), in one pass."""
        return self._run(wave_BS, self.table[: len(self.lengths(wave_BS.shape[1]))])

    def _run(self, wave_BS: Tensor, table: tuple[Layer, ...]) -> dict[str, Tensor]:
        value, found = wave_BS[:, None] * 256, {}
        for row in table:
            found[row.name] = value = self.layers[row.name](value)
        return found

    def _place(self, layer: str) -> int:
        names = [row.name for row in self.table]
        if layer not in names:
            raise ValueError(f"unknown layer {layer!r} of {type(self).__name__}; there are: {', '.join(names)}")
        return names.index(layer)


def _released_init(module: nn.Module) -> None:
    if isinstance(module, nn.Conv1d):
        nn.init.normal_(module.weight, 0, 0.01)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d):
        nn.init.normal_(module.weight, 1, 0.02)


class _SoundNet(WaveNet):
    """A :class:`WaveNet` whose last layer is one linear convolution a teacher."""

    def __init__(self, layers: tuple[Layer, ...], head: Layer, classes: tuple[int, ...]) -> None:
        super().__init__((*layers, head))
        del self.layers[head.name]
        inputs = next(row.channels for row in reversed(layers) if row.channels)
        convs = [nn.Conv1d(inputs, count, head.kernel, head.stride, head.pad) for count in classes]
        self.sizes = list(classes)
        self.layers[head.name] = Heads(convs).apply(_released_init)

    def forward(self, wave_BS: Tensor) -> tuple[Tensor, ...]:
        """Logits of each teacher's classes along time: wave_BS -> one (B, K, L) a teacher."""
        return self.features(wave_BS, self.table[-1].name).split(self.sizes, 1)


class Heads(nn.Module):
    """Several convolutions over the same input, their outputs one above the other."""

    def __init__(self, convs: list[nn.Conv1d]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(convs)

    def forward(self, value: Tensor) -> Tensor:
        return torch.cat([conv(value) for conv in self.convs], 1)


class SoundNetSmall(_SoundNet):
    """:class:`WaveSmall` with a linear head a teacher: wave_BS -> logits (B, K, L) for each; 1 s gives L = 9."""

    def __init__(self, classes: tuple[int, ...] = (1000, 401)) -> None:
        super().__init__(SMALL, Layer("conv6", sum(classes), 1, 1), classes)


class SoundNet8(_SoundNet):
    """The eight-layer SoundNet, 22,050 Hz: wave_BS -> logits (B, 1000, L) and (B, 401, L); 20 s give L = 4.

    Source: Aytar, Vondrick & Torralba, NIPS 2016, with the released code's strides (the paper's table misprints them).
    """

    def __init__(self, classes: tuple[int, ...] = (1000, 401)) -> None:
        super().__init__(EIGHT, Layer("conv8", sum(classes), 8, 2), classes)


class SoundNet5(_SoundNet):
    """The five-layer SoundNet, 22,050 Hz: wave_BS -> logits (B, 1000, L) and (B, 401, L); 20 s give L = 4.

    Source: Aytar, Vondrick & Torralba, NIPS 2016, with the released code's strides.
    """

    def __init__(self, classes: tuple[int, ...] = (1000, 401)) -> None:
        super().__init__(FIVE, Layer("conv5", sum(classes), 16, 12, 4), classes)


class WaveSmall(WaveNet):
    """A SoundNet for one or two seconds at 16 kHz: wave_BS -> map_BDL, D = 256; 2 s give L = 17; 191 k parameters."""

    def __init__(self) -> None:
        super().__init__(SMALL)

    def forward(self, wave_BS: Tensor) -> Tensor:
        return self.features(wave_BS, self.table[-1].name)
