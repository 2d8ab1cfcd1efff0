"""What is asked of nets that see and hear at once: verdicts pair by pair, and which of several things is hot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.audio import LogMel
from avlib.evaluate import exam, localize
from avlib.evaluate.features import evaluating, join
from avlib.recipes.timing import HARD, Asked
from avlib.types import Batch


class Joined(Asked):
    """Windows that a net sees and hears together: of each pair it gives a map over time, map_BTYX, or the logit."""

    def pairs(self, seen_B: Tensor, heard_B: Tensor, clips: int = 0) -> list[Batch]:
        """Windows of all clips, each with what is heard of it, or of one some ``clips`` further on, as they are shown.

        Args:
            heard_B: where the sound of each clip begins.
        """
        parts = []
        for row_B in self.row_B.split(64):
            other_B = (row_B + clips) % len(self.clips)
            shown = self.clips.cut(row_B, seen_B[row_B])
            wave_BS = self.clips.cut(other_B, heard_B[other_B]).wave_BS
            parts.append(self.show(replace(shown, wave_BS=wave_BS)))
        return parts

    def score(self, seen_B: Tensor, heard_B: Tensor, clips: int = 0) -> Tensor:
        """How well what is seen of each clip goes with what is heard of it, or of one some ``clips`` further on."""
        with evaluating(self.method) as device:
            parts = self.pairs(seen_B, heard_B, clips)
            return torch.cat([self.method.score(batch.blind().to(device)).cpu() for batch in parts])

    def maps(self, batches: list[Batch]) -> Tensor:
        """Class activation maps of some windows, map_BTYX."""
        with evaluating(self.method) as device:
            return torch.cat([self.method(batch.blind().to(device)).float().cpu() for batch in batches])


def where(asked: Joined) -> dict[str, float]:
    """Is the box that sounds hotter than the silent ones, and is the peak on it, with its sound and with a shifted one?

    A box moves with its thing; its heat is the map's mean within, over all frames. The peak is that of the mean over
    time, and the box that of the middle frame, as in the common exam; beside it what the centre of the picture scores.
    """
    seen_B, other_B = asked.clips.starts(asked.row_B, [HARD]).unbind(1)
    scores: dict[str, float] = {}
    for ending, heard_B in (("", seen_B), (", shifted sound", other_B)):
        batches = asked.pairs(seen_B, heard_B)
        map_BTYX, whole = asked.maps(batches), join(batches)
        side, truth_BYX = whole.frame_BCHW.shape[-1], exam.heard(whole)
        assert whole.truth.box_BTN4 is not None and whole.truth.sounding_BN is not None
        if whole.truth.sounding_BN.shape[1] > 1:
            heat_RN = localize.box_heat(map_BTYX.flatten(0, 1), whole.truth.box_BTN4.flatten(0, 1), side)
            heat_BN = heat_RN.reshape(*map_BTYX.shape[:2], -1).mean(1)
            scores[f"hotter{ending}"] = float(np.nanmean(localize.hotter(heat_BN, whole.truth.sounding_BN)))
        pointed_B = localize.pointing(localize.resize(map_BTYX.mean(1), side), truth_BYX)
        scores[f"pointing{ending}"] = float(np.nanmean(pointed_B))
        scores["pointing, centre"] = exam.blind(truth_BYX)["pointing, centre"]
    return scores


def listens(asked: Joined) -> dict[str, float]:
    """How often a clip's own sound and picture score above muted, swapped, half a window late or blanked ones.

    The exam asks the same of methods that compare; by its rules, but on the windows that are shown here.
    """
    seen_B = asked.clips.starts(asked.row_B, [HARD])[:, 0]
    whole, own_B = join(asked.pairs(seen_B, seen_B)), asked.score(seen_B, seen_B)
    scores = {}
    for what, other in exam.variants(whole).items():
        parts = [other.select(row_B) for row_B in asked.row_B.split(64)]
        gap_B = own_B - asked.maps(parts).mean((1, 2, 3))
        scores[f"own over {what}"] = float((1 + gap_B.sign()).mean() / 2)
    return scores


class Rule(nn.Module):
    """Nothing learnt: what changes in the picture, times how loudness changes, cell by cell and moment by moment.

    Its map is the covariance over time of a cell's change from frame to frame with the change of loudness between those
    frames, both without their signs; its score the correlation for the whole picture.

    Args:
        cells: of the map, on a side.
    """

    def __init__(self, cells: int = 6, hop: int = 200) -> None:
        super().__init__()
        self.cells, self.mel = cells, LogMel(hop=hop)

    def parts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """change_BTYX of the picture, and loud_BT, from each frame to the next; both have mean 0 over time."""
        assert batch.video_BTCHW is not None
        change_BTHW = batch.video_BTCHW.diff(dim=1).abs().mean(2)
        loud_BT = functional.adaptive_avg_pool1d(self.mel.power(batch.wave_BS).sum(1), batch.video_BTCHW.shape[1])
        loud_BT = (loud_BT + 1e-9).sqrt().diff(dim=1).abs()
        change_BTYX = functional.adaptive_avg_pool2d(change_BTHW, self.cells)
        return change_BTYX - change_BTYX.mean(1, keepdim=True), loud_BT - loud_BT.mean(1, keepdim=True)

    def forward(self, batch: Batch) -> Tensor:
        change_BTYX, loud_BT = self.parts(batch)
        return change_BTYX * loud_BT[:, :, None, None]

    def score(self, batch: Batch) -> Tensor:
        """Correlation over time of the whole picture's change with that of loudness, (B,)."""
        change_BTYX, loud_BT = self.parts(batch)
        return functional.cosine_similarity(change_BTYX.mean((2, 3)), loud_BT, dim=1, eps=1e-12)
