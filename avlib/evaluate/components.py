"""Which component of what is seen goes with which of what is heard?

Asked of a method that splits both senses into components: ``parts(found) -> (share_BKYX, share_BKFL, match_BK)``, from
an embedding: where each component of the picture lies, where its partner in the sound lies (None where partners have no
common number), and how well the two match. How the whole clips compare, and which cells match, is what the exam asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avlib.audio import LogMel
from avlib.evaluate import exam, localize
from avlib.evaluate.features import evaluating
from avlib.losses import off_diagonal
from avlib.types import Batch, Embedding


def look(method: nn.Module, clips: Batch) -> dict[str, float]:
    """Does a picture's own sound match best, and what points at what is heard?

    Returns:
        "match", the share of false pairs that score below the picture's own (ties count half; it reads no label);
        "pointing", whether the peak of the method's map lies on what is heard, and "component", whether that of the
        best matching component does; both also ``, foreign``, for the sound of the clip before, and ``over foreign``,
        the difference, which is what the sound has to do with it; "entropy" and "usage" of the picture's components,
        see :func:`spread`.
    """
    scores: dict[str, float] = {}
    with evaluating(method) as device:
        own = method.embed(clips.blind().to(device))  # type: ignore[operator]
        scores["match"] = wins(exam.compare(method, own, own).cpu())
        for ending, found in (("", own), (", foreign", foreign(own))):
            share_BKYX, _, match_BK = method.parts(found)  # type: ignore[operator]
            best_BYX = share_BKYX[torch.arange(len(clips)), match_BK.argmax(1)]
            scores[f"pointing{ending}"] = _points(exam.heat(method, found), clips)
            scores[f"component{ending}"] = _points(best_BYX, clips)
    for what in ("pointing", "component"):
        scores[f"{what} over foreign"] = scores[what] - scores[f"{what}, foreign"]
    return scores | spread(share_BKYX.flatten(2).transpose(1, 2).cpu())


def foreign(found: Embedding) -> Embedding:
    """The same pictures with the sounds of the clips before."""
    moved = {name: getattr(found, name).roll(1, 0) for name in ("audio_BD", "audio_BDFL")}
    return replace(found, **moved)


def wins(score_BB: Tensor) -> float:
    """Share of false pairs that score below the true one of their row, ties count half."""
    lead_BM = score_BB.diagonal()[:, None] - off_diagonal(score_BB)
    return float(((lead_BM > 0).float() + (lead_BM == 0).float() / 2).mean())


def _points(map_BYX: Tensor, clips: Batch) -> float:
    sized_BHW = localize.resize(map_BYX.double().numpy(force=True), clips.frame_BCHW.shape[-1])
    return float(localize.pointing(sized_BHW, exam.heard(clips)).mean())


def which(method: nn.Module, batches: Iterable[Batch]) -> dict[str, float]:
    """Which goes with which, in clips of two things that sound, whose two sounds the method also hears alone.

    Returns:
        "component": of the picture, the one that a sound matches best; does it lie on the thing that made the sound,
        rather than on the other? "cells": the same of the method's map. "heard": the partner, in the mixture, of the
        component that a sound picked; does it lie where that thing is the louder one? Each .5 by luck; also ``, both``,
        for both things of a clip, and ``by foreign``, for the sounds of the clip before.
    """
    rows: dict[str, list[Tensor]] = {}
    with evaluating(method) as device:
        for batch in batches:
            for name, lies_BNN in _alone(method, batch.to(device)):
                rows.setdefault(name, []).append(lies_BNN.float().cpu())
    found = {name: sides(torch.cat(part)) for name, part in rows.items()}
    return {name: each.each for name, each in found.items()} | {
        f"{name}, both": each.both for name, each in found.items()
    }


def _alone(method: nn.Module, batch: Batch) -> Iterator[tuple[str, Tensor]]:
    truth, sound, side = batch.truth, batch.blind(), batch.frame_BCHW.shape[-1]
    if truth.stem_BNS is None or truth.box_BN4 is None or truth.stem_BNS.shape[1] != 2:
        raise ValueError("which goes with which can be asked of clips of two things with their stems and boxes")
    stems = truth.stem_BNS.unbind(1)
    mixed = method.embed(sound)  # type: ignore[operator]
    alone = [method.embed(replace(sound, wave_BS=wave_BS)) for wave_BS in stems]  # type: ignore[operator]
    share_BKYX, share_BKFL, _ = method.parts(mixed)  # type: ignore[operator]
    seen_BNK, heard_BNK = inside(share_BKYX, truth.box_BN4, side), None
    if share_BKFL is not None:
        level_MFL = LogMel().to(sound.wave_BS.device)(torch.cat(stems))
        heard_BNK = under(share_BKFL, louder(level_MFL, share_BKFL.shape[2:])).cpu()
    for ending, heard_N in (("", alone), (" by foreign", [foreign(found) for found in alone])):
        matches = [method.parts(found)[2] for found in heard_N]  # type: ignore[operator]
        chosen_BN = torch.stack([match_BK.argmax(1) for match_BK in matches], 1).cpu()
        yield f"component{ending}", of_chosen(seen_BNK, chosen_BN)
        map_BNYX = torch.stack([exam.heat(method, found) for found in heard_N], 1)
        yield f"cells{ending}", inside(map_BNYX, truth.box_BN4, side).transpose(1, 2)
        if heard_BNK is not None:
            yield f"heard{ending}", of_chosen(heard_BNK, chosen_BN)


class Sides(NamedTuple):
    """How often each thing's own place wins (``each``), and both things' do (``both``); ties up to 1e-6 count half."""

    each: float
    both: float


def inside(map_BKYX: Tensor, box_BN4: Tensor, side: int) -> Tensor:
    """Mean of each map, enlarged to the picture, within each box: inside_BNK; NaN for an empty box.

    Args:
        box_BN4: x1 y1 x2 y2, px; NaN for none.
        side: of the picture, px.
    """
    sized_BKHW = torch.from_numpy(localize.resize(map_BKYX.numpy(force=True), side))
    box_M4 = box_BN4.reshape(-1, 4).nan_to_num(0.0).numpy(force=True)
    mask_BNHW = torch.from_numpy(localize.boxes_to_mask(box_M4, side, (side, side))).view(
        *box_BN4.shape[:2], side, side
    )
    return under(sized_BKHW, mask_BNHW.to(sized_BKHW.dtype))


def louder(level_MFL: Tensor, cells: tuple[int, int]) -> Tensor:
    """Which cells of a sound's map are whose: weight_BNFL, by how much (log units) one of two is the louder.

    Args:
        level_MFL: log-mel spectrograms, the first sound of each clip and then the second of each.
        cells: rows and columns of the map; a cell is as loud as its loudest part.
    """
    first_BFL, second_BFL = functional.adaptive_max_pool2d(level_MFL, cells).chunk(2)
    return torch.stack([first_BFL - second_BFL, second_BFL - first_BFL], 1).clamp(min=0)


def under(map_BKFL: Tensor, weight_BNFL: Tensor) -> Tensor:
    """Mean of each map under each weight: mean_BNK; NaN where there is no weight."""
    total_BNK = torch.einsum("bkfl,bnfl->bnk", map_BKFL, weight_BNFL)
    return total_BNK / weight_BNFL.sum((2, 3))[:, :, None]


def of_chosen(value_BNK: Tensor, chosen_BN: Tensor) -> Tensor:
    """lies_BNN: entry (n, m) is how much of what thing n chose lies on thing m."""
    return value_BNK.gather(2, chosen_BN[:, None, :].expand(-1, value_BNK.shape[1], -1)).transpose(1, 2)


def sides(lies_BNN: Tensor) -> Sides:
    """Does what belongs to a thing lie on that thing rather than on the other? By luck, each .5.

    Args:
        lies_BNN: entry (n, m) is how much of what belongs to thing n lies on thing m, for two things; clips with a NaN
            are left out.

    Raises:
        ValueError: not two things, or no clip to judge.

    Examples:
        >>> sides(torch.tensor([[[0.9, 0.1], [0.7, 0.3]]]))
        Sides(each=0.5, both=0.0)
    """
    if lies_BNN.ndim != 3 or lies_BNN.shape[1:] != (2, 2):
        raise ValueError(f"sides needs lies_BNN of two things, not shape {tuple(lies_BNN.shape)}")
    kept_BNN = lies_BNN[~lies_BNN.flatten(1).isnan().any(1)].double()
    if not len(kept_BNN):
        raise ValueError("sides has no clip to judge")
    gap_BN = torch.stack([kept_BNN[:, 0, 0] - kept_BNN[:, 0, 1], kept_BNN[:, 1, 1] - kept_BNN[:, 1, 0]], 1)
    win_BN = (gap_BN > localize.FLAT).double() + (gap_BN.abs() <= localize.FLAT).double() / 2
    return Sides(float(win_BN.mean()), float(win_BN.prod(1).mean()))


def spread(share_BPK: Tensor) -> dict[str, float]:
    """How soft shares are ("entropy", over ln K: 1 is even), and how evenly components are used ("usage", as well)."""
    parts = share_BPK.shape[2]
    if parts == 1:
        return {"entropy": 0.0, "usage": 0.0}

    def entropy(share: Tensor) -> float:
        return float(-(share * share.clamp(min=1e-12).log()).sum(-1).mean()) / math.log(parts)

    return {"entropy": entropy(share_BPK.double()), "usage": entropy(share_BPK.double().mean((0, 1)))}
