"""All-pairs matchmap scores beside the double loop over pairs, forward and backward: one markdown row a case."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from clock import seconds
from torch import Tensor

from avlib.matching import all_pairs

CLIPS, DIM = 64, 128
CASES = (("8×8 cells, 13 frames", 8, 13), ("8×8 cells, 75 frames", 8, 75))


def double_loop(image_BDYX: Tensor, audio_BDL: Tensor) -> Tensor:
    """MISA of every pair, one pair at a time."""
    rows = []
    for picture in image_BDYX.flatten(2):
        scores = [(picture.t() @ sound).max(0).values.mean() for sound in audio_BDL]
        rows.append(torch.stack(scores))
    return torch.stack(rows)


def both_ways(score: Callable[[Tensor, Tensor], Tensor], image: Tensor, audio: Tensor) -> None:
    """One forward and backward pass."""
    image.grad = audio.grad = None
    score(image, audio).square().mean().backward()


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    print("| all-pairs matchmap (MISA) | ours, ms | double loop, ms | ratio | threads |")
    print("|---|---|---|---|---|")
    for name, side, frames in CASES:
        image = torch.randn(CLIPS, DIM, side, side, generator=generator).requires_grad_()
        audio = torch.randn(CLIPS, DIM, frames, generator=generator).requires_grad_()
        ours, peer = (seconds(partial(both_ways, score, image, audio), 5) for score in (all_pairs, double_loop))
        row = f"{ours * 1e3:.0f} | {peer * 1e3:.0f} | {peer / ours:.1f}"
        print(f"| B = {CLIPS}, D = {DIM}, {name} | {row} | {torch.get_num_threads()} |")


if __name__ == "__main__":
    main()
