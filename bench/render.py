"""Frames a second of the world's renderer, beside the same scenes pasted by PIL and mixed by numpy in a DataLoader.

    python bench/render.py

Rows of the performance table, all on one thread: whole clips of three things at 64 px (latents, pixels, sound and the
truth) beside the peer, the pixels alone (goal 4,000 frames/s), and what a step of Look, Listen and Learn spends on its
clips (goal at most 25 %).
"""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from avlib import experiment
from avlib.methods.l3 import LookListenLearn
from avlib.recipes import l3
from avlib.world import World, render

FRAMES, BATCH, REPEATS = 8, 32, 7


class Pasted(Dataset):
    """The same latents, one clip at a time: rotate, resize and paste with PIL, add notes with numpy."""

    def __init__(self, world: World):
        self.world = world
        pack = world.pack
        self.pictures = [Image.fromarray(p.permute(1, 2, 0).numpy(), "RGBA") for p in pack.picture_MCHW]
        self.backdrops = [Image.fromarray(p.permute(1, 2, 0).numpy()) for p in pack.backdrop_MCHW]
        self.sound = pack.sounds.data_S.numpy()

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        world, size = self.world, self.world.size
        scene = world.scene([index])
        back = self.backdrops[int(scene.backdrop_B[0])].resize((size * 3 // 2,) * 2, Image.Resampling.BILINEAR)
        video = np.empty((world.frames, 3, size, size), np.float32)
        for t in range(world.frames):
            frame = back.crop((0, 0, size, size))
            for n in range(scene.picture_BN.shape[1]):
                side = max(2, int(scene.side_BN[0, n] * size))
                thing = self.pictures[int(scene.picture_BN[0, n])].rotate(
                    float(scene.angle_BN[0, n]), Image.Resampling.BILINEAR
                )
                thing = thing.resize((side, side), Image.Resampling.BILINEAR)
                corner = (int(scene.x_BN[0, n] * size) - side // 2, int(scene.y_BN[0, n] * size) - side // 2)
                frame.paste(thing, corner, thing)
            video[t] = np.asarray(frame, np.float32).transpose(2, 0, 1) / 255 * float(scene.light_B[0])
        return video, self._wave(scene)

    def _wave(self, scene) -> np.ndarray:  # type: ignore[no-untyped-def]
        bank, samples = self.world.pack.sounds, round(self.world.seconds * 16_000)
        wave = np.zeros(samples, np.float32)
        for n in scene.sounding_BN[0].nonzero().flatten().tolist():
            stem = np.zeros(samples, np.float32)
            for note, onset in zip(scene.note_BNE[0, n].tolist(), scene.onset_BNE[0, n].tolist(), strict=True):
                if onset == onset and onset * 16_000 < samples:
                    at, start = round(onset * 16_000), int(bank.start_M[note])
                    note_S = self.sound[start : start + min(16_000, int(bank.length_M[note]))].astype(np.float32)
                    note_S, at = note_S[max(0, -at) :], max(0, at)
                    stem[at : at + len(note_S)] += note_S[: samples - at]
            wave += stem * (render._LEVEL / max(1.0, float(np.sqrt((stem**2).mean()))))
        return wave


def rate(draw, clips: int) -> float:  # type: ignore[no-untyped-def]
    """Median frames a second of ``draw(k)`` over several batches."""
    times = []
    for k in range(REPEATS):
        start = time.perf_counter()
        draw(k)
        times.append(time.perf_counter() - start)
    return clips * FRAMES / statistics.median(times)


def pixels(world: World) -> float:
    """Frames a second of `render.paint` alone: latents and poses are at hand, sound and truth are left out."""
    time_T = (torch.arange(world.frames) + 0.5) / world.fps
    scene = world.scene(range(BATCH))
    loud_BNT = render.loudness(scene, world.stage.loudness_MQ, time_T)
    dials = world.preset
    pose = render.poses(scene, world.size, loud_BNT, dials.motion, dials.drift, time_T, dials.mime)
    with torch.no_grad():
        return rate(lambda k: render.paint(scene, world.stage, pose, loud_BNT, False, False), BATCH)


def share() -> float:
    """Part of a training step that goes into its clips, median over steps."""
    run = experiment.open("l3", device="cpu")
    budget, world, made = run.budget, run.world(), run.build(LookListenLearn, **l3.SIZE)
    optimiser = torch.optim.AdamW(made.parameters())
    parts = []
    for k in range(REPEATS):
        start = time.perf_counter()
        batch = world.batch(range(k * budget.batch, (k + 1) * budget.batch))
        drawn = time.perf_counter()
        optimiser.zero_grad()
        made.loss(batch, k)["loss"].backward()
        optimiser.step()
        parts.append((drawn - start) / (time.perf_counter() - start))
    return statistics.median(parts)


def main() -> None:
    torch.set_num_threads(1)
    world = World(preset="moving", things=(3, 3), sounding=(1, 3), side=(0.26, 0.4), size=64, seconds=1.0, fps=FRAMES)
    ours = rate(lambda k: world.batch(range(k * BATCH, (k + 1) * BATCH)), BATCH)
    loader = iter(DataLoader(Pasted(world), batch_size=BATCH))
    peer = rate(lambda k: next(loader), BATCH)
    print("| bench | ours | peer | ratio | threads |\n|---|---|---|---|---|")
    print(f"| whole clips, 64 px, 3 things | {ours:.0f} frames/s | PIL, numpy: {peer:.0f} | {ours / peer:.1f} | 1 |")
    print(f"| their pixels alone | {pixels(world):.0f} frames/s | – | – | 1 |")
    print(f"| clips' share of a step of l3 | {share():.0%} | – | – | 1 |")


if __name__ == "__main__":
    main()
