"""What is asked of nets that see and hear at once: verdicts pair by pair, and which of several things is hot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.audio import LogMel
from avlib.evaluate import exam, localize
from avlib.evaluate.features import evaluating, join
from avlib.recipes.timing import HARD, Asked
from avlib.types import Batch
from avlib.world.windows import Windows


class Joined(Asked):
    """Windows that a net sees and hears together: it gives each pair a map over time, whose mean is their score."""

    def __init__(self, method: Any, clips: Windows, show: Callable[[Batch], Batch]) -> None:
        super().__init__(method, clips, show)
        self._maps: dict[tuple[tuple[int, ...], ...], Tensor] = {}

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

    def maps(self, seen_B: Tensor, heard_B: Tensor, clips: int = 0) -> Tensor:
        """Class activation maps of these pairs, map_BTYX, found once."""
        key = tuple(seen_B.tolist()), tuple(heard_B.tolist()), (clips,)
        if key not in self._maps:
            self._maps[key] = self.look(self.pairs(seen_B, heard_B, clips))
        return self._maps[key]

    def look(self, batches: Iterable[Batch]) -> Tensor:
        """Class activation maps of windows with their sound, map_BTYX."""
        with evaluating(self.method) as device:
            return torch.cat([self.method(batch.blind().to(device)).float().cpu() for batch in batches])

    def score(self, seen_B: Tensor, heard_B: Tensor, clips: int = 0) -> Tensor:
        """How well what is seen of each clip goes with what is heard of it, or of one some ``clips`` further on."""
        return self.maps(seen_B, heard_B, clips).mean((1, 2, 3))


def where(asked: Joined) -> dict[str, float]:
    """Is the box that sounds hotter than the silent ones, and is the peak on it, with its sound and with a shifted one?

    A box moves with its thing; its heat is the map's mean within, over all frames. The peak is that of the mean over
    time, and the box that of the middle frame, as in the common exam; beside it what the centre of the picture scores.
    """
    seen_B, other_B = asked.clips.starts(asked.row_B, [HARD]).unbind(1)
    scores: dict[str, float] = {}
    for ending, heard_B in (("", seen_B), (", shifted sound", other_B)):
        map_BTYX, whole = asked.maps(seen_B, heard_B), join(asked.pairs(seen_B, heard_B))
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
        map_BTYX = asked.look(other.select(row_B) for row_B in asked.row_B.split(64))
        gap_B = own_B - map_BTYX.mean((1, 2, 3))
        scores[f"own over {what}"] = float((1 + gap_B.sign()).mean() / 2)
    return scores


class Rule(nn.Module):
    """Nothing learnt: what changes in the picture, times how loudness changes, cell by cell and moment by moment.

    Both changes are from frame to frame, without their sign, and less their means over time; the first frame, before
    which there is none, has 0. The mean of the map is the correlation of the whole picture's change with loudness's.

    Args:
        cells: of the map, on a side.
    """

    def __init__(self, cells: int = 6, hop: int = 200) -> None:
        super().__init__()
        self.cells, self.mel = cells, LogMel(hop=hop)

    def forward(self, batch: Batch) -> Tensor:
        assert batch.video_BTCHW is not None
        power_BL = self.mel.power(batch.wave_BS).sum(1)
        loud_BT = functional.adaptive_avg_pool1d(power_BL, batch.video_BTCHW.shape[1]).sqrt()
        change_BTYX = functional.adaptive_avg_pool2d(batch.video_BTCHW.diff(dim=1).abs().mean(2), self.cells)
        rise_BT11 = loud_BT.diff(dim=1).abs()[:, :, None, None]
        change_BTYX, rise_BT11 = (value - value.mean(1, keepdim=True) for value in (change_BTYX, rise_BT11))
        both_B = change_BTYX.mean((2, 3)).std(1, correction=0) * rise_BT11.flatten(1).std(1, correction=0)
        map_BTYX = change_BTYX * rise_BT11 / (both_B[:, None, None, None] + 1e-12)
        frames = batch.video_BTCHW.shape[1]
        return functional.pad(map_BTYX, (0, 0, 0, 0, 1, 0)) * frames / (frames - 1)
