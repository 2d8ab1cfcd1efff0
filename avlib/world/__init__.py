"""Worlds with exact ground truth: ``World`` makes clips, ``Stream`` hands them to training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from avlib.errors import unknown
from avlib.types import Batch, Truth, Word
from avlib.world import language, library, render, scenes
from avlib.world.packs import Pack
from avlib.world.presets import PRESETS, Preset, named
from avlib.world.scenes import SPLITS, Scene

__all__ = ["PRESETS", "Preset", "Scene", "Shuffled", "Stream", "World"]


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
        self.pack = library.load(pack) if isinstance(pack, str) else pack
        base = named(preset) if isinstance(preset, str) else preset
        # photographs are rectangles of many colours: they hang straight and keep them unless asked not to
        straight: dict[str, object] = {"tilt": 0.0, "hue": 0.0} if self.pack.photographic else {}
        self.preset = base.with_dials(**straight | dials)
        self.split, self.seed, self.size, self.seconds, self.fps = split, seed, size, seconds, fps
        self.device = torch.device(device)
        self.classes = (*self.pack.classes, language.PERSON) if self.preset.faces else self.pack.classes
        self.cast = scenes.Cast(self.pack, split, self.preset.hands, self.preset.voices)
        self.stage = render.prepare(self.pack, self.cast, self.preset, size, seed, self.device)

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
    def batch(
        self,
        index_B: Tensor | Sequence[int],
        masks: bool = False,
        flow: bool = False,
        heard_B: Tensor | Sequence[int] | None = None,
    ) -> Batch:
        """The clips ``index_B``.

        Args:
            masks: add the pixels of each thing to the truth (half again as slow).
            flow: add how they move from frame to frame.
            heard_B: other clips whose sound is heard in place of their own, see `Shuffled`.

        Raises:
            ValueError: flow of a preset that makes no video, or not as many clips heard as seen.
        """
        if flow and not self.preset.video:
            raise ValueError("flow=True needs a preset that makes videos, or video=True")
        latents = self.scene(index_B)
        heard = latents if heard_B is None else self.scene(heard_B)
        if len(heard.index_B) != len(latents.index_B):
            raise ValueError(f"{len(latents.index_B)} clips are seen, but {len(heard.index_B)} heard")
        video_BTCHW, seen = self._look(latents, masks, flow)
        wave_BS, sounds = self._listen(heard)
        return Batch(
            index_B=latents.index_B.to(self.device),
            wave_BS=wave_BS,
            image_BCHW=None if self.preset.video else video_BTCHW[:, 0],
            video_BTCHW=video_BTCHW if self.preset.video else None,
            text=seen["caption"] if self.preset.captioned else None,
            fps=self.fps if self.preset.video else 0.0,
            truth=Truth(**seen, **(sounds if heard_B is None else _dubbed(heard, sounds))),
        )

    def batches(
        self, count: int, size: int = 64, start: int = 0, masks: bool = False, flow: bool = False
    ) -> Iterator[Batch]:
        """``count`` clips from the clip ``start`` on, ``size`` at a time (fewer in the last batch)."""
        if size < 1:
            raise ValueError(f"size={size}: a batch holds at least one clip")
        for first in range(start, start + count, size):
            yield self.batch(range(first, min(first + size, start + count)), masks, flow)

    def _look(self, latents: Scene, masks: bool, flow: bool) -> tuple[Tensor, dict[str, Any]]:
        """Frames (B, T, 3, H, W), and the truth of what is to be seen in them."""
        dials, frames = self.preset, self.frames
        scene: Scene = latents.to(self.device)
        # one time more: where things go after the last frame
        time_T = (torch.arange(frames + 1, dtype=torch.float64, device=self.device) + 0.5) / self.fps
        if not dials.video:
            time_T = torch.full_like(time_T, self.seconds / 2)
        loud_BNT = render.loudness(scene, self.stage.loudness_MQ, time_T) * bool(dials.motion)
        pose = render.poses(scene, self.size, loud_BNT, dials.motion, dials.drift, time_T, dials.mime)
        now = pose.first(frames)
        video, mask = render.paint(scene, self.stage, now, loud_BNT, dials.faces, masks or flow)
        hidden_BN = ~scene.visible_BN[:, :-1]
        box_BNT4 = render.boxes(scene, now, self.stage).masked_fill(hidden_BN[..., None, None], float("nan"))
        seen = self._things(scene) | {
            "box_BN4": box_BNT4[:, :, 0],
            "box_BTN4": box_BNT4.transpose(1, 2) if dials.video else None,
            "flow_BTHW2": render.flow(pose, mask) if flow and mask is not None else None,
            "caption": language.captions(latents.chunk_BE, self.pack),
        }
        if masks and mask is not None:
            seen |= {"mask_BNHW": mask[:, 0], "mask_BTNHW": mask if dials.video else None}
        return video, seen

    def _things(self, scene: Scene) -> dict[str, Tensor]:
        """What the things of a scene are, and what they play, whoever hears it."""
        pack, dials = self.pack, self.preset
        there_BN = scene.visible_BN[:, :-1]
        drawing_M, hand_M = pack.picture_drawing_M, pack.picture_hand_M
        if dials.faces:
            drawing_M, hand_M = torch.arange(len(pack.faces_MCHW)), pack.faces_hand_M
        numbers = {
            "category_BN": scene.category_BN[:, :-1],
            "drawing_BN": drawing_M.to(self.device)[scene.picture_BN],
            "hand_BN": hand_M.to(self.device)[scene.picture_BN],
            "colour_BN": scene.colour_BN,
            "voice_BN": self._voices(scene)[:, :-1],
        }
        plays_BN = there_BN & (not dials.faces and not dials.speech)
        return {name: value.masked_fill(~there_BN, -1) for name, value in numbers.items()} | {
            "onset_BNE": scene.onset_BNE[:, :-1],
            "rhythm_BN": scene.tempo_BN[:, :-1].masked_fill(~plays_BN, float("nan")),
            "backdrop_B": scene.place_B.masked_fill(scene.plain_B, -1),
        }

    def _listen(self, latents: Scene) -> tuple[Tensor, dict[str, Any]]:
        """Sound (B, S), and the truth of what is to be heard in it."""
        scene: Scene = latents.to(self.device)
        wave_BS, stem_BNS = render.mix(scene, self.stage, self.seconds)
        unseen_B = scene.sounding_BN[:, -1]
        rows = range(len(scene.index_B))
        speaks = self.preset.faces or self.preset.speech
        return wave_BS, {
            "sounding_BN": scene.sounding_BN[:, :-1],
            "stem_BNS": stem_BNS[:, :-1],
            "offscreen_B": scene.category_BN[:, -1].masked_fill(~unseen_B | self.preset.speech, -1),
            "offscreen_stem_BS": stem_BNS[:, -1],
            "faulty_B": scene.faulty_B,
            "shift_B": scene.shift_B,
            "narrator_B": self._voices(scene)[:, -1].masked_fill(~unseen_B, -1),
            "words": tuple(self._words(latents, b) for b in rows) if speaks else None,
        }

    def _voices(self, scene: Scene) -> Tensor:
        """Whose voice each slot speaks with, -1 where none does, (B, N)."""
        if not (self.preset.faces or self.preset.speech):
            return torch.full_like(scene.category_BN, -1)
        return language.voices(scene.note_BNE.cpu(), scene.onset_BNE.cpu(), self.pack).to(self.device)

    def _words(self, scene: Scene, row: int) -> tuple[Word, ...]:
        """Words that are heard in the clip, in order of time."""
        said = []
        for n in scene.sounding_BN[row].nonzero().flatten().tolist():
            for note, onset in zip(scene.note_BNE[row, n].tolist(), scene.onset_BNE[row, n].tolist(), strict=True):
                begin = onset + float(scene.shift_B[row])
                if begin == begin:
                    said += [Word(w.text, begin + w.start, begin + w.end) for w in self.pack.words[note]]
        return tuple(sorted((w for w in said if 0 <= w.start and w.end <= self.seconds), key=lambda w: w.start))


def _dubbed(scene: Scene, sounds: dict[str, Any]) -> dict[str, Any]:
    """The truth of a sound that is put over other pictures: whatever is heard is heard from outside."""
    first_B1 = sounds["sounding_BN"].int().argmax(1, keepdim=True)
    heard_B = scene.category_BN.to(first_B1.device).gather(1, first_B1)[:, 0]
    return sounds | {
        "sounding_BN": torch.zeros_like(sounds["sounding_BN"]),
        "stem_BNS": torch.zeros_like(sounds["stem_BNS"]),
        "offscreen_B": torch.where(sounds["sounding_BN"].any(1), heard_B, sounds["offscreen_B"]),
        "offscreen_stem_BS": sounds["stem_BNS"].sum(1) + sounds["offscreen_stem_BS"],
        "faulty_B": torch.ones_like(sounds["faulty_B"]),
    }


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


class Shuffled:
    """The same stream with every sound put over another picture: a control that correspondence cannot help.

    A clip hears what another step shows: of a finite set one of the same epoch, so that within it every sound is still
    heard once; of an endless one a step far away. So no clip of the batch, of any process, hears its own sound or a
    neighbour's, which a roll within the batch would leave in as the true partner of another row.

    In the truth nothing seen is heard (``faulty_B``); the sound's own truth is that of the source outside the picture.

    Args:
        stream: whose clips.

    Raises:
        ValueError: a finite stream of which an epoch has only one step.
    """

    AWAY = 500_009
    """Steps between picture and sound of an endless stream."""

    def __init__(self, stream: Stream):
        self.steps = stream.count // (stream.batch_size * stream.ranks)
        if self.steps == 1:
            raise ValueError(f"count={stream.count} scenes make one step an epoch: there is no other step's sound")
        self.stream = stream

    def heard(self, step: int) -> Tensor:
        """Which scenes' sound step ``step`` plays to this process, int64 (B,)."""
        if not self.steps:
            return self.stream.indices(step + self.AWAY)
        epoch, part = divmod(step, self.steps)
        # another distance each epoch, so that no false pair comes back every time
        return self.stream.indices(epoch * self.steps + (part + 1 + epoch % (self.steps - 1)) % self.steps)

    def indices(self, step: int) -> Tensor:
        """Which scenes step ``step`` shows to this process, int64 (B,)."""
        return self.stream.indices(step)

    def __call__(self, step: int) -> Batch:
        return self.stream.world.batch(self.indices(step), heard_B=self.heard(step))
