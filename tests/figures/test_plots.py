"""Still figures: right numbers on the axes, one style, nothing left behind, named errors."""

from __future__ import annotations

import base64
import io
import itertools
import math
import re
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from avlib import figures, published
from avlib.figures import plots, style
from avlib.train import History
from tests.figures.clips import CLASSES, clips


def history() -> History:
    log = History()
    for step in range(10, 60, 10):
        log.add(step, {"loss": 60.0 - step, "accuracy": step / 100})
    return log


def arms() -> pd.DataFrame:
    index = pd.MultiIndex.from_product([["trained", "untrained"], ["accuracy", "ap"]], names=["arm", "metric"])
    return pd.DataFrame(
        {"mean": [0.9, 0.8, 0.6, 0.5], "sd": [0.02, 0.02, 0.03, math.nan], "n": [3, 3, 3, 1]}, index=index
    )


def every_figure() -> dict[str, Figure]:
    video, still = clips(4, frames=12), clips(4)
    point = torch.randn(20, 2)
    return {
        "contact_sheet": figures.contact_sheet(still, CLASSES),
        "contact_sheet of video": figures.contact_sheet(video, boxes=False, columns=3),
        "heatmaps": figures.heatmaps(still, {"a": torch.rand(4, 6, 6), "b": torch.rand(4, 6, 6)}, [0, 2], CLASSES),
        "one heat map": figures.heatmaps(still, torch.randn(4, 6, 6)),
        "spectrogram": figures.spectrogram(still.wave_BS[0], marks=[0.5, math.nan]),
        "spectrogram of mel": figures.spectrogram(torch.randn(64, 100)),
        "filmstrip": figures.filmstrip(video.video_BTCHW[0], video.wave_BS[0], 12.0, maps=torch.randn(12, 4, 4)),
        "clusters": figures.sheet_of_clusters(
            still.image_BCHW, torch.tensor([0, 1, 0, -1]), torch.tensor([2, 1, 3, 0]), CLASSES
        ),
        "filters": figures.filters(torch.randn(40, 1, 64)),
        "curve": figures.curve(history(), ["loss", "accuracy"], smooth=0.5, chance=0.5),
        "bars": figures.bars_with_intervals(arms(), "accuracy", chance=0.5, published=0.7),
        "seeds": figures.seeds_strip({"a": [0.5, 0.6, 0.7], "b": 0.4}, chance=0.3),
        "beside": figures.beside_published({"ours": [60, 62.0]}, published.table("dmc_esc50"), "accuracy", "all else"),
        "layers": figures.layer_curve(["conv1", "conv2"], {"a": [[0.1, 0.2], [0.3, 0.4]], "b": [0.1, 0.1]}, chance=0.1),
        "confusion": figures.confusion(np.arange(16).reshape(4, 4), CLASSES),
        "scatter": figures.embedding_scatter(point, torch.arange(20) % 4, CLASSES, ["sight", "sound"] * 10),
        "scatter of pictures": figures.embedding_scatter(point[:4], torch.arange(4), image_MCHW=still.image_BCHW),
    }


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    torch.manual_seed(0)
    return every_figure()


def test_each_figure_draws_says_what_it_shows_and_stays_out_of_pyplot(drawn):
    for name, figure in drawn.items():
        assert isinstance(figure, Figure) and figure.alt, name
        bundle = figure._repr_mimebundle_()
        with Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))) as picture:
            assert picture.width <= 1200 and picture.height <= 1200, name
            assert np.asarray(picture.convert("L")).std() > 3, f"{name} is empty"
        assert figure.alt in bundle["text/plain"]
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_same_figure_gives_the_same_bytes(drawn):
    again = figures.contact_sheet(clips(4), CLASSES), figures.seeds_strip({"a": [0.5, 0.6, 0.7], "b": 0.4}, chance=0.3)
    assert [figure.png() for figure in again] == [drawn[name].png() for name in ("contact_sheet", "seeds")]


def test_a_png_has_a_palette_and_the_colours_stay() -> None:
    figure = figures.contact_sheet(clips(4), CLASSES)
    file = io.BytesIO()
    with style.look():
        figure.savefig(file, format="png")
    whole, packed = Image.open(file).convert("RGB"), Image.open(io.BytesIO(figure.png()))
    assert packed.mode == "P" and packed.size == whole.size
    off = np.abs(np.asarray(whole, float) - np.asarray(packed.convert("RGB"), float))
    assert off.mean() < 4 and len(figure.png()) < 0.75 * len(file.getvalue())


def test_matplotlib_keeps_its_own_settings():
    before = dict(mpl.rcParams)
    figures.seeds_strip({"a": [1.0, 2.0]}).png()
    assert dict(mpl.rcParams) == before
    with mpl.rc_context():
        style.use()
        assert mpl.rcParams["figure.figsize"] == list(style.SIZE)


def test_fonts_are_those_that_matplotlib_brings():
    from matplotlib import font_manager

    found = font_manager.findfont(style.RC["font.sans-serif"][0], fallback_to_default=False)
    assert mpl.get_data_path() in found


CONES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    "typical": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}
"""Machado, Oliveira and Fernandes (2009), severity 1, in linear RGB."""


def oklab(colour: str, vision: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    r, g, b = np.clip(np.array(CONES[vision]) @ linear, 0, 1)
    cone = np.cbrt(
        [
            0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b,
            0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b,
            0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b,
        ]
    )
    mix = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099]]
    return np.array([*mix, [0.0259040371, 0.7827717662, -0.8086757660]]) @ cone


@pytest.mark.parametrize("vision", CONES)
def test_colours_that_meet_stay_apart_for_every_reader(vision):
    pairs = list(itertools.combinations([style.COLOURS[k] for k in ("sound", "sight", "published", "ink")], 2))
    pairs += [(style.COLOURS["truth"], style.COLOURS["silent"]), (style.COLOURS["sight"], style.COLOURS["baseline"])]
    pairs += list(itertools.combinations(style.CYCLE[:5], 2))
    for one, other in pairs:
        apart = float(np.linalg.norm(oklab(one, vision) - oklab(other, vision)))
        assert apart > 0.05, f"{one} and {other} are {apart:.3f} apart under {vision}"


def test_bars_and_intervals_have_the_lengths_of_the_table():
    axes = figures.bars_with_intervals(arms(), "accuracy").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.9, 0.6]
    low, high = axes.lines[0].get_xdata()
    assert (low + high) / 2 == pytest.approx(0.9)
    assert (high - low) / 2 == pytest.approx(2.91998558 * 0.02 / math.sqrt(3))  # t of 95 %, two degrees of freedom
    assert len(figures.bars_with_intervals(arms(), "ap", ["untrained"]).axes[0].lines) == 0  # one seed: no interval


def half(deviation: float) -> float:
    """Half of Student's 90 % interval over two seeds."""
    return 6.31375151 * deviation / math.sqrt(2)


def test_rows_are_named_down_the_left_the_first_at_the_top():
    figure = figures.bars_with_intervals(arms(), "accuracy", ["untrained", "trained"], 0.5, {"paper": 0.7}, "share")
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["untrained", "trained", "paper"]
    assert axes.get_yticks().tolist() == [0, 1, 2] and axes.get_ylim() == pytest.approx((2.6, -0.6))
    assert [bar.get_y() + bar.get_height() / 2 for bar in axes.patches] == pytest.approx([0, 1])
    inks = [to_rgb(style.COLOURS[name]) for name in ("sight", "baseline")]
    assert [bar.get_facecolor()[:3] for bar in axes.patches] == inks
    *intervals, diamond, chance = axes.lines
    assert [line.get_ydata().tolist() for line in intervals] == [[0, 0], [1, 1]]
    assert (diamond.get_xdata().tolist(), diamond.get_ydata().tolist(), diamond.get_marker()) == ([0.7], [2], "D")
    assert list(chance.get_xdata()) == [0.5, 0.5] and chance.get_linestyle() == ":"
    assert axes.get_xlim()[0] == 0 and axes.get_xlabel() == "share"
    assert len(figures.bars_with_intervals(arms(), "accuracy").axes[0].lines) == 2  # no chance, no diamond


def test_a_strip_has_a_dot_a_seed_and_the_interval_beside():
    axes = figures.seeds_strip({"a": [0.5, 0.7], "b": 0.4}, chance=0.3).axes[0]
    dots, interval, mean = axes.lines[:3]
    assert dots.get_xdata().tolist() == [0.5, 0.7] and dots.get_ydata() == pytest.approx([0.14, 0.14])
    assert interval.get_xdata() == pytest.approx([0.6 - half(0.02**0.5), 0.6 + half(0.02**0.5)])
    assert mean.get_xdata() == pytest.approx([0.6]) and {*interval.get_ydata(), *mean.get_ydata()} == {-0.12}
    assert axes.lines[3].get_ydata() == pytest.approx([1.14]) and axes.lines[5].get_ydata() == pytest.approx([0.88])
    inks = [to_rgb(line.get_color()) for line in axes.lines[:6]]
    assert inks == [to_rgb(style.COLOURS["sight"])] * 3 + [to_rgb(style.COLOURS["ink"])] * 3
    assert axes.get_ylim() == pytest.approx((1.6, -0.6)) and list(axes.lines[6].get_xdata()) == [0.3, 0.3]


def test_layers_stand_from_left_to_right_with_their_intervals():
    scores = {"a": [[0.1, 0.2], [0.3, 0.5], [0.4, 0.4]], "b": [0.3, 0.2, 0.1]}
    axes = figures.layer_curve(["one", "two", "three"], scores, chance=0.05, ylabel="share").axes[0]
    first, second, chance = axes.lines
    assert first.get_xdata().tolist() == second.get_xdata().tolist() == [0, 1, 2]
    assert first.get_ydata() == pytest.approx([0.15, 0.4, 0.4]) and second.get_ydata() == pytest.approx([0.3, 0.2, 0.1])
    corner = {(x, round(y, 9)) for x, y in axes.collections[0].get_paths()[0].vertices}
    for x, (mean, deviation) in enumerate([(0.15, 0.1 / 2**0.5), (0.4, 0.2 / 2**0.5), (0.4, 0.0)]):
        for side in (-1, 1):
            assert min(abs(y - mean - side * half(deviation)) for at, y in corner if at == x) < 1e-6
    assert first.get_marker() != second.get_marker() and first.get_color() != second.get_color()
    assert list(chance.get_ydata()) == [0.05, 0.05] and axes.get_ylabel() == "share"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["one", "two", "three"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b"]
    assert figures.layer_curve(["one"], {"a": [0.1]}).axes[0].get_legend() is None


def test_points_have_the_colour_of_their_class_and_the_marker_of_their_kind():
    point_MD, label_M = torch.randn(12, 2, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
    kinds = ["sight", "sound"] * 6
    axes = figures.embedding_scatter(point_MD, label_M, CLASSES, kinds).axes[0]
    for drawn, start in zip(axes.collections, (0, 1), strict=True):
        assert np.allclose(drawn.get_offsets(), point_MD[start::2])
        assert [tuple(c[:3]) for c in drawn.get_facecolors()] == [to_rgb(style.CYCLE[k]) for k in label_M[start::2]]
    outlines = [drawn.get_paths()[0].vertices.shape for drawn in axes.collections]
    assert outlines[0] != outlines[1] and [text.get_text() for text in axes.texts] == list(CLASSES[:3])
    for k, text in enumerate(axes.texts):
        assert text.get_position() == pytest.approx(np.median(point_MD[label_M == k].numpy(), axis=0))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["sight", "sound"]


def test_pictures_stand_at_their_points_and_none_is_cut():
    point_M2 = np.array([[0.0, 0.0], [10.0, 2.0], [4.0, 1.0]])
    axes = figures.embedding_scatter(point_M2, [0, 1, 2], image_MCHW=clips(3).image_BCHW).axes[0]
    side = 2 * 0.022 * 10
    for image, (x, y) in zip(axes.images, point_M2, strict=True):
        assert image.get_extent() == pytest.approx([x - side / 2, x + side / 2, y - side / 2, y + side / 2])
    assert axes.get_xlim() == pytest.approx((-side, 10 + side)) and axes.get_ylim() == pytest.approx((-side, 2 + side))
    assert axes.get_aspect() == 1


def test_curve_draws_what_was_logged_and_starts_where_it_starts():
    axes = figures.curve(history()).axes[0]
    assert axes.lines[0].get_xdata().tolist() == [10, 20, 30, 40, 50]
    assert axes.lines[0].get_ydata().tolist() == [50, 40, 30, 20, 10]
    assert plots.running(np.array([3.0, 3.0, 3.0]), 0.9) == pytest.approx([3, 3, 3])
    smooth, raw = plots.running(np.array([1.0, 0.0, 2.0]), 0.5), [1.0, 1 / 3, 9 / 7]
    assert smooth == pytest.approx(raw)
    log = history()
    log.add(60, {"loss": -1.0})
    assert len(figures.curve(log, ["accuracy"]).axes[0].lines[0].get_xdata()) == 5  # not reported, not drawn


def test_beside_published_sorts_and_says_what_differs():
    table = published.table("dmc_esc50")
    figure = figures.beside_published({"ours": [70.0, 72.0, 71.0]}, table, "accuracy", "small world")
    names = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert "ours" in names and names.index("ours") == int((table["value"] > 71).sum())
    own = names.index("ours")
    points, intervals = figure.axes[0].lines[::2], figure.axes[0].lines[1::2]
    assert [line.get_xdata()[0] for line in points] == sorted((line.get_xdata()[0] for line in points), reverse=True)
    assert [line.get_ydata()[0] for line in points] == list(range(len(names)))
    low, high = intervals[own].get_xdata()
    assert ((low + high) / 2, (high - low) / 2) == pytest.approx((71, 2.91998558 / math.sqrt(3)))
    for n, (point, tick) in enumerate(zip(points, figure.axes[0].get_yticklabels(), strict=True)):
        mine = n == own
        assert point.get_marker() == ("o" if mine else "D") and tick.get_fontweight() == ("bold" if mine else "normal")
        assert point.get_color() == style.COLOURS["sound" if mine else "published"]
        assert tick.get_color() == style.COLOURS["sound" if mine else "ink"]
    assert figure.caption.startswith("Ours: small world. Published: ") and "small world" in figure.alt
    assert any("small world" in t.get_text() for t in (figure._supxlabel, *figure.texts) if t is not None)


def test_confusion_shares_each_row():
    image = figures.confusion([[3, 1], [0, 0]], ["a", "b"]).axes[0].images[0].get_array()
    assert image.tolist() == [[0.75, 0.25], [0.0, 0.0]]


def test_boxes_tell_heard_from_silent():
    patches = figures.contact_sheet(clips(1), CLASSES).axes[0].patches
    assert [p.get_linestyle() for p in patches] == ["-", "-", "-", "--"]  # each on its white line
    assert [t.get_text() for t in figures.contact_sheet(clips(1), CLASSES).axes[0].texts] == ["trumpet", "dog, silent"]


def test_filters_stand_in_order_of_frequency():
    taps = torch.arange(64) / 64
    bank = torch.stack([torch.sin(2 * math.pi * k * taps) for k in (20, 5, 12)])
    gain = figures.filters(bank).axes[1].images[0].get_array()
    peak = gain.argmax(0)
    assert list(peak) == sorted(peak) and peak == pytest.approx([40, 96, 160], abs=3)  # 512 points, 64 taps: × 8


def test_clusters_come_purest_first_and_say_so():
    image = clips(6, size=16).image_BCHW
    figure = figures.sheet_of_clusters(
        image, torch.tensor([0, 0, 0, 1, 1, -1]), torch.tensor([1, 2, 1, 3, 3, 0]), CLASSES
    )
    titles = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert titles == ["violin\n100% of 2", "dog\n67% of 3"]


def test_dollars_in_the_name_of_a_class_are_no_mathematics():
    names = [r"$\frac{a$", "C++", "$x$", "R&B"]
    assert len(figures.confusion(np.arange(16).reshape(4, 4), names).png()) > 0
    for figure in (figures.contact_sheet(clips(4), names), figures.seeds_strip({n: [0.5, 0.6] for n in names})):
        assert len(figure.png()) > 0


def test_a_description_must_say_something():
    figure, _ = figures.new()
    with pytest.raises(ValueError, match="must not be empty"):
        figures.describe(figure, "  ")


def test_wrong_inputs_are_named():
    still, nan = clips(4), float("nan")
    wave_S, film = still.wave_BS[0], torch.rand(4, 3, 8, 8)
    esc, multi = published.table("esc50"), published.table("dsol_multi")
    for message, make in {
        "batch is empty": lambda: figures.contact_sheet(still.select([])),
        "at least one column": lambda: figures.contact_sheet(still, columns=0),
        "the heat maps holds": lambda: figures.heatmaps(still, torch.full((4, 2, 2), nan)),
        "heat map 'a' holds 3 maps for 4": lambda: figures.heatmaps(still, {"a": torch.rand(3, 2, 2)}),
        "at least one clip": lambda: figures.heatmaps(still, torch.rand(4, 2, 2), rows=[]),
        "wave_S or mel_FL": lambda: figures.spectrogram(torch.rand(2, 2, 2)),
        "the sound is empty": lambda: figures.spectrogram(torch.zeros(0)),
        "positive frame rate": lambda: figures.filmstrip(film, wave_S, 0.0),
        "3 heat maps do not fit 4 frames": lambda: figures.filmstrip(
            torch.rand(4, 3, 8, 8), still.wave_BS[0], 4, maps=torch.rand(3, 2, 2)
        ),
        "every entry is negative": lambda: figures.sheet_of_clusters(still.image_BCHW, torch.full((4,), -1)),
        "cluster_M has 3 entries": lambda: figures.sheet_of_clusters(still.image_BCHW, torch.zeros(3)),
        "K×S or K×1×S": lambda: figures.filters(torch.rand(4, 2, 8)),
        "unknown log 'los'": lambda: figures.curve(history(), ["los"]),
        "smooth must lie": lambda: figures.curve(history(), smooth=1.0),
        "curve 'a' has no finite": lambda: figures.curve({"a": [nan]}),
        "no curve": lambda: figures.curve({}),
        "unknown metric 'acuracy'": lambda: figures.bars_with_intervals(arms(), "acuracy"),
        "unknown arm 'shuffled'": lambda: figures.bars_with_intervals(arms(), "ap", ["shuffled"]),
        "no arms": lambda: figures.seeds_strip({}),
        "arm 'a' holds 1 NaN": lambda: figures.seeds_strip({"a": [nan, 1.0]}),
        "what differs": lambda: figures.beside_published({"a": 1}, esc, "accuracy", " "),
        "unknown benchmark": lambda: figures.beside_published({"a": 1}, esc, "accuracy", "all", "ESC50"),
        "several kinds of benchmark": lambda: figures.beside_published({"a": 1}, multi, "AUC", "all"),
        "1 scores for 2 layers": lambda: figures.layer_curve(["a", "b"], {"x": [0.1]}),
        "count_KK must be 2×2": lambda: figures.confusion(np.eye(3), ["a", "b"]),
        "unknown projection": lambda: figures.embedding_scatter(torch.rand(9, 4), torch.zeros(9), method="umap"),
        "three points or more": lambda: figures.embedding_scatter(torch.rand(9, 4), torch.zeros(8)),
        "point_MD holds": lambda: figures.embedding_scatter(torch.full((9, 4), nan), torch.zeros(9)),
    }.items():
        with pytest.raises(ValueError, match=re.escape(message)):
            make()
    with pytest.raises(TypeError, match="History or a mapping"):
        figures.curve([1, 2, 3])
