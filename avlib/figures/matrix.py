"""Many clips at once: every picture against every sound, and sheets of clips to hear."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import torch
from torch import Tensor

from avlib.figures.element import BUDGET, Element, assemble, film, fit, screen, text
from avlib.figures.encode import (
    Strip,
    check_clip_wave,
    fit_within,
    frames_of,
    mel_picture,
    photo_strip,
    sound_src,
)
from avlib.figures.player import audio, things_of
from avlib.figures.style import MAPS, numbers
from avlib.types import Batch

LARGEST = 16
"""Most clips a side of a matrix that one can still read."""


def matrix(
    sim_NN: Tensor,
    clips: Batch,
    caption: str = "",
    alt: str = "",
    *,
    classes: Sequence[str] | None = None,
    budget: int = BUDGET,
) -> Element:
    """How well each picture (row) goes with each sound (column): point at a cell to see the pair, press it to hear.

    Args:
        sim_NN: similarity of picture n and sound m; any finite numbers.
        clips: the N clips, in that order; true pairs lie on the diagonal.
        caption, alt: shown below; said to those who cannot see it (made from the numbers when left out).
        classes: names of the truth's categories.
        budget: bytes; pictures are squeezed until the element fits, as far as they can be.

    Raises:
        ValueError: no clips, more than :data:`LARGEST`, a matrix of another shape, NaN.
    """
    sim_NN = torch.from_numpy(numbers(sim_NN, "sim_NN", 2))
    count = len(clips)
    if tuple(sim_NN.shape) != (count, count):
        raise ValueError(f"sim_NN must be {count}×{count}, one row and one column a clip, not {tuple(sim_NN.shape)}")
    if count > LARGEST:
        raise ValueError(f"a matrix of {count} clips cannot be read: give at most {LARGEST}")
    names = [clip_name(clips, n, classes) for n in range(count)]
    best = int((sim_NN.argmax(1) == torch.arange(count)).sum())
    alt = (
        alt
        or f"Similarity of {count} pictures and {count} sounds; {best} pictures are most similar to their own sound."
    )
    still_NCHW = torch.cat([fit_within(still(clips, n), 96) for n in range(count)])
    waves = [check_clip_wave(wave_S, f"the sound of clip {n}") for n, wave_S in enumerate(clips.wave_BS)]
    value_NCFL = spectrogram_films(torch.stack(waves))

    def make(quality: int) -> Element:
        photos, sounds = photo_strip(still_NCHW, quality), photo_strip(value_NCFL, min(quality, 76))
        table = table_of(sim_NN.numpy(), names, photos, sounds)
        squeeze = 0.0 if quality >= 66 else 0.6
        heard = "".join(audio(name, sound_src(w, name, squeeze)) for name, w in zip(names, waves, strict=True))
        scroll = f'<div class="av-scroll" style="--columns:{count + 1}">{table}</div>'
        stage = f'<div class="av-stage">{scroll}{look(photos, sounds)}</div>'
        return assemble("matrix", f"{stage}<div>{heard}</div>", alt, caption)

    return fit(make, budget)


def still(batch: Batch, n: int) -> Tensor:
    """The picture, or the middle frame, of clip ``n``: 1×C×H×W."""
    video_TCHW = frames_of(batch, n)
    return video_TCHW[len(video_TCHW) // 2][None]


def clip_name(batch: Batch, n: int, classes: Sequence[str] | None) -> str:
    """What clip ``n`` is called: its number and what the truth says of it."""
    things = things_of(batch, n, classes) if classes is not None else []
    return f"{n + 1} ({', '.join(things)})" if things else f"{n + 1}"


def spectrogram_films(wave_NS: Tensor) -> Tensor:
    """Spectrograms of N sounds as small pictures on one scale: picture_NCFL, low notes at the bottom."""
    value_NFL = mel_picture(wave_NS, bands=48)[:, ::-1]
    rgb = mpl.colormaps[MAPS["spectrogram"]](value_NFL)[..., :3]
    picture_NCFL = torch.from_numpy(np.ascontiguousarray(rgb)).float().permute(0, 3, 1, 2)
    return torch.nn.functional.interpolate(picture_NCFL, size=(56, 112), mode="bilinear", align_corners=False)


def table_of(sim_NN: np.ndarray, names: list[str], photos: Strip, sounds: Strip) -> str:
    """The cells, with a picture before each row and a spectrogram above each column."""
    low, high = float(sim_NN.min()), float(sim_NN.max())
    heads = "".join(f'<th scope="col">{thumbnail("sound", n, sounds)}</th>' for n in range(len(names)))
    rows = ""
    for n, row in enumerate(sim_NN):
        cells = "".join(cell(v, (v - low) / max(high - low, 1e-9), n, m, names) for m, v in enumerate(row))
        rows += f'<tr><th scope="row">{thumbnail("picture", n, photos)}</th>{cells}</tr>'
    return f'<table role="grid"><thead><tr><td></td>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def thumbnail(kind: str, n: int, strip: Strip) -> str:
    """A place for one picture of a strip (the script copies the strip, so that the page carries it once)."""
    shape = f"aspect-ratio:{strip.width}/{strip.height}"
    frame = f'<div class="av-screen" style="{shape}"><div class="av-zoom" data-of="{kind}" data-k="{n}"></div></div>'
    return f'<span class="av-hide">{kind} {n + 1}</span>{frame}'


def cell(value: float, part: float, n: int, m: int, names: list[str]) -> str:
    """One pair as a button in the colour of its similarity (``part`` of the way from the least to the greatest)."""
    red, green, blue, _ = mpl.colormaps[MAPS["similarity"]](part)
    light = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
    paint = f"background:{mpl.colors.to_hex((red, green, blue))};color:{'#000' if light > 0.18 else '#fff'}"
    shown = f"{round(value, 2) + 0.0:.2f}"  # adding 0 turns -0.00 into 0.00
    said = text(f"Picture {names[n]} with sound {names[m]}: {shown}{', the true pair' if n == m else ''}")
    kind = ' class="av-true"' if n == m else ""
    return f'<td{kind}><button type="button" tabindex="-1" aria-label="{said}" style="{paint}">{shown}</button></td>'


def look(photos: Strip, sounds: Strip) -> str:
    """The pair under the pointer, large."""
    shown = screen(film(photos), photos, "Picture of the row")
    heard = f'<div class="av-spec">{film(sounds, "av-ear-film")}<i class="av-cursor"></i></div>'
    hover = '<button type="button" class="av-chip av-ear av-hover" aria-pressed="false">Play while pointing</button>'
    said = '<div class="av-say" aria-live="polite">Point at a cell to see the pair; press it to hear.</div>'
    return f'<div class="av-look">{shown}{heard}{said}<div class="av-bar">{hover}</div></div>'
