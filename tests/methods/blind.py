"""Does a method read the truth that lies beside what it may see and hear?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from avlib.train import Hook, TrainConfig, fit
from avlib.types import Batch
from avlib.world import Stream

See = Callable[[Batch], Batch]


def with_and_without_truth(
    make: Callable[[], nn.Module], stream: Stream, steps: int, hook: Callable[[See], Hook] | None = None
) -> tuple[Tensor, Tensor]:
    """The weights after a few steps on clips with their truth, and on the same clips without it.

    Args:
        make: a new net.
        hook: makes the hook of a training, which must show its clips through the function that it is given.
    """

    def weights(see: See) -> Tensor:
        torch.manual_seed(0)
        method = make()
        hooks = [] if hook is None else [hook(see)]
        fit(method, lambda step: see(stream(step)), TrainConfig(steps, progress=False, device="cpu"), hooks)
        return torch.cat([p.flatten() for p in method.parameters()])

    return weights(lambda batch: batch), weights(Batch.blind)
