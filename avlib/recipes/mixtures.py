"""Mixtures of two clips of one class, and what is asked of a net that takes them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor

from avlib.audio import stft
from avlib.evaluate import separate
from avlib.methods.on_off_screen import HOP, N_FFT, masked, mixed
from avlib.types import Batch
from avlib.world import Stream
from avlib.world.scenes import Draws
from avlib.world.windows import Windows

LEVEL, FLOOR = 0.1, 1e-3
"""Root mean square of each source in a mixture (the paper's), unless it is below FLOOR: that is left almost silent."""


def levelled(wave_BS: Tensor) -> Tensor:
    """The same sounds, all as loud."""
    return wave_BS * (LEVEL / wave_BS.square().mean(-1, keepdim=True).sqrt().clamp(min=FLOOR))


class Mixtures:
    """Batches of two clips of one class each, as a pure function of the step: rows n and n + half of a batch.

    Args:
        windows: all clips; each is met once an epoch, with a partner that is drawn from its class, anew each time.
        batch_size: windows a step on each process, twice the mixtures.
        foreign: show pictures of yet other clips of that class.
        seed: another seed, another order, other partners and other starts.
        rank, ranks: this process's share under ``torchrun``.

    Raises:
        ValueError: an odd batch, or one that does not fit; fewer than four clips of a class.
    """

    def __init__(
        self, windows: Windows, batch_size: int, foreign: bool = False, seed: int = 0, rank: int = 0, ranks: int = 1
    ) -> None:
        if batch_size % 2:
            raise ValueError(f"batch_size={batch_size} must be even: a mixture is of two clips")
        self.windows, self.foreign, self.seed = windows, foreign, seed
        self.stream = Stream(windows, batch_size // 2, len(windows), seed, rank, ranks)  # type: ignore[arg-type]
        self.label_M = windows.truth.label_B
        label_K, count_K = self.label_M.unique(return_counts=True)
        if int(count_K.min()) < 4:
            few = label_K[count_K < 4].tolist()
            raise ValueError(f"classes {few} have fewer than 4 clips: two to be mixed, and one to be shown for each")

    def others(self, row_B2: Tensor, u_B: Tensor) -> Tensor:
        """One other clip of the class of each pair of clips (which may be one clip twice), by ``u_B`` in [0, 1)."""
        same_BM = self.label_M[row_B2[:, 0], None] == self.label_M
        same_BM = same_BM.scatter(1, row_B2, False)
        pick_B = (u_B * same_BM.sum(1)).long()
        return (same_BM.cumsum(1) > pick_B[:, None]).int().argmax(1)

    def __call__(self, step: int) -> Batch:
        row_B, clips = self.stream.indices(step), self.windows
        draws = Draws(row_B, self.seed * 1_000_003 + step, "mixtures")
        pair_B2 = torch.stack([row_B, self.others(row_B[:, None].expand(-1, 2), draws("partner"))], 1)
        begin_B2, other_B2 = (draws.integer(name, (clips.margin, clips.last), 2) for name in ("begin", "other"))
        batch = clips.cut(pair_B2.t().flatten(), begin_B2.t().flatten())
        if self.foreign:
            shown_B2 = torch.stack([self.others(pair_B2, draws(name)) for name in ("first", "second")], 1)
            batch = replace(batch, video_BTCHW=clips.cut(shown_B2.t().flatten(), other_B2.t().flatten()).video_BTCHW)
        return replace(batch, wave_BS=levelled(batch.wave_BS))


Asked = Callable[[Batch, Tensor], Tensor]
"""From mixtures and their sources, wave_BNS, to masks, mask_BNFL; a net is not told the sources."""


def ideal(batch: Batch, sources_BNS: Tensor) -> Tensor:
    """The share of each source in the sum of all magnitudes: a good mask, though not the best of a mixture's phase."""
    loud_BNFL = torch.stack([stft(wave_BS, N_FFT, HOP).abs() for wave_BS in sources_BNS.unbind(1)], 1)
    return loud_BNFL / loud_BNFL.sum(1, keepdim=True).clamp(min=1e-8)


def half(batch: Batch, sources_BNS: Tensor) -> Tensor:
    """The mixture, twice."""
    return torch.full_like(ideal(batch, sources_BNS), 0.5)


MASKS: dict[str, Asked] = {"ideal": ideal, "half": half}


def separated(asked: Asked, batches: Iterable[Batch], judged: int) -> dict[str, float]:
    """How well mixtures are taken apart, and how often "on" is nearer to the source on screen than to the other.

    Args:
        judged: mixtures by which SDR, SIR and SAR are found, the first ones; each takes long.
    """
    found, due, whole = [], [], []
    for batch in batches:
        mixture, sources_BNS = mixed(batch)
        found.append(masked(asked(mixture, sources_BNS), mixture.wave_BS))
        due.append(sources_BNS)
        whole.append(mixture.wave_BS)
    found_BNS, due_BNS, whole_BS = torch.cat(found), torch.cat(due), torch.cat(whole)
    ratios = separate.bss_eval(found_BNS[:judged], due_BNS[:judged])
    known, best = (separate.separation(found_BNS, due_BNS, whole_BS, permute) for permute in (False, True))
    scores = {"attribution": attributed(found_BNS[:, 0], due_BNS), "improvement": known.improvement}
    scores |= {"improvement, best order": best.improvement, "SI-SDR": known.si_sdr, "silent sources": known.skipped}
    return scores | {"SDR": ratios.sdr, "SIR": ratios.sir, "SAR": ratios.sar}


def attributed(on_BS: Tensor, due_BNS: Tensor) -> float:
    """How often a sound is nearer to the first of two sources than to the second; neither counts half."""
    own_B, other_B = (torch.from_numpy(separate.si_sdr(on_BS, due_BS)) for due_BS in due_BNS.unbind(1))
    heard_B = ~(own_B.isnan() | other_B.isnan())
    return float(torch.where(own_B == other_B, 0.5, (own_B > other_B).double())[heard_B].mean())


def halves(asked: Asked, scenes: Iterable[Batch]) -> dict[str, float]:
    """Two things, both heard, one in each half of the picture, of which one half is grey.

    Is "on" nearer to the thing that is seen? And what share of its energy, and of the hidden one's, does the mask let
    through, and how much less of the hidden one's?
    """
    on, due, passed = [], [], []
    for batch in scenes:
        for seen in (0, 1):
            view, sources_BNS = one_half(batch, seen)
            if len(view):
                mask_BNFL = asked(view, sources_BNS)[:, :1]
                on.append(masked(mask_BNFL, view.wave_BS)[:, 0])
                due.append(sources_BNS)
                parts = [masked(mask_BNFL, wave_BS)[:, 0] for wave_BS in sources_BNS.unbind(1)]
                passed.append(torch.stack([part.square().sum(1) for part in parts], 1) / sources_BNS.square().sum(2))
    share_N = torch.cat(passed).nanmean(0)
    found = {"attribution": attributed(torch.cat(on), torch.cat(due))}
    return found | {
        "seen passes": float(share_N[0]),
        "hidden passes": float(share_N[1]),
        "silenced": float(share_N[0] - share_N[1]),
    }


def one_half(batch: Batch, seen: int) -> tuple[Batch, Tensor]:
    """Of clips with a thing in either half all along: only the half of thing ``seen``; and sources, its own first."""
    truth, video = batch.truth, batch.video_BTCHW
    assert truth.box_BTN4 is not None and truth.stem_BNS is not None and video is not None
    width = video.shape[-1]
    left_BN = (truth.box_BTN4[..., 2] <= width // 2).all(1)
    right_BN = (truth.box_BTN4[..., 0] >= width // 2).all(1)
    kept_B = ((left_BN & right_BN.flip(1)).any(1)).nonzero().flatten()
    sources_BNS = levelled(truth.stem_BNS[:, :2])
    sources_BNS = sources_BNS.flip(1) if seen else sources_BNS
    shown_BW = (torch.arange(width) >= width // 2) == right_BN[:, seen, None]
    video = torch.where(shown_BW[:, None, None, None], video, 0.5)
    return replace(batch, video_BTCHW=video, wave_BS=sources_BNS.sum(1)).select(kept_B), sources_BNS[kept_B]
