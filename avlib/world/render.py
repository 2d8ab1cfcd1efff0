"""Latents to pixels and samples: batched torch, on any device.

Pictures are painted only where they lie: each thing is sampled into a small window and pasted into the frame. What
decides a pixel or a sample is computed in double precision or exactly (sprites and places lie on fine grids, sums of
squares are whole numbers), so that every processor, every batch and any number of threads give the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avlib.types import SAMPLE_RATE, _Moves
from avlib.world import colours
from avlib.world.packs import Pack, SoundBank
from avlib.world.presets import Preset
from avlib.world.scenes import MOTIONS, Cast, Scene

ENVELOPE_RATE = 100
DIRECTIONS = 72
_LEVEL = 0.08
"""RMS of one thing at 0 dB of gain, so that three of them seldom leave -1…1."""
_MARGIN = 1.15
"""Side of a sprite, which has a rim and a shadow, over that of its picture, at the least."""
_FINE = 256
"""Ink is a multiple of 1/256, and a sprite is looked up at multiples of 1/256 of its pixels: products are exact."""
_GRID = 4096
"""Centres of things lie on a grid of 1/4096 px, on which differences to pixels are exact."""


@dataclass(frozen=True)
class Sprites(_Moves):
    """Pictures with shadow and rim, ready for one size: those of a pack that a world may show.

    Attributes:
        image_RCHW: float RGBA, premultiplied; their side is a power of two.
        share: side of the drawing itself over that of its sprite.
        reach_RK, extent_RK: how far each drawing, and how far its rim and shadow, extend in each of 72 directions, in
            half sides of the drawing.
        place_M: where a picture of the pack lies among them.
    """

    image_RCHW: Tensor
    share: float
    reach_RK: Tensor
    extent_RK: Tensor
    place_M: Tensor


@dataclass(frozen=True)
class Stage:
    """A pack made ready for one kind of scene and one picture size.

    ``bank`` holds what the scene's notes are rows of: the sounds of things or, where the preset speaks, speech;
    ``loudness_MQ`` their envelopes.
    """

    size: int
    sprites: Sprites
    backdrop_MCHW: Tensor
    bank: SoundBank
    loudness_MQ: Tensor
    ambience: SoundBank
    noise_S: Tensor


def _drawn(picture_MCHW: Tensor, inner: int, side: int, rim: bool) -> Tensor:
    """RGBA uint8 -> premultiplied float sprites (M, 4, ``side``, ``side``) with a pale rim and a soft shadow."""
    image = picture_MCHW.double() / 255
    image = torch.cat([image[:, :3] * image[:, 3:], image[:, 3:]], 1)
    image = F.interpolate(image, (inner, inner), mode="bilinear", antialias=True, align_corners=False)
    image = F.pad(image, ((side - inner) // 2,) * 4)
    if not rim:
        return ((image * _FINE).round() / _FINE).float()
    alpha = image[:, 3:]
    wide = max(1, round(inner / 32))
    pale = F.max_pool2d(alpha, 2 * wide + 1, 1, wide)
    # grey, so that it keeps its colour when the thing turns its own
    image = image + (1 - alpha) * pale * torch.tensor([0.96, 0.96, 0.96, 1.0]).view(1, 4, 1, 1)
    soft = 2 * (wide + 1) + 1
    shadow = F.avg_pool2d(F.avg_pool2d(pale, soft, 1, soft // 2), soft, 1, soft // 2).roll((wide + 1, wide), (2, 3))
    black = torch.cat([torch.zeros_like(image[:, :3]), 0.45 * shadow * (shadow > 0.01)], 1)
    image = image + (1 - image[:, 3:]) * black
    return ((image * _FINE).round() / _FINE).float()


def _support(solid_MHW: Tensor) -> Tensor:
    """The farthest solid pixel in each of 72 directions, as a fraction of half the side; 0 of nothing, (M, 72)."""
    size = solid_MHW.shape[-1]
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1
    angle_K1 = torch.arange(DIRECTIONS, dtype=torch.float64)[:, None] * (2 * math.pi / DIRECTIONS)
    # of each line of pixels only the two ends matter
    right_MH = torch.where(solid_MHW, at, -torch.inf).amax(2)
    left_MH = torch.where(solid_MHW, at, torch.inf).amin(2)
    filled_M1H = solid_MHW.any(2)[:, None]
    along_MKH = torch.maximum(angle_K1.cos() * right_MH[:, None], angle_K1.cos() * left_MH[:, None])
    reach_MKH = torch.where(filled_M1H, along_MKH + angle_K1.sin() * at, -torch.inf)
    return reach_MKH.amax(2).nan_to_num(neginf=0.0).float()


@lru_cache(maxsize=16)
def _sprites(picture_MCHW: Tensor, rows: tuple[int, ...], inner: int, rim: bool) -> Sprites:
    """The pictures ``rows`` of a pack as sprites, the drawing itself ``inner`` px wide."""
    side = 1 << math.ceil(math.log2(inner * _MARGIN))
    image_RCHW = _drawn(picture_MCHW[list(rows)], inner, side, rim)
    place_M = torch.zeros(len(picture_MCHW), dtype=torch.int64)
    place_M[list(rows)] = torch.arange(len(rows))
    return Sprites(
        image_RCHW=image_RCHW,
        share=inner / side,
        reach_RK=_support(picture_MCHW[list(rows), 3] > 127),
        # bilinear sampling reaches a pixel beyond the last one
        extent_RK=(_support(image_RCHW[:, 3] > 0) * side + 3) / inner,
        place_M=place_M,
    )


@lru_cache(maxsize=4)
def _distant(backdrop_MCHW: Tensor, wide: int) -> Tensor:
    """Backdrops as float pictures of side ``wide``."""
    whole = backdrop_MCHW.double() / 255
    return F.interpolate(whole, (wide, wide), mode="bilinear", antialias=True, align_corners=False).float()


@lru_cache(maxsize=4)
def _hiss(seed: int) -> Tensor:
    """White noise of RMS 1, (S,)."""
    # in double precision, since the fast way to draw floats differs between processors
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1 << 18, generator=generator, dtype=torch.float64).float()


@lru_cache(maxsize=8)
def _loudness(bank: SoundBank) -> Tensor:
    """Envelope of each recording, 0…1, 100 values a second, zeros at the end of the shorter ones, (M, Q)."""
    hop = SAMPLE_RATE // ENVELOPE_RATE
    longest = math.ceil(int(bank.length_M.max()) / hop) if len(bank) else 1
    out = torch.zeros(len(bank), longest + 4, dtype=torch.float64)
    for m, (start, length) in enumerate(zip(bank.start_M.tolist(), bank.length_M.tolist(), strict=True)):
        wave_S = F.pad(bank.data_S[start : start + length].double(), (0, -length % hop))
        rms = wave_S.view(-1, hop).square().mean(1).sqrt()
        out[m, 2 : 2 + len(rms)] = rms / rms.max().clamp(min=1e-6)
    return out.unfold(1, 5, 1).mean(2).float()


def prepare(pack: Pack, cast: Cast, dials: Preset, size: int, seed: int, device: torch.device | str) -> Stage:
    """Everything that does not depend on the scene, computed once."""
    largest = dials.side[1] * (1.3 if dials.motion else 1.0)
    inner = max(6, 2 * round(largest * size / 2))
    picture_MCHW = pack.faces_MCHW if dials.faces else pack.picture_MCHW
    sprites = _sprites(picture_MCHW, cast.shown(dials), inner, dials.faces or not pack.photographic)
    bank = pack.speech if dials.faces or dials.speech else pack.sounds
    return Stage(
        size=size,
        sprites=sprites.to(device),
        backdrop_MCHW=_distant(pack.backdrop_MCHW, round(size * 1.5)).to(device),
        bank=bank.to(device),
        loudness_MQ=_loudness(bank).to(device),
        ambience=pack.ambience.to(device),
        noise_S=_hiss(seed).to(device),
    )


# ------------------------------------------------------------------------------------------------ sound


def stems(scene: Scene, bank: SoundBank, samples: int) -> Tensor:
    """The sound of each slot (zeros unless ``scene.sounding_BN``), levelled by RMS and gain, (B, N, S)."""
    clips, slots = scene.category_BN.shape
    out_S = torch.zeros(clips * slots * samples, device=bank.data_S.device)
    begin_BNE = ((scene.onset_BNE + scene.shift_B[:, None, None]) * SAMPLE_RATE).round()
    heard_BNE = scene.sounding_BN[..., None] & (begin_BNE > -SAMPLE_RATE) & (begin_BNE < samples)
    row, slot, _ = heard_BNE.nonzero(as_tuple=True)
    note = scene.note_BNE[heard_BNE]
    begin = begin_BNE[heard_BNE].long()
    skip = (-begin).clamp(min=0)
    count = torch.minimum(bank.length_M[note], samples - begin) - skip
    source, target = bank.start_M[note] + skip, (row * slots + slot) * samples + begin + skip
    # samples are whole numbers: in single precision their sums, and in double those of their squares, are exact in any
    # order, and so alike on every device
    add = _add_each if out_S.device.type == "cpu" else _add_all
    add(out_S, bank.data_S, target, source, count.clamp(min=0))
    out_BNS = out_S.view(clips, slots, samples)
    power_BN = torch.cat([clips_BNS.double().square_().sum(2) for clips_BNS in out_BNS.split(_together(out_S))])
    level_BN = _LEVEL * 10 ** (scene.gain_BN.double() / 20)
    return out_BNS.mul_((level_BN / (power_BN / samples).sqrt().clamp(min=1.0)).float()[..., None])


def _add_all(out_S: Tensor, data_S: Tensor, target_L: Tensor, source_L: Tensor, count_L: Tensor) -> None:
    """Add to ``out_S``, for each note, ``count`` samples of ``data_S`` from ``source`` on at ``target``."""
    for target, source, count in zip(*(t.split(1024) for t in (target_L, source_L, count_L)), strict=True):
        first = (count.cumsum(0) - count).repeat_interleave(count)
        place = torch.arange(len(first), device=first.device) - first
        value = data_S[source.repeat_interleave(count) + place].float()
        out_S.index_add_(0, target.repeat_interleave(count) + place, value)


def _add_each(out_S: Tensor, data_S: Tensor, target_L: Tensor, source_L: Tensor, count_L: Tensor) -> None:
    """The same, note by note; slices of arrays cost a tenth of what slices of tensors cost."""
    total, notes = out_S.numpy(), data_S.numpy()
    for at, start, length in zip(target_L.tolist(), source_L.tolist(), count_L.tolist(), strict=True):
        total[at : at + length] += notes[start : start + length]


def _together(out_S: Tensor) -> int:
    """How many clips are reduced at once: one stays in a processor's cache, a card wants many."""
    return 1 if out_S.device.type == "cpu" else 64


def _pieces(data_S: Tensor, start_B: Tensor, length_B: Tensor, u_B: Tensor, samples: int) -> Tensor:
    """``samples`` samples from the place ``u`` (0…1) of each recording on, which begins again after its end, (B, S)."""
    first_B = (u_B.double() * length_B).long()
    if data_S.device.type == "cpu":
        return _each_piece(data_S, start_B, length_B, first_B, samples)
    place_BS = (first_B[:, None] + torch.arange(samples, device=data_S.device)) % length_B[:, None]
    return data_S[start_B[:, None] + place_BS].float()


def _each_piece(data_S: Tensor, start_B: Tensor, length_B: Tensor, first_B: Tensor, samples: int) -> Tensor:
    """The same, slice by slice."""
    out_BS, data = np.empty((len(start_B), samples), np.float32), data_S.numpy()
    for row_S, start, length, first in zip(out_BS, start_B.tolist(), length_B.tolist(), first_B.tolist(), strict=True):
        done = 0
        while done < samples:
            count = min(length - first, samples - done)
            row_S[done : done + count] = data[start + first : start + first + count]
            done, first = done + count, 0
    return torch.from_numpy(out_BS)


def _loud(level_B: Tensor) -> Tensor:
    """Factors of levels in dB, double precision; the powers are a processor's, whatever the device."""
    return torch.tensor([_LEVEL * 10 ** (level / 20) for level in level_B.tolist()], dtype=torch.float64)


def _background(scene: Scene, stage: Stage, samples: int) -> Tensor:
    """Ambience of the place and white noise, each at its level; silence where they are off, (B, S)."""
    device = stage.noise_S.device
    out_BS = torch.zeros(len(scene.index_B), samples, device=device)
    bank, row_B = stage.ambience, scene.ambience_B > -100
    if bool(row_B.any()):
        row = scene.recording_B[row_B]
        wave_BS = _pieces(bank.data_S, bank.start_M[row], bank.length_M[row], scene.turn_B[row_B], samples)
        power_B = torch.cat([wave.double().square_().sum(1) for wave in wave_BS.split(_together(wave_BS))])
        rms_B = (power_B / samples).sqrt().clamp(min=1.0)
        out_BS[row_B] = wave_BS.mul_((_loud(scene.ambience_B[row_B]).to(device) / rms_B).float()[:, None])
    noisy_B = scene.noise_B > -100
    if bool(noisy_B.any()):
        none_B = torch.zeros_like(scene.recording_B[noisy_B])
        wave_BS = _pieces(stage.noise_S, none_B, none_B + len(stage.noise_S), scene.hiss_B[noisy_B], samples)
        out_BS[noisy_B] += wave_BS.mul_(_loud(scene.noise_B[noisy_B]).to(device).float()[:, None])
    return out_BS


def mix(scene: Scene, stage: Stage, seconds: float) -> tuple[Tensor, Tensor]:
    """Mixture (B, S) and the stem of every slot (B, N, S); a mixture beyond -1…1 is turned down with its stems."""
    samples = round(seconds * SAMPLE_RATE)
    stem_BNS = stems(scene, stage.bank, samples)
    wave_BS = stem_BNS[:, 0].clone()
    for n in range(1, stem_BNS.shape[1]):
        wave_BS += stem_BNS[:, n]
    if bool((scene.ambience_B > -100).any()) or bool((scene.noise_B > -100).any()):
        wave_BS += _background(scene, stage, samples)
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
    """How each thing lies in each frame, double precision.

    Attributes:
        centre_BNT2: px.
        map_BNT22: from the thing, whose picture spans -1…1, to px about its centre: mirrored, warped, turned, scaled.
    """

    centre_BNT2: Tensor
    map_BNT22: Tensor

    def first(self, times: int) -> Pose:
        """The first ``times`` frames."""
        return Pose(self.centre_BNT2[:, :, :times], self.map_BNT22[:, :, :times])


def poses(scene: Scene, size: int, loud_BNT: Tensor, motion: float, drift: float, time_T: Tensor, mime: bool) -> Pose:
    """Rest position + drift of its own + the motion its loudness causes; ``time_T`` in double precision."""
    things = scene.picture_BN.shape[1]
    loud = motion * loud_BNT[:, :things].double()
    if not mime:
        loud = loud * scene.sounding_BN[:, :things, None]
    phase_BN3 = scene.phase_BN3.double()
    turn = 2 * math.pi * (phase_BN3[..., None] + (0.2 + 0.3 * phase_BN3.flip(2))[..., None] * time_T)
    kind = {name: (scene.motion_BN == k)[..., None] for k, name in enumerate(MOTIONS)}
    side = scene.side_BN[..., None].double()
    x = scene.x_BN[..., None] + drift * turn[:, :, 0].sin() + kind["shake"] * 0.16 * side * loud * (time_T * 37.7).sin()
    y = scene.y_BN[..., None] + drift * turn[:, :, 1].sin() - kind["hop"] * 0.3 * side * loud
    grow = 1 - kind["pulse"] * 0.3 * (motion - loud)
    sway = kind["swing"] * 28.0 * loud * (turn[:, :, 2] * 4).sin().sign()
    angle = scene.angle_BN[..., None] + (drift > 0) * 8 * turn[:, :, 2].sin() + sway
    centre_BNT2 = (torch.stack([x, y], 3) * (size * _GRID)).round() / _GRID
    return Pose(centre_BNT2, _maps(side * grow * (size / 2), angle, scene.flip_BN, scene.warp_BN2))


def _maps(half_BNT: Tensor, angle_BNT: Tensor, flip_BN: Tensor, warp_BN2: Tensor) -> Tensor:
    """Scale (px) × turn (degrees, clockwise) × flip × stretch and shear, which keep the area, (B, N, T, 2, 2)."""
    sign_BN1 = 1.0 - 2.0 * flip_BN[..., None].double()
    wide_BN1 = (warp_BN2[..., :1].double() / 2).exp()
    shear_BN1 = warp_BN2[..., 1:].double()
    cos, sin = (angle_BNT * (math.pi / 180)).cos(), (angle_BNT * (math.pi / 180)).sin()
    across = torch.stack([cos, sin], -1) * (sign_BN1 * wide_BN1)[..., None]
    down = torch.stack([cos, sin], -1) * (sign_BN1 * shear_BN1)[..., None]
    down = down + torch.stack([-sin, cos], -1) / wide_BN1[..., None]
    return torch.stack([across, down], -1) * half_BNT[..., None, None]


def _inverse(map_22: Tensor) -> Tensor:
    """Of 2 × 2 matrices (…, 2, 2)."""
    (a, b), (c, d) = (row.unbind(-1) for row in map_22.unbind(-2))
    swapped = torch.stack([torch.stack([d, -b], -1), torch.stack([-c, a], -1)], -2)
    return swapped / (a * d - b * c)[..., None, None]


def _around(pose: Pose, table_BNK: Tensor) -> tuple[Tensor, ...]:
    """How far each thing extends to the left, top, right and bottom as it lies now, px, each (B, N, T).

    Args:
        pose: its ``map`` A turns the set S that is the drawing into A S.
        table_BNK: the support function of S, max over s in S of <s, direction>, in 72 directions.
    """

    def toward(row_BNT2: Tensor) -> Tensor:
        # the support of A S in direction e is that of S in direction A'e; for an axis e, A'e is a row of A
        step = torch.atan2(row_BNT2[..., 1], row_BNT2[..., 0]) * (DIRECTIONS / (2 * math.pi))
        low = step.floor()
        a = table_BNK.gather(2, low.long() % DIRECTIONS)
        b = table_BNK.gather(2, (low.long() + 1) % DIRECTIONS)
        return (a + (b - a) * (step - low)) * torch.hypot(row_BNT2[..., 0], row_BNT2[..., 1])

    along_x, along_y = pose.map_BNT22.unbind(3)
    return toward(-along_x), toward(-along_y), toward(along_x), toward(along_y)


def boxes(scene: Scene, pose: Pose, stage: Stage) -> Tensor:
    """Tight boxes within the frame, px, (B, N, T, 4)."""
    table_BNK = stage.sprites.reach_RK[stage.sprites.place_M[scene.picture_BN]]
    left, top, right, bottom = _around(pose, table_BNK)
    x, y = pose.centre_BNT2.unbind(3)
    return torch.stack([x - left, y - top, x + right, y + bottom], -1).clamp(0, stage.size).float()


def flow(pose: Pose, mask_BTNHW: Tensor) -> Tensor:
    """How far (x, y; px) each pixel in sight moves until the next frame, 0 elsewhere, (B, T, H, W, 2).

    A pixel p of a thing shows the point A⁻¹(p - c) of it, which lies at c' + A'A⁻¹(p - c) in the next frame: closed
    form, from the two poses alone. A mouth that opens or closes does not count.

    Args:
        pose: T + 1 frames.
        mask_BTNHW: the pixels of each thing that are in sight.
    """
    size = mask_BTNHW.shape[-1]
    now, later = pose.map_BNT22[:, :, :-1], pose.map_BNT22[:, :, 1:]
    move_BNT22 = later @ _inverse(now)
    step_BNT2 = pose.centre_BNT2.diff(dim=2)
    at = torch.arange(size, dtype=torch.float64, device=mask_BTNHW.device) + 0.5
    pixel_HW2 = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
    out = torch.zeros(*mask_BTNHW.shape[:2], size, size, 2, device=mask_BTNHW.device)
    b, t, n, y, x = mask_BTNHW.nonzero(as_tuple=True)
    offset_R2 = pixel_HW2[y, x] - pose.centre_BNT2[b, n, t]
    moved_R2 = (move_BNT22[b, n, t] @ offset_R2[..., None])[..., 0]
    out[b, t, y, x] = (moved_R2 - offset_R2 + step_BNT2[b, n, t]).float()
    return out


def _backdrops(scene: Scene, stage: Stage) -> Tensor:
    """A crop of the backdrop, or a plain colour with a soft gradient, lit, (B, 3, H, W)."""
    size, wide = stage.size, stage.backdrop_MCHW.shape[-1]
    left, top = (scene.crop_B2 * (wide - size + 1)).long().T.tolist()
    flip = scene.mirror_B.tolist()
    out = torch.empty(len(left), 3, size, size, device=stage.backdrop_MCHW.device)
    fall = torch.linspace(1.08, 0.86, size, device=out.device)[:, None]
    for b, row in enumerate(scene.backdrop_B.tolist()):
        crop = stage.backdrop_MCHW[row, :, top[b] : top[b] + size, left[b] : left[b] + size]
        out[b] = crop.flip(2) if flip[b] else crop
        if scene.plain_B[b]:
            out[b] = scene.wall_B3[b][:, None, None] * fall
    return out


@dataclass(frozen=True)
class Placed:
    """Things in frames, one row each: which frame, which slot, which sprite, where and how it lies.

    ``inverse`` leads from px about the centre to the sprite, in 1/256 of its pixels from its middle; ``turn`` turns its
    hue; ``middle`` and ``span`` (px) are those of what it covers, rim and shadow among it.
    """

    frame_R: Tensor
    slot_R: Tensor
    sprite_R: Tensor
    centre_R2: Tensor
    inverse_R22: Tensor
    turn_R33: Tensor
    loud_R: Tensor
    middle_R2: Tensor
    span_R: Tensor

    def rows(self, index: Tensor) -> Placed:
        return Placed(*(getattr(self, field.name)[index] for field in fields(self)))


def _placed(scene: Scene, stage: Stage, pose: Pose, loud_BNT: Tensor) -> Placed:
    """Every thing in every frame that shows it: small things first, the frames of one after the other."""
    _, things, times, _ = pose.centre_BNT2.shape
    sprite_BN = stage.sprites.place_M[scene.picture_BN]
    left, top, right, bottom = _around(pose, stage.sprites.extent_RK[sprite_BN])
    # a direction between two of the 72 and rounding to whole pixels need a little more
    span_BNT = torch.maximum(left + right, top + bottom) * 1.002 + 1
    middle_BNT2 = pose.centre_BNT2 + torch.stack([right - left, bottom - top], -1) / 2
    half = stage.sprites.share * stage.sprites.image_RCHW.shape[-1] / 2
    clip, slot = scene.visible_BN[:, :things].nonzero(as_tuple=True)
    order = span_BNT.amax(2)[clip, slot].argsort(stable=True)
    clip, slot = (rows[order].repeat_interleave(times) for rows in (clip, slot))
    time = torch.arange(times, device=clip.device).repeat(len(order))
    return Placed(
        frame_R=clip * times + time,
        slot_R=slot,
        sprite_R=sprite_BN[clip, slot],
        centre_R2=pose.centre_BNT2[clip, slot, time].float(),
        inverse_R22=(_inverse(pose.map_BNT22[clip, slot, time]) * (half * _FINE)).float(),
        turn_R33=colours.turn_matrix(scene.hue_BN.double()).float()[clip, slot],
        loud_R=loud_BNT[clip, slot, time],
        middle_R2=middle_BNT2[clip, slot, time],
        span_R=span_BNT[clip, slot, time],
    )


def _window(thing: Placed, size: int, width: int, side: int) -> tuple[Tensor, Tensor]:
    """Where each window looks into its sprite, ``side`` px wide, (R, P, P, 2); its corner in the frame (R, 2)."""
    # a window never leaves the frame, so nothing has to be padded: it looks at another part of the sprite instead
    corner_R2 = (thing.middle_R2 - width / 2).round().clamp(0, size - width)
    step_P = torch.arange(width, device=corner_R2.device) + 0.5
    # exact, so that a pixel's value does not depend on where its window begins
    from_R2P = (corner_R2.float() - thing.centre_R2)[..., None] + step_P
    # (u, v) = a map of (dx, dy): a part that changes along a line of pixels and one that changes from line to line
    across_R2P = thing.inverse_R22[:, :, 0, None] * from_R2P[:, :1]
    down_R2P = thing.inverse_R22[:, :, 1, None] * from_R2P[:, 1:]
    grid_RPP2 = torch.empty(len(corner_R2), width, width, 2, device=corner_R2.device)
    for axis in (0, 1):
        torch.add(across_R2P[:, axis, None], down_R2P[:, axis, :, None], out=grid_RPP2[..., axis])
    return grid_RPP2.round_().mul_(2 / (side * _FINE)), corner_R2.long()


def _coloured(image_RTCPP: Tensor, turn_R33: Tensor) -> Tensor:
    """Turn the hues of premultiplied RGBA; ink that leaves 0…alpha is kept at its border."""
    red, green, blue, alpha = image_RTCPP.unbind(2)
    out = torch.empty(image_RTCPP.shape, device=image_RTCPP.device)
    out[:, :, 3] = alpha
    zero = torch.zeros((), device=alpha.device)
    for c in range(3):
        weights = turn_R33[:, c, :, None, None, None].unbind(1)
        whole = red * weights[0]
        whole += green * weights[1]
        whole += blue * weights[2]
        torch.clamp(whole, zero, alpha, out=out[:, :, c])
    return out


def _mouth(patch: Tensor, grid: Tensor, share: float, open_R: Tensor) -> Tensor:
    """Paint a mouth that opens with the voice into a face's window (premultiplied RGBA)."""
    u, v = grid[..., 0] / share, grid[..., 1] / share
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


def _patches(things: Placed, times: int, stage: Stage, faces: bool, turned: bool) -> list[Patches]:
    """Every thing sampled into a window a frame, in a few lots of similar size, so that windows fit."""
    sprites, device = stage.sprites, things.frame_R.device
    lots = []
    for part in torch.arange(len(things.frame_R), device=device).view(-1, times).chunk(5):
        if not len(part):
            continue
        some = things.rows(part.flatten())
        width = min(stage.size, math.ceil(float(some.span_R.amax())))
        grid, corner_R2 = _window(some, stage.size, width, sprites.image_RCHW.shape[-1])
        # the frames of a thing look into one sprite
        image = sprites.image_RCHW[some.sprite_R[::times]]
        image = F.grid_sample(image, grid.view(-1, times * width, width, 2), align_corners=False)
        image = image.view(-1, 4, times, width, width).transpose(1, 2)
        if turned:
            image = _coloured(image, some.turn_R33[::times])
        image_RCPP = image.reshape(-1, 4, width, width)
        if faces:
            image_RCPP = _mouth(image_RCPP, grid, sprites.share, some.loud_R)
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
    count, things, times, _ = pose.centre_BNT2.shape
    size = stage.size
    lots = _patches(_placed(scene, stage, pose, loud_BNT), times, stage, faces, bool(scene.hue_BN.any()))
    canvas_FCHW = _backdrops(scene, stage).repeat_interleave(times, 0)
    _over(canvas_FCHW, lots, things)
    frames = canvas_FCHW.view(count, times, 3, size, size)
    frames = frames.mul_(scene.light_B.view(-1, 1, 1, 1, 1)).clamp_(0, 1)
    if not masks:
        return frames, None
    solid = _masks(lots, things, count * times, size)
    return frames, solid.view(things, count, times, size, size).permute(1, 2, 0, 3, 4)
