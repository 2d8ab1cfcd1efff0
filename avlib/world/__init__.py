"""Worlds with exact ground truth: ``World`` makes clips, ``Stream`` hands them to training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avlib.errors import unknown
from avlib.types import Batch, Truth, Word
from avlib.world import language, packs, render, scenes
from avlib.world.packs import Pack
from avlib.world.presets import PRESETS, Preset, named
from avlib.world.scenes import SPLITS, Scene

__all__ = ["PRESETS", "Preset", "Scene", "Stream", "World"]


class World:
    """Scene i of a pack and a preset, as latents or as a rendered clip.

    Args:
        pack: a pack, its name (``"orchestra"``, ``"esc"``, ``"photos"``, ``"folder:PATH"``) or a ``.safetensors`` file.
        preset: the name of a scene distribution, see `avlib.world.presets`, or a `Preset`.
        split: ``"train"``, ``"val"`` or ``"test"``; splits share no recording.
        seed: another seed, another world of the same kind.
        size: side of the pictures, px.
        seconds: length of a clip.
        fps: frames a second, where the preset makes videos.
        device: where clips are rendered; the latents are the same everywhere.
        dials: any field of `Preset`, to turn one dial.

    Raises:
        ValueError: unknown pack, preset, split or dial (the right names are listed), or a size that makes no sense.

    Examples:
        >>> world = World("orchestra", "duet", size=64, noise=-10.0)
        >>> world.batch(range(8)).image_BCHW.shape
        torch.Size([8, 3, 64, 64])
    """

    def __init__(
        self,
        pack: Pack | str = "orchestra",
        preset: Preset | str = "solo",
        split: str = "train",
        seed: int = 0,
        size: int = 64,
        seconds: float = 1.0,
        fps: float = 8.0,
        device: torch.device | str = "cpu",
        **dials: object,
    ):
        if split not in SPLITS:
            raise unknown("split", split, SPLITS)
        if size < 16 or seconds <= 0 or fps <= 0:
            raise ValueError(f"size={size} px (at least 16), seconds={seconds} and fps={fps} (above 0) make no clip")
        self.pack = packs.load(pack) if isinstance(pack, str) else pack
        base = named(preset) if isinstance(preset, str) else preset
        # photographs are rectangles: they hang straight unless asked not to
        self.preset = base.with_dials(**({"tilt": 0.0} if self.pack.photographic else {}) | dials)
        self.split, self.seed, self.size, self.seconds, self.fps = split, seed, size, seconds, fps
        self.device = torch.device(device)
        self.classes = (*self.pack.classes, "person") if self.preset.faces else self.pack.classes
        self.cast = scenes.Cast(self.pack, split)
        largest = self.preset.side[1] * (1.3 if self.preset.motion else 1.0)
        self.stage = render.prepare(self.pack, size, largest, seed, self.device)

    @property
    def frames(self) -> int:
        """Frames of a clip; 1 for pictures."""
        return max(1, round(self.seconds * self.fps)) if self.preset.video else 1

    def scene(self, index_B: Tensor | Sequence[int]) -> Scene:
        """Latents of the scenes ``index_B``, on the CPU."""
        index_B = torch.as_tensor(index_B if isinstance(index_B, Tensor) else list(index_B), dtype=torch.int64).cpu()
        if index_B.ndim != 1 or len(index_B) == 0:
            raise ValueError(
                f"index_B must name at least one scene in one dimension; its shape is {tuple(index_B.shape)}"
            )
        return scenes.draw(self.pack, self.cast, self.preset, self.split, self.seed, index_B, self.seconds)

    @torch.no_grad()
    def batch(self, index_B: Tensor | Sequence[int], masks: bool = False) -> Batch:
        """The clips ``index_B``; ``masks`` adds the pixels of each thing to the truth (half again as slow)."""
        latents = self.scene(index_B)
        scene: Scene = latents.to(self.device)
        dials, stage = self.preset, self.stage
        wave_BS, stem_BNS = render.mix(scene, stage, dials.speech or dials.faces, self.seconds)
        frames = self.frames
        time_T = (torch.arange(frames, device=self.device) + 0.5) / self.fps if dials.video else _middle(self)
        curve = stage.speech_loudness_MQ if dials.faces else stage.loudness_MQ
        loud_BNT = render.loudness(scene, curve, time_T) if dials.motion else _still(scene, frames)
        pose = render.poses(scene, self.size, loud_BNT, dials.motion, dials.drift, time_T, dials.mime)
        video, mask = render.paint(scene, stage, pose, loud_BNT, dials.faces, masks)
        reach = stage.face_reach_MK if dials.faces else stage.reach_MK
        box = render.boxes(pose, reach, scene.picture_BN, scene.flip_BN, self.size)
        truth = self._truth(scene, latents, stem_BNS, box, mask)
        if dials.video:
            return Batch(scene.index_B, wave_BS, video_BTCHW=video, fps=self.fps, truth=truth)
        return Batch(scene.index_B, wave_BS, image_BCHW=video[:, 0], truth=truth)

    def _truth(self, scene: Scene, latents: Scene, stem_BNS: Tensor, box: Tensor, mask: Tensor | None) -> Truth:
        things = scene.picture_BN.shape[1]
        there = scene.visible_BN[:, :things]
        unseen = scene.sounding_BN[:, -1] & (not self.preset.speech)
        box_BTN4 = box.transpose(1, 2).masked_fill(~there[:, None, :, None], float("nan"))
        rows = range(len(latents.index_B))
        return Truth(
            category_BN=scene.category_BN[:, :things].masked_fill(~there, -1),
            sounding_BN=scene.sounding_BN[:, :things],
            box_BN4=box_BTN4[:, 0],
            box_BTN4=box_BTN4 if self.preset.video else None,
            mask_BNHW=None if mask is None else mask[:, 0],
            mask_BTNHW=mask if self.preset.video else None,
            stem_BNS=stem_BNS[:, :things],
            onset_BNE=scene.onset_BNE[:, :things],
            offscreen_B=scene.category_BN[:, -1].masked_fill(~unseen, -1),
            offscreen_stem_BS=stem_BNS[:, -1],
            faulty_B=scene.faulty_B,
            shift_B=scene.shift_B,
            backdrop_B=scene.place_B.masked_fill(scene.plain_B, -1),
            caption=language.captions(latents.chunk_BE, self.pack),
            words=tuple(self._words(latents, b) for b in rows) if self.preset.speech or self.preset.faces else None,
        )

    def _words(self, scene: Scene, row: int) -> tuple[Word, ...]:
        """Words that are heard in the clip, in order of time."""
        said = []
        for n in scene.sounding_BN[row].nonzero().flatten().tolist():
            for note, onset in zip(scene.note_BNE[row, n].tolist(), scene.onset_BNE[row, n].tolist(), strict=True):
                begin = onset + float(scene.shift_B[row])
                if begin == begin:
                    said += [Word(w.text, begin + w.start, begin + w.end) for w in self.pack.words[note]]
        return tuple(sorted((w for w in said if 0 <= w.start and w.end <= self.seconds), key=lambda w: w.start))


def _middle(world: World) -> Tensor:
    return torch.tensor([world.seconds / 2], device=world.device)


def _still(scene: Scene, frames: int) -> Tensor:
    return torch.zeros(*scene.category_BN.shape, frames, device=scene.x_BN.device)


class Stream:
    """Batches for training, as a pure function of the step: nothing to store, nothing to rewind on resume.

    Args:
        world: where the clips come from.
        batch_size: clips a step on each process.
        count: how many scenes there are (an epoch visits each once, in its own order); 0 for endlessly many.
        seed: another seed, another order.
        rank, ranks: this process's share under ``torchrun``.
    """

    def __init__(self, world: World, batch_size: int, count: int = 0, seed: int = 0, rank: int = 0, ranks: int = 1):
        if batch_size < 1 or (count and count < batch_size * ranks):
            raise ValueError(f"batch_size={batch_size} × {ranks} processes does not fit into count={count} scenes")
        self.world, self.batch_size, self.count, self.seed = world, batch_size, count, seed
        self.rank, self.ranks = rank, ranks

    def indices(self, step: int) -> Tensor:
        """Which scenes step ``step`` shows to this process, int64 (B,)."""
        whole = self.batch_size * self.ranks
        if not self.count:
            first = step * whole + self.seed * 1_000_003_000
            index = torch.arange(first, first + whole)
        else:
            epoch, part = divmod(step, self.count // whole)
            generator = torch.Generator().manual_seed(self.seed * 100_003 + epoch)
            index = torch.randperm(self.count, generator=generator)[part * whole : (part + 1) * whole]
        return index[self.rank * self.batch_size : (self.rank + 1) * self.batch_size]

    def __call__(self, step: int) -> Batch:
        return self.world.batch(self.indices(step))
