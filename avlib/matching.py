"""Which cell of a picture goes with which moment of a sound: matchmaps, maxima, attention, heat maps.

The picture's map is image_BDYX. The sound is a vector audio_BD, a row of frames audio_BDL, or a map audio_BDFL.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Pooling = Literal["SISA", "MISA", "SIMA"]

CELLS_AT_ONCE = 2**22
"""Similarities of cells that :func:`all_pairs` holds at once on a CPU (16 MB in float32)."""


def _need_maps(owner: str, image_BDYX: Tensor, audio: Tensor, axes: tuple[int, ...]) -> None:
    if image_BDYX.ndim != 4 or audio.ndim not in axes:
        shapes = f"{tuple(image_BDYX.shape)} and {tuple(audio.shape)}"
        raise ValueError(f"{owner} needs image_BDYX and audio with {' or '.join(map(str, axes))} axes, not {shapes}")
    if image_BDYX.shape[1] != audio.shape[1]:
        raise ValueError(f"{owner}: the picture has D = {image_BDYX.shape[1]}, the sound D = {audio.shape[1]}")
    if image_BDYX.numel() == 0 or audio.numel() == 0:
        raise ValueError(f"{owner} got an empty batch: {tuple(image_BDYX.shape)} and {tuple(audio.shape)}")


def unit(value_BD: Tensor) -> Tensor:
    """Length 1 along the second axis, which holds the coordinates; zeros stay zeros."""
    return functional.normalize(value_BD, dim=1, eps=1e-8)


def cosine(first_BD: Tensor, second_MD: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Cosine of every row with every row: (B, D) and (M, D) -> sim_BM; a zero row has cosine 0 with everything."""
    return functional.normalize(first_BD, dim=1, eps=epsilon) @ functional.normalize(second_MD, dim=1, eps=epsilon).t()


def matchmap(image_BDYX: Tensor, audio_BDL: Tensor) -> Tensor:
    """Similarity of every picture cell with every sound frame of the same clip: map_BYXL, dot products.

    Source: Harwath et al., DAVEnet, ECCV 2018, section 4.2.
    """
    _need_maps("matchmap", image_BDYX, audio_BDL, (3,))
    return torch.einsum("bdyx,bdl->byxl", image_BDYX, audio_BDL)


def pool_matchmap(map_BYXL: Tensor, pooling: Pooling = "MISA", frames_B: Tensor | None = None) -> Tensor:
    """One score a clip: map_BYXL -> (B,).

    SISA is the mean over cells and frames; MISA the mean over frames of the best cell; SIMA the mean over cells of the
    best frame. ``frames_B`` (int64) counts the true frames of each clip; those beyond them are left out.

    Raises:
        ValueError: unknown pooling, a clip without frames.

    Source: Harwath et al., DAVEnet, ECCV 2018, equations 1 to 3.
    """
    frame_BL = _frame_mask(map_BYXL.shape[0], map_BYXL.shape[3], frames_B, map_BYXL.device)
    return _pool(map_BYXL.flatten(1, 2), frame_BL, pooling)


def _frame_mask(clips: int, frames: int, frames_B: Tensor | None, device: torch.device) -> Tensor:
    if frames_B is None:
        return torch.ones(clips, frames, dtype=torch.bool, device=device)
    if frames_B.shape != (clips,) or bool(((frames_B < 1) | (frames_B > frames)).any()):
        raise ValueError(f"frames_B must hold 1…{frames} for each of {clips} clips, not {frames_B.tolist()}")
    return torch.arange(frames, device=device) < frames_B.to(device)[:, None]


def _pool(map_BPL: Tensor, frame_BL: Tensor, pooling: str) -> Tensor:
    count_B = frame_BL.sum(1)
    if pooling == "SIMA":
        return map_BPL.masked_fill(~frame_BL[:, None], float("-inf")).amax(2).mean(1)
    if pooling == "SISA":
        best_BL = map_BPL.mean(1)
    elif pooling == "MISA":
        best_BL = map_BPL.amax(1)
    else:
        raise ValueError(f"unknown pooling {pooling!r}; there are: SISA, MISA, SIMA")
    return best_BL.masked_fill(~frame_BL, 0).sum(1) / count_B


def all_pairs(image_BDYX: Tensor, audio: Tensor, pooling: Pooling = "MISA", frames_B: Tensor | None = None) -> Tensor:
    """Score of every picture with every sound: sim_BB, images in rows.

    Equals :func:`matchmap` and :func:`pool_matchmap` on each of the B² pairs. ``audio`` is audio_BDL or audio_BDFL,
    whose cells all count as frames; ``frames_B`` counts the true frames L of each clip.

    Raises:
        ValueError: wrong shapes, different D, unknown pooling, a clip without frames.

    Source: Harwath et al., DAVEnet, ECCV 2018, section 4.2.
    """
    _need_maps("all_pairs", image_BDYX, audio, (3, 4))
    frame_BL = _frame_mask(audio.shape[0], audio.shape[-1], frames_B, audio.device)
    if audio.ndim == 4:
        frame_BL = frame_BL[:, None].expand(-1, audio.shape[2], -1).flatten(1)
    cell_BDP, frame_BDL = image_BDYX.flatten(2), audio.flatten(2)
    if pooling == "SISA":
        # A mean of products is the product of the means.
        mean_BD = (frame_BDL * frame_BL[:, None]).sum(2) / frame_BL.sum(1, keepdim=True)
        return cell_BDP.mean(2) @ mean_BD.t()
    if pooling not in ("MISA", "SIMA"):
        raise ValueError(f"unknown pooling {pooling!r}; there are: SISA, MISA, SIMA")
    rows = len(image_BDYX)
    if image_BDYX.device.type == "cpu":
        rows = max(1, CELLS_AT_ONCE // (cell_BDP.shape[2] * frame_BL.numel()))
    return torch.cat([_some_pairs(part, frame_BDL, frame_BL, pooling) for part in cell_BDP.split(rows)])


def _some_pairs(cell_IDP: Tensor, frame_BDL: Tensor, frame_BL: Tensor, pooling: str) -> Tensor:
    # One matrix product. ``max`` remembers where it was, which makes its backward pass cheaper than that of ``amax``.
    images, dim, cells = cell_IDP.shape
    clips, _, frames = frame_BDL.shape
    cell_DQ = cell_IDP.transpose(0, 1).reshape(dim, images * cells)
    frame_DQ = frame_BDL.transpose(0, 1).reshape(dim, clips * frames)
    if pooling == "MISA":
        best_BLI = (frame_DQ.t() @ cell_DQ).view(clips, frames, images, cells).max(3).values
        return ((best_BLI * frame_BL[..., None]).sum(1) / frame_BL.sum(1, keepdim=True)).t()
    sim_IPBL = (cell_DQ.t() @ frame_DQ).view(images, cells, clips, frames)
    return sim_IPBL.masked_fill(~frame_BL, float("-inf")).max(3).values.mean(1)


def heatmap(image_BDYX: Tensor, audio_BD: Tensor) -> Tensor:
    """How much each cell goes with its clip's sound: map_BYX, dot products."""
    _need_maps("heatmap", image_BDYX, audio_BD, (2,))
    return torch.einsum("bdyx,bd->byx", image_BDYX, audio_BD)


def max_over_cells(image_BDYX: Tensor, audio_MD: Tensor) -> Tensor:
    """The best cell of every picture for every sound vector: sim_BM (Arandjelović & Zisserman, AVOL-Net, ECCV 2018)."""
    return _cells_by_sounds("max_over_cells", image_BDYX, audio_MD).amax(1)


def soft_max_over_cells(image_BDYX: Tensor, audio_MD: Tensor, sharpness: float = 10.0) -> Tensor:
    """Log-mean-exp over cells, (1/sharpness)·ln mean exp(sharpness·sim): sim_BM.

    Between the mean (sharpness -> 0) and the maximum (-> infinity), it gives every cell a gradient.

    Raises:
        ValueError: a sharpness that is not positive, wrong shapes.
    """
    if not sharpness > 0:
        raise ValueError(f"soft_max_over_cells needs a sharpness above 0, not {sharpness}")
    sim_BPM = _cells_by_sounds("soft_max_over_cells", image_BDYX, audio_MD)
    cells = torch.tensor(float(sim_BPM.shape[1]), dtype=sim_BPM.dtype, device=sim_BPM.device)
    return (torch.logsumexp(sharpness * sim_BPM, 1) - cells.log()) / sharpness


def _cells_by_sounds(owner: str, image_BDYX: Tensor, audio_MD: Tensor) -> Tensor:
    _need_maps(owner, image_BDYX, audio_MD, (2,))
    return image_BDYX.flatten(2).transpose(1, 2) @ audio_MD.t()


def attend(image_BDYX: Tensor, audio_BD: Tensor, temperature: float = 0.1) -> tuple[Tensor, Tensor]:
    """What the sound looks at: attended_BD = Σ w·cell and w_BYX = softmax over cells of ReLU(cosine)/temperature.

    At temperature 1, the paper's, no weight exceeds another by more than a factor e.

    Source: Senocak et al., Learning to Localize Sound Source, CVPR 2018, equations 1 to 3.
    """
    _need_maps("attend", image_BDYX, audio_BD, (2,))
    if not temperature > 0:
        raise ValueError(f"attend needs a temperature above 0, not {temperature}")
    unit_BDYX = unit(image_BDYX)
    score_BYX = heatmap(unit_BDYX, unit(audio_BD)).clamp(min=0)
    weight_BYX = (score_BYX.flatten(1) / temperature).softmax(1).view_as(score_BYX)
    return torch.einsum("bdyx,byx->bd", image_BDYX, weight_BYX), weight_BYX


def upsample(map_BYX: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Bilinear, pixel centres aligned: map_BYX -> map_BHW. A constant stays constant.

    The best pixel lies in the best cell where that one is clearly best: only the cells at the border reach their full
    value, so an inner cell can lose to one that it beats by little.

    Raises:
        ValueError: not (clips, rows, columns), or fewer pixels than cells.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if map_BYX.ndim != 3 or height < map_BYX.shape[1] or width < map_BYX.shape[2]:
        raise ValueError(f"upsample needs map_BYX no larger than {height}×{width}, not shape {tuple(map_BYX.shape)}")
    return functional.interpolate(map_BYX[:, None], (height, width), mode="bilinear", align_corners=False)[:, 0]


def dilate(mask_BYX: Tensor) -> Tensor:
    """Each lit cell lights its four neighbours; cells on the border light none (as released). bool -> bool."""
    inner_BYX = functional.pad(mask_BYX[:, 1:-1, 1:-1].float(), (1, 1, 1, 1))
    cross_11YX = inner_BYX.new_tensor([[0, 1, 0], [1, 1, 1], [0, 1, 0]])[None, None]
    return mask_BYX | (functional.conv2d(inner_BYX[:, None], cross_11YX, padding=1)[:, 0] > 0)
