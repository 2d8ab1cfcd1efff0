"""Labels that a method gives itself, for a round of steps at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from avlib.evaluate.features import evaluating, join
from avlib.types import Batch, Embedding


class Rounds:
    """A hook: every ``period`` steps the method sees all clips anew and says which belong together.

    It calls ``method.relabel(found, index_M, generator)`` with what the method embeds of all clips, in evaluation mode.
    Before the first round the normalisations get to know the data: a net that has learnt nothing is asked too.

    Args:
        clips: hands out all clips, a batch at a time.
        period: steps from one round to the next.
        seed: of whatever `relabel` draws.

    Attributes:
        labels: for each round, the method's buffers whose names end in ``_label_M``.
    """

    def __init__(self, clips: Callable[[], Iterable[Batch]], period: int, seed: int = 0):
        if period < 1:
            raise ValueError(f"a round needs at least one step, not period={period}")
        self.clips, self.period, self.seed = clips, period, seed
        self.labels: list[dict[str, Tensor]] = []

    def __call__(self, method: nn.Module, batch: Batch | None, step: int) -> None:
        if step % self.period == 0:
            if step == 0:
                settle(method, self.clips())
            self.relabel(method, step)

    def relabel(self, method: nn.Module, step: int) -> None:
        """One round, now; also after the last step, so that the labels are those of what was learnt."""
        generator = torch.Generator().manual_seed(self.seed + step)
        method.relabel(*everything(method, self.clips()), generator)  # type: ignore[operator]
        self._note(method)

    def _note(self, method: nn.Module) -> None:
        self.labels.append({name: b.clone() for name, b in method.named_buffers() if name.endswith("_label_M")})

    def state_dict(self) -> dict[str, Any]:
        """What was said in each round so far."""
        return {"labels": self.labels}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on after those rounds."""
        self.labels = list(state["labels"])


@torch.no_grad()
def settle(method: nn.Module, clips: Iterable[Batch]) -> None:
    """Set the means and variances of all normalisations; the weights stay as they are."""
    device = next(method.parameters()).device
    method.train()
    for batch in clips:
        method.embed(batch.to(device))  # type: ignore[operator]


def everything(method: nn.Module, clips: Iterable[Batch]) -> tuple[Embedding, Tensor]:
    """What the method embeds of all clips, in evaluation mode (vectors only), and index_M, which clips they are."""
    parts, index = [], []
    with evaluating(method) as device:
        for batch in clips:
            found = method.embed(batch.to(device))  # type: ignore[operator]
            parts.append(Embedding(found.image_BD, found.audio_BD))
            index.append(batch.index_B.to(device))
    return join(parts), torch.cat(index)


class Growing(Rounds):
    """Rounds that grow longer: of ``count`` rounds the i-th begins at step ``steps`` (i / count) ** 1.5.

    In each the method sees all clips once for each group of its labellings and labels that group alone. A varied look
    at the clips gives each group its own view.

    Args:
        look: hands out all clips, a batch at a time; another number, another look.
        groups: how many there are, ``method.groups``.

    Source: Asano et al., SeLaVi, NeurIPS 2020, section 3.2.
    """

    def __init__(self, look: Callable[[int], Iterable[Batch]], steps: int, count: int, seed: int = 0, groups: int = 1):
        super().__init__(lambda: look(seed), max(steps, 1), seed)
        self.look, self.groups = look, groups
        self.begins = {int(steps * (i / count) ** 1.5) for i in range(count)}

    def __call__(self, method: nn.Module, batch: Batch | None, step: int) -> None:
        if step == 0:
            settle(method, self.clips())
        if step in self.begins:
            self.relabel(method, step)

    def relabel(self, method: nn.Module, step: int) -> None:
        """One round, now, all groups; also after the last step."""
        for group in range(self.groups):
            seed = self.seed + step * self.groups + group
            found = everything(method, self.look(seed))
            method.relabel(*found, torch.Generator().manual_seed(seed), group)  # type: ignore[operator]
        self._note(method)
