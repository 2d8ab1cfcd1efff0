"""Self-supervised audiovisual learning: a world with exact ground truth, the methods, one loop, one way of judging.

Importing ``avlib`` imports nothing else; take what you need from its modules, e.g. ``from avlib.world import World``.
``avlib.load("l3")`` gives a trained net.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

__version__ = "0.1.0"


def load(name: str, device: torch.device | str = "cpu") -> nn.Module:
    """The trained small net of a method, in evaluation mode, with its ``card``; see `avlib.pretrained.load`."""
    from avlib import pretrained

    return pretrained.load(name, device)
