"""One process or many: set-up under torchrun, and what makes N processes give the gradient of one.

Each process sees its share of a batch, and DDP takes the mean of their gradients. That is the gradient of one process
with the whole batch wherever the mean of the processes' losses is the loss of the whole batch. A mean over all clips (a
distillation) fulfils this as it stands. A term that compares clips, or a mean over some of them (those with a label),
needs the clips of the others: `gather` what it reads, and let each process compute it for all. Normalisation over the
batch is `synchronised` by `avlib.train.fit`. What a loss draws at random must be drawn alike everywhere: from the step,
or from torch's generator, which `fit` seeds alike. Hooks run in every process, on the same weights, and must come to
the same end there; buffers (labels, dictionaries) are taken from the first process before each step all the same.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
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
        parts = [torch.empty_like(x_BD, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, x_BD.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad_MD: Tensor) -> Tensor:
        return own(_summed(grad_MD))


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _summed(grad)


def _summed(x: Tensor) -> Tensor:
    x = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(x)
    return x


def gather(x_BD: Tensor) -> Tensor:
    """The rows of every process, in the order of ranks: (B, …) -> (B · processes, …). The gradient comes back.

    Every process must bring as many rows. The gradient of a row is the sum over the processes that used it; where each
    computes the loss of the whole batch, DDP's mean then gives the gradient of one process with all rows.
    """
    return x_BD if world_size() == 1 else _Gather.apply(x_BD)  # type: ignore[no-any-return]


def own(x_MD: Tensor) -> Tensor:
    """This process's share of gathered rows: (B · processes, …) -> (B, …)."""
    return x_MD.chunk(world_size())[rank()]


def roll(x_BD: Tensor, shift: int) -> Tensor:
    """``torch.roll`` along the clips of all processes: (B, …) -> (B, …), the last rows of one go to the next."""
    return own(gather(x_BD).roll(shift, 0))


def total(x: Tensor) -> Tensor:
    """The sum of ``x`` over all processes, of any shape; so is its gradient."""
    return x if world_size() == 1 else _Total.apply(x)  # type: ignore[no-any-return]


@contextlib.contextmanager
def synchronised(method: nn.Module) -> Iterator[None]:
    """Within, every batch normalisation of ``method`` takes mean and variance over the clips of all processes.

    The layers stay what they are, with their names, weights and statistics; only the way they compute is exchanged,
    and put back at the end. (PyTorch's own SyncBatchNorm needs CUDA.) With one process nothing happens.
    """
    norms = [layer for layer in method.modules() if isinstance(layer, _BatchNorm)] if world_size() > 1 else []
    for layer in norms:
        layer.forward = MethodType(_normalise, layer)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer in norms:
            del layer.forward


def _normalise(layer: _BatchNorm, x: Tensor) -> Tensor:
    """Batch normalisation of (B, C, …) with the statistics of all processes, of which each brings as many clips."""
    if not layer.training and layer.running_mean is not None:
        return type(layer).forward(layer, x)
    wide, axes = x.to(torch.promote_types(x.dtype, torch.float32)), [0, *range(2, x.ndim)]
    column, count = (-1, *[1] * (x.ndim - 2)), world_size() * x.numel() // x.shape[1]
    mean_C = total(wide.sum(axes)) / count
    centred = wide - mean_C.view(column)
    var_C = total(centred.square().sum(axes)) / count
    _keep(layer, mean_C.detach(), (var_C * count / (count - 1)).detach())
    centred = centred * (var_C + layer.eps).rsqrt().view(column)
    if layer.affine:
        centred = centred * layer.weight.view(column) + layer.bias.view(column)
    return centred.to(x.dtype)


def _keep(layer: _BatchNorm, mean_C: Tensor, var_C: Tensor) -> None:
    """Move the statistics that the layer keeps towards those of a batch."""
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked.add_(1)
    share = 1 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean_C.to(layer.running_mean.dtype), share)
    layer.running_var.lerp_(var_C.to(layer.running_var.dtype), share)


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
