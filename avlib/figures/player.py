"""A clip that can be seen, heard and searched, on a page without a kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from avlib.figures.element import BUDGET, Element, assemble, film, fit, screen, text
from avlib.figures.encode import (
    check_clip_wave,
    check_maps,
    check_row,
    fit_within,
    frames_of,
    heat_strip,
    mel_picture,
    photo_strip,
    scale_maps,
    sound_src,
    spectrogram_src,
)
from avlib.types import SAMPLE_RATE, Batch

Heat = Tensor | Mapping[str, Tensor]
"""One heat map (map_YX, or map_TYX for a video), or several by name."""


def player(
    batch: Batch,
    i: int = 0,
    heat: Heat | None = None,
    sources: Mapping[str, Tensor] | None = None,
    caption: str = "",
    alt: str = "",
    *,
    classes: Sequence[str] | None = None,
    side: int = 128,
    budget: int = BUDGET,
) -> Element:
    """Clip ``i``: see it, hear it, search it in its spectrogram; lay heat maps over it and hear its sources apart.

    Heat maps of one clip share one scale: 0…1 as they are, anything else by the least and greatest of all of them.
    Spectrograms share one scale too: the loudest 60 dB of the mixture and the sources.

    Args:
        batch: needs a picture or a video, and the sound.
        heat: map_YX or map_TYX, or several by name; each gets a button.
        sources: wave_S by name, Hz as in :data:`avlib.types.SAMPLE_RATE`; each gets a button beside the mixture.
        caption: shown below; without one, the truth's caption where it has one.
        alt: the clip in words; without one, made of what the truth says.
        classes: names of the truth's categories, for that sentence.
        side: px, frames larger than this are made smaller.
        budget: bytes; pictures are squeezed until the element fits, as far as they can be.

    Raises:
        IndexError: no clip ``i``.
        ValueError: an empty batch, no picture, NaN in picture, sound or heat, a map that does not fit the frames, a
            source of another length than the clip.
    """
    i = check_row(batch, i)
    video_TCHW = fit_within(frames_of(batch, i), side)
    waves = check_sources(batch, i, sources)
    seconds = len(waves["mixture"]) / SAMPLE_RATE
    maps = None if heat is None else scale_maps(check_maps(named(heat), len(video_TCHW)))
    caption = caption or caption_of(batch, i)
    alt = alt or caption or describe_clip(batch, i, classes)
    value_NFL = mel_picture(torch.stack(list(waves.values())))
    fps = batch.fps if batch.fps > 0 else len(video_TCHW) / seconds

    def make(quality: int) -> Element:
        squeeze = 0.0 if quality >= 66 else 0.6
        films = photo_strip(video_TCHW, quality)
        laid = "" if maps is None else heat_layers(maps, video_TCHW, quality)
        sounds = "".join(audio(name, sound_src(wave_S, name, squeeze)) for name, wave_S in waves.items())
        specs = "".join(spec_image(value_FL, n, min(quality, 78)) for n, value_FL in enumerate(value_NFL))
        middle = len(video_TCHW) // 2
        stage = screen(film(films, first=middle) + laid, films, alt)
        side_by = spec_box(specs, seconds) + bar(list(waves), list(maps or {})) + sounds
        body = f'<div class="av-stage">{stage}<div class="av-side">{side_by}</div></div>'
        return assemble("player", body, alt, caption, f' data-fps="{fps:g}" data-seconds="{seconds:g}"')

    return fit(make, budget)


def named(heat: Heat) -> Mapping[str, Tensor]:
    """Heat maps by name; a single one is called "heat"."""
    return heat if isinstance(heat, Mapping) else {"heat": heat}


def check_sources(batch: Batch, i: int, sources: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """The mixture and the sources by name, all of one length.

    Raises:
        ValueError: a source that is called "mixture", of another length, or not finite.
    """
    waves = {"mixture": check_clip_wave(batch.wave_BS[i], "the clip's sound")}
    for name, wave_S in (sources or {}).items():
        if str(name) in waves:
            raise ValueError(f"a source must not be called {name!r}: that is the clip's own sound")
        waves[str(name)] = check_clip_wave(wave_S, f"source {name!r}")
        if len(waves[str(name)]) != len(waves["mixture"]):
            raise ValueError(f"source {name!r} has {len(wave_S)} samples, the clip has {len(waves['mixture'])}")
    return waves


def caption_of(batch: Batch, i: int) -> str:
    """The truth's caption of clip ``i``, or nothing."""
    return batch.truth.caption[i] if batch.truth.caption is not None else ""


def describe_clip(batch: Batch, i: int, classes: Sequence[str] | None = None) -> str:
    """Clip ``i`` in one sentence, as far as the truth (and ``classes``, its names) tells."""
    kind = "Still picture" if batch.video_BTCHW is None else "Video"
    opening = f"{kind} with {batch.wave_BS.shape[1] / SAMPLE_RATE:g} s of sound"
    if batch.truth.category_BN is None:
        return opening + "."
    things = counted_things(batch, i) if classes is None else ", ".join(things_of(batch, i, classes))
    return f"{opening}: {things or 'nothing in the picture'}."


def counted_things(batch: Batch, i: int) -> str:
    """How many things clip ``i`` holds, and how many of them are silent: what can be said without their names."""
    truth = batch.truth
    assert truth.category_BN is not None
    there_N = truth.category_BN[i] >= 0
    count = int(there_N.sum())
    silent = 0 if truth.sounding_BN is None else int((there_N & ~truth.sounding_BN[i]).sum())
    said = f"{count} thing{'s' if count > 1 else ''}" if count else ""
    return f"{said}, {silent} of them silent" if silent else said


def things_of(batch: Batch, i: int, classes: Sequence[str]) -> list[str]:
    """The things of clip ``i`` by name, silent ones marked so; empty without truth."""
    truth = batch.truth
    if truth.category_BN is None:
        return []
    things = []
    for n, category in enumerate(truth.category_BN[i].tolist()):
        if category < 0:
            continue
        name = classes[category] if category < len(classes) else "unnamed thing"
        silent = truth.sounding_BN is not None and not bool(truth.sounding_BN[i, n])
        things.append(f"{name} (silent)" if silent else name)
    return things


def heat_layers(maps: Mapping[str, Tensor], video_TCHW: Tensor, quality: int) -> str:
    """The heat maps as hidden layers over the picture."""
    height, width = video_TCHW.shape[-2:]
    strips = [heat_strip(map_TYX, height, width, quality) for map_TYX in maps.values()]
    return "".join(film(strip, "av-heat", hidden=True) for strip in strips)


def audio(name: str, src: str) -> str:
    """One sound; its own controls show only where scripts do not run."""
    return f'<audio controls preload="auto" aria-label="{text(name)}" src="{src}"></audio>'


def spec_image(value_FL: object, n: int, quality: int) -> str:
    """The spectrogram of source ``n``; the first one shows."""
    src = spectrogram_src(value_FL, quality=quality)  # type: ignore[arg-type]
    return f'<img class="dark-light" alt="" src="{src}"{" hidden" if n else ""}>'


def spec_box(specs: str, seconds: float) -> str:
    """The spectrogram with its cursor, which is also the slider that seeks."""
    state = f'aria-valuemin="0" aria-valuemax="{seconds:g}" aria-valuenow="0" aria-valuetext="0 s"'
    box = f'<div class="av-spec" role="slider" tabindex="0" aria-label="Position, over the spectrogram" {state}>'
    axis = f"<span>0 s</span><span>0–{SAMPLE_RATE / 2000:g} kHz, mel scale</span><span>{seconds:g} s</span>"
    return f'{box}{specs}<i class="av-cursor"></i></div><div class="av-axis" aria-hidden="true">{axis}</div>'


def bar(waves: list[str], maps: list[str]) -> str:
    """Play, which sound, which heat map."""
    groups = ""
    if len(waves) > 1:
        ears = "".join(chip("av-ear", name, n == 0) for n, name in enumerate(waves))
        groups += f'<div class="av-group" role="group" aria-label="Sound"><span>Hear</span>{ears}</div>'
    if maps:
        eyes = "".join(chip("av-eye", name, False) for name in maps)
        groups += f'<div class="av-group" role="group" aria-label="Heat map"><span>Show</span>{eyes}</div>'
    return f'<div class="av-bar"><button type="button" class="av-play">▶\ufe0e Play</button>{groups}</div>'


def chip(kind: str, name: str, pressed: bool) -> str:
    """A button that stays pressed."""
    return f'<button type="button" class="av-chip {kind}" aria-pressed="{str(pressed).lower()}">{text(name)}</button>'
