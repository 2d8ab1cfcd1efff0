"""What all encoders share: pooling over cells, checks of the input, one block of layers."""

from __future__ import annotations

from torch import Tensor, nn


def pool_max(map_BD: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Largest value of each coordinate over the cells (those that bool ``mask_B`` keeps): (B, D, …) -> (B, D)."""
    if mask_B is not None:
        map_BD = map_BD.masked_fill(~mask_B[:, None], float("-inf"))
    return map_BD.flatten(2).max(2).values


def pool_mean(map_BD: Tensor, mask_B: Tensor | None = None) -> Tensor:
    """Mean of each coordinate over the cells (those that bool ``mask_B`` keeps): (B, D, …) -> (B, D)."""
    if mask_B is None:
        return map_BD.flatten(2).mean(2)
    kept_BP = mask_B[:, None].flatten(2)
    return map_BD.flatten(2).masked_fill(~kept_BP, 0).sum(2) / kept_BP.sum(2)


def check_input(owner: str, value: Tensor, name: str, channels: int | None, least: tuple[int, ...]) -> None:
    """Raise ValueError unless ``value`` is (clips, [channels,] …) with at least ``least`` along its last axes."""
    ndim = 1 + (channels is not None) + len(least)
    if value.ndim != ndim:
        raise ValueError(f"{owner} needs {name} with {ndim} axes, not shape {tuple(value.shape)}")
    if value.shape[0] == 0:
        raise ValueError(f"{owner} got an empty batch: {name} of shape {tuple(value.shape)}")
    if channels is not None and value.shape[1] != channels:
        raise ValueError(f"{owner} needs {name} with {channels} channels, not {value.shape[1]}")
    if any(have < need for have, need in zip(value.shape[-len(least) :], least, strict=True)):
        size = "×".join(str(n) for n in least)
        raise ValueError(f"{owner} needs {name} of at least {size}, not shape {tuple(value.shape)}")


def conv_block(inputs: int, outputs: int, stride: int | tuple[int, int] = 1) -> nn.Sequential:
    """3×3 convolution, batch normalisation, ReLU."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def halvings(stride: int, owner: str, most: int) -> int:
    """How often a map is halved to reach ``stride``: log2, or ValueError if it is not a power of two up to ``most``."""
    choices = [2**n for n in range(1, most.bit_length())]
    if stride not in choices:
        raise ValueError(f"{owner} needs a stride among {', '.join(map(str, choices))}, not {stride}")
    return stride.bit_length() - 1
