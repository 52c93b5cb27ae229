"""One training process or many: rank, device, and what the processes agree on."""

import faulthandler
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import torch
from torch import distributed

from diffbev_engine.core.errors import DiffBEVError, OutOfGPUMemoryError, UsageError, first_line
from diffbev_engine.core.gpu.select import VISIBLE, no_such_gpu
from diffbev_engine.dataset.order import Shard
from diffbev_engine.findings.catalogue import Strength, says
from diffbev_engine.train.heartbeat import Heartbeat
from diffbev_engine.train.peers import Activity, LostProcessError

_COLLECTIVE_TIMEOUT = timedelta(minutes=30)
_LONGEST_EXIT_S = 5.0


@dataclass(frozen=True)
class Processes:
    """Which process of the run this is, and on which device it trains."""

    device: torch.device
    shard: Shard
    control: distributed.ProcessGroup | None = None
    """Group for host-side agreement; it never waits for the GPU.  ``None`` for one process."""
    heartbeat: Heartbeat | None = None
    """Notices the loss of another process; see ``taking_part``."""

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files of the run."""
        return self.shard.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` holds in any process; all processes must call this together.

        Raises:
            LostProcessError: another process was lost.
        """
        if self.control is None:
            return flag
        vote = torch.tensor(int(flag))
        self._wait(distributed.all_reduce(vote, distributed.ReduceOp.MAX, self.control, async_op=True))
        return bool(vote.item())

    def gather(self, value: object) -> list[object]:
        """The value of every process, in rank order, in every process; tensors and plain values only.

        Raises:
            LostProcessError: another process was lost.
        """
        if self.control is None:
            return [value]
        buffer = io.BytesIO()
        torch.save(value, buffer)
        own = torch.frombuffer(buffer.getbuffer(), dtype=torch.uint8)
        ranks = range(self.shard.world_size)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in ranks]
        length = torch.tensor([len(own)])
        self._wait(distributed.all_gather(lengths, length, self.control, async_op=True))
        longest = max(int(length) for length in lengths)
        padded = torch.zeros(longest, dtype=torch.uint8)
        padded[: len(own)] = own
        found = [torch.empty_like(padded) for _ in ranks]
        self._wait(distributed.all_gather(found, padded, self.control, async_op=True))
        contents = [data[: int(length)] for data, length in zip(found, lengths, strict=True)]
        return [torch.load(io.BytesIO(each.numpy().tobytes()), weights_only=True) for each in contents]

    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace ``tensors``, float32 on this device, by their mean over all processes.

        All processes must call this together; a GPU does it when it comes here, nobody waits for it.

        Raises:
            LostProcessError: another process was lost.
        """
        if self.control is None:
            return
        mean = torch.cat([tensor.detach().flatten() for tensor in tensors]) / self.shard.world_size
        if self.device.type == "cuda":
            distributed.all_reduce(mean)
        else:
            self._wait(distributed.all_reduce(mean, async_op=True))
        parts = mean.split([tensor.numel() for tensor in tensors])
        shaped = [part.view_as(tensor) for tensor, part in zip(tensors, parts, strict=True)]
        torch._foreach_copy_([tensor.detach() for tensor in tensors], shaped)  # one kernel for many tensors

    def _wait(self, work: distributed.Work | None) -> None:
        assert work is not None, "this process is in the group"
        if self.heartbeat:
            self.heartbeat.wait(work)
        else:
            work.wait()

    def check(self) -> None:
        """Return if all processes take part.

        Raises:
            LostProcessError: another process was lost; the caller has to save alone, and to leave.
        """
        if self.heartbeat:
            self.heartbeat.check()

    @property
    def succeeds_main(self) -> bool:
        """Whether this process has to save and to record the end in place of the main one, which was lost."""
        return self.heartbeat is not None and self.heartbeat.succeeds_main

    def now(self, activity: Activity, of: object = "") -> None:
        """Tell the other processes what this one begins to do."""
        if self.heartbeat:
            self.heartbeat.now(activity, of)

    def lost(self, error: BaseException) -> LostProcessError | None:
        """The lost process behind ``error``, if there is one; the caller has to save alone, and to leave."""
        if self.heartbeat is None or isinstance(error, LostProcessError):
            return error if isinstance(error, LostProcessError) else None
        broken = isinstance(error, distributed.DistBackendError) or (
            isinstance(error, RuntimeError) and says("process-group", str(error), Strength.POSSIBLE)
        )
        return self.heartbeat.explain(error) if broken else None


def join_processes(gpu_ids: Sequence[int]) -> Processes:
    """Choose the device, and join the other processes when torchrun started this one; see ``taking_part``.

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
    # What NCCL would do about a lost process is to abort: the heartbeat saves first.
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "0")
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
        said = first_line(error)
        raise failure(f"cannot use GPU {device.index}: {said}. See `diffbev-engine preflight`.") from error


def device_name(device: torch.device) -> str:
    """What the device is called: the GPU's name, or the CPU with its threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads (no GPU found)"


@contextmanager
def taking_part(processes: Processes, limit_s: float) -> Iterator[Processes]:
    """The processes with a heartbeat while the block runs; all leave it, and their group, together.

    Args:
        processes: this one, which has joined the others.
        limit_s: within this time all end if one is lost.
    """
    if processes.control is None:
        try:
            yield processes
        finally:
            leave_processes()
        return
    heartbeat = Heartbeat(processes.shard.rank, processes.shard.world_size, limit_s)
    try:
        yield replace(processes, heartbeat=heartbeat)
    except BaseException as error:
        heartbeat.leave(error)
        if isinstance(error, DiffBEVError) and heartbeat.loss:
            heartbeat.end(error)
        raise
    else:
        heartbeat.leave(None)
    finally:
        if heartbeat.loss is None:
            leave_processes()
        else:  # to leave the group would be to wait for the lost process, as the end of Python may be
            nowhere = os.open(os.devnull, os.O_WRONLY)
            faulthandler.dump_traceback_later(_LONGEST_EXIT_S, exit=True, file=nowhere)


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
