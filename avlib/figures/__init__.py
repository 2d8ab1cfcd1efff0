"""One function a figure, in one style, and players that need no kernel.

Still figures return a matplotlib ``Figure`` that pyplot does not know; playable ones an `Element` that shows itself in
a notebook and carries its pictures, sounds and script with it.
"""

from avlib.figures import style
from avlib.figures.element import BUDGET, Element
from avlib.figures.gallery import gallery
from avlib.figures.matrix import matrix
from avlib.figures.player import player
from avlib.figures.plots import (
    bars_with_intervals,
    beside_published,
    confusion,
    curve,
    embedding_scatter,
    layer_curve,
    seeds_strip,
)
from avlib.figures.scenes import contact_sheet, filmstrip, filters, heatmaps, sheet_of_clusters, spectrogram
from avlib.figures.style import COLOURS, CYCLE, MAPS, bare, describe, new

__all__ = [
    "BUDGET",
    "COLOURS",
    "CYCLE",
    "MAPS",
    "Element",
    "bare",
    "bars_with_intervals",
    "beside_published",
    "confusion",
    "contact_sheet",
    "curve",
    "describe",
    "embedding_scatter",
    "filmstrip",
    "filters",
    "gallery",
    "heatmaps",
    "layer_curve",
    "matrix",
    "new",
    "player",
    "seeds_strip",
    "sheet_of_clusters",
    "spectrogram",
    "style",
]
