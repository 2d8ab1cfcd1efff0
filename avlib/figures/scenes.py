"""Still figures of clips: what is seen, what is heard, and where a method looks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor
from torch.nn import functional

from avlib.audio import check_wave
from avlib.figures.encode import check_row, mel_picture, tint
from avlib.figures.style import COLOURS, MAPS, bare, describe, new, numbers, picture_grid, styled
from avlib.types import SAMPLE_RATE, Batch


@styled
def contact_sheet(
    batch: Batch, classes: Sequence[str] | None = None, boxes: bool = True, columns: int = 8, alt: str = ""
) -> Figure:
    """Every clip's picture with its things: solid teal boxes are heard, dashed grey ones are silent.

    Args:
        classes: names of the truth's categories, for the words under each picture.
        boxes: draw the truth's boxes where it has them.
        columns: pictures a row.

    Raises:
        ValueError: an empty batch, no picture, NaN in it, fewer than one column.
    """
    check_row(batch, 0)
    frame_BCHW = pictures(batch.frame_BCHW, "the pictures")
    if columns < 1:
        raise ValueError(f"a sheet needs at least one column, not {columns}")
    columns = min(columns, len(batch))
    rows = math.ceil(len(batch) / columns)
    lines = max(len(words(batch, i, classes)) for i in range(len(batch)))
    figure, axes = picture_grid(rows, columns, 0.9, below=0.1 + 0.125 * lines)
    for i, ax in enumerate(axes.flat[: len(batch)]):
        show(ax, frame_BCHW[i])
        if boxes:
            draw_boxes(ax, batch, i)
        for line, (said, heard) in enumerate(words(batch, i, classes)):
            ink = COLOURS["ink"] if heard else "#7a818b"
            ax.text(0, -0.04 - 0.139 * line, said, transform=ax.transAxes, fontsize=6, va="top", color=ink)
    return describe(
        figure, alt or f"{len(batch)} scenes; boxes mark what is heard (solid) and what is silent (dashed)."
    )


def pictures(picture_BCHW: Tensor, name: str) -> np.ndarray:
    """B×H×W×3 within 0…1, or a ValueError that names them."""
    array = numbers(picture_BCHW, name, 4)
    if array.shape[1] != 3:
        raise ValueError(f"{name} must be B×3×H×W, not {array.shape}")
    return array.transpose(0, 2, 3, 1).clip(0, 1)


def show(ax: Axes, picture_HWC: np.ndarray) -> None:
    """A picture in pixels, from its upper left corner."""
    height, width = picture_HWC.shape[:2]
    bare(ax).imshow(picture_HWC, extent=(0, width, height, 0), interpolation="bilinear")


def words(batch: Batch, i: int, classes: Sequence[str] | None) -> list[tuple[str, bool]]:
    """What clip ``i`` holds, one line a thing, and whether it is heard; nothing without truth or names."""
    truth = batch.truth
    if truth.category_BN is None or classes is None:
        return []
    said = []
    for n, category in enumerate(truth.category_BN[i].tolist()):
        if category >= 0:
            heard = truth.sounding_BN is None or bool(truth.sounding_BN[i, n])
            said.append((classes[category] if heard else f"{classes[category]}, silent", heard))
    if truth.offscreen_B is not None and int(truth.offscreen_B[i]) >= 0:
        said.append((f"+ {classes[int(truth.offscreen_B[i])]}, unseen", True))
    return said


def draw_boxes(ax: Axes, batch: Batch, i: int) -> None:
    """The truth's boxes on the picture that `Batch.frame_BCHW` gives; none where there is no such truth."""
    truth = batch.truth
    box_BN4 = truth.box_BN4
    if batch.image_BCHW is None and truth.box_BTN4 is not None:
        box_BN4 = truth.box_BTN4[:, truth.box_BTN4.shape[1] // 2]
    if box_BN4 is None:
        return
    for n, box in enumerate(box_BN4[i].tolist()):
        if all(math.isfinite(v) for v in box):
            heard = truth.sounding_BN is None or bool(truth.sounding_BN[i, n])
            frame(ax, box, heard)


def frame(ax: Axes, box: Sequence[float], heard: bool) -> None:
    """One box (x1 y1 x2 y2, px): solid teal if heard, else dashed grey, on a thin white line that keeps it visible."""
    x1, y1, x2, y2 = box
    for width, ink, dash in (
        (2.0, "white", "-"),
        (1.2, COLOURS["truth" if heard else "silent"], "-" if heard else "--"),
    ):
        ax.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, ec=ink, lw=width, ls=dash))


@styled
def heatmaps(
    batch: Batch,
    maps: Tensor | Mapping[str, Tensor],
    rows: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    boxes: bool = True,
    alt: str = "",
) -> Figure:
    """Pictures under heat: one column a clip, one line of pictures for each named map; boxes are the truth.

    All maps share one scale: 0…1 as they are, anything else by the least and greatest of all of them.

    Args:
        maps: map_BYX for every clip of the batch, or several by name.
        rows: which clips; all by default.

    Raises:
        ValueError: an empty batch, maps that are not B×Y×X, NaN.
    """
    chosen = [check_row(batch, i) for i in (range(max(len(batch), 1)) if rows is None else rows)]
    several = maps if isinstance(maps, Mapping) else {"": maps}
    checked = {name: numbers(m, f"heat map {name!r}" if name else "the heat maps", 3) for name, m in several.items()}
    for name, array in checked.items():
        if len(array) != len(batch):
            raise ValueError(f"heat map {name!r} holds {len(array)} maps for {len(batch)} clips")
    if not chosen or not checked:
        raise ValueError("heat maps need at least one clip and one map")
    low, high = min(float(m.min()) for m in checked.values()), max(float(m.max()) for m in checked.values())
    low, high = (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)
    frame_BHWC = pictures(batch.frame_BCHW, "the pictures")
    lines = max(len(words(batch, i, classes)) for i in chosen)
    left = 0.0 if not isinstance(maps, Mapping) else 0.2
    figure, axes = picture_grid(len(checked), len(chosen), 1.0, left=left, above=0.03 + 0.13 * lines)
    for line, (name, map_BYX) in enumerate(checked.items()):
        for ax, i in zip(axes[line], chosen, strict=True):
            show(ax, frame_BHWC[i])
            lay(ax, (map_BYX[i] - low) / max(high - low, 1e-9), frame_BHWC.shape[1:3])
            if boxes:
                draw_boxes(ax, batch, i)
            if line == 0:
                said = "\n".join(word for word, _ in words(batch, i, classes))
                ax.set_title(said, fontsize=6.5, fontweight="normal", pad=3)
        axes[line][0].set_ylabel(name)
    return describe(figure, alt or f"Heat maps over {len(chosen)} scenes, with the true boxes.")


def lay(ax: Axes, heat_YX: np.ndarray, size: tuple[int, ...]) -> None:
    """Heat within 0…1 over a picture of ``size`` H×W px; cold cells stay clear."""
    height, width = size
    rgba_CHW = tint(torch.from_numpy(heat_YX).float()[None], height, width)[0]
    ax.imshow(rgba_CHW.permute(1, 2, 0).numpy(), extent=(0, width, height, 0), interpolation="bilinear")


@styled
def spectrogram(
    sound: Tensor, seconds: float | None = None, marks: Sequence[float] = (), title: str = "", alt: str = ""
) -> Figure:
    """One sound over time and frequency.

    Args:
        sound: wave_S (drawn as log-mel, its loudest 60 dB), or a log-mel mel_FL drawn as it is.
        seconds: how long it lasts; by default from the samples, or 100 frames a second.
        marks: times to mark, s (onsets).

    Raises:
        ValueError: neither one nor two axes, empty, NaN.
    """
    if sound.ndim not in (1, 2):
        raise ValueError(f"a spectrogram is drawn from wave_S or mel_FL, not from shape {tuple(sound.shape)}")
    values = numbers(sound, "the sound", sound.ndim)
    value_FL = mel_picture(torch.from_numpy(values).float()[None])[0] if sound.ndim == 1 else values
    length = seconds or (len(values) / SAMPLE_RATE if sound.ndim == 1 else value_FL.shape[1] / 100)
    figure, ax = new(4.2, 1.7)
    draw_spectrogram(ax, value_FL, length, marks)
    ax.set_xlabel("time (s)")
    ax.set_title(title)
    return describe(figure, alt or f"Log-mel spectrogram of {length:g} s of sound.")


def draw_spectrogram(ax: Axes, value_FL: np.ndarray, seconds: float, marks: Sequence[float] = ()) -> None:
    """A log-mel picture with its axis in kHz (mel spaced, up to half the rate)."""
    bands = len(value_FL)
    ax.imshow(value_FL, cmap=MAPS["spectrogram"], origin="lower", aspect="auto", extent=(0, seconds, 0, bands))
    hz = np.array([0, 500, 1000, 2000, 4000, 8000])
    ax.set_yticks(np.log10(1 + hz / 700) / np.log10(1 + SAMPLE_RATE / 2 / 700) * bands, [f"{h / 1000:g}" for h in hz])
    ax.set_ylabel("kHz")
    for time in marks:
        if math.isfinite(time):
            ax.axvline(time, color="white", lw=0.9, ls=":")


@styled
def filmstrip(
    video_TCHW: Tensor,
    wave_S: Tensor,
    fps: float,
    frames: int = 8,
    marks: Sequence[float] = (),
    maps: Tensor | None = None,
    alt: str = "",
) -> Figure:
    """Frames above the spectrogram of their sound, on one axis of time; the white line is the sound's envelope.

    Args:
        fps: frames a second.
        frames: show so many, evenly spread; each stands over the time from which it is taken.
        marks: times to mark, s (onsets).
        maps: map_TYX, heat laid over the frames, one scale for all.

    Raises:
        ValueError: not T×3×H×W, a rate of 0, NaN, maps that are not one a frame.
    """
    video_THWC = pictures(video_TCHW, "the frames")
    if not (math.isfinite(fps) and fps > 0) or frames < 1:
        raise ValueError(f"a film strip needs a positive frame rate and at least one frame, not {fps} and {frames}")
    wave_S = check_wave(wave_S.detach().cpu().float(), "wave_S")
    seconds, count = len(wave_S) / SAMPLE_RATE, min(frames, len(video_THWC))
    width, height = 6.4, 6.4 / count * video_THWC.shape[1] / video_THWC.shape[2]
    figure, (top, low) = new(width, height + 1.3, 2, 1, sharex=True, height_ratios=[height, 1.15])
    heat = None if maps is None else film_heat(maps, video_THWC.shape[:3])
    for k in range(count):
        place = (k * seconds / count, (k + 0.97) * seconds / count, 0, 1)
        t = min(int((k + 0.5) * seconds / count * fps), len(video_THWC) - 1)
        bare(top).imshow(video_THWC[t], extent=place, aspect="auto", interpolation="bilinear")
        if heat is not None:
            top.imshow(heat[t], extent=place, aspect="auto")
    top.set(xlim=(0, seconds), ylim=(0, 1))
    draw_spectrogram(low, mel_picture(wave_S[None])[0], seconds, marks)
    draw_envelope(low, wave_S, seconds)
    low.tick_params(axis="x", bottom=True, labelbottom=True)
    low.set_xticks(np.linspace(0, seconds, 5))
    low.set_xlabel("time (s)")
    return describe(figure, alt or f"{count} frames of a clip of {seconds:g} s above the spectrogram of its sound.")


def film_heat(maps: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """map_TYX as coloured layers T×H×W×4, on one scale."""
    array = numbers(maps, "the heat maps", 3)
    if len(array) != size[0]:
        raise ValueError(f"{len(array)} heat maps do not fit {size[0]} frames")
    if array.min() < 0 or array.max() > 1:
        array = (array - array.min()) / max(float(np.ptp(array)), 1e-9)
    return tint(torch.from_numpy(array).float(), size[1], size[2]).permute(0, 2, 3, 1).numpy()


def draw_envelope(ax: Axes, wave_S: Tensor, seconds: float) -> None:
    """Loudness over 20 ms as a white line in the upper part of a spectrogram."""
    window = SAMPLE_RATE // 50
    pieces = functional.pad(wave_S, (0, -len(wave_S) % window)).view(-1, window).square().mean(1).sqrt().numpy()
    top = ax.get_ylim()[1]
    level = pieces / max(float(pieces.max()), 1e-9)
    ax.plot(
        (np.arange(len(level)) + 0.5) * window / SAMPLE_RATE,
        top * (0.62 + 0.34 * level),
        color="white",
        lw=0.9,
        alpha=0.9,
    )
    ax.set_xlim(0, seconds)


@styled
def sheet_of_clusters(
    image_MCHW: Tensor,
    cluster_M: Tensor,
    label_M: Tensor | None = None,
    classes: Sequence[str] | None = None,
    score_M: Tensor | None = None,
    columns: int = 8,
    clusters: int = 12,
    alt: str = "",
) -> Figure:
    """One line of pictures a cluster, the purest first (the largest first without labels).

    Args:
        cluster_M: int64, the cluster of each picture; negative ones are left out.
        label_M: int64 true classes: the title says the commonest, and its share (purity).
        score_M: show each cluster's highest scores; without it, its first pictures.
        clusters: show at most so many.

    Raises:
        ValueError: no pictures, lengths that differ, NaN, no cluster.
    """
    picture_MHWC = pictures(image_MCHW, "the pictures")
    for name, values in (("cluster_M", cluster_M), ("label_M", label_M), ("score_M", score_M)):
        if values is not None and len(values) != len(picture_MHWC):
            raise ValueError(f"{name} has {len(values)} entries for {len(picture_MHWC)} pictures")
    cluster = numbers(cluster_M, "cluster_M", 1).astype(int)
    score = numbers(score_M, "score_M", 1) if score_M is not None else -np.arange(len(cluster))
    label = numbers(label_M, "label_M", 1).astype(int) if label_M is not None else None
    rows = sorted((cluster_row(k, cluster, label, classes) for k in set(cluster[cluster >= 0])), key=lambda r: r[0])[
        :clusters
    ]
    if not rows:
        raise ValueError("cluster_M names no cluster: every entry is negative")
    figure, axes = picture_grid(len(rows), columns, 0.62, left=0.95)
    for line, (_, k, title) in zip(axes, rows, strict=True):
        members = np.flatnonzero(cluster == k)
        members = members[np.argsort(-score[members], kind="stable")][:columns]
        for ax, m in zip(line, members, strict=False):
            show(ax, picture_MHWC[m])
        line[0].set_ylabel(title, rotation=0, ha="right", va="center", labelpad=4)
    return describe(figure, alt or f"{len(rows)} clusters, one line of pictures each.")


def cluster_row(
    k: int, cluster: np.ndarray, label: np.ndarray | None, classes: Sequence[str] | None
) -> tuple[tuple[Any, ...], int, str]:
    """How to sort cluster ``k``, its number, and its title."""
    size = int((cluster == k).sum())
    if label is None:
        return (-size, k), k, f"cluster {k}\n{size} pictures"
    values, counts = np.unique(label[cluster == k], return_counts=True)
    best, purity = int(values[counts.argmax()]), float(counts.max() / size)
    name = classes[best] if classes is not None and 0 <= best < len(classes) else f"class {best}"
    return (-purity, -size, k), k, f"{name}\n{purity:.0%} of {size}"


@styled
def filters(weight: Tensor, rate: float = SAMPLE_RATE, alt: str = "") -> Figure:
    """A bank of one-dimensional filters, in order of the frequency that each lets through best.

    Left: their shapes (at most 32 of them, evenly spread). Right: their gain over frequency, each by its own greatest.

    Args:
        weight: filter_KS, or a convolution's weight K×1×S.
        rate: Hz of the sound that they run over.

    Raises:
        ValueError: another shape, fewer than two taps, NaN, a rate of 0.
    """
    values = numbers(weight, "the filters")
    values = values[:, 0] if values.ndim == 3 and values.shape[1] == 1 else values
    if values.ndim != 2 or values.shape[1] < 2 or not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"filters must be K×S or K×1×S with a positive rate, not {tuple(weight.shape)} at {rate} Hz")
    gain = np.abs(np.fft.rfft(values - values.mean(1, keepdims=True), n=max(512, values.shape[1])))
    order = gain.argmax(1).argsort(kind="stable")
    values, gain = values[order], gain[order] / np.maximum(gain[order].max(1, keepdims=True), 1e-12)
    figure, (left, right) = new(6.4, 2.6, 1, 2, width_ratios=[1.5, 1])
    shown = values[np.unique(np.linspace(0, len(values) - 1, min(32, len(values))).round().astype(int))]
    columns = math.ceil(len(shown) / 4)
    for k, taps in enumerate(shown):
        x = k // 4 + np.linspace(0.08, 0.92, len(taps))
        bare(left).plot(x, -(k % 4) + 0.42 * taps / max(np.abs(taps).max(), 1e-12), color=COLOURS["sound"], lw=0.8)
    left.set(xlim=(0, columns), title=f"{len(shown)} of {len(values)} filters, low to high")
    extent = (0, len(gain), 0, rate / 2000)
    right.imshow(gain.T, cmap=MAPS["spectrogram"], origin="lower", aspect="auto", extent=extent)
    right.set(xlabel="filter", ylabel="kHz", title="gain")
    return describe(figure, alt or f"{len(values)} filters in order of frequency: their shapes and their gains.")
