"""On-screen and off-screen sound taken apart (Owens & Efros, ECCV 2018, second half): what of it do I see happen?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from avlib.audio import compand, istft, stft
from avlib.encoders.fused import Fused
from avlib.encoders.unet import UNetSeeing
from avlib.types import Batch, Embedding

N_FFT, HOP = 512, 256
"""Samples of a window of the spectrogram and between two of them: bins of 31 Hz, columns of 16 ms."""
SCALE = 4 / N_FFT
"""By this a sine of amplitude 1 has a magnitude of 1 (a Hann window's samples are ½ in the mean)."""
LEVELS = (1, 2, 3)
"""Of the u-net, where the three kinds of picture columns join: its own are 32, 64 and 128 ms long there."""


class OnOffScreen(nn.Module):
    """A u-net that sees takes a mixture apart: the sound of what is in the picture, and all other sound.

    For training, a batch holds clips each with its own sound; rows n and n + half of the batch are mixed, so each
    mixture is met with either picture, and what is on screen with one is off screen with the other. When asked, a
    batch's sound is the mixture.

    The mixture's spectrogram is multiplied by a mask within 0…1, and by what is left of 1; its phase is kept. (The
    paper's net puts out magnitudes and phases of both sources, which need not sum to the mixture.) The net looks at the
    lowest ``bins``; those above share the mask of the highest of these. Compared are magnitudes on a scale that is
    linear near 0 and logarithmic above, by the mean absolute difference.

    A net without eyes cannot know which source is on screen: the better of the two assignments counts, clip by clip.

    Args:
        sees: are pictures shown at all?
        bins: of the spectrogram that the net looks at, up to N_FFT/2 + 1; 128 are 4 kHz.
        width, levels: channels of the u-net's first level, and its halvings, 4 or more.
        told: coordinates of a column that joins at a level.
        net: settings of the picture net, `Fused`, which hears the mixture too.

    Raises:
        ValueError: when trained, an odd batch.
    """

    def __init__(
        self, sees: bool = True, bins: int = 128, width: int = 8, levels: int = 4, told: int = 16,
        net: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.sees, self.bins = sees, bins
        self.net = Fused(**net or {})
        pooled = 2 * self.net.dim
        self.tell = nn.ModuleList(nn.Sequential(nn.BatchNorm1d(pooled), nn.Conv1d(pooled, told, 1)) for _ in LEVELS)
        self.unet = UNetSeeing(dict.fromkeys(LEVELS, told) if sees else {}, width=width, levels=levels)

    def columns(self, batch: Batch) -> list[Tensor]:
        """What the picture net makes of each frame and the mixture, three maps: their maxima and means, BDL."""
        maps = self.net.pictures(film(batch), batch.wave_BS)
        pooled = (torch.cat([map_BDTYX.amax((3, 4)), map_BDTYX.mean((3, 4))], 1) for map_BDTYX in maps)
        return [tell(pooled_BDL) for tell, pooled_BDL in zip(self.tell, pooled, strict=True)]

    def masks(self, batch: Batch) -> Tensor:
        """mask_BNFL of what is on screen and of all else, which sum to 1, for clips whose sound is a mixture."""
        loud_BFL = stft(batch.wave_BS, N_FFT, HOP).abs()
        heard_BCFL = compand(SCALE * loud_BFL[:, None, : self.bins])
        logit_BFL = self.unet(heard_BCFL, self.columns(batch) if self.sees else ())[:, 0]
        logit_BFL = nn.functional.pad(logit_BFL, (0, 0, 0, loud_BFL.shape[1] - self.bins), mode="replicate")
        return torch.stack([logit_BFL.sigmoid(), (-logit_BFL).sigmoid()], 1)

    def separate(self, batch: Batch) -> Tensor:
        """wave_BNS of what is on screen and of all else, for clips whose sound is a mixture; they sum to it."""
        return masked(self.masks(batch), batch.wave_BS)

    def embed(self, batch: Batch) -> Embedding:
        """Both masks, ``audio_BDFL`` (D = 2), and their mean over time; and what is seen, moment by moment, alone."""
        mask_BNFL = self.masks(batch)
        seen_BD = self.net.see(film(batch)).amax((3, 4)).flatten(1)
        return Embedding(seen_BD, mask_BNFL.mean(3).flatten(1), audio_BDFL=mask_BNFL)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Mean distance of both estimates' magnitudes from their sources'; how often they are nearer to these."""
        mixture, sources_BNS = mixed(batch)
        whole_BFL, *due = (stft(wave_BS, N_FFT, HOP).abs() for wave_BS in (mixture.wave_BS, *sources_BNS.unbind(1)))
        found_BNFL = self.masks(mixture) * whole_BFL[:, None]
        own_B, other_B = distances(*(value[:, :, : self.bins] for value in (found_BNFL, torch.stack(due, 1))))
        loss_B = own_B if self.sees else torch.minimum(own_B, other_B)
        return {"loss": loss_B.mean(), "attributed": (own_B < other_B).float().mean().detach()}


def film(batch: Batch) -> Tensor:
    """video_BTCHW; a picture is a film of one frame."""
    return batch.frame_BCHW[:, None] if batch.video_BTCHW is None else batch.video_BTCHW


def mixed(batch: Batch) -> tuple[Batch, Tensor]:
    """Clips whose sound is that of their row and of the one half a batch on; wave_BNS of these two, their own first."""
    if len(batch) % 2:
        raise ValueError(f"mixtures are made of two halves of a batch, and {len(batch)} clips have none")
    wave_BNS = torch.stack([batch.wave_BS, batch.wave_BS.roll(len(batch) // 2, 0)], 1)
    return replace(batch, wave_BS=wave_BNS.sum(1)), wave_BNS


def masked(mask_BNFL: Tensor, wave_BS: Tensor) -> Tensor:
    """wave_BNS: a sound through some masks, each with the sound's own phase."""
    part_BNFL = mask_BNFL * stft(wave_BS, N_FFT, HOP)[:, None]
    return torch.stack([istft(part_BFL, HOP, wave_BS.shape[1]) for part_BFL in part_BNFL.unbind(1)], 1)


def distances(found_BNFL: Tensor, due_BNFL: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute difference of companded magnitudes, (B,): from sources as they are due, and the other way round."""
    found_BNFL, due_BNFL = compand(SCALE * found_BNFL), compand(SCALE * due_BNFL)
    own_B, other_B = ((found_BNFL - due).abs().mean((1, 2, 3)) for due in (due_BNFL, due_BNFL.flip(1)))
    return own_B, other_B
