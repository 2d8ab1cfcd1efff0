"""The vocabulary of the project: what travels between a world, a method and a protocol.

Names of tensors end in the letters of their axes:

====  =======================================  ====  =======================================
B     clips of a batch                         F     mel bands (or frequency bins)
T     video frames                             L     audio frames (hops of a spectrogram)
C     channels                                 D     coordinates of an embedding
H W   pixels                                   N     things of a scene (slots, some empty)
Y X   cells of a visual feature map            E     events (notes) of a thing
S     samples of a waveform                    K     classes or clusters
J     tokens of a text                         M     entries of a bank
Q     queries; bins of an envelope             R     rows of a list, of whatever clips
U     units (channels, looked at one by one)    P     pixels along a window; pairs
4     a box, ``x1 y1 x2 y2`` in pixels         2     a position or a step ``x y``, in pixels
====  =======================================  ====  =======================================

A letter that stands for something else in one function only is explained there.

Waveforms are mono, float, within -1…1; pictures are float RGB within 0…1; times are seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

SAMPLE_RATE = 16_000
"""Sampling rate of every waveform inside the library, Hz."""


@dataclass(frozen=True)
class Word:
    """One spoken word and when it is heard (s)."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class _Moves:
    """Move, pick and strip the tensors of a frozen dataclass; rows are clips."""

    def _map(self, tensor: Any, other: Any) -> Any:
        def apply(value: Any) -> Any:
            if isinstance(value, Tensor):
                return tensor(value)
            if isinstance(value, _Moves):
                return value._map(tensor, other)
            return other(value) if isinstance(value, tuple) else value

        return replace(self, **{f.name: apply(getattr(self, f.name)) for f in fields(self)})

    def to(self, device: torch.device | str) -> Any:
        """The same on ``device``."""
        return self._map(lambda t: t.to(device, non_blocking=True), lambda rows: rows)

    def select(self, rows: list[int] | Tensor) -> Any:
        """Keep the clips ``rows``, in that order."""
        index = torch.as_tensor(rows, dtype=torch.int64)
        return self._map(lambda t: t[index.to(t.device)], lambda items: tuple(items[i] for i in index.tolist()))


@dataclass(frozen=True)
class Truth(_Moves):
    """What is really in a scene. For evaluation, figures and labelled baselines only: no self-supervised loss reads it.

    Attributes (any may be None where a source does not know it):
        category_BN: int64, class of each thing, -1 for an empty slot.
        sounding_BN: bool, is the thing heard in this clip?
        box_BN4: float, px, tight around the thing in the picture (first frame of a video); NaN where empty.
        box_BTN4: the same for every frame of a video.
        mask_BNHW: bool, pixels of the thing that are not covered by another (first frame of a video).
        mask_BTNHW: the same for every frame of a video.
        stem_BNS: float, the sound each visible thing adds to the mixture (zeros where silent).
        onset_BNE: float, s, when each note of a thing is played (heard or only mimed); NaN where none.
        offscreen_B: int64, class of a sound whose source is not in the picture, -1 for none.
        offscreen_stem_BS: float, that sound.
        faulty_B: bool, the things' own sound was replaced by a voice-over of ``offscreen_B``.
        shift_B: float, s, how much the sound comes later than the picture says.
        backdrop_B: int64, kind of place behind the things, -1 for a plain one.
        drawing_BN: int64, which drawing (or photograph) of its class a thing is, unique in the pack; -1 where empty.
        hand_BN: int64, whose drawing it is, an index into the pack's ``hands``; -1 where empty.
        colour_BN: int64, index into `avlib.world.colours.NAMES`, -1 for a thing of several colours and where empty.
        voice_BN: int64, the voice of each talking head, heard or mimed; -1 where nothing talks.
        narrator_B: int64, the voice that speaks from outside the picture, -1 for none.
        rhythm_BN: float, notes/s that a thing plays, heard or mimed; NaN where empty and for talking heads.
        flow_BTHW2: float, px, how far each pixel of a thing in sight moves until the next frame, 0 elsewhere; the last
            frame's leads to the frame that would follow.
        caption: one sentence a clip.
        words: the spoken words of each clip with their times.
    """

    category_BN: Tensor | None = None
    sounding_BN: Tensor | None = None
    box_BN4: Tensor | None = None
    box_BTN4: Tensor | None = None
    mask_BNHW: Tensor | None = None
    mask_BTNHW: Tensor | None = None
    stem_BNS: Tensor | None = None
    onset_BNE: Tensor | None = None
    offscreen_B: Tensor | None = None
    offscreen_stem_BS: Tensor | None = None
    faulty_B: Tensor | None = None
    shift_B: Tensor | None = None
    backdrop_B: Tensor | None = None
    drawing_BN: Tensor | None = None
    hand_BN: Tensor | None = None
    colour_BN: Tensor | None = None
    voice_BN: Tensor | None = None
    narrator_B: Tensor | None = None
    rhythm_BN: Tensor | None = None
    flow_BTHW2: Tensor | None = None
    caption: tuple[str, ...] | None = None
    words: tuple[tuple[Word, ...], ...] | None = None

    @property
    def label_B(self) -> Tensor:
        """int64, the class of the first sounding thing of each clip, else of the first thing, else -1."""
        if self.category_BN is None:
            raise ValueError("this batch has no category truth")
        there_BN = self.category_BN >= 0
        heard_BN = torch.zeros_like(there_BN) if self.sounding_BN is None else self.sounding_BN
        score_BN = (heard_BN & there_BN).int() * 2 + there_BN.int()
        return self.category_BN.gather(1, score_BN.argmax(1, keepdim=True)).squeeze(1)


@dataclass(frozen=True)
class Batch(_Moves):
    """B clips: a picture or a video, the sound, a text, which clips they are, and (for evaluation) the truth.

    Attributes:
        index_B: int64, the clip's place in its set; the same index always means the same clip.
        wave_BS: float, -1…1, ``SAMPLE_RATE`` Hz.
        image_BCHW: float, 0…1, or None.
        video_BTCHW: float, 0…1, or None.
        text: what somebody wrote about the picture, one text a clip, or None. An input like the other two.
        fps: frames a second of the video.
        truth: what is really there.
    """

    index_B: Tensor
    wave_BS: Tensor
    image_BCHW: Tensor | None = None
    video_BTCHW: Tensor | None = None
    text: tuple[str, ...] | None = None
    fps: float = 0.0
    truth: Truth = Truth()

    def __len__(self) -> int:
        return int(self.index_B.shape[0])

    @property
    def frame_BCHW(self) -> Tensor:
        """The picture, or the middle frame of the video."""
        if self.image_BCHW is not None:
            return self.image_BCHW
        if self.video_BTCHW is None:
            raise ValueError("this batch holds neither a picture nor a video")
        return self.video_BTCHW[:, self.video_BTCHW.shape[1] // 2]

    def blind(self) -> Batch:
        """The same clips with every number of the truth replaced by NaN (or -1, or False) and every word of it removed.

        A self-supervised method must train to the same weights on this batch.
        """

        def void(t: Tensor) -> Tensor:
            if t.is_floating_point():
                return torch.full_like(t, float("nan"))
            return torch.zeros_like(t) if t.dtype is torch.bool else torch.full_like(t, -1)

        truth = replace(self.truth, caption=None, words=None)._map(void, lambda rows: rows)
        return replace(self, truth=truth)


@dataclass(frozen=True)
class Embedding(_Moves):
    """What a method makes of a batch: pooled embeddings and, where it has them, the maps before pooling.

    ``speech_BDL`` is a spoken caption's map over time; a text's map has a column a token, zeros for padding.
    """

    image_BD: Tensor | None = None
    audio_BD: Tensor | None = None
    image_BDYX: Tensor | None = None
    audio_BDFL: Tensor | None = None
    text_BD: Tensor | None = None
    text_BDJ: Tensor | None = None
    speech_BDL: Tensor | None = None
    video_BDTYX: Tensor | None = None
