"""The obvious painter: every thing sampled over the whole frame, in double precision, one after the other."""

import math

import torch
import torch.nn.functional as F

from avlib.world import World, colours
from avlib.world.scenes import MOTIONS, Scene


def frame(world: World, index: int) -> torch.Tensor:
    """The picture of clip ``index`` of a world without motion, (3, H, W)."""
    scene, stage, size = world.scene([index]), world.stage, world.size
    wide = stage.backdrop_MCHW.shape[-1]
    left, top = (int(u * (wide - size + 1)) for u in scene.crop_B2[0])
    canvas = stage.backdrop_MCHW[scene.backdrop_B[0], :, top : top + size, left : left + size].double()
    canvas = canvas.flip(2) if scene.mirror_B[0] else canvas
    for n in range(scene.picture_BN.shape[1]):
        if scene.visible_BN[0, n]:
            rgba = thing(world, scene, n)
            canvas = canvas * (1 - rgba[3]) + rgba[:3]
    return (canvas * scene.light_B[0]).clamp(0, 1)


def thing(world: World, scene, n: int) -> torch.Tensor:
    """Slot ``n`` alone on an empty frame, premultiplied RGBA (4, H, W)."""
    size = world.size
    whole = lies(scene, 0, n, float(scene.angle_BN[0, n]), float(scene.side_BN[0, n]) * size)
    centre = torch.stack([scene.x_BN[0, n], scene.y_BN[0, n]]).double() * size
    at = torch.arange(size).double() + 0.5
    pixel_HW2 = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    # a sprite is wider than its picture
    grid = torch.linalg.solve(whole, (pixel_HW2 - centre)[..., None])[..., 0] * world.stage.sprites.share
    sprite = world.stage.sprites.image_RCHW[world.stage.sprites.place_M[scene.picture_BN[0, n]]].double()
    rgba = F.grid_sample(sprite[None], grid[None], align_corners=False)[0]
    ink = torch.einsum("cd,dhw->chw", colours.turn_matrix(scene.hue_BN[0, n].double()), rgba[:3])
    return torch.cat([torch.minimum(ink.clamp(min=0), rgba[3:]), rgba[3:]])


def lies(scene: Scene, b: int, n: int, angle: float, side: float) -> torch.Tensor:
    """From a thing, whose picture spans -1…1, to px about its centre: warped, mirrored, turned (degrees), scaled."""
    angle, (stretch, shear) = math.radians(angle), scene.warp_BN2[b, n].tolist()
    turn = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    flip = [[-1.0 if scene.flip_BN[b, n] else 1.0, 0.0], [0.0, 1.0]]
    warp = [[math.exp(stretch / 2), shear], [0.0, math.exp(-stretch / 2)]]
    turn, flip, warp = (torch.tensor(rows, dtype=torch.float64) for rows in (turn, flip, warp))
    return turn @ flip @ warp * (side / 2)


def pose(
    scene: Scene, b: int, n: int, time: float, loud: float, motion: float, drift: float, mime: bool
) -> tuple[float, float, float, float]:
    """Centre (shares of the picture), angle (degrees) and side of thing ``n`` at a time (s) at which it is so loud."""
    heard = motion * loud if mime or scene.sounding_BN[b, n] else 0.0
    phase, kind = scene.phase_BN3[b, n].tolist(), MOTIONS[int(scene.motion_BN[b, n])]
    turn = [2 * math.pi * (phase[k] + (0.2 + 0.3 * phase[2 - k]) * time) for k in range(3)]
    x, y, angle, side = (float(v[b, n]) for v in (scene.x_BN, scene.y_BN, scene.angle_BN, scene.side_BN))
    x, y, size = x + drift * math.sin(turn[0]), y + drift * math.sin(turn[1]), side
    if drift > 0:
        angle += 8 * math.sin(turn[2])
    if kind == "shake":
        x += 0.16 * side * heard * math.sin(37.7 * time)
    if kind == "hop":
        y -= 0.3 * side * heard
    if kind == "pulse":
        size = side * (1 - 0.3 * (motion - heard))
    if kind == "swing":
        angle += math.copysign(28 * heard, math.sin(4 * turn[2]))
    return x, y, angle, size
