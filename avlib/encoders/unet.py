"""From a spectrogram to a picture of the same size: masks, spectrograms of single sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.encoders.pool import check_input


class UNetSmall(nn.Module):
    """A U-net of ``levels`` halvings: spectrum_BCFL -> (B, outputs, F, L), linear at the end.

    Sizes that cannot be halved so often are filled up with the edge and cut again. Each level has a 4×4 convolution of
    stride 2 going down and a doubling with a 3×3 convolution going up, joined by skips.

    Args:
        inputs, outputs: channels.
        width: channels of the first level; doubled at each, up to eight times.
        levels: halvings.
        condition: coordinates of a vector per clip (what is seen) that joins at the bottom, 0 for none.

    Raises:
        ValueError: when called, another number of channels, an empty batch, a condition missing or of another shape.

    Source: after Ronneberger et al., MICCAI 2015, and the audio net of Zhao et al., The Sound of Pixels, ECCV 2018.
    """

    def __init__(self, inputs: int = 1, outputs: int = 1, width: int = 16, levels: int = 5, condition: int = 0) -> None:
        super().__init__()
        self.inputs, self.levels, self.condition = inputs, levels, condition
        sizes = [inputs, *(width * min(2**n, 8) for n in range(levels))]
        self.down = nn.ModuleList(_down(i, o) for i, o in pairwise(sizes))
        self.up = nn.ModuleList()
        below = sizes[-1] + condition
        for skip in reversed(sizes[1:-1]):
            self.up.append(_up(below, skip))
            below = 2 * skip
        self.output = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(below, outputs, 3, 1, 1))

    def forward(self, spectrum_BCFL: Tensor, condition_BD: Tensor | None = None) -> Tensor:
        return self._through(spectrum_BCFL, lambda level, value: self._join(level, value, condition_BD))

    def _through(self, spectrum_BCFL: Tensor, join: Callable[[int, Tensor], Tensor]) -> Tensor:
        """Down and up again; ``join`` may add to what goes down, before each level and at the bottom."""
        check_input(type(self).__name__, spectrum_BCFL, "spectrum_BCFL", self.inputs, (1, 1))
        height, width = spectrum_BCFL.shape[2:]
        unit = 2**self.levels
        value = functional.pad(spectrum_BCFL, (0, -width % unit, 0, -height % unit), mode="replicate")
        skips: list[Tensor] = []
        for level, layer in enumerate(self.down):
            value = layer(join(level, value))
            skips.append(value)
        value = join(self.levels, skips.pop())
        for layer in self.up:
            value = torch.cat([layer(value), skips.pop()], 1)
        return self.output(value)[..., :height, :width]

    def _join(self, level: int, bottom: Tensor, condition_BD: Tensor | None) -> Tensor:
        if level < self.levels or (self.condition == 0 and condition_BD is None):
            return bottom
        if condition_BD is None or condition_BD.shape != (len(bottom), self.condition):
            have = None if condition_BD is None else tuple(condition_BD.shape)
            raise ValueError(f"UNetSmall needs condition_BD of shape {(len(bottom), self.condition)}, not {have}")
        return torch.cat([bottom, condition_BD[:, :, None, None].expand(-1, -1, *bottom.shape[2:])], 1)


class UNetSeeing(UNetSmall):
    """A U-net that is told what happens when: spectrum_BCFL and columns_BDL of some levels -> (B, outputs, F, L).

    Columns are brought to the length of their level (linearly), repeated for every frequency, and join what goes down
    there; by the skips they come up again. Their own length may be any: a column a video frame, say.

    Args:
        joins: coordinates of the columns that join, by level; level 0 is the spectrum itself.
        settings: of `UNetSmall`, but for ``condition``.

    Raises:
        ValueError: a level that is none; when called, other columns than these.

    Source: Owens & Efros, ECCV 2018 (there three of nine levels).
    """

    def __init__(self, joins: Mapping[int, int], **settings: int) -> None:
        super().__init__(**settings)
        self.joins = dict(sorted(joins.items()))
        for level, columns in self.joins.items():
            if not 0 <= level < self.levels:
                raise ValueError(f"columns join at levels 0…{self.levels - 1}, not at {level}")
            plain = next(self.down[level].children())
            assert isinstance(plain, nn.Conv2d)
            self.down[level] = _down(plain.in_channels + columns, plain.out_channels)

    def forward(self, spectrum_BCFL: Tensor, columns: Sequence[Tensor] = ()) -> Tensor:  # type: ignore[override]
        shapes, due = [tuple(c.shape[:2]) for c in columns], [(len(spectrum_BCFL), d) for d in self.joins.values()]
        if shapes != due or any(c.ndim != 3 for c in columns):
            raise ValueError(f"UNetSeeing needs columns_BDL with (B, D) {due}, not shapes {shapes}")
        told = dict(zip(self.joins, columns, strict=True))

        def join(level: int, value: Tensor) -> Tensor:
            if level not in told:
                return value
            column_BDL = functional.interpolate(told[level], value.shape[3], mode="linear")
            return torch.cat([value, column_BDL[:, :, None].expand(-1, -1, value.shape[2], -1)], 1)

        return self._through(spectrum_BCFL, join)


def _down(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))


def _up(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), conv, nn.BatchNorm2d(outputs), nn.ReLU())
