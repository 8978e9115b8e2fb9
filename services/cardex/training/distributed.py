"""Where training runs: one CPU, one GPU, or several processes of `torchrun`, by the same code."""

import os
from dataclasses import dataclass

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
    """The device of this process and its place among all.

    Attributes:
        device: "cpu" or "cuda:N".
        rank: number of this process; 0 writes checkpoints and logs.
        world: number of processes.
        bf16: whether matrix products are done in bfloat16.
        compiled: whether the model goes through `torch.compile`.
    """

    device: torch.device = torch.device("cpu")
    rank: int = 0
    world: int = 1
    bf16: bool = False
    compiled: bool = False

    @classmethod
    def here(cls, *, bf16: bool = False, compiled: bool = False) -> "DistributedContext":
        """Take a GPU where there is one, and join the other processes of `torchrun`."""
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
        return cls(device, rank, world, bf16, compiled)

    @property
    def first(self) -> bool:
        """True in the process that writes."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """Return what to call in place of `model`: on its device, shared and compiled as wished."""
        model.to(self.device)
        wrapped: nn.Module = model
        if self.world > 1:
            shared = nn.SyncBatchNorm.convert_sync_batchnorm(model) if self._cuda else model
            for buffer in shared.buffers():  # targets too: every process learns the same
                broadcast(buffer, 0)
            wrapped = DistributedDataParallel(
                shared, find_unused_parameters=True, broadcast_buffers=False
            )
        return torch.compile(wrapped) if self.compiled else wrapped

    def wait(self) -> None:
        """Wait for the other processes, so that none reads what the first still writes."""
        if self.world > 1:
            barrier()

    def any(self, flag: bool) -> bool:
        """Return whether any process says so: what one must stop for, all stop for, at the same step."""
        if self.world == 1:
            return flag
        said = torch.tensor(float(flag), device=self.device)
        all_reduce(said, ReduceOp.MAX)
        return bool(said)

    def leave(self) -> None:
        """Take leave of the other processes; the last thing that they do together."""
        if self.world > 1 and is_initialized():
            destroy_process_group()

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def put(self, tensor: Tensor) -> Tensor:
        """Copy a tensor to the device; from pinned memory, so that the copy does not wait."""
        if self._cuda and tensor.device.type == "cpu":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def share(self, count: int) -> slice:
        """Return which items of a batch of `count`, a multiple of `world`, are this process's."""
        each = count // self.world
        return slice(self.rank * each, (self.rank + 1) * each)

    @property
    def _cuda(self) -> bool:
        return self.device.type == "cuda"
