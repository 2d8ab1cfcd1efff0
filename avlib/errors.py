"""Errors that say what was wrong, where, and what would have been right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or belongs to another run. The message names the file."""


class NonFiniteLoss(ValueError):
    """A loss, or its gradient, became NaN or infinite. The weights are those before the step.

    Attributes:
        step: the step at which it happened.
        index: the clips of that batch.
    """

    def __init__(self, message: str, step: int, index: list[int]):
        super().__init__(message)
        self.step, self.index = step, index


def unknown(kind: str, name: str, choices: Iterable[str]) -> ValueError:
    """An error for a wrong name: it suggests the nearest right one and lists all of them.

    Args:
        kind: what was named, e.g. ``"preset"``.
        name: what was asked for.
        choices: the right names, listed in the order given.

    Examples:
        >>> raise unknown("preset", "sollo", ["solo", "duet"])
        Traceback (most recent call last):
        ValueError: unknown preset 'sollo'; did you mean 'solo'? There are: solo, duet
    """
    names = [str(choice) for choice in choices]
    plain = {choice.casefold(): choice for choice in names}
    near = difflib.get_close_matches(str(name).casefold(), plain, n=1, cutoff=0.6)
    hint = f"; did you mean {plain[near[0]]!r}?" if near else "."
    listed = f"There are: {', '.join(names)}" if names else "There are none."
    return ValueError(f"unknown {kind} {name!r}{hint} {listed}")
