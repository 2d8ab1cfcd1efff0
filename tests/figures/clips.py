"""Clips for the tests of figures: discs that move and grow with their tones."""

from __future__ import annotations

import math

import torch

from avlib.types import SAMPLE_RATE, Batch, Truth

CLASSES = ("trumpet", "dog", "bell", "violin")


def clips(count: int = 4, frames: int = 0, size: int = 64, seconds: float = 1.0, fps: float = 12.0) -> Batch:
    """``count`` clips of a loud and a silent disc; still pictures where ``frames`` is 0."""
    time_S = torch.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    y_HW, x_HW = torch.meshgrid(torch.arange(size).float(), torch.arange(size).float(), indexing="ij")
    video = torch.zeros(count, max(frames, 1), 3, size, size)
    wave_BS, box_BN4 = torch.zeros(count, len(time_S)), torch.full((count, 3, 4), float("nan"))
    for b in range(count):
        beat = 2 + b
        video[b] = torch.stack([0.4 + 0.3 * torch.sin(x_HW / (9 + b) + c) * torch.cos(y_HW / 11) for c in range(3)])
        wave_BS[b] = 0.4 * torch.sin(math.tau * 220 * (b + 1) * time_S) * torch.sin(math.pi * beat * time_S) ** 2
        for t in range(max(frames, 1)):
            radius = size * (0.1 + 0.06 * math.sin(math.pi * beat * t / fps) ** 2)
            for n, (cx, cy) in enumerate(((0.3 * size + t, 0.4 * size), (0.7 * size, 0.7 * size - t))):
                inside = (x_HW - cx) ** 2 + (y_HW - cy) ** 2 < radius**2
                video[b, t, n, inside] = 1.0
                box_BN4[b, n] = torch.tensor([cx - radius, cy - radius, cx + radius, cy + radius])
    first = torch.arange(count) % len(CLASSES)
    truth = Truth(
        category_BN=torch.stack([first, (first + 1) % len(CLASSES), torch.full_like(first, -1)], 1),
        sounding_BN=torch.tensor([[True, False, False]]).repeat(count, 1),
        box_BN4=box_BN4,
        stem_BNS=torch.stack([wave_BS, 0 * wave_BS, 0 * wave_BS], 1),
    )
    index_B = torch.arange(count)
    if frames:
        return Batch(index_B, wave_BS, video_BTCHW=video, fps=fps, truth=truth)
    return Batch(index_B, wave_BS, image_BCHW=video[:, 0], truth=truth)
