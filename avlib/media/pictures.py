"""Picture files, read and written."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from avlib.media.source import MediaError, Source, check_there, name_of

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


def to_pil(image_CHW: Tensor) -> Any:
    """A picture of Pillow, from image_CHW of 3 or 4 channels, float 0…1 or uint8."""
    from PIL import Image

    if image_CHW.ndim != 3 or image_CHW.shape[0] not in (3, 4):
        raise MediaError(f"a picture to encode must be image_CHW of 3 or 4 channels, not {tuple(image_CHW.shape)}")
    if image_CHW.is_floating_point():
        if not image_CHW.isfinite().all():
            raise MediaError("a picture to encode holds NaN or infinite values")
        image_CHW = (image_CHW.detach() * 255).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(image_CHW.permute(1, 2, 0).contiguous().cpu().numpy())


def encode_jpeg(image_CHW: Tensor, quality: int = 85) -> bytes:
    """The bytes of a JPEG; image_CHW is float 0…1 or uint8, RGB (a fourth channel, alpha, is laid on white)."""
    from PIL import Image

    file, image = io.BytesIO(), to_pil(image_CHW)
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def encode_png(image_CHW: Tensor) -> bytes:
    """The bytes of a PNG; image_CHW is float 0…1 or uint8, RGB or RGBA."""
    file = io.BytesIO()
    to_pil(image_CHW).save(file, "PNG", optimize=True)
    return file.getvalue()


def read_image(source: Source) -> Tensor:
    """A picture file as image_CHW: uint8 RGBA, alpha 255 where the file has none; turned as its camera noted.

    Of 16 bits the upper eight are kept; floating-point grey goes from 0, black, to 1, white.

    Raises:
        FileNotFoundError: no such file.
        MediaError: not a picture, or cut off, or grey of an unknown range.
    """
    from PIL import Image, ImageOps

    check_there(source)
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            whole = np.asarray(_eight_bits(ImageOps.exif_transpose(image)).convert("RGBA"))
    except MediaError as error:
        raise MediaError(f"{name_of(source)}: {error}") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MediaError(f"{name_of(source)}: not a picture, or damaged or cut off ({error})") from error
    return torch.from_numpy(whole.copy()).permute(2, 0, 1)


def _eight_bits(image: PILImage) -> PILImage:
    """A picture of deep grey, or of CIE L*a*b*, in eight bits a channel; others as they are."""
    from PIL import Image, ImageCms

    if image.mode == "LAB":  # Pillow's own way to RGBA leaves the alpha as it finds it
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        made = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
        return image if made is None else made
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    grey_HW = np.asarray(image).astype(np.float64)
    white = 1.0 if image.mode == "F" else 65_535.0
    if not (grey_HW >= 0).all() or not (grey_HW <= white).all():
        values = f"{grey_HW.min():g} to {grey_HW.max():g}"
        raise MediaError(f"its grey goes from {values}; it can be read from 0, black, to {white:g}, white")
    return Image.fromarray((grey_HW * (255 / white)).round().astype(np.uint8))
