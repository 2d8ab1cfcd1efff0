"""A scene taken apart: one heat map a class, with and without a filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from avlib.figures.encode import check_row
from avlib.figures.scenes import draw_boxes, lay, pictures, show
from avlib.figures.style import COLOURS, describe, numbers, picture_grid, styled
from avlib.types import Batch


@styled
def class_strip(
    batch: Batch, i: int, maps: Mapping[str, Tensor], chosen: Sequence[int], classes: Sequence[str], alt: str = ""
) -> Figure:
    """Clip ``i`` with its true boxes, then a column for each chosen class; one line of pictures a set of maps.

    Args:
        maps: map_KYX of heat within 0…1 by name, one map a class.
        chosen: which classes, in which order.
        classes: names of all K classes.

    Raises:
        IndexError: no clip ``i``.
        ValueError: no maps or classes, maps that are not one a class, NaN.
    """
    i = check_row(batch, i)
    checked = {name: numbers(heat, f"heat map {name!r}", 3) for name, heat in maps.items()}
    if not checked or not len(chosen):
        raise ValueError("a strip of classes needs at least one set of maps and one class")
    for name, heat_KYX in checked.items():
        if len(heat_KYX) != len(classes):
            raise ValueError(f"heat map {name!r} holds {len(heat_KYX)} maps for {len(classes)} classes")
    picture_HWC = pictures(batch.frame_BCHW[i : i + 1], "the picture")[0]
    figure, axes = picture_grid(len(checked), 1 + len(chosen), 1.0, left=0.2, above=0.28)
    for line, (name, heat_KYX) in zip(axes, checked.items(), strict=True):
        show(line[0], picture_HWC)
        draw_boxes(line[0], batch, i)
        line[0].set_ylabel(name)
        for ax, k in zip(line[1:], chosen, strict=True):
            show(ax, picture_HWC)
            lay(ax, heat_KYX[k].clip(0, 1), picture_HWC.shape[:2])
    for ax, k in zip(axes[0][1:], chosen, strict=True):
        said, heard = state(batch, i, k)
        ink, weight = COLOURS["truth" if heard else "silent"], "bold" if heard else "normal"
        ax.set_title(f"{classes[k]}\n{said}", fontsize=6.5, fontweight=weight, color=ink, pad=3)
    return describe(figure, alt or f"A scene and its heat maps of {', '.join(classes[k] for k in chosen)}.")


def state(batch: Batch, i: int, k: int) -> tuple[str, bool]:
    """What class ``k`` does in clip ``i``, in words, and whether it is heard; nothing without truth."""
    truth = batch.truth
    if truth.category_BN is None or truth.sounding_BN is None:
        return "", False
    seen_N = truth.category_BN[i] == k
    if bool((seen_N & truth.sounding_BN[i]).any()):
        return "seen and heard", True
    if truth.offscreen_B is not None and int(truth.offscreen_B[i]) == k:
        return "heard, not seen", True
    return ("seen, silent" if bool(seen_N.any()) else "not there"), False
