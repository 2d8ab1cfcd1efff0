"""One look for every figure of the book: sizes, type, and colours that keep their meaning from chapter to chapter.

The colours were chosen so that those which meet in one figure stay apart for readers with protanopia, deuteranopia or
tritanopia; where two things must not be confused, they also differ in dash or marker.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

COLOURS: dict[str, str] = {
    "sound": "#c8553d",
    "sight": "#2a6f97",
    "both": "#573767",
    "truth": "#12a594",
    "silent": "#5b6270",
    "chance": "#5b6270",
    "baseline": "#b9b2a7",
    "published": "#e0a526",
    "ink": "#1f2630",
    "faint": "#d9dce1",
    "paper": "#ffffff",
}
"""What each colour means, everywhere in the book."""

CYCLE = ("#2a6f97", "#c8553d", "#e0a526", "#12a594", "#573767", "#7fb7d6", "#8a5a2b", "#1f2630")
"""Colours of unordered things that have no meaning of their own (classes, methods), in this order."""

MARKERS = "osD^vPX*"
"""Markers that go round with :data:`CYCLE`, so that a colour is never the only difference."""

MAPS = {"spectrogram": "magma", "heat": "inferno", "similarity": "cividis", "signed": "RdBu_r"}
"""Colour maps by what is drawn; all but ``signed`` grow steadily in lightness."""

SIZE = (3.5, 2.5)
"""Width and height of a plain figure, inches."""

RC: dict[str, Any] = {
    "figure.dpi": 144,
    "savefig.dpi": 144,
    "figure.figsize": SIZE,
    "figure.facecolor": COLOURS["paper"],
    "figure.constrained_layout.use": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": COLOURS["ink"],
    "axes.labelsize": 7.5,
    "axes.labelcolor": COLOURS["ink"],
    "axes.edgecolor": "#6b7280",
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=list(CYCLE)),
    "grid.color": "#e6e8eb",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.color": "#6b7280",
    "ytick.color": "#6b7280",
    "xtick.labelcolor": COLOURS["ink"],
    "ytick.labelcolor": COLOURS["ink"],
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": COLOURS["ink"],
    "legend.frameon": False,
    "legend.fontsize": 7,
    "legend.handlelength": 1.4,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "lines.solid_capstyle": "round",
    "patch.linewidth": 0.6,
    "image.interpolation": "nearest",
    "image.cmap": MAPS["spectrogram"],
}
"""Matplotlib settings of the book."""

P = ParamSpec("P")
R = TypeVar("R")


def use() -> None:
    """Give the figures that a chapter draws by itself the look of the book (sets matplotlib's global parameters)."""
    mpl.rcParams.update(RC)  # type: ignore[arg-type]


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Run ``function`` under the style of the book and leave matplotlib's own settings as they were.

    Words in the figure that it returns are words: a class that is called ``$x`` is no mathematics.
    """

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        with look():
            made = function(*args, **kwargs)
        for words in made.findobj(Text) if isinstance(made, Figure) else ():
            if "$" in words.get_text():
                words.set_parse_math(False)
        return made

    return inside


def look() -> AbstractContextManager[None]:
    """The style of the book as a context."""
    context: AbstractContextManager[None] = mpl.rc_context(RC)  # type: ignore[arg-type]
    return context


class BookFigure(Figure):
    """A matplotlib figure that shows itself once, needs no closing, and gives the same bytes for the same content.

    It is not registered with pyplot: it goes when its last name goes, and returning it from a cell shows it once.
    """

    alt: str = ""
    caption: str = ""

    def png(self) -> bytes:
        """The figure as PNG with a palette of at most 256 colours, without dates or versions inside.

        A figure full of pictures takes a third of the room that full colour would, and looks the same.
        """
        file, packed = io.BytesIO(), io.BytesIO()
        with look():
            self.savefig(file, format="png", metadata={"Software": None})
        whole = Image.open(file)
        image = whole.convert("RGB")
        palette = image.quantize(256)  # the second pass dithers: the sky of a photograph stays smooth
        image.quantize(palette=palette).save(packed, "png", optimize=True, dpi=whole.info["dpi"])
        return packed.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), "image/png": base64.b64encode(self.png()).decode("ascii")}

    def __repr__(self) -> str:
        return f"<Figure: {self.alt}>" if self.alt else f"<Figure with {len(self.axes)} axes>"


@styled
def new(
    width: float = SIZE[0], height: float = SIZE[1], rows: int = 1, columns: int = 1, **grid: Any
) -> tuple[Figure, Any]:
    """A figure in the style of the book and its axes, as ``plt.subplots`` gives them (in), but unknown to pyplot.

    Args:
        grid: more arguments of ``Figure.subplots`` (``squeeze``, ``sharex``, ``width_ratios`` …).
    """
    figure = BookFigure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **grid)


@styled
def picture_grid(
    rows: int, columns: int, side: float, below: float = 0.06, left: float = 0.0, above: float = 0.0
) -> tuple[Figure, Any]:
    """A figure for pictures in rows and columns at exact places, and its bare axes (an array, rows × columns).

    Args:
        side: width and height of a picture, inches.
        below, left, above: room under each row, left of the first column and above the first row, inches.
    """
    edge, gap = 0.05, 0.06
    width = edge + left + columns * (side + gap) - gap + edge
    height = edge + above + rows * (side + below)
    figure = BookFigure(figsize=(width, height), layout=None)
    figure.set_layout_engine("none")
    axes = np.empty((rows, columns), dtype=object)
    for row in range(rows):
        for column in range(columns):
            x = edge + left + column * (side + gap)
            y = height - edge - above - row * (side + below) - side
            axes[row, column] = bare(figure.add_axes((x / width, y / height, side / width, side / height)))
    return figure, axes


def describe(figure: Figure, alt: str) -> Figure:
    """Store what the figure shows, in words, with it (and in the PNG's text/plain); returns the figure.

    The page takes its alternative text from the cell's metadata ``mystnb.image.alt``; this is the same sentence for
    those who use the figure elsewhere.
    """
    if not alt.strip():
        raise ValueError("a figure's description must not be empty")
    figure.alt = alt.strip()  # type: ignore[attr-defined]
    return figure


def bare(axes: Axes) -> Axes:
    """Take ticks and frame away: for pictures."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def numbers(values: Any, name: str, dims: int | None = None) -> np.ndarray:
    """``values`` (tensor, array, list) as a float64 array that holds something and no NaN or infinity.

    Raises:
        ValueError: empty, not finite, or not ``dims``-dimensional; names ``name``.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    array = np.asarray(values, dtype=np.float64)
    if dims is not None and array.ndim != dims:
        raise ValueError(f"{name} must have {dims} dimensions, not shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty, of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds {int((~np.isfinite(array)).sum())} NaN or infinite numbers")
    return array
