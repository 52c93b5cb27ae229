"""One training process or many: rank, device, and what the processes agree on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

from diffbev_engine.core.errors import DiffBEVError, OutOfGPUMemoryError, UsageError
from diffbev_engine.core.gpu.select import VISIBLE, no_such_gpu
from diffbev_engine.dataset.order import Shard
from diffbev_engine.findings.catalogue import says

_COLLECTIVE_TIMEOUT = timedelta(minutes=30)


@dataclass(frozen=True)
class Processes:
    """Which process of the run this is, and on which device it trains."""

    device: torch.device
    shard: Shard
    control: distributed.ProcessGroup | None = None
    """Group for host-side agreement; it never waits for the GPU.  ``None`` for one process."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.shard.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` holds in any process; all processes must call this together."""
        if self.control is None:
            return flag
        vote = torch.tensor(int(flag))
        distributed.all_reduce(vote, op=distributed.ReduceOp.MAX, group=self.control)
        return bool(vote.item())

    def gather(self, value: object) -> list[object]:
        """The value of every process, in rank order, in every process."""
        if self.control is None:
            return [value]
        values: list[object] = [None] * self.shard.world_size
        distributed.all_gather_object(values, value, group=self.control)
        return values


def join_processes(gpu_ids: Sequence[int]) -> Processes:
    """Choose the device, and join the other processes when torchrun started this one.

    Raises:
        UsageError: for a GPU that does not exist, or several GPUs without torchrun.
    """
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1 and len(gpu_ids) > 1:
        raise UsageError(
            f"each process uses one GPU, but --gpu-ids lists {len(gpu_ids)}. Start one process per "
            f"GPU: torchrun --nproc-per-node {len(gpu_ids)} -m diffbev_engine train …"
        )
    device = _device(gpu_ids)
    if device.type == "cuda":
        _occupy(device)
    if "RANK" not in os.environ or world_size == 1:
        return Processes(device, Shard())
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=_COLLECTIVE_TIMEOUT)
    shard = Shard(distributed.get_rank(), distributed.get_world_size())
    control = distributed.new_group(backend="gloo", timeout=_COLLECTIVE_TIMEOUT)
    assert isinstance(control, distributed.ProcessGroup), "a group of all ranks holds this one"
    return Processes(device, shard, control)


def _occupy(device: torch.device) -> None:
    """Make ``device`` the current GPU.

    Raises:
        OutOfGPUMemoryError: it has no memory left even for a CUDA context.
        DiffBEVError: the driver refuses it: lost, or busy in exclusive mode.
    """
    try:
        torch.cuda.set_device(device)
    except RuntimeError as error:
        failure = OutOfGPUMemoryError if says("gpu-memory", str(error)) else DiffBEVError
        words = str(error).splitlines()[0]
        raise failure(f"cannot use GPU {device.index}: {words}. See `diffbev-engine preflight`.") from error


def device_name(device: torch.device) -> str:
    """What the device is called: the GPU's name, or the CPU with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads (no GPU found)"


def leave_processes() -> None:
    """Leave the group of processes, if there is one."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _device(gpu_ids: Sequence[int]) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    number = gpu_ids[local_rank % len(gpu_ids)] if gpu_ids else local_rank
    available = torch.cuda.device_count()
    if number >= available:
        raise UsageError(no_such_gpu(number, available, os.environ.get(VISIBLE)).en)
    return torch.device("cuda", number)
