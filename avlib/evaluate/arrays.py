"""Every protocol takes numpy arrays, tensors on any device, or lists: these turn them into checked arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Values = Tensor | NDArray[Any] | Sequence[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def _plain(value: Values, name: str, ndim: int | tuple[int, ...]) -> NDArray[Any]:
    array = value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value)
    wanted = (ndim,) if isinstance(ndim, int) else ndim
    if array.ndim not in wanted:
        axes = " or ".join(str(n) for n in wanted)
        raise ValueError(f"{name} must have {axes} axes, not shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: shape {array.shape}")
    return array


def floats(value: Values, name: str, ndim: int | tuple[int, ...], nan: bool = False) -> Floats:
    """float64 array with ``ndim`` axes.

    Args:
        nan: let NaN pass (it then means "no value here"); infinite numbers never do.

    Raises:
        ValueError: wrong number of axes, empty, not numbers, NaN or infinite; the message says ``name``.
    """
    if isinstance(value, Tensor):
        value = value.detach().double()
    array = _plain(value, name, ndim)
    try:
        array = array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must hold numbers, not {array.dtype}") from None
    bad = np.isinf(array) if nan else ~np.isfinite(array)
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name} holds {int(bad.sum())} NaN or infinite values, the first at {first}")
    return array


def integers(value: Values, name: str, ndim: int | tuple[int, ...] = 1) -> Ints:
    """int64 array with ``ndim`` axes; floats pass where they are whole numbers.

    Raises:
        ValueError: wrong number of axes, empty, or not whole numbers.
    """
    array = floats(value, name, ndim)
    if (array != np.round(array)).any():
        raise ValueError(f"{name} must hold whole numbers")
    return array.astype(np.int64)


def masks(value: Values, name: str, ndim: int | tuple[int, ...]) -> Bools:
    """bool array with ``ndim`` axes from booleans or zeros and ones.

    Raises:
        ValueError: wrong number of axes, empty, or another value than 0 and 1.
    """
    array = _plain(value, name, ndim)
    if array.dtype == np.bool_:
        return array
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"{name} must be a mask of booleans, or of zeros and ones")
    return array.astype(np.bool_)


def same_length(**rows: NDArray[Any]) -> int:
    """The common length of the first axis.

    Raises:
        ValueError: lengths differ; the message names each.
    """
    lengths = {name: len(array) for name, array in rows.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError("different numbers of rows: " + ", ".join(f"{name} {n}" for name, n in lengths.items()))
    return next(iter(lengths.values()))


def same_shape(**arrays: NDArray[Any]) -> None:
    """Raise ValueError unless all arrays have one shape; the message names each."""
    if len({array.shape for array in arrays.values()}) > 1:
        raise ValueError("shapes differ: " + ", ".join(f"{name} {array.shape}" for name, array in arrays.items()))
