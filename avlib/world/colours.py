"""Colours of things: their hue on a wheel of eight names, and how to turn it.

Hue lives in the chroma plane of YIQ (the NTSC colour space): a turn of that plane keeps the luma of every pixel, leaves
greys as they are, and is linear, so it may be applied to premultiplied colours and after any blending.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]], dtype=torch.float64
)
_RED = math.atan2(0.211456, 0.595716)
# the chroma plane, turned so that red lies at 0 and yellow follows it
_PLANE = torch.tensor(
    [[math.cos(_RED), math.sin(_RED)], [math.sin(_RED), -math.cos(_RED)]], dtype=torch.float64
) @ _YIQ[1:]  # fmt: skip
_FRAME = torch.cat([_YIQ[:1], _PLANE])

_FROM = {
    "red": 0.965, "orange": 0.035, "yellow": 0.14, "green": 0.2, "turquoise": 0.44, "blue": 0.55, "purple": 0.7,
    "pink": 0.87,
}  # fmt: skip
NAMES = tuple(_FROM)
"""Eight names of hues, in their order on the wheel."""
INK = (0.93, 0.28, 0.22)
"""The red that silhouettes and outlines are stored in: bright enough that a turn gives each of the eight names."""
CLEAR = 0.6
"""From this `dominant` chroma on a thing has one colour; below, it is grey or motley, and no name would be true."""
_FULL = 0.15
"""Mean chroma at which a picture counts as fully coloured; pure red has 0.63."""


def chroma(rgb: Tensor) -> Tensor:
    """The chroma of colours (…, 3) in 0…1 as points of a plane (…, 2); red lies on the first axis, greys at 0."""
    return rgb @ _PLANE.T.to(rgb)


def _angle(point: Tensor) -> Tensor:
    """The direction of points (…, 2), turns in [0, 1)."""
    turns = torch.atan2(point[..., 1], point[..., 0]) / (2 * math.pi)
    return turns % 1.0 % 1.0  # just below 0 the first remainder rounds to 1


def hue(rgb: Tensor) -> Tensor:
    """The hue of colours (…, 3), turns in [0, 1): red 0, then orange, yellow, green … as in `NAMES`."""
    return _angle(chroma(rgb))


def turn_matrix(turn_R: Tensor) -> Tensor:
    """The matrices that turn hues by ``turn_R`` (fractions of a turn): ``rgb @ M.T``, float (R, 3, 3).

    Results may leave 0…1: clamp them (premultiplied ones to their alpha).
    """
    angle = turn_R.to(torch.float64) * (2 * math.pi)
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [one, zero, zero, zero, angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos()]
    turned_R33 = torch.stack(rows, -1).view(*angle.shape, 3, 3)
    frame = _FRAME.to(turn_R.device)
    return (torch.linalg.inv(frame) @ turned_R33 @ frame).to(turn_R.dtype)


def index_of(hue: Tensor, strength: Tensor) -> Tensor:
    """Which of `NAMES` each hue (turns) has; −1 where ``strength`` < `CLEAR`: grey or motley. int64."""
    edges = torch.tensor([*list(_FROM.values())[1:], _FROM["red"]], device=hue.device)
    index = torch.bucketize((hue % 1.0).float(), edges, right=True) % len(NAMES)
    return index.masked_fill(strength < CLEAR, -1)


def name_of(hue: float, strength: float) -> str:
    """The name of a hue (turns), or "" where no one name would be true (``strength`` < `CLEAR`)."""
    index = int(index_of(torch.tensor(hue), torch.tensor(strength)))
    return NAMES[index] if index >= 0 else ""


def dominant(picture_MCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The colour of pictures (uint8 RGBA, straight alpha): hue_M in turns, and chroma_M in 0…1.

    Chroma is how much the coloured pixels agree (1: all have one hue) times how colourful they are; black lines, greys
    and what is transparent weigh nothing.
    """
    image = picture_MCHW.double() / 255
    point_MNC = chroma(image[:, :3].flatten(2).transpose(1, 2))
    weight_MN = image[:, 3].flatten(1)
    size_MN = point_MNC.norm(dim=2) * weight_MN
    mean_M2 = (point_MNC * weight_MN[..., None]).sum(1)
    agreement_M = mean_M2.norm(dim=1) / size_MN.sum(1).clamp(min=1e-9)
    colourful_M = size_MN.sum(1) / weight_MN.sum(1).clamp(min=1e-9) / _FULL
    chroma_M = (agreement_M * colourful_M.clamp(max=1.0)).clamp(max=1.0)
    # rounded, so that every processor gets the same
    return (_angle(mean_M2).round(decimals=4) % 1.0).float(), chroma_M.round(decimals=4).float()
