"""Latents to pixels and samples: batched torch, on any device.

Pictures are painted only where they lie: each thing is sampled into a small window and pasted into a padded canvas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

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
    """A pack made ready for one picture size: sprites with shadow and rim, small backdrops, loudness curves.

    ``reach`` is how far a drawing extends in each direction, ``extent`` how far its rim and shadow do, in half sides.
    """

    size: int
    sprite_MCHW: Tensor
    reach_MK: Tensor
    extent_MK: Tensor
    face_MCHW: Tensor
    face_reach_MK: Tensor
    face_extent_MK: Tensor
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
    black = torch.cat([torch.zeros_like(image[:, :3]), 0.45 * shadow * (shadow > 0.01)], 1)
    return image + (1 - image[:, 3:]) * black


def _extent(sprite_MCHW: Tensor, margin: float) -> Tensor:
    """How far each sprite's rim and shadow extend in each of 72 directions, in half sides of the thing, (M, 72)."""
    # bilinear sampling reaches a pixel beyond the last one
    return _support(sprite_MCHW[:, 3] > 0) * margin + 3 * margin / sprite_MCHW.shape[-1]


@lru_cache(maxsize=8)
def _reach(picture_MCHW: Tensor) -> Tensor:
    """How far each picture's solid part extends from its centre in each of 72 directions, in half sides, (M, 72)."""
    return _support(picture_MCHW[:, 3] > 127)


def _support(solid_MHW: Tensor) -> Tensor:
    """The farthest solid pixel in each of 72 directions, as a fraction of half the side; 0 of nothing, (M, 72)."""
    size = solid_MHW.shape[-1]
    at = (torch.arange(size) + 0.5) / size * 2 - 1
    angle_K1 = torch.arange(DIRECTIONS)[:, None] * (2 * math.pi / DIRECTIONS)
    # of each line of pixels only the two ends matter
    right_MH = torch.where(solid_MHW, at, -torch.inf).amax(2)
    left_MH = torch.where(solid_MHW, at, torch.inf).amin(2)
    filled_M1H = solid_MHW.any(2)[:, None]
    along_MKH = torch.maximum(angle_K1.cos() * right_MH[:, None], angle_K1.cos() * left_MH[:, None])
    reach_MKH = torch.where(filled_M1H, along_MKH + angle_K1.sin() * at, -torch.inf)
    return reach_MKH.amax(2).nan_to_num(neginf=0.0)


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
    sprite_MCHW = _sprites(pack.picture_MCHW, pixels, margin, rim)
    face_MCHW = _sprites(pack.faces_MCHW, pixels, margin, True)
    return Stage(
        size=size,
        sprite_MCHW=sprite_MCHW.to(device),
        reach_MK=_reach(pack.picture_MCHW).to(device),
        extent_MK=_extent(sprite_MCHW, margin).to(device),
        face_MCHW=face_MCHW.to(device),
        face_reach_MK=_reach(pack.faces_MCHW).to(device),
        face_extent_MK=_extent(face_MCHW, margin).to(device),
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
    # slices of arrays cost a tenth of what slices of tensors cost
    both: list[Any] = [t.numpy() if t.device.type == "cpu" else t for t in (out_S, bank.data_S)]
    total, notes = both
    for at, start, length in zip(target.tolist(), source.tolist(), count.tolist(), strict=True):
        if length > 0:
            total[at : at + length] += notes[start : start + length]
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
            turned = bank.data_S[start : start + length].roll(-int(u * 7919 % 1 * length))
            wave = turned.repeat(math.ceil(samples / length))[:samples].float()
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
    return wave_BS.div_(turn_B[:, None]), stem_BNS.div_(turn_B[:, None, None])


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


def _around(pose: Pose, reach_MK: Tensor, picture_BN: Tensor, flip_BN: Tensor) -> tuple[Tensor, ...]:
    """How far each thing extends to the left, top, right and bottom as it is turned now, px, each (B, N, T)."""
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

    return toward(180), toward(270), toward(0), toward(90)


def boxes(pose: Pose, reach_MK: Tensor, picture_BN: Tensor, flip_BN: Tensor, size: int) -> Tensor:
    """Tight boxes within the frame, px, (B, N, T, 4)."""
    left, top, right, bottom = _around(pose, reach_MK, picture_BN, flip_BN)
    return torch.stack([pose.x - left, pose.y - top, pose.x + right, pose.y + bottom], -1).clamp(0, size)


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
    """Things in frames, one row each: which frame, which slot, which picture, where and how turned.

    ``x``, ``y`` and ``side`` are those of the thing, ``middle`` and ``span`` of what it covers: all px.
    """

    frame_R: Tensor
    slot_R: Tensor
    picture_R: Tensor
    x_R: Tensor
    y_R: Tensor
    side_R: Tensor
    angle_R: Tensor
    sign_R: Tensor
    loud_R: Tensor
    middle_R2: Tensor
    span_R: Tensor

    def rows(self, index: Tensor) -> Placed:
        return Placed(*(getattr(self, field.name)[index] for field in fields(self)))


def _placed(scene: Scene, pose: Pose, loud_BNT: Tensor, extent_MK: Tensor) -> Placed:
    """Every thing in every frame that shows it, small ones first."""
    count, things, times = pose.x.shape
    left, top, right, bottom = _around(pose, extent_MK, scene.picture_BN, scene.flip_BN)
    device = pose.x.device
    every = {
        "frame_R": torch.arange(count * times, device=device).view(count, 1, times),
        "slot_R": torch.arange(things, device=device)[:, None],
        "picture_R": scene.picture_BN[..., None],
        "x_R": pose.x,
        "y_R": pose.y,
        "side_R": pose.side,
        "angle_R": pose.angle,
        "sign_R": torch.where(scene.flip_BN, -1.0, 1.0)[..., None],
        "loud_R": loud_BNT[:, :things],
        # a direction between two of the 72 and rounding to whole pixels need a little more
        "span_R": torch.maximum(left + right, top + bottom) * 1.002 + 1,
    }
    middle = torch.stack([pose.x + (right - left) / 2, pose.y + (bottom - top) / 2], -1)
    shown_BNT = scene.visible_BN[:, :things, None].expand(pose.x.shape)
    rows = {name: value.expand(pose.x.shape)[shown_BNT] for name, value in every.items()}
    placed = Placed(**rows, middle_R2=middle[shown_BNT])
    return placed.rows(placed.span_R.argsort())


def _window(thing: Placed, size: int, margin: float, width: int) -> tuple[Tensor, Tensor]:
    """Where each window looks into its sprite (R, P, P, 2), and its left and top pixel in the frame (R, 2)."""
    # a window never leaves the frame, so nothing has to be padded: it looks at another part of the sprite instead
    corner_R2 = (thing.middle_R2 - width / 2).round().clamp(0, size - width)
    scale = 2 / (thing.side_R * margin)
    turn = thing.angle_R * (math.pi / 180)
    cos, sin = turn.cos() * scale, turn.sin() * scale
    step_P = torch.arange(width, device=turn.device) + 0.5
    dx_RP = corner_R2[:, :1] - thing.x_R[:, None] + step_P
    dy_RP = corner_R2[:, 1:] - thing.y_R[:, None] + step_P
    # (u, v) = a turn of (dx, dy): a part that changes along a line of pixels and one that changes from line to line
    across_RP, down_RP = dx_RP * (cos * thing.sign_R)[:, None], dy_RP * (sin * thing.sign_R)[:, None]
    grid_RPP2 = torch.empty(len(dx_RP), width, width, 2, device=turn.device)
    torch.add(across_RP[:, None], down_RP[:, :, None], out=grid_RPP2[..., 0])
    torch.add((-dx_RP * sin[:, None])[:, None], (dy_RP * cos[:, None])[:, :, None], out=grid_RPP2[..., 1])
    return grid_RPP2, corner_R2.long()


def _mouth(patch: Tensor, grid: Tensor, open_R: Tensor) -> Tensor:
    """Paint a mouth that opens with the voice into a face's window (premultiplied RGBA)."""
    u, v = grid[..., 0] * 1.15, grid[..., 1] * 1.15
    height = (0.03 + 0.2 * open_R)[:, None, None]
    inside = ((1 - ((u / 0.26) ** 2 + ((v - 0.4) / height) ** 2)) * 6).clamp(0, 1)[:, None]
    colour = torch.tensor([0.35, 0.07, 0.1, 1.0], device=patch.device).view(1, 4, 1, 1)
    return patch * (1 - inside) + colour * inside


@dataclass(frozen=True)
class Patches:
    """Painted windows of one width: premultiplied RGBA and where it goes."""

    image_RCPP: Tensor
    frame_R: Tensor
    slot_R: Tensor
    corner_R2: Tensor

    def pixels(self, channels: int, size: int) -> Tensor:
        """Where the windows' pixels lie in frames (F, C, H, W) laid out flat, int64 (R, C, P, P)."""
        device = self.frame_R.device
        step = torch.arange(self.image_RCPP.shape[-1], device=device)
        plane_RC = self.frame_R[:, None] * channels + torch.arange(channels, device=device)
        row_RCP = plane_RC[..., None] * size + (self.corner_R2[:, 1, None] + step)[:, None]
        return row_RCP[..., None] * size + (self.corner_R2[:, 0, None] + step)[:, None, None]


def _patches(things: Placed, stage: Stage, faces: bool) -> list[Patches]:
    """Every thing sampled into a window, in a few lots of similar size, so that windows fit."""
    sprites = stage.face_MCHW if faces else stage.sprite_MCHW
    lots = []
    for part in torch.arange(len(things.frame_R), device=things.frame_R.device).chunk(5):
        if not len(part):
            continue
        some = things.rows(part)
        width = min(stage.size, math.ceil(float(some.span_R[-1])))
        grid, corner_R2 = _window(some, stage.size, stage.margin, width)
        image_RCPP = F.grid_sample(sprites[some.picture_R], grid, align_corners=False)
        if faces:
            image_RCPP = _mouth(image_RCPP, grid, some.loud_R)
        lots.append(Patches(image_RCPP, some.frame_R, some.slot_R, corner_R2))
    return lots


def _over(canvas_FCHW: Tensor, lots: list[Patches], slots: int) -> None:
    """Lay all windows over the frames, in place, slot by slot."""
    size = canvas_FCHW.shape[-1]
    if canvas_FCHW.device.type != "cpu":
        flat = canvas_FCHW.view(-1)
        for n in range(slots):
            for lot in lots:
                here = lot.slot_R == n
                some = Patches(lot.image_RCPP[here], lot.frame_R[here], lot.slot_R[here], lot.corner_R2[here])
                at = some.pixels(3, size)
                flat[at] = flat[at] * (1 - some.image_RCPP[:, 3:]) + some.image_RCPP[:, :3]
        return
    # here a slice a window takes a third of the time that an index a pixel takes
    canvas = canvas_FCHW.numpy()
    queue = []
    for lot in lots:
        ink, clear = lot.image_RCPP[:, :3].numpy(), (1 - lot.image_RCPP[:, 3:]).numpy()
        where = zip(lot.frame_R.tolist(), lot.slot_R.tolist(), lot.corner_R2.tolist(), strict=True)
        queue += [(frame, slot, x, y, ink[r], clear[r]) for r, (frame, slot, (x, y)) in enumerate(where)]
    for frame, _, x, y, ink, clear in sorted(queue, key=lambda row: row[:2]):
        under = canvas[frame, :, y : y + ink.shape[1], x : x + ink.shape[2]]
        under *= clear
        under += ink


def _masks(lots: list[Patches], slots: int, frames: int, size: int) -> Tensor:
    """The pixels of each slot that nothing later covers, bool (N, F, H, W)."""
    solid = torch.zeros(slots, frames, size, size, dtype=torch.bool, device=lots[0].frame_R.device)
    for lot in lots:
        there = Patches(lot.image_RCPP, lot.slot_R * frames + lot.frame_R, lot.slot_R, lot.corner_R2)
        solid.view(-1)[there.pixels(1, size)] = lot.image_RCPP[:, 3:] > 0.6
    for n in range(slots - 1):
        solid[n] &= ~solid[n + 1 :].any(0)
    return solid


def paint(
    scene: Scene, stage: Stage, pose: Pose, loud_BNT: Tensor, faces: bool, masks: bool
) -> tuple[Tensor, Tensor | None]:
    """Frames (B, T, 3, H, W) and, when asked for, the pixels of each thing that are in sight, (B, T, N, H, W)."""
    count, things, times = pose.x.shape
    size = stage.size
    placed = _placed(scene, pose, loud_BNT, stage.face_extent_MK if faces else stage.extent_MK)
    lots = _patches(placed, stage, faces)
    canvas_FCHW = _backdrops(scene, stage).repeat_interleave(times, 0)
    _over(canvas_FCHW, lots, things)
    frames = canvas_FCHW.view(count, times, 3, size, size)
    frames = frames.mul_(scene.light_B.view(-1, 1, 1, 1, 1)).clamp_(0, 1)
    if not masks:
        return frames, None
    solid = _masks(lots, things, count * times, size)
    return frames, solid.view(things, count, times, size, size).permute(1, 2, 0, 3, 4)
