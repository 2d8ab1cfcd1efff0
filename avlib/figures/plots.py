"""Curves, scores and scatter: one look, with chance, controls and published numbers always in the same colours."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avlib.errors import unknown
from avlib.figures.style import COLOURS, CYCLE, MAPS, MARKERS, bare, describe, new, numbers, styled

if TYPE_CHECKING:
    import pandas as pd

Runs = float | Sequence[float]
"""One value, or one for each seed."""


@styled
def curve(
    history: Any,
    names: Sequence[str] = ("loss",),
    smooth: float = 0.0,
    chance: float | None = None,
    ylabel: str = "",
    alt: str = "",
) -> Figure:
    """Logged numbers over the steps of training.

    Args:
        history: a `History`; several by name, of which the first of ``names`` is drawn; or name to numbers.
        names: which logs of a `History`.
        smooth: 0…1, weight of the past in a running mean drawn over the raw line.
        chance: a dotted line, what luck reaches.

    Raises:
        ValueError: an unknown log (the right names are listed), nothing logged, ``smooth`` outside 0…1.
    """
    if not 0 <= smooth < 1:
        raise ValueError(f"smooth must lie within 0…1, 1 left out, not {smooth}")
    lines = lines_of(history, names)
    figure, ax = new()
    for n, (name, (step, value)) in enumerate(lines.items()):
        ink = CYCLE[n % len(CYCLE)]
        if smooth:
            ax.plot(step, value, color=ink, lw=0.6, alpha=0.35)
        ax.plot(step, running(value, smooth), color=ink, label=name)
    draw_chance(ax, chance, across=True)
    ax.set(xlabel="step", ylabel=ylabel or (names[0] if len(names) == 1 else ""))
    ax.grid(axis="y")
    if len(lines) > 1:
        ax.legend()
    return describe(figure, alt or f"{', '.join(lines)} over the steps of training.")


def lines_of(history: Any, names: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name to steps and values, entries that were not reported (NaN) left out."""
    if hasattr(history, "logs"):
        raw = {name: (history.steps, log_of(history, name)) for name in names}
    elif not isinstance(history, Mapping):
        raise TypeError(f"curve draws a History or a mapping, not {type(history).__name__}")
    else:
        raw = {
            str(name): (h.steps, log_of(h, names[0])) if hasattr(h, "logs") else (range(1, len(h) + 1), h)
            for name, h in history.items()
        }
    lines = {}
    for name, (steps, values) in raw.items():
        step, value = np.asarray(list(steps), dtype=float), np.asarray(list(values), dtype=float)
        lines[name] = (step[np.isfinite(value)], value[np.isfinite(value)])
        if not len(lines[name][1]):
            raise ValueError(f"curve {name!r} has no finite value to draw")
    if not lines:
        raise ValueError("there is no curve to draw")
    return lines


def log_of(history: Any, name: str) -> list[float]:
    """One log of a `History`, or a ValueError that lists the logs there are."""
    if name not in history.logs:
        raise unknown("log", name, history.logs)
    return list(history.logs[name])


def running(value: np.ndarray, weight: float) -> np.ndarray:
    """Exponential running mean with its start corrected (as Adam does): the first value is the first value."""
    mean, out = 0.0, np.empty_like(value)
    for n, v in enumerate(value):
        mean = weight * mean + (1 - weight) * v
        out[n] = mean / (1 - weight ** (n + 1))
    return out


def draw_chance(ax: Axes, chance: float | None, across: bool) -> None:
    """A dotted line at chance, named where it ends; ``across`` for a horizontal one."""
    if chance is None:
        return
    (ax.axhline if across else ax.axvline)(chance, color=COLOURS["chance"], ls=":", lw=1.2, zorder=1)
    if across:
        ax.text(1, chance, "chance", transform=ax.get_yaxis_transform(), ha="right", va="bottom", fontsize=6.5)
    else:
        ax.text(chance, 1, "chance", transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontsize=6.5)


def interval(values: Runs, name: str) -> tuple[float, float, float, int]:
    """Mean, ends of Student's 90 % interval (NaN for one value), and how many values."""
    array = numbers(np.atleast_1d(np.asarray(values, dtype=float)), name, 1)
    if len(array) == 1:
        return float(array[0]), math.nan, math.nan, 1
    from avlib.evaluate import stats

    found = stats.t_interval(array)
    return found.value, found.low, found.high, len(array)


@styled
def bars_with_intervals(
    table: pd.DataFrame,
    metric: str,
    arms: Sequence[str] | None = None,
    chance: float | None = None,
    published: float | Mapping[str, float] | None = None,
    label: str = "",
    alt: str = "",
) -> Figure:
    """The arms of an experiment: bars are means, lines are 90 % intervals over the seeds (Student).

    Args:
        table: `Record.table()`: rows (arm, metric); columns ``mean``, ``sd``, ``n``.
        metric: which one; its unit is the table's.
        arms: which, from the top, the method first; as in the table by default.
        chance: a dotted line.
        published: gold diamonds, by name, in the same unit; they stand on lines of their own.

    Raises:
        ValueError: an unknown metric or arm (the right names are listed), no arms.
    """
    known = list(dict.fromkeys(table.index.get_level_values("metric")))
    if metric not in known:
        raise unknown("metric", metric, known)
    found = table.xs(metric, level="metric")
    order = list(found.index) if arms is None else list(arms)
    for arm in order:
        if arm not in found.index:
            raise unknown("arm", arm, found.index)
    printed = {"published": published} if isinstance(published, int | float) else dict(published or {})
    figure, ax = new(3.8, 0.7 + 0.27 * (len(order) + len(printed)))
    for y, arm in enumerate(order):
        mean, sd, n = (float(found.loc[arm, c]) for c in ("mean", "sd", "n"))
        ax.barh(y, mean, height=0.66, color=COLOURS["sight" if y == 0 else "baseline"], zorder=2)
        half = stats_half(sd, n)
        if math.isfinite(half):
            ax.plot([mean - half, mean + half], [y, y], color=COLOURS["ink"], lw=1.2, zorder=3)
    for y, value in enumerate(printed.values(), len(order)):
        ax.plot(value, y, "D", color=COLOURS["published"], ms=5, zorder=3)
    name_rows(ax, [*order, *printed], label or metric)
    ax.set_xlim(left=min(0.0, ax.get_xlim()[0]))
    draw_chance(ax, chance, across=False)
    return describe(figure, alt or f"{metric} of {', '.join(order)}, with intervals over the seeds.")


def stats_half(sd: float, n: float) -> float:
    """Half of Student's 90 % interval from a deviation over ``n`` seeds; NaN for one seed."""
    from scipy.stats import t

    return float(t.ppf(0.95, n - 1) * sd / math.sqrt(n)) if n > 1 else math.nan


def name_rows(ax: Axes, names: Sequence[str], label: str) -> None:
    """Names down the left, the first one at the top, and the label of the values below."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.set_xlabel(label)


@styled
def seeds_strip(values: Mapping[str, Runs], chance: float | None = None, label: str = "", alt: str = "") -> Figure:
    """One dot a seed, and beside them the mean with Student's 90 % interval.

    Args:
        values: arm to one number a seed; the first arm is the method.

    Raises:
        ValueError: no arms, NaN.
    """
    if not values:
        raise ValueError("there are no arms to draw")
    figure, ax = new(3.8, 0.7 + 0.3 * len(values))
    for y, (arm, runs) in enumerate(values.items()):
        ink = COLOURS["sight" if y == 0 else "ink"]
        array = np.atleast_1d(np.asarray(runs, dtype=float))
        mean, low, high, _ = interval(runs, f"arm {arm!r}")
        ax.plot(array, np.full(len(array), y + 0.14), "o", color=ink, ms=3.5, alpha=0.55, mew=0)
        ax.plot([low, high], [y - 0.12, y - 0.12], color=ink, lw=1.4)
        ax.plot(mean, y - 0.12, "|", color=ink, ms=8, mew=1.8)
    name_rows(ax, list(values), label)
    draw_chance(ax, chance, across=False)
    return describe(figure, alt or f"{label or 'Scores'} of {', '.join(values)}: one dot a seed, and intervals.")


@styled
def beside_published(
    ours: Mapping[str, Runs],
    published: pd.DataFrame,
    metric: str,
    differs: str,
    benchmark: str | None = None,
    chance: float | None = None,
    alt: str = "",
) -> Figure:
    """Our scores (dots, with intervals over the seeds) beside the papers' (gold diamonds), the best at the top.

    What differs is printed under the axis, and kept with the sources as ``figure.caption``: numbers of two experiments
    never stand side by side without it.

    Args:
        ours: name to one value, or one a seed, in the unit of the table.
        published: `avlib.published.table(…)`.
        metric: which of the table's metrics.
        differs: what is not the same in our experiment (data, size, protocol).
        benchmark: which of the table's, where it holds several.

    Raises:
        ValueError: no such metric or benchmark (the right names are listed), ``differs`` left empty, nothing of ours.
    """
    if not differs.strip() or not ours:
        raise ValueError("beside_published needs scores of ours and a word on what differs from the papers")
    rows = chosen_rows(published, metric, benchmark)
    entries = [(name, *interval(runs, name), True) for name, runs in ours.items()]
    theirs = dict.fromkeys(zip(labels_of(rows), rows["value"], strict=True))  # several papers print the same row
    entries += [(name, float(value), math.nan, math.nan, 1, False) for name, value in theirs]
    entries.sort(key=lambda e: -e[1])
    unit = "" if rows["unit"].iloc[0] == "1" else f" ({rows['unit'].iloc[0]})"
    sources = "; ".join(dict.fromkeys(rows["source"]))
    caption = f"Ours: {differs.strip().rstrip('.')}. Published: {sources}."
    small = textwrap.fill(caption, 84)
    figure, ax = new(4.6, 0.75 + 0.21 * len(entries) + 0.12 * small.count("\n"))
    for y, (_, value, low, high, _, own) in enumerate(entries):
        ax.plot(
            value,
            y,
            "o" if own else "D",
            color=COLOURS["sound" if own else "published"],
            ms=6 if own else 4.5,
            zorder=3,
        )
        ax.plot([low, high], [y, y], color=COLOURS["sound"], lw=1.6, zorder=2)
    name_rows(ax, [e[0] for e in entries], f"{benchmark or rows['benchmark'].iloc[0]}, {metric}{unit}")
    for tick, entry in zip(ax.get_yticklabels(), entries, strict=True):
        tick.set(color=COLOURS["sound"] if entry[-1] else COLOURS["ink"], fontweight="bold" if entry[-1] else "normal")
    draw_chance(ax, chance, across=False)
    figure.supxlabel(small, fontsize=6, color="#6b7280", x=0.01, ha="left")
    figure.caption = caption  # type: ignore[attr-defined]
    return describe(figure, alt or f"{metric}: ours beside {len(rows)} published rows. {caption}")


def chosen_rows(published: pd.DataFrame, metric: str, benchmark: str | None) -> pd.DataFrame:
    """The rows of one metric and one benchmark, or a ValueError that lists what there is."""
    rows = published
    for column, wanted in (("benchmark", benchmark), ("metric", metric)):
        there = list(dict.fromkeys(rows[column]))
        if wanted is None and len(there) > 1:
            raise ValueError(f"the published table holds several kinds of {column}: name one of {', '.join(there)}")
        if wanted is not None and wanted not in there:
            raise unknown(column, wanted, there)
        rows = rows if wanted is None else rows[rows[column] == wanted]
    if not len(rows):
        raise ValueError("the published table holds no rows")
    return rows


def labels_of(rows: pd.DataFrame) -> list[str]:
    """Names of published rows: the system, and what tells it from another row of the same system."""
    twice = rows["system"].duplicated(keep=False)
    return [
        f"{r['system']} ({', '.join(x for x in (r['variant'], r['training_data']) if x)})"
        if again and (r["variant"] or r["training_data"])
        else str(r["system"])
        for (_, r), again in zip(rows.iterrows(), twice, strict=True)
    ]


@styled
def layer_curve(
    layers: Sequence[str],
    scores: Mapping[str, Sequence[Runs]],
    chance: float | None = None,
    ylabel: str = "",
    alt: str = "",
) -> Figure:
    """A score layer by layer, one line a network; bands are 90 % intervals where several seeds are given.

    Raises:
        ValueError: scores that are not one a layer, NaN, nothing to draw.
    """
    if not scores or not len(layers):
        raise ValueError("a layer curve needs at least one layer and one network")
    figure, ax = new()
    for n, (name, values) in enumerate(scores.items()):
        if len(values) != len(layers):
            raise ValueError(f"{name!r} has {len(values)} scores for {len(layers)} layers")
        found = np.array([interval(v, f"{name!r} at {layer}") for v, layer in zip(values, layers, strict=True)])
        ink = CYCLE[n % len(CYCLE)]
        ax.plot(range(len(layers)), found[:, 0], color=ink, marker=MARKERS[n % len(MARKERS)], label=name)
        ax.fill_between(range(len(layers)), found[:, 1], found[:, 2], color=ink, alpha=0.15, lw=0)
    ax.set_xticks(range(len(layers)), layers, rotation=30 if max(map(len, layers)) > 5 else 0)
    ax.set_ylabel(ylabel)
    ax.grid(axis="y")
    draw_chance(ax, chance, across=True)
    if len(scores) > 1:
        ax.legend()
    return describe(figure, alt or f"{ylabel or 'Score'} over the layers {layers[0]} to {layers[-1]}.")


@styled
def confusion(count_KK: Any, classes: Sequence[str], alt: str = "") -> Figure:
    """How often class k (row, the truth) was taken for another (column): shares of each row.

    Raises:
        ValueError: not square, negative counts, names that are not one a class.
    """
    count = numbers(count_KK, "count_KK", 2)
    if count.shape != (len(classes), len(classes)) or count.min() < 0:
        raise ValueError(
            f"count_KK must be {len(classes)}×{len(classes)} counts, not {count.shape}, least {count.min():g}"
        )
    share = count / np.maximum(count.sum(1, keepdims=True), 1)
    side = max(2.4, 0.95 + 0.23 * len(classes))
    figure, ax = new(side, side)
    ax.imshow(share, cmap=MAPS["similarity"], vmin=0, vmax=1)
    if len(classes) <= 12:
        for (n, m), value in np.ndenumerate(share):
            if value >= 0.005:
                ink = "black" if value > 0.5 else "white"
                ax.text(m, n, f"{100 * value:.0f}", ha="center", va="center", fontsize=6, color=ink)
    ax.set_xticks(range(len(classes)), classes, rotation=90)
    ax.set_yticks(range(len(classes)), classes)
    ax.set(xlabel="taken for", ylabel="truth")
    ax.tick_params(length=0)
    right = float(np.trace(count) / max(count.sum(), 1))
    return describe(figure, alt or f"Confusion of {len(classes)} classes, in % of each row; {right:.0%} are right.")


@styled
def embedding_scatter(
    point_MD: Any,
    label_M: Any,
    classes: Sequence[str] | None = None,
    kind_M: Sequence[str] | None = None,
    image_MCHW: Any = None,
    method: str = "tsne",
    seed: int = 0,
    alt: str = "",
) -> Figure:
    """Embeddings on a plane, a colour a class and a marker a kind; class names stand at their medians.

    Args:
        point_MD: two coordinates are drawn as they are, more are brought to two by ``method``.
        kind_M: what each point is (say "sight" or "sound"); each kind has its marker.
        image_MCHW: draw these small pictures instead of markers.
        method: "tsne" (cosine distance, perplexity 30 at most) or "pca".

    Raises:
        ValueError: an unknown method, lengths that differ, NaN, fewer than three points.
    """
    point = numbers(point_MD, "point_MD", 2)
    label = numbers(label_M, "label_M", 1).astype(int)
    kinds = ["" for _ in label] if kind_M is None else [str(k) for k in kind_M]
    if not len(point) == len(label) == len(kinds) or len(point) < 3:
        raise ValueError(
            f"a scatter needs three points or more, each with label and kind: {len(point)}, {len(label)}, {len(kinds)}"
        )
    flat = plane(point, method, seed)
    figure, ax = new(4.2, 3.4)
    names = list(dict.fromkeys(kinds))
    if image_MCHW is None:
        for n, kind in enumerate(names):
            rows = np.array([k == kind for k in kinds])
            ink = [CYCLE[v % len(CYCLE)] for v in label[rows]]
            ax.scatter(
                *flat[rows].T, c=ink, marker=MARKERS[n % len(MARKERS)], s=11, lw=0.3, ec="white", label=kind or None
            )
    else:
        thumbnails(ax, flat, image_MCHW)
    for value in np.unique(label) if classes is not None else ():
        x, y = np.median(flat[label == value], axis=0)
        box = {"fc": "white", "ec": CYCLE[value % len(CYCLE)], "lw": 0.7, "pad": 1.2, "alpha": 0.85}
        ax.text(x, y, classes[value], fontsize=6, ha="center", va="center", bbox=box)  # type: ignore[index]
    bare(ax).margins(0.05)
    if len(names) > 1:
        for handle in ax.legend(loc="best").legend_handles:
            handle.set(facecolor=COLOURS["ink"])  # type: ignore[union-attr]
    return describe(figure, alt or f"{len(point)} embeddings on a plane, coloured by class.")


def plane(point_MD: np.ndarray, method: str, seed: int) -> np.ndarray:
    """Points as they are in two dimensions, else by t-SNE or principal components."""
    if method not in ("tsne", "pca"):
        raise unknown("projection", method, ("tsne", "pca"))
    if point_MD.shape[1] == 2:
        return point_MD
    if point_MD.shape[1] < 2:
        raise ValueError(f"points need at least two coordinates, not {point_MD.shape[1]}")
    if method == "pca":
        centred = point_MD - point_MD.mean(0)
        return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(point_MD) - 1) / 3)
    found: np.ndarray = TSNE(metric="cosine", perplexity=perplexity, random_state=seed, init="pca").fit_transform(
        point_MD
    )
    return found


def thumbnails(ax: Axes, flat_M2: np.ndarray, image_MCHW: Any) -> None:
    """A small picture at each point."""
    picture = numbers(image_MCHW, "image_MCHW", 4).transpose(0, 2, 3, 1).clip(0, 1)
    if len(picture) != len(flat_M2):
        raise ValueError(f"image_MCHW holds {len(picture)} pictures for {len(flat_M2)} points")
    half = 0.022 * np.ptp(flat_M2, axis=0).max()
    for (x, y), image in zip(flat_M2, picture, strict=True):
        ax.imshow(image, extent=(x - half, x + half, y - half, y + half), zorder=2, interpolation="bilinear")
    ax.set_aspect("equal")
    low, high = flat_M2.min(0) - 2 * half, flat_M2.max(0) + 2 * half
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
