"""A sheet of small clips, each of which plays when pressed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avlib.figures.element import BUDGET, Element, assemble, film, fit, screen, text
from avlib.figures.encode import check_clip_wave, check_row, fit_within, frames_of, photo_strip, sound_src
from avlib.figures.player import audio, describe_clip, things_of
from avlib.types import SAMPLE_RATE, Batch


def gallery(
    batch: Batch,
    rows: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    caption: str = "",
    alt: str = "",
    *,
    classes: Sequence[str] | None = None,
    side: int = 96,
    frames: int = 8,
    budget: int = BUDGET,
) -> Element:
    """A playable contact sheet: press a clip to hear it (and, for a video, to see it move).

    Args:
        rows: which clips, in which order; all of them by default.
        labels: words under each clip; by default its things, if the truth and ``classes`` name them.
        caption, alt: shown below; the sheet in words.
        classes: names of the truth's categories.
        side: px, larger pictures are made smaller.
        frames: of a video, keep at most so many, evenly spread.
        budget: bytes; pictures are squeezed until the element fits, as far as they can be.

    Raises:
        IndexError: no such clip.
        ValueError: an empty batch, no rows, labels that are not one a clip, NaN in a picture or sound.
    """
    chosen = [check_row(batch, i) for i in (range(max(len(batch), 1)) if rows is None else rows)]
    if not chosen:
        raise ValueError("a gallery needs at least one clip")
    if labels is not None and len(labels) != len(chosen):
        raise ValueError(f"a gallery of {len(chosen)} clips needs {len(chosen)} labels, not {len(labels)}")
    named = list(labels) if labels is not None else [label_of(batch, i, classes) for i in chosen]
    films = [thin(fit_within(frames_of(batch, i), side), frames) for i in chosen]
    waves = [check_clip_wave(batch.wave_BS[i], f"the sound of clip {i}") for i in chosen]
    said = [text(f"Play: {name}" if name else f"Play clip {n + 1}") for n, name in enumerate(named)]
    alt = alt or f"{len(chosen)} clips to play. {describe_clip(batch, chosen[0], classes)}"

    def make(quality: int) -> Element:
        squeeze = 0.0 if quality >= 66 else 0.6
        tiles = "".join(
            tile_of(video_TCHW, wave_S, name, label, quality, squeeze)
            for video_TCHW, wave_S, name, label in zip(films, waves, named, said, strict=True)
        )
        return assemble(
            "gallery", f'<div class="av-tiles" style="--columns:{columns_for(len(chosen))}">{tiles}</div>', alt, caption
        )

    return fit(make, budget)


def label_of(batch: Batch, i: int, classes: Sequence[str] | None) -> str:
    """The things of clip ``i`` where they have names."""
    return ", ".join(things_of(batch, i, classes)) if classes is not None else ""


def columns_for(count: int) -> int:
    """Columns that leave the fewest gaps in the last row, at most six (fewer where the page is narrow)."""
    return min(range(6, 3, -1), key=lambda columns: -count % columns) if count > 6 else count


def thin(video_TCHW: Tensor, frames: int) -> Tensor:
    """At most ``frames`` frames, evenly spread."""
    count = len(video_TCHW)
    if count <= frames:
        return video_TCHW
    return video_TCHW[torch.linspace(0, count - 1, frames).round().long()]


def tile_of(video_TCHW: Tensor, wave_S: Tensor, name: str, said: str, quality: int, squeeze: float) -> str:
    """One clip: a button with its frames, its sound and its label. ``said`` is already safe for HTML."""
    strip = photo_strip(video_TCHW, quality)
    window = screen(film(strip, first=strip.count // 2), strip, name or "clip", '<i class="av-time"></i>')
    button = f'<button type="button" aria-pressed="false" aria-label="{said}">{window}</button>'
    label = f"<div>{text(name)}</div>" if name else ""
    sound = audio(name or "clip", sound_src(wave_S, name or "a clip", squeeze))
    return f'<div class="av-tile" data-seconds="{len(wave_S) / SAMPLE_RATE:g}">{button}{sound}{label}</div>'
