"""The device and the processes of a training: one CPU, one GPU, or several by `torchrun`."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed import (
    ReduceOp,
    all_reduce,
    barrier,
    broadcast,
    destroy_process_group,
    init_process_group,
    is_initialized,
)
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True, slots=True)
class DistributedContext:
    """The device of this process, and its rank among all processes.

    Attributes:
        device: "cpu" or "cuda:N".
        rank: of this process, from 0; rank 0 writes checkpoints and logs.
        world: number of processes.
        bf16: whether matrix products are computed in bfloat16.
        compiled: whether the model goes through `torch.compile`.
    """

    device: torch.device = torch.device("cpu")
    rank: int = 0
    world: int = 1
    bf16: bool = False
    compiled: bool = False

    @classmethod
    def here(cls, *, bf16: bool | None = None, compiled: bool = False) -> "DistributedContext":
        """Use a GPU if there is one, and join the other processes of `torchrun`.

        Args:
            bf16: whether matrix products are computed in bfloat16; None for where a CPU has units
                for it (AMX), with which a training is twice as fast. On other CPUs it is slower.
            compiled: whether the model goes through `torch.compile`.
        """
        rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        cuda = torch.cuda.is_available()
        device = torch.device("cpu")
        if cuda:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(device)
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.allow_tf32 = True
        if world > 1 and not is_initialized():
            init_process_group("nccl" if cuda else "gloo", device_id=device if cuda else None)
        fast = not cuda and _has_bf16_units() if bf16 is None else bf16
        return cls(device, rank, world, fast, compiled)

    @property
    def first(self) -> bool:
        """Whether this process writes checkpoints and logs."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Move `model` to the device; returns the module to call in its place.

        It synchronises gradients with the other processes, and is compiled if `compiled` is set.
        """
        model.to(self.device)
        wrapped: nn.Module = model
        if self.world > 1:
            shared = nn.SyncBatchNorm.convert_sync_batchnorm(model) if self._cuda else model
            for buffer in shared.buffers():  # targets too: all processes need the same
                broadcast(buffer, 0)
            wrapped = DistributedDataParallel(
                shared, find_unused_parameters=True, broadcast_buffers=False
            )
        return torch.compile(wrapped) if self.compiled else wrapped

    def wait(self) -> None:
        """Wait until all processes are here, so that none reads a file that is being written."""
        if self.world > 1:
            barrier()

    def any(self, flag: bool) -> bool:
        """Return whether `flag` is True in any process, so that all stop at the same step."""
        if self.world == 1:
            return flag
        largest = torch.tensor(float(flag), device=self.device)
        all_reduce(largest, ReduceOp.MAX)
        return bool(largest)

    def leave(self) -> None:
        """Destroy the process group; call last, in every process."""
        if self.world > 1 and is_initialized():
            destroy_process_group()

    def autocast(self) -> torch.autocast:
        """Return the autocast context of a forward pass."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def put(self, tensor: Tensor) -> Tensor:
        """Copy a tensor to the device, asynchronously from pinned memory to a GPU."""
        if self._cuda and tensor.device.type == "cpu":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def share(self, count: int) -> slice:
        """Return this process's part of a batch of `count` items, a multiple of `world`."""
        each = count // self.world
        return slice(self.rank * each, (self.rank + 1) * each)

    @property
    def _cuda(self) -> bool:
        return self.device.type == "cuda"


def _has_bf16_units() -> bool:
    """Return whether this CPU multiplies matrices of bfloat16 in hardware."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
