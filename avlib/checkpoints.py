"""Checkpoints: written whole or not at all, read as data.

A checkpoint holds tensors and plain values only, so that reading one never runs code from the file.
"""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from avlib import files
from avlib.errors import CheckpointError

CHECKPOINT = "checkpoint.pt"
PARTS: dict[str, type] = {
    "step": int, "config": dict, "method": dict, "optimiser": dict, "random": dict, "hooks": list, "log": dict,
}  # fmt: skip
"""What a checkpoint of `fit` holds, and of which kind it is."""
_WITHIN = {"random": ("torch", "numpy", "python"), "log": ("history", "window")}


def save(state: dict[str, Any], path: Path, step: int) -> None:
    """Write ``state`` (tensors and plain values) to ``path``; what stood there stays until the new one is whole.

    Raises:
        OSError: it could not be written (no space, no right); names the file and the step.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    files.write(path, buffer.getvalue(), f"the checkpoint of step {step}")


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint as data: no code in it is run.

    Raises:
        FileNotFoundError: there is none.
        OSError: the system does not give it (names the file).
        CheckpointError: it is cut short, damaged or no checkpoint of `fit`.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    raw = path.read_bytes()  # what goes wrong from here on is the content's fault, whatever it raises
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:  # torch.load does not compare the checksums
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"the checksum of {damaged} is wrong")
        state: dict[str, Any] = torch.load(io.BytesIO(raw), map_location=device, weights_only=True)
        _check_parts(state)
    except Exception as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint of avlib ({error}): delete it to begin again"
        ) from error
    return state


def _check_parts(state: Any) -> None:
    """Raise ValueError where a part of a checkpoint is lacking or of another kind."""
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__}")
    missing = [part for part in PARTS if part not in state]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    wrong = [part for part, kind in PARTS.items() if not isinstance(state[part], kind)]
    if wrong:
        raise ValueError(f"of another kind than it should be: {', '.join(wrong)}")
    missing = [f"{part}.{key}" for part, keys in _WITHIN.items() for key in keys if key not in state[part]]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in state["method"].items()):
        raise ValueError("its weights are not named tensors")


def load_weights(method: nn.Module, path: Path | str) -> nn.Module:
    """Fill ``method`` with the weights of a checkpoint (a file, or the folder that `fit` wrote it to).

    Raises:
        FileNotFoundError, CheckpointError: see `load`; also where the weights are another method's.
    """
    path = Path(path)
    path = path / CHECKPOINT if path.is_dir() else path
    state = load(path)
    try:
        method.load_state_dict(state["method"])
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not hold the weights of this {type(method).__name__}: {error}") from error
    return method


def check_plain(value: Any, where: str) -> None:
    """Refuse what could not be read back without running code from the file."""
    if isinstance(value, dict):
        for key, item in value.items():
            check_plain(item, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            check_plain(item, f"{where}[{i}]")
    elif not (value is None or isinstance(value, Tensor | int | float | str | bool)):
        raise TypeError(
            f"{where} is a {type(value).__name__}: only tensors, numbers, text, lists and dicts can be kept"
        )


def random_state(device: torch.device) -> dict[str, Any]:
    """The states of torch's, numpy's and Python's generators, and of the GPU's, as tensors and plain values."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    version, words, spare = random.getstate()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "numpy": [torch.from_numpy(np.asarray(keys, dtype=np.int64)), int(position), int(has_gauss), float(gauss)],
        "python": [version, list(words), spare],
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Put the generators where `random_state` found them."""
    torch.set_rng_state(state["torch"].cpu())
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", keys.cpu().numpy().astype(np.uint32), position, has_gauss, gauss))
    version, words, spare = state["python"]
    random.setstate((version, tuple(words), spare))
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].cpu(), device)
