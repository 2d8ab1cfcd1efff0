"""What is asked of nets that shall tell when, and of which clips: verdicts on windows of two starts, and delays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from avlib.evaluate import synchrony
from avlib.evaluate.features import evaluating, join
from avlib.experiment import Run
from avlib.matching import cosine
from avlib.types import Batch, Embedding
from avlib.world.windows import Gap, Windows, rendered

SECONDS, FPS, FRAMES = 3.6, 10.0, 12
"""Of a clip; frames a second; of a window. The sampling rate is a multiple of the second."""
HARD, SUPER_HARD = (FRAMES / FPS, SECONDS), (0.3, 0.9)
"""How far apart (s) windows begin: so far that they share nothing; so little that they overlap."""
BEAT = 6
"""Frames between the notes of `STEADY` clips."""
STEADY: dict[str, Any] = {"steady": True, "tempo": (FPS / BEAT, FPS / BEAT)}
"""Dials of clips whose notes come as regularly as a metronome."""
LOOK: dict[str, Any] = {"tempo": (1.0, 2.5), "onset_from": 1.0, "drift": 0.06, "classes": 6, "hue": 0.0}
"""Dials of all clips: few notes a second, six kinds of things in their own colours. With the presets' own (1.5–4
notes/s, 20 classes) nothing was learnt in 300 steps: a window has too many notes for its frames. Six classes in their
own colours can be told apart, as real clips can; of 20 in any colour none was learnt, and time was all there was. With
drift .06 a rule by hand stays well below certainty. Tried for AVTS on validation clips of seed 11, in this order.
"""
KINDS = "easy", "hard", "super-hard"
GAPS: dict[str, Sequence[Gap]] = {
    "hard": [HARD],
    "super-hard": [SUPER_HARD],
    "whole beats": [(beats * BEAT / FPS, beats * BEAT / FPS) for beats in (2.0, 3.0, 4.0)],
    "half a beat more": [(beats * BEAT / FPS, beats * BEAT / FPS) for beats in (2.5, 3.5)],
}
"""How far apart (s) what is seen and heard begin in false pairs of one clip; the last two are for steady clips."""


def windows(run: Run, split: str, preset: str = "moving", **dials: Any) -> Windows:
    """Clips of a split, rendered once; their sound is in time with their picture, their hands are those of training."""
    count = run.budget.count if split == "train" else run.budget.eval_count
    given = LOOK | {"shift": 0.0, "shift_from": 0.0, "hands": "known"} | dials
    world = run.world(preset, split, seconds=SECONDS, fps=FPS, **given)
    return run.once(("windows", world, count), lambda: rendered(world.batches(count, 32), FRAMES))


class Asked:
    """Windows that a net has seen and heard: true pairs, and easy, hard and super-hard ones of the same pictures."""

    def __init__(self, method: Any, clips: Windows, show: Callable[[Batch], Batch]) -> None:
        self.method, self.clips, self.show = method, clips, show
        self.row_B = torch.arange(len(clips))
        self._found: dict[str, tuple[Tensor, Tensor]] = {}

    def pair(self, kind: str) -> tuple[Tensor, Tensor]:
        """Scores of each clip's true pair, and of a false one of that kind with the same picture; found once."""
        if kind not in self._found:
            seen_B, other_B = self.clips.starts(self.row_B, GAPS["hard" if kind == "easy" else kind]).unbind(1)
            if kind == "easy":
                self._found[kind] = self.pair("hard")[0], self.score(seen_B, seen_B, clips=1)
            else:
                self._found[kind] = self.score(seen_B, seen_B), self.score(seen_B, other_B)
        return self._found[kind]

    def score(self, seen_B: Tensor, heard_B: Tensor, clips: int = 0) -> Tensor:
        """How well what is seen of each clip goes with what is heard of it, or of one some ``clips`` further on."""
        found = []
        with evaluating(self.method) as device:
            for row_B in self.row_B.split(64):
                batch: Batch = self.show(self.clips.cut(row_B, seen_B[row_B], heard_B[row_B])).blind().to(device)
                found.append(self.method.embed(batch))
            whole = join(found)
            assert whole.audio_BD is not None
            return self.method.compare(whole, Embedding(audio_BD=whole.audio_BD.roll(-clips, 0))).diagonal().cpu()

    def in_time(self) -> Tensor:
        """Scores of one window a clip with its own sound."""
        seen_B = self.clips.starts(self.row_B, [HARD])[:, 0]
        return self.score(seen_B, seen_B)

    def auc(self, kind: str) -> float:
        """Chance that a true pair scores above a false one of that kind."""
        return synchrony.auc(*self.pair(kind))


def still(batch: Batch) -> Batch:
    """The same windows with their middle frame all along."""
    assert batch.video_BTCHW is not None
    return replace(batch, video_BTCHW=batch.frame_BCHW[:, None].expand_as(batch.video_BTCHW))


def grey(batch: Batch) -> Batch:
    """The same windows with nothing to see."""
    assert batch.video_BTCHW is not None
    return replace(batch, video_BTCHW=torch.full_like(batch.video_BTCHW, 0.5))


class ByHand(nn.Module):
    """Nothing learnt: how much the picture changes from frame to frame, and how much the loudness does, correlated."""

    def embed(self, batch: Batch) -> Embedding:
        """Both changes over time, less their means, (B, T)."""
        assert batch.video_BTCHW is not None
        seen_BT = batch.video_BTCHW.diff(dim=1, prepend=batch.video_BTCHW[:, :1]).abs().mean((2, 3, 4))
        loud_BT = batch.wave_BS.unflatten(1, (seen_BT.shape[1], -1)).square().mean(2).sqrt()
        change_BT = loud_BT.diff(dim=1, prepend=loud_BT[:, :1]).abs()
        return Embedding(*(value_BT - value_BT.mean(1, keepdim=True) for value_BT in (seen_BT, change_BT)))

    def compare(self, pictures: Embedding, sounds: Embedding) -> Tensor:
        """Correlation of each picture's change with each sound's, (B, M)."""
        assert pictures.image_BD is not None and sounds.audio_BD is not None
        return cosine(pictures.image_BD, sounds.audio_BD)


def threshold(asked: Asked) -> float:
    """The score that tells true pairs best from easy and hard ones, half and half, by the mean of both successes."""
    true_B, false_B = asked.pair("hard")[0], torch.cat([asked.pair("easy")[1], asked.pair("hard")[1]])
    level_R = torch.cat([true_B, false_B])
    right_R = (true_B >= level_R[:, None]).float().mean(1) + (false_B < level_R[:, None]).float().mean(1)
    return float(level_R[right_R.argmax()])


def verdicts(test: Asked, valid: Asked) -> dict[str, float]:
    """Of each kind of negatives: AUC, how often a clip's own sound wins, and accuracy at validation's best threshold.

    That threshold is one for all kinds: the best for true pairs against easy and hard ones, half and half.
    """
    level = threshold(valid)
    scores: dict[str, float] = {}
    for kind in KINDS:
        true_B, false_B = test.pair(kind)
        right = ((true_B >= level).float().mean() + (false_B < level).float().mean()) / 2
        wins = (true_B > false_B).float().mean() + (true_B == false_B).float().mean() / 2
        scores |= {f"{kind} AUC": test.auc(kind), f"{kind} wins": float(wins), f"{kind} accuracy": float(right)}
    return scores


def offsets(asked: Asked) -> dict[str, float]:
    """Mean score by how much too late (frames) the sound is, and how often the best delay is none.

    What is seen is the middle of each clip; what is heard begins at every third frame.
    """
    clips, middle = asked.clips, (asked.clips.margin + asked.clips.last) // 2
    start_O = torch.arange(middle % 3, clips.last + 1, 3)
    start_O = start_O[start_O >= clips.margin]
    seen_B = torch.full((len(clips),), middle)
    score_BO = torch.stack([asked.score(seen_B, seen_B * 0 + start) for start in start_O], 1)
    offset_O = middle - start_O
    found = synchrony.offset_accuracy(score_BO, offset_O, tolerance=0.0)
    mean_O = score_BO.mean(0)
    curve = {f"score at {int(n):+d}": float(mean_O[o]) for o, n in enumerate(offset_O)}
    return curve | {"offset accuracy": found.accuracy, "offset accuracy, luck": found.chance}
