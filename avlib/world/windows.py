"""Windows of clips that were rendered once: true and shifted sound, both from the interior of one longer clip.

Whoever shifts the sound of a clip that ends must invent what comes before or after it, and a net hears the seam. Here
clips are longer than what is shown of them, and what is seen and what is heard are cut out at starts of one choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avlib.evaluate.features import join
from avlib.types import SAMPLE_RATE, Batch, Truth
from avlib.world import Stream
from avlib.world.scenes import Draws

Gap = tuple[float, float]
"""The least and the greatest distance between two starts, s."""


@dataclass(frozen=True)
class Windows:
    """Clips in 8-bit frames and 16-bit sound, and windows cut from them; see `rendered`.

    Attributes:
        video_MTCHW: uint8, all clips.
        wave_MS: int16, their sound.
        truth: of the clips.
        fps: frames a second.
        frames: how many frames a window has.
        margin: how many frames at either end of a clip are in no window.
        moved: how many rows further down the sound of each picture is from.
    """

    video_MTCHW: Tensor
    wave_MS: Tensor
    truth: Truth
    fps: float
    frames: int
    margin: int = 0
    moved: int = 0

    def __post_init__(self) -> None:
        if self.fps <= 0 or SAMPLE_RATE % self.fps:
            raise ValueError(f"fps={self.fps:g}: the {SAMPLE_RATE} samples of a second do not part evenly into frames")
        if self.frames < 1 or self.margin < 0 or self.last < self.margin:
            have = self.video_MTCHW.shape[1]
            raise ValueError(f"windows of {self.frames} frames, margins of {self.margin}: not within {have} frames")

    def __len__(self) -> int:
        return len(self.video_MTCHW)

    @property
    def seconds(self) -> float:
        """Length of a window."""
        return self.frames / self.fps

    @property
    def last(self) -> int:
        """The last frame that a window may begin with; ``margin`` is the first."""
        return int(self.video_MTCHW.shape[1]) - self.frames - self.margin

    def shuffled(self) -> Windows:
        """The same pictures, each with the sound of one other clip, always the same."""
        moved = len(self) // 2
        return replace(self, wave_MS=self.wave_MS.roll(-moved, 0), moved=self.moved + moved)

    def cut(self, row_B: Tensor, seen_B: Tensor, heard_B: Tensor | None = None) -> Batch:
        """One window of each of some clips; truth without masks, stems and words.

        Args:
            row_B: which clips.
            seen_B: first frame of what is seen.
            heard_B: the frame with which the sound begins; the same where left out.

        Raises:
            ValueError: a window that reaches into a margin.
        """
        heard_B = seen_B if heard_B is None else heard_B
        for start_B in (seen_B, heard_B):
            if bool(((start_B < self.margin) | (start_B > self.last)).any()):
                raise ValueError(f"windows begin within {self.margin}…{self.last}, not at {start_B.tolist()}")
        hop = round(SAMPLE_RATE / self.fps)
        at_BT = seen_B[:, None] + torch.arange(self.frames)
        sample_BS = heard_B[:, None] * hop + torch.arange(self.frames * hop)
        return Batch(
            index_B=row_B,
            video_BTCHW=self.video_MTCHW[row_B[:, None], at_BT].float() / 255,
            wave_BS=self.wave_MS[row_B[:, None], sample_BS].float() / 32767,
            fps=self.fps,
            truth=self._truth(row_B, seen_B, heard_B, at_BT),
        )

    def _truth(self, row_B: Tensor, seen_B: Tensor, heard_B: Tensor, at_BT: Tensor) -> Truth:
        truth: Truth = self.truth.select(row_B)
        later_B = (seen_B - heard_B) / self.fps
        box_BTN4 = None if truth.box_BTN4 is None else truth.box_BTN4[torch.arange(len(row_B))[:, None], at_BT]
        begin_B11 = seen_B[:, None, None] / self.fps
        return replace(
            truth,
            box_BTN4=box_BTN4,
            box_BN4=None if box_BTN4 is None else box_BTN4[:, 0],
            onset_BNE=None if truth.onset_BNE is None else truth.onset_BNE - begin_B11,
            shift_B=later_B if truth.shift_B is None else truth.shift_B + later_B,
        )

    def starts(self, row_B: Tensor, gaps: Sequence[Gap], seed: int = 0) -> Tensor:
        """start_B2: two first frames for each clip, whose distance lies within one of the gaps, each gap as often.

        Both are drawn alike: (a, b) is as probable as (b, a). So neither gives away which of them is the shifted one. A
        pure function of clip, gaps and seed.

        Raises:
            ValueError: a gap that no two windows have.
        """
        tables = [self._apart(gap) for gap in gaps]
        draws = Draws(row_B, seed, "windows")
        which_B = draws.integer("gap", (0, len(gaps) - 1))
        count_G = torch.tensor([len(table) for table in tables])
        pick_B = (draws("pair") * count_G[which_B]).long()
        return torch.nn.utils.rnn.pad_sequence(tables, batch_first=True)[which_B, pick_B]

    def _apart(self, gap: Gap) -> Tensor:
        """All pairs of starts at such a distance, (P, 2)."""
        start_O = torch.arange(self.margin, self.last + 1)
        apart_OO = (start_O[:, None] - start_O).abs() / self.fps
        pair_P2 = ((apart_OO >= gap[0] - 1e-9) & (apart_OO <= gap[1] + 1e-9)).nonzero()
        if len(pair_P2) == 0:
            room = (self.last - self.margin) / self.fps
            raise ValueError(f"gap={gap} s: starts of windows are at most {room:g} s apart")
        return pair_P2 + self.margin


def rendered(batches: Iterable[Batch], frames: int, margin: int = 0) -> Windows:
    """Clips, such as ``World(…).batches(count)``, kept in as few bytes as their frames and samples need.

    768 clips of 3 s at 8 frames/s and 48 px are 127 MB of frames and 74 MB of sound.

    Raises:
        ValueError: pictures instead of videos, no clips, a frame rate that does not divide the sampling rate, windows
            longer than the clips.
    """
    frame, wave, truths, fps = [], [], [], 0.0
    for batch in batches:
        plain: Batch = batch.to("cpu")
        if plain.video_BTCHW is None:
            raise ValueError("windows are cut from videos, and these clips have none")
        frame.append((plain.video_BTCHW * 255).round().to(torch.uint8))
        wave.append((plain.wave_BS * 32767).round().to(torch.int16))
        truths.append(_kept(plain.truth))
        fps = plain.fps
    if not truths:
        raise ValueError("no clips to cut windows from")
    return Windows(torch.cat(frame), torch.cat(wave), join(truths), fps, frames, margin)


def _kept(truth: Truth) -> Truth:
    none = dict.fromkeys(("mask_BNHW", "mask_BTNHW", "stem_BNS", "offscreen_stem_BS", "flow_BTHW2", "words"))
    return replace(truth, **none)  # type: ignore[arg-type]


class Pairs:
    """Batches of two windows of each clip, as a pure function of the step.

    Row n and row n + half of a batch are of one clip (``index_B`` says so), each with its own sound, so that either is
    the other's shifted sound.

    Args:
        windows: all of them; each is met once an epoch.
        batch_size: windows a step on each process, twice the clips.
        gaps: how far apart the two begin, see `Windows.starts`.
        apart: exchange the sounds of the two: a clip's sound, but never in time.
        seed: another seed, another order and other starts.
        rank, ranks: this process's share under ``torchrun``.

    Raises:
        ValueError: an odd batch, or one that does not fit.
    """

    def __init__(
        self, windows: Windows, batch_size: int, gaps: Sequence[Gap], apart: bool = False, seed: int = 0,
        rank: int = 0, ranks: int = 1,
    ):  # fmt: skip
        if batch_size % 2:
            raise ValueError(f"batch_size={batch_size} must be even: each clip comes in two windows")
        self.stream = Stream(windows, batch_size // 2, len(windows), seed, rank, ranks)  # type: ignore[arg-type]
        self.windows, self.gaps, self.apart, self.seed = windows, tuple(gaps), apart, seed

    def __call__(self, step: int) -> Batch:
        row_B = self.stream.indices(step)
        start_B2 = self.windows.starts(row_B, self.gaps, self.seed * 1_000_003 + step)
        seen_B, other_B = start_B2.t().flatten(), start_B2.flip(1).t().flatten()
        return self.windows.cut(row_B.repeat(2), seen_B, other_B if self.apart else seen_B)
