"""What readers of annotation files share: JSON that loses nothing, fields of the right kind, rows that may fail."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from xml.etree import ElementTree

T = TypeVar("T")

FAR = 1e30
"""No edge lies so far out, nor any time, though some of the files' edges do lie at 10¹⁶."""


class _TwiceError(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys differ: a plain parser would keep the last of two and lose the other."""
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _TwiceError(f"key {next(key for key in keys if keys.count(key) > 1)!r} stands there twice")
    return row


def read_json(path: Path | str) -> Any:
    """What a file holds.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no JSON, or an object of it has a key twice.
    """
    try:
        # of bytes the parser finds out the encoding: UTF-8 with or without a mark, UTF-16 or UTF-32
        return json.loads(Path(path).read_bytes(), object_pairs_hook=_once)
    except _TwiceError as error:
        raise ValueError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:  # also a number of too many digits
        raise ValueError(f"{path}: not a JSON file: {error}") from error


def expect(data: Any, kind: type, path: Path | str, what: str) -> Any:
    """``data`` if it is of that kind, else a ValueError that names the file and what it should hold."""
    if not isinstance(data, kind):
        raise ValueError(f"{path}: holds {type(data).__name__}, not {what}")
    return data


def value_of(row: Any, key: str, kind: type) -> Any:
    """``row[key]`` if it is there and of the right kind, else an error that names the key."""
    if not isinstance(row, dict) or key not in row:
        raise ValueError(f"no key {key!r}")
    value = row[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key!r} is {reprlib.repr(value)}, not {kind.__name__}")
    if isinstance(value, int) and not 0 <= value < 2**31:
        raise ValueError(f"{key!r} is {reprlib.repr(value)}, which is too large or negative")
    return value


def attempted(
    items: Iterable[tuple[str, Any]], read: Callable[[Any], T]
) -> tuple[list[T], list[tuple[str, Exception]]]:
    """What ``read`` makes of each labelled item, and the labels of those that it cannot read, each with the reason."""
    good: list[T] = []
    faults: list[tuple[str, Exception]] = []
    for label, item in items:
        try:
            good.append(read(item))
        except (ValueError, LookupError, OSError, ElementTree.ParseError) as error:
            faults.append((label, error))
    return good, faults


def shown(faults: Sequence[tuple[str, Exception]]) -> str:
    """The first five faults in a line."""
    return "; ".join(f"{label}: {error}" for label, error in faults[:5]) + ("; …" if len(faults) > 5 else "")
