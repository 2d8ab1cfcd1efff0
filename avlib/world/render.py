"""Latents to pixels and samples: batched torch, on any device.

Pictures are painted only where they lie: each thing is sampled into a small window and pasted into a padded canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from avlib.types import RATE
from avlib.world.packs import Pack, SoundBank
from avlib.world.scenes import MOTIONS, Scene

ENVELOPE_RATE = 100
DIRECTIONS = 72
_LEVEL = 0.08
"""RMS of one thing at 0 dB of gain, so that three of them seldom leave -1…1."""


@dataclass(frozen=True)
class Stage:
    """A pack made ready for one picture size: sprites with shadow and rim, small backdrops, loudness curves."""

    size: int
    sprite_MCHW: Tensor
    reach_MK: Tensor
    face_MCHW: Tensor
    face_reach_MK: Tensor
    backdrop_MCHW: Tensor
    margin: float
    sounds: SoundBank
    loudness_MQ: Tensor
    speech: SoundBank
    speech_loudness_MQ: Tensor
    ambience: SoundBank
    noise_S: Tensor
    photographic: bool


def _sprites(picture_MCHW: Tensor, pixels: int, margin: float, rim: bool) -> Tensor:
    """RGBA uint8 -> premultiplied float sprites (M, 4, ``pixels``, ``pixels``) with a pale rim and a soft shadow."""
    inner = round(pixels / margin)
    image = picture_MCHW.float() / 255
    image = torch.cat([image[:, :3] * image[:, 3:], image[:, 3:]], 1)
    image = F.interpolate(image, (inner, inner), mode="bilinear", antialias=True, align_corners=False)
    left = (pixels - inner) // 2
    image = F.pad(image, (left, pixels - inner - left) * 2)
    if not rim:
        return image
    alpha = image[:, 3:]
    wide = max(1, round(inner / 32))
    pale = F.max_pool2d(alpha, 2 * wide + 1, 1, wide)
    image = image + (1 - alpha) * pale * torch.tensor([0.97, 0.96, 0.93, 1.0]).view(1, 4, 1, 1)
    soft = 2 * (wide + 1) + 1
    shadow = F.avg_pool2d(F.avg_pool2d(pale, soft, 1, soft // 2), soft, 1, soft // 2).roll((wide + 1, wide), (2, 3))
    black = torch.cat([torch.zeros_like(image[:, :3]), 0.45 * shadow], 1)
    return image + (1 - image[:, 3:]) * black


@lru_cache(maxsize=8)
def _reach(picture_MCHW: Tensor) -> Tensor:
    """How far each picture extends from its centre in each of 72 directions, in half sides, (M, 72)."""
    size = picture_MCHW.shape[-1]
    at = (torch.arange(size) + 0.5) / size * 2 - 1
    angle_K = torch.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
    reach_KHW = angle_K.cos()[:, None, None] * at + angle_K.sin()[:, None, None] * at[:, None]
    solid_MHW = picture_MCHW[:, 3] > 127
    rows = [reach_KHW[:, solid].amax(1) if solid.any() else torch.zeros(DIRECTIONS) for solid in solid_MHW]
    return torch.stack(rows) if rows else torch.zeros(0, DIRECTIONS)


@lru_cache(maxsize=8)
def _loudness(bank: SoundBank) -> Tensor:
    """Envelope of each recording, 0…1, 100 values a second, zeros at the end of the shorter ones, (M, Q)."""
    hop = RATE // ENVELOPE_RATE
    out = torch.zeros(len(bank), math.ceil(int(bank.length_M.max()) / hop) if len(bank) else 1)
    for m, (start, length) in enumerate(zip(bank.start_M.tolist(), bank.length_M.tolist(), strict=True)):
        wave_S = bank.data_S[start : start + length].float() / 32768
        rms = F.pad(wave_S, (0, -len(wave_S) % hop)).view(-1, hop).square().mean(1).sqrt()
        out[m, : len(rms)] = rms / rms.max().clamp(min=1e-6)
    return F.avg_pool1d(out[:, None], 5, 1, 2)[:, 0]


def prepare(pack: Pack, size: int, largest_side: float, seed: int, device: torch.device | str) -> Stage:
    """Everything that does not depend on the scene, computed once."""
    margin = 1.15
    pixels = max(8, 2 * round(largest_side * size * margin / 2))
    rim = not pack.photographic
    backdrop = pack.backdrop_MCHW.float() / 255
    wide = round(size * 1.5)
    backdrop = F.interpolate(backdrop, (wide, wide), mode="bilinear", antialias=True, align_corners=False)
    noise_S = torch.randn(1 << 18, generator=torch.Generator().manual_seed(seed))
    return Stage(
        size=size,
        sprite_MCHW=_sprites(pack.picture_MCHW, pixels, margin, rim).to(device),
        reach_MK=_reach(pack.picture_MCHW).to(device),
        face_MCHW=_sprites(pack.faces_MCHW, pixels, margin, True).to(device),
        face_reach_MK=_reach(pack.faces_MCHW).to(device),
        backdrop_MCHW=backdrop.to(device),
        margin=margin,
        sounds=pack.sounds.to(device),
        loudness_MQ=_loudness(pack.sounds).to(device),
        speech=pack.speech.to(device),
        speech_loudness_MQ=_loudness(pack.speech).to(device),
        ambience=pack.ambience.to(device),
        noise_S=noise_S.to(device),
        photographic=pack.photographic,
    )


# ------------------------------------------------------------------------------------------------ sound


def stems(scene: Scene, bank: SoundBank, samples: int) -> Tensor:
    """The sound of each slot (zeros unless ``scene.sounding_BN``), levelled by RMS and gain, (B, N, S)."""
    clips, slots = scene.category_BN.shape
    out_S = torch.zeros(clips * slots * samples, device=bank.data_S.device)
    begin_BNE = ((scene.onset_BNE + scene.shift_B[:, None, None]) * RATE).round()
    heard_BNE = scene.sounding_BN[..., None] & (begin_BNE > -RATE) & (begin_BNE < samples)
    row, slot, _ = heard_BNE.nonzero(as_tuple=True)
    note = scene.note_BNE[heard_BNE]
    begin = begin_BNE[heard_BNE].long()
    skip = (-begin).clamp(min=0)
    count = torch.minimum(bank.length_M[note], samples - begin) - skip
    source, target = bank.start_M[note] + skip, (row * slots + slot) * samples + begin + skip
    for at, start, length in zip(target.tolist(), source.tolist(), count.tolist(), strict=True):
        if length > 0:
            out_S[at : at + length].add_(bank.data_S[start : start + length])
    out_BNS = out_S.view(clips, slots, samples)
    rms_BN1 = torch.linalg.vector_norm(out_BNS, dim=2, keepdim=True) / samples**0.5
    return out_BNS.mul_(_LEVEL * 10 ** (scene.gain_BN[..., None] / 20) / rms_BN1.clamp(min=1.0))


def _background(scene: Scene, stage: Stage, samples: int) -> Tensor:
    """Ambience of the place and white noise, each at its level; silence where they are off, (B, S)."""
    out = torch.zeros(len(scene.index_B), samples, device=stage.noise_S.device)
    bank = stage.ambience
    for b, (level, hiss, u) in enumerate(
        zip(scene.ambience_B.tolist(), scene.noise_B.tolist(), scene.crop_B3[:, 2].tolist(), strict=True)
    ):
        if level > -100:
            rows = (bank.label_M == scene.place_B[b]).nonzero().flatten()
            row = rows[int(u * len(rows))]
            start, length = int(bank.start_M[row]), int(bank.length_M[row])
            turned = (int(u * 7919 % 1 * length) + torch.arange(samples, device=out.device)) % length
            wave = bank.data_S[start + turned].float()
            out[b] += wave * (_LEVEL * 10 ** (level / 20) / wave.square().mean().sqrt().clamp(min=1.0))
        if hiss > -100:
            at = int(u * (len(stage.noise_S) - samples))
            out[b] += stage.noise_S[at : at + samples] * (_LEVEL * 10 ** (hiss / 20))
    return out


def mix(scene: Scene, stage: Stage, spoken: bool, seconds: float) -> tuple[Tensor, Tensor]:
    """Mixture (B, S) and the stem of every slot (B, N, S); a mixture beyond -1…1 is turned down with its stems."""
    samples = round(seconds * RATE)
    stem_BNS = stems(scene, stage.speech if spoken else stage.sounds, samples)
    wave_BS = stem_BNS.sum(1)
    if bool((scene.ambience_B > -100).any()) or bool((scene.noise_B > -100).any()):
        wave_BS = wave_BS + _background(scene, stage, samples)
    turn_B = wave_BS.abs().amax(1).clamp(min=1.0)
    return wave_BS / turn_B[:, None], stem_BNS / turn_B[:, None, None]


# ------------------------------------------------------------------------------------------------ sight


def loudness(scene: Scene, curve_MQ: Tensor, time_T: Tensor) -> Tensor:
    """How loudly each slot plays at each time, 0…1, whether anybody hears it or not, (B, N, T)."""
    since_BNET = time_T - scene.onset_BNE[..., None]
    bin_BNET = (since_BNET * ENVELOPE_RATE).nan_to_num(-1.0).long()
    inside = (since_BNET >= 0) & (bin_BNET < curve_MQ.shape[1])
    value = curve_MQ[scene.note_BNE[..., None], bin_BNET.clamp(0, curve_MQ.shape[1] - 1)]
    return (value * inside).amax(2)


@dataclass(frozen=True)
class Pose:
    """Where each thing is at each frame: centre and side in px, angle in degrees, all (B, N, T)."""

    x: Tensor
    y: Tensor
    side: Tensor
    angle: Tensor


def poses(scene: Scene, size: int, loud_BNT: Tensor, motion: float, drift: float, time_T: Tensor, mime: bool) -> Pose:
    """Rest position + drift of its own + the motion its loudness causes."""
    things = scene.picture_BN.shape[1]
    loud = loud_BNT[:, :things]
    if not mime:
        loud = loud * scene.sounding_BN[:, :things, None]
    loud = motion * loud
    turn = 2 * math.pi * (scene.phase_BN3[..., None] + (0.2 + 0.3 * scene.phase_BN3.flip(2))[..., None] * time_T)
    shape = loud.shape
    kind = {name: (scene.motion_BN == k)[..., None] for k, name in enumerate(MOTIONS)}
    side = scene.side_BN[..., None]
    x = scene.x_BN[..., None] + drift * turn[:, :, 0].sin() + kind["shake"] * 0.16 * side * loud * (time_T * 37.7).sin()
    y = scene.y_BN[..., None] + drift * turn[:, :, 1].sin() - kind["hop"] * 0.3 * side * loud
    grow = 1 - kind["pulse"] * 0.3 * (motion - loud)
    sway = kind["swing"] * 28.0 * loud * (turn[:, :, 2] * 4).sin().sign()
    angle = scene.angle_BN[..., None] + (drift > 0) * 8 * turn[:, :, 2].sin() + sway
    return Pose(
        x=(x * size).expand(shape), y=(y * size).expand(shape), side=(side * grow * size).expand(shape), angle=angle
    )


def boxes(pose: Pose, reach_MK: Tensor, picture_BN: Tensor, flip_BN: Tensor, size: int) -> Tensor:
    """Tight boxes from how far each picture reaches to the right, bottom, left and top, px, (B, N, T, 4)."""
    table = reach_MK[picture_BN]
    step = 360 / DIRECTIONS

    def toward(degrees: float) -> Tensor:
        # a flipped picture extends to the right as far as the original extends to the left
        turned = degrees - pose.angle
        turned = torch.where(flip_BN[..., None], 180 - turned, turned) / step
        low = turned.floor()
        a = table.gather(2, (low % DIRECTIONS).long())
        b = table.gather(2, ((low + 1) % DIRECTIONS).long())
        return (a + (b - a) * (turned - low)) * pose.side / 2

    box = [pose.x - toward(180), pose.y - toward(270), pose.x + toward(0), pose.y + toward(90)]
    return torch.stack(box, -1).clamp(0, size)


def _backdrops(scene: Scene, stage: Stage) -> Tensor:
    """A crop of the backdrop, or a plain colour with a soft gradient, lit, (B, 3, H, W)."""
    size, wide = stage.size, stage.backdrop_MCHW.shape[-1]
    left = (scene.crop_B3[:, 0] * (wide - size + 1)).long().tolist()
    top = (scene.crop_B3[:, 1] * (wide - size + 1)).long().tolist()
    flip = (scene.crop_B3[:, 2] < 0.5).tolist()
    out = torch.empty(len(left), 3, size, size, device=stage.backdrop_MCHW.device)
    fall = torch.linspace(1.08, 0.86, size, device=out.device)[:, None]
    for b, row in enumerate(scene.backdrop_B.tolist()):
        crop = stage.backdrop_MCHW[row, :, top[b] : top[b] + size, left[b] : left[b] + size]
        out[b] = crop.flip(2) if flip[b] else crop
        if scene.plain_B[b]:
            out[b] = scene.hue_B3[b][:, None, None] * fall
    return out


@dataclass(frozen=True)
class Placed:
    """Things to paste in one go, one row each: which frame, which picture, where, how large (px) and how turned."""

    frame_R: Tensor
    picture_R: Tensor
    x_R: Tensor
    y_R: Tensor
    side_R: Tensor
    angle_R: Tensor
    sign_R: Tensor
    loud_R: Tensor
    reach_R: Tensor

    def rows(self, index: Tensor) -> Placed:
        return Placed(*(getattr(self, field.name)[index] for field in fields(self)))


def _placed(scene: Scene, pose: Pose, loud_BNT: Tensor, table_MK: Tensor, margin: float, n: int) -> Placed:
    """The frames that show thing n, small pictures first."""
    times = pose.x.shape[2]
    shown = scene.visible_BN[:, n].repeat_interleave(times).nonzero().flatten()

    def each(value_B: Tensor) -> Tensor:
        return value_B.repeat_interleave(times)

    widest_B = table_MK.amax(1)[scene.picture_BN[:, n]]
    side = pose.side[:, n].flatten()
    every = Placed(
        frame_R=torch.arange(len(side), device=side.device),
        picture_R=each(scene.picture_BN[:, n]),
        x_R=pose.x[:, n].flatten(),
        y_R=pose.y[:, n].flatten(),
        side_R=side,
        angle_R=pose.angle[:, n].flatten(),
        sign_R=each(torch.where(scene.flip_BN[:, n], -1.0, 1.0)),
        loud_R=loud_BNT[:, n].flatten(),
        # the rim and the shadow need a little more than the drawing
        reach_R=each(widest_B) * side / 2 + side * (margin - 1) / 2 + 1,
    )
    return every.rows(shown[every.reach_R[shown].argsort()])


def _window(thing: Placed, size: int, margin: float, width: int) -> tuple[Tensor, Tensor]:
    """Where each window looks into its sprite (R, P, P, 2), and its pixels in the frame (R, P·P)."""
    # a window never leaves the frame, so nothing has to be padded: it looks at another part of the sprite instead
    left = (thing.x_R - width / 2).round().clamp(0, size - width)
    top = (thing.y_R - width / 2).round().clamp(0, size - width)
    scale = 2 / (thing.side_R * margin)
    turn = thing.angle_R * (math.pi / 180)
    cos, sin = turn.cos() * scale, turn.sin() * scale
    dx, dy = left + width / 2 - thing.x_R, top + width / 2 - thing.y_R
    u = torch.stack([cos * width / 2, sin * width / 2, cos * dx + sin * dy], 1) * thing.sign_R[:, None]
    v = torch.stack([-sin * width / 2, cos * width / 2, cos * dy - sin * dx], 1)
    grid = F.affine_grid(torch.stack([u, v], 1), [len(left), 1, width, width], align_corners=False)
    step = torch.arange(width, device=left.device)
    return grid, (top * size + left).long()[:, None] + (step[:, None] * size + step).flatten()


def _mouth(patch: Tensor, grid: Tensor, open_R: Tensor) -> Tensor:
    """Paint a mouth that opens with the voice into a face's window (premultiplied RGBA)."""
    u, v = grid[..., 0] * 1.15, grid[..., 1] * 1.15
    height = (0.03 + 0.2 * open_R)[:, None, None]
    inside = ((1 - ((u / 0.26) ** 2 + ((v - 0.4) / height) ** 2)) * 6).clamp(0, 1)[:, None]
    colour = torch.tensor([0.35, 0.07, 0.1, 1.0], device=patch.device).view(1, 4, 1, 1)
    return patch * (1 - inside) + colour * inside


def _paste(canvas_R3: Tensor, solid: Tensor | None, thing: Placed, sprites: Tensor, stage: Stage, faces: bool) -> None:
    """Paint one thing onto the frames that show it, in place, a third of them at a time, so that windows fit.

    ``canvas_R3`` holds the pixels of all frames, one a row: a window is then a list of rows.
    """
    size = stage.size
    for part in torch.arange(len(thing.frame_R), device=canvas_R3.device).chunk(3):
        some = thing.rows(part)
        if not len(part):
            continue
        width = min(size, 2 * math.ceil(float(some.reach_R[-1])))
        grid, pixel = _window(some, size, stage.margin, width)
        patch = F.grid_sample(sprites[some.picture_R], grid, align_corners=False)
        if faces:
            patch = _mouth(patch, grid, some.loud_R)
        patch_R4 = patch.permute(0, 2, 3, 1).reshape(-1, 4)
        at_R = ((some.frame_R * size * size)[:, None] + pixel).flatten()
        under_R3 = canvas_R3.index_select(0, at_R)
        alpha_R1 = patch_R4[:, 3:]
        canvas_R3.index_copy_(0, at_R, torch.addcmul(patch_R4[:, :3] + under_R3, alpha_R1, under_R3, value=-1))
        if solid is not None:
            solid.put_(at_R, patch_R4[:, 3] > 0.6)


def paint(
    scene: Scene, stage: Stage, pose: Pose, loud_BNT: Tensor, faces: bool, masks: bool
) -> tuple[Tensor, Tensor | None]:
    """Frames (B, T, 3, H, W) and, when asked for, the pixels of each thing that are in sight, (B, T, N, H, W)."""
    count, things, times = pose.x.shape
    size = stage.size
    sprites, table = (stage.face_MCHW, stage.face_reach_MK) if faces else (stage.sprite_MCHW, stage.reach_MK)
    canvas_R3 = _backdrops(scene, stage).permute(0, 2, 3, 1).repeat_interleave(times, 0).reshape(-1, 3)
    solid = torch.zeros(things if masks else 0, count * times, size, size, dtype=torch.bool, device=canvas_R3.device)
    for n in range(things):
        thing = _placed(scene, pose, loud_BNT, table, stage.margin, n)
        _paste(canvas_R3, solid[n] if masks else None, thing, sprites, stage, faces)
        solid[:n] &= ~solid[n] if masks else True
    frames = canvas_R3.view(count, times, size, size, 3).mul_(scene.light_B.view(-1, 1, 1, 1, 1)).clamp_(0, 1)
    frames = frames.permute(0, 1, 4, 2, 3)
    if not masks:
        return frames, None
    return frames, solid.view(things, count, times, size, size).permute(1, 2, 0, 3, 4)
