"""One process or many: set-up under torchrun, and a gather that lets the gradient through."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from avlib.types import Batch


def setup(device: torch.device | str = "cpu") -> torch.device:
    """Join the group that torchrun announces in the environment, and return this process's device.

    Without torchrun nothing happens. On CUDA each process takes the card of its local rank (nccl), else gloo is used.
    Called a second time it does nothing.
    """
    device = torch.device(device)
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return device
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def teardown() -> None:
    """Leave the group, if there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def is_main() -> bool:
    """Is this the process that prints and writes?"""
    return rank() == 0


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BD: Tensor) -> Tensor:
        parts = [torch.empty_like(x_BD) for _ in range(world_size())]
        dist.all_gather(parts, x_BD.contiguous())
        ctx.rows = x_BD.shape[0]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad_MD: Tensor) -> Tensor:
        total_MD = grad_MD.contiguous().clone()
        dist.all_reduce(total_MD)
        return total_MD[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def gather_with_gradient(x_BD: Tensor) -> Tensor:
    """The rows of every process, in the order of ranks: (B, …) -> (B · processes, …).

    Every process must bring as many rows. The gradient of a row is the sum over the processes that used it; where each
    computes the loss of the whole batch, DDP's mean then gives the gradient of one process with all rows.
    """
    return x_BD if world_size() == 1 else _Gather.apply(x_BD)  # type: ignore[no-any-return]


class _LossOnly(nn.Module):
    """DDP watches ``forward``, and the entry of a method is ``loss``."""

    def __init__(self, method: nn.Module) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        return self.method.loss(batch, step)  # type: ignore[operator,no-any-return]


def wrap(method: nn.Module) -> nn.Module:
    """A module whose ``forward(batch, step)`` is ``method.loss(batch, step)``, its gradients averaged over processes.

    Keep it until the backward pass is over. Parameters that a step leaves unused are allowed. With one process there is
    nothing to average.
    """
    module = _LossOnly(method)
    if world_size() == 1:
        return module
    device = next(module.parameters()).device
    devices = [device.index] if device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices, find_unused_parameters=True)
