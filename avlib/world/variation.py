"""The same clips seen and heard a little otherwise each time, so that no net can know a fixed set of them by heart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from avlib.types import Batch, Truth
from avlib.world.scenes import Draws


def vary(batch: Batch, seed: int, crop: float = 0.7, colour: float = 0.2, gain: float = 0.1) -> Batch:
    """Other pictures and sounds of the same things: cut out, mirrored, recoloured; begun elsewhere, louder or softer.

    Sight and sound are no longer in time, and the truth, which would be of other pixels, is left out.

    Args:
        seed: another seed, another variation; what becomes of a clip depends on it and on the clip's index alone.
        crop: least side of the part of a picture that is shown at full size, as a share of the side; 1 for all of it.
        colour: by how much contrast and the level of each colour may change, as a share of the range.
        gain: by how much a sound may become louder or softer, as a share.

    Returns:
        The same indices and shapes. Frames of a video are changed alike; a sound's end is followed by its beginning.

    Raises:
        ValueError: a share outside of 0…1, or a crop of 0.
    """
    if not (0 < crop <= 1 and 0 <= colour <= 1 and 0 <= gain <= 1):
        raise ValueError(f"shares lie within 0…1, not crop={crop}, colour={colour}, gain={gain}")
    device, (clips, samples) = batch.wave_BS.device, batch.wave_BS.shape
    draws = Draws(batch.index_B.cpu(), seed, "variation")

    def draw(name: str, most: float, *shape: int) -> Tensor:
        return draws.between(name, (-most, most), *shape).to(device)

    side_B = draws.between("side", (crop, 1)).to(device)
    window_B23 = torch.zeros(clips, 2, 3, device=device)
    window_B23[:, 0, 0] = side_B * torch.where(draw("mirror", 1) < 0, -1.0, 1.0)
    window_B23[:, 1, 1] = side_B
    window_B23[:, :, 2] = (1 - side_B)[:, None] * draw("place", 1, 2)
    contrast_B111, level_BC11 = 1 + draw("contrast", colour, 1, 1, 1), 0.5 + draw("level", colour / 2, 3, 1, 1)

    def seen(image_BCHW: Tensor) -> Tensor:
        grid_BHW2 = functional.affine_grid(window_B23, list(image_BCHW.shape), align_corners=False)
        cut_BCHW = functional.grid_sample(image_BCHW, grid_BHW2, padding_mode="border", align_corners=False)
        return ((cut_BCHW - 0.5) * contrast_B111 + level_BC11).clamp(0, 1)

    first_B1 = draws.integer("first", (0, samples - 1), 1).to(device)
    wave_BS = batch.wave_BS.gather(1, (torch.arange(samples, device=device) + first_B1) % samples)
    image, video = batch.image_BCHW, batch.video_BTCHW
    return replace(
        batch,
        wave_BS=(wave_BS * (1 + draw("gain", gain, 1))).clamp(-1, 1),
        image_BCHW=None if image is None else seen(image),
        video_BTCHW=None if video is None else torch.stack([seen(frame) for frame in video.unbind(1)], 1),
        truth=Truth(),
    )


class Varied:
    """A stream whose clips are varied anew each step.

    Args:
        stream: the batch of a step.
        seed: of the variations; with the step it says which.
    """

    def __init__(self, stream: Callable[[int], Batch], seed: int = 0):
        self.stream, self.seed = stream, seed

    def __call__(self, step: int) -> Batch:
        return vary(self.stream(step), self.seed + step)
