"""The obvious painter: every thing sampled over the whole frame, in double precision, one after the other."""

import torch
import torch.nn.functional as F

from avlib.world import World, colours


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
    angle, (stretch, shear) = torch.deg2rad(scene.angle_BN[0, n].double()), scene.warp_BN2[0, n].double()
    turn = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    flip = torch.diag(torch.tensor([-1.0 if scene.flip_BN[0, n] else 1.0, 1.0])).double()
    warp = torch.stack([torch.stack([(stretch / 2).exp(), shear]), torch.stack([0 * shear, (-stretch / 2).exp()])])
    whole = turn @ flip @ warp * (scene.side_BN[0, n].double() * size / 2)
    centre = torch.stack([scene.x_BN[0, n], scene.y_BN[0, n]]).double() * size
    at = torch.arange(size).double() + 0.5
    pixel_HW2 = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    # a sprite is wider than its picture
    grid = torch.linalg.solve(whole, (pixel_HW2 - centre)[..., None])[..., 0] * world.stage.sprites.share
    sprite = world.stage.sprites.image_RCHW[world.stage.sprites.place_M[scene.picture_BN[0, n]]].double()
    rgba = F.grid_sample(sprite[None], grid[None], align_corners=False)[0]
    ink = torch.einsum("cd,dhw->chw", colours.turn_matrix(scene.hue_BN[0, n].double()), rgba[:3])
    return torch.cat([torch.minimum(ink.clamp(min=0), rgba[3:]), rgba[3:]])
