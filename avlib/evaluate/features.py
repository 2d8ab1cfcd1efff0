"""What a method makes of many clips, with the truth beside it: everything that is measured is read from here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from dataclasses import replace as replaced
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from avlib.errors import unknown
from avlib.types import Batch, Embedding, Truth

D = TypeVar("D", Batch, Embedding, Truth)


@dataclass(frozen=True)
class Features:
    """Embeddings of B clips and what is true of those, on the CPU.

    A field of the embedding that was asked for is an attribute of this too: ``found.image_BD``.

    Attributes:
        embedding: the fields that were asked for; the others are None.
        truth: what is really in the clips; None where sources do not know it.
        index_B: which clips they are.
    """

    embedding: Embedding
    truth: Truth
    index_B: Tensor

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("_") or name not in _names():
            raise AttributeError(f"Features has no {name!r}; fields of an embedding are {', '.join(_names())}")
        value = getattr(self.embedding, name)
        if value is None:
            raise AttributeError(f"{name} was not asked for: features(method, batches, fields=({name!r}, …))")
        return value  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return len(self.index_B)

    @property
    def label_B(self) -> Tensor:
        """int64, class of what is heard, see `avlib.types.Truth.label_B`."""
        return self.truth.label_B


def _names() -> list[str]:
    return [f.name for f in fields(Embedding)]


@contextmanager
def evaluating(method: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode without gradients, and the mode of before afterwards; gives the device of the method."""
    training = method.training
    method.eval()
    try:
        with torch.no_grad():
            yield next((value.device for value in method.parameters()), torch.device("cpu"))
    finally:
        method.train(training)


def features(method: nn.Module, batches: Iterable[Batch], fields: Sequence[str] = ("image_BD", "audio_BD")) -> Features:
    """Run ``method.embed`` over all batches and collect some fields of what it gives.

    The method sees the clips without their truth.

    Raises:
        ValueError: no batches, an unknown field, a field that this method's embedding does not have, or values that are
            NaN or infinite (the clips are named).
    """
    for name in fields:
        if name not in _names():
            raise unknown("field of an embedding", name, _names())
    rows, truths, indices = [], [], []
    with evaluating(method) as device:
        for batch in batches:
            found = method.embed(batch.blind().to(device))  # type: ignore[operator]
            rows.append(_picked(found, fields, type(method).__name__, batch))
            truths.append(batch.truth.to("cpu"))
            indices.append(batch.index_B.cpu())
    if not rows:
        raise ValueError("no batches to embed")
    return Features(join(rows), join(truths), torch.cat(indices))


def _picked(found: Embedding, names: Sequence[str], method: str, batch: Batch) -> Embedding:
    kept = {}
    for name in names:
        value = getattr(found, name)
        if value is None:
            there = [f for f in _names() if getattr(found, f) is not None]
            raise ValueError(f"{method}.embed gives no {name}; it gives {', '.join(there) or 'nothing'}")
        bad_B = ~torch.isfinite(value).flatten(1).all(1)
        if bool(bad_B.any()):
            clips = batch.index_B[bad_B.to(batch.index_B.device)].tolist()
            raise ValueError(f"{name} of {method} is NaN or infinite for the clips {clips[:8]}")
        kept[name] = value.float().cpu()
    return Embedding(**kept)


def join(parts: Sequence[D]) -> D:
    """Batches (or truths, or embeddings) end to end, as one.

    Raises:
        ValueError: nothing to join, or a field that only some of them have (named).

    Examples:
        >>> two = Embedding(torch.zeros(2, 3)), Embedding(torch.zeros(4, 3))
        >>> join(two).image_BD.shape
        torch.Size([6, 3])
    """
    if not parts:
        raise ValueError("nothing to join")
    changes = {f.name: _together([getattr(part, f.name) for part in parts], f.name) for f in fields(parts[0])}
    return replaced(parts[0], **changes)


def _together(values: list[Any], name: str) -> Any:
    if any(value is None for value in values) and not all(value is None for value in values):
        raise ValueError(f"{name} is there for some parts and missing for others")
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat(values)
    if isinstance(first, tuple):
        return tuple(item for value in values for item in value)
    return join(values) if is_dataclass(first) else first
