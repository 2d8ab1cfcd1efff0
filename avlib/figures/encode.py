"""Pictures and sounds as small data URIs, the same bytes for the same input."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from avlib.audio import LogMel, check_wave
from avlib.figures.style import MAPS, numbers
from avlib.media import encode_audio
from avlib.types import SAMPLE_RATE, Batch

Maps = Mapping[str, Tensor]
"""Named maps of one clip: map_YX, or map_TYX with one map for each video frame."""


def uri(data: bytes, kind: str) -> str:
    """``data`` as a data URI of the media type ``kind``."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def name_of(*parts: str) -> str:
    """A short name made of the content alone: the same content has the same name on every machine and run."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Strip:
    """Pictures of one size laid out in rows, in one file: ``count`` of them, ``columns`` a row."""

    src: str
    count: int
    columns: int
    width: int
    height: int

    @property
    def rows(self) -> int:
        """Rows of pictures."""
        return math.ceil(self.count / self.columns)


def check_row(batch: Batch, i: int) -> int:
    """``i`` as a row of ``batch``, counted from the end where negative.

    Raises:
        ValueError: an empty batch.
        IndexError: no such row.
    """
    if len(batch) == 0:
        raise ValueError("the batch is empty: there is no clip to show")
    if not -len(batch) <= i < len(batch):
        raise IndexError(f"the batch has no clip {i}: it holds {len(batch)}")
    return i % len(batch)


def frames_of(batch: Batch, i: int) -> Tensor:
    """Frames of clip ``i``: video_TCHW, float 0…1; one frame for a still picture.

    Raises:
        ValueError: neither picture nor video, a shape that is not C×H×W with three colours, NaN in the picture.
    """
    if batch.video_BTCHW is not None:
        video_TCHW = batch.video_BTCHW[i]
    elif batch.image_BCHW is not None:
        video_TCHW = batch.image_BCHW[i][None]
    else:
        raise ValueError("this batch holds neither a picture nor a video to show")
    if video_TCHW.ndim != 4 or video_TCHW.shape[1] != 3 or video_TCHW.numel() == 0:
        raise ValueError(f"frames must be T×3×H×W and not empty, not {tuple(video_TCHW.shape)}")
    video_TCHW = video_TCHW.detach().cpu().float()
    if not bool(torch.isfinite(video_TCHW).all()):
        raise ValueError(f"the picture of clip {i} holds NaN or infinite values")
    return video_TCHW.clamp(0, 1)


def fit_within(video_TCHW: Tensor, side: int) -> Tensor:
    """Make frames smaller (never larger) so that their longest side is at most ``side`` px."""
    height, width = video_TCHW.shape[-2:]
    if max(height, width) <= side:
        return video_TCHW
    scale = side / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return functional.interpolate(video_TCHW, size=size, mode="bilinear", antialias=True, align_corners=False)


def tile(video_TCHW: Tensor) -> tuple[np.ndarray, int]:
    """Lay frames out in about as many rows as columns: uint8 H×W×C picture, and the columns."""
    count, channels, height, width = video_TCHW.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = torch.zeros(rows * columns, channels, height, width)
    sheet[:count] = video_TCHW
    sheet = sheet.view(rows, columns, channels, height, width).permute(0, 3, 1, 4, 2)
    picture = (sheet.reshape(rows * height, columns * width, channels) * 255).round().to(torch.uint8).numpy()
    return picture, columns


def photo_strip(video_TCHW: Tensor, quality: int) -> Strip:
    """Frames as one JPEG."""
    picture, columns = tile(video_TCHW)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=0 if quality >= 80 else 2, optimize=True)
    count, _, height, width = video_TCHW.shape
    return Strip(uri(file.getvalue(), "image/jpeg"), count, columns, width, height)


def check_maps(maps: Maps, frames: int) -> dict[str, Tensor]:
    """Named maps as float map_TYX, one of them or one a frame.

    Raises:
        ValueError: no maps, a shape that fits neither the picture nor its frames, NaN or infinity; names the map.
    """
    if not maps:
        raise ValueError("heat holds no maps: leave it out to show none")
    checked = {}
    for name, values in maps.items():
        array = numbers(values, f"heat map {name!r}")
        array = array[None] if array.ndim == 2 else array
        if array.ndim != 3 or array.shape[0] not in (1, frames):
            raise ValueError(f"heat map {name!r} must be Y×X or {frames}×Y×X, not {tuple(np.shape(values))}")
        checked[str(name)] = torch.from_numpy(array).float()
    return checked


def scale_maps(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring all maps of a clip to 0…1 together: as they are if already within, else by their common least and greatest.

    One scale for all, because a flat map stretched by itself looks confident.
    """
    low = min(float(m.min()) for m in maps.values())
    high = max(float(m.max()) for m in maps.values())
    if low >= 0 and high <= 1:
        return maps
    return {name: (m - low) / max(high - low, 1e-9) for name, m in maps.items()}


def tint(map_TYX: Tensor, height: int, width: int) -> Tensor:
    """Heat in 0…1 as coloured, see-through pictures: map_TCHW with four channels, cold cells clear."""
    grown = functional.interpolate(map_TYX[:, None], size=(height, width), mode="bicubic", align_corners=False)
    heat_THW = grown[:, 0].clamp(0, 1).numpy()
    rgba = mpl.colormaps[MAPS["heat"]](0.15 + 0.85 * heat_THW)
    rgba[..., 3] = 0.85 * heat_THW**0.8
    return torch.from_numpy(rgba).float().permute(0, 3, 1, 2)


def heat_strip(map_TYX: Tensor, height: int, width: int, quality: int) -> Strip:
    """Heat maps (0…1) as one small see-through WebP to lay over the frames."""
    scale = min(1.0, 64 / max(height, width))
    small = tint(map_TYX, max(8, round(height * scale)), max(8, round(width * scale)))
    picture, columns = tile(small)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=min(quality, 70), alpha_quality=min(quality, 70), method=4)
    return Strip(uri(file.getvalue(), "image/webp"), len(small), columns, small.shape[3], small.shape[2])


def mel_picture(wave_NS: Tensor, bands: int = 64) -> np.ndarray:
    """Log-mel spectrograms of sounds on one scale, the loudest 60 dB of all of them: value_NFL in 0…1."""
    loudness = LogMel(bands=bands, fmax=SAMPLE_RATE / 2)(wave_NS).numpy() * (10 / math.log(10))
    top = max(float(loudness.max()), -40.0)
    return np.clip((loudness - (top - 60.0)) / 60.0, 0.0, 1.0)


def spectrogram_src(value_FL: np.ndarray, width: int = 480, height: int = 96, quality: int = 72) -> str:
    """A spectrogram (0…1, low notes first) as a JPEG data URI, low notes at the bottom."""
    colour = mpl.colormaps[MAPS["spectrogram"]](value_FL[::-1])[..., :3]
    picture = Image.fromarray((colour * 255).round().astype(np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=0, optimize=True)
    return uri(file.getvalue(), "image/jpeg")


def check_clip_wave(wave_S: Tensor, name: str) -> Tensor:
    """One sound as float32 wave_S on the CPU, within -1…1 (clipped), or a ValueError or TypeError that names it."""
    if not isinstance(wave_S, Tensor) or wave_S.ndim != 1:
        raise ValueError(f"{name} must be one row of samples, not shape {tuple(getattr(wave_S, 'shape', ()))}")
    return check_wave(wave_S.detach().cpu().float(), name).clamp(-1, 1)


def sound_src(wave_S: Tensor, name: str = "wave", squeeze: float = 0.0) -> str:
    """One sound as an MP3 data URI, which every browser plays.

    Args:
        squeeze: 0 for the best sound, towards 1 for the smallest file.
    """
    return uri(encode_audio(check_clip_wave(wave_S, name), SAMPLE_RATE, "mp3", squeeze), "audio/mpeg")
