"""One reading of the host: memory, disk of the run, and the loader workers of a training."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from diffbev_engine.memory.host import HostMemory, host_memory
from diffbev_engine.runs.folder import RunFolder


@dataclass(frozen=True)
class HostReading:
    """``None`` where the system does not say; sizes of disks in bytes."""

    memory: HostMemory
    shared: tuple[int, int] | None
    """Used and total of /dev/shm."""
    disk: tuple[int, int] | None
    """Free and total where the run writes."""
    cpu: float
    """Per cent of all cores since the last reading."""
    workers: tuple[int, float] | None
    """Loader processes of the training and their CPU, in per cent of one core, since they began."""
    family: frozenset[int] = frozenset()
    """Process ids of the training and of all that it started."""
    checkpoint: int | None = None
    """Size of the run's newest checkpoint."""


def read_host(work_dir: Path, training: int | None) -> HostReading:
    """Look at the host; may block on a dead disk: to be called from threads only.

    Args:
        work_dir: of the run.
        training: process id of a running training on this host.
    """
    shared, disk = _usage(Path("/dev/shm")), _usage(work_dir)
    children = _children(training) if training is not None else None
    return HostReading(
        host_memory(),
        shared and (shared[1] - shared[0], shared[1]),
        disk,
        psutil.cpu_percent(),
        _workers(children) if children is not None else None,
        frozenset(child.pid for child in children or ()) | ({training} if training is not None else set()),
        size_of(RunFolder(work_dir).latest),
    )


def disk_is_low(free: int, checkpoint: int | None) -> bool:
    """Whether the next checkpoints may not fit: less free than three of them, or than 1 GiB; bytes."""
    return free < max(3 * (checkpoint or 0), 2**30)


def size_of(path: Path) -> int | None:
    """Bytes of a file; ``None`` where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def _usage(path: Path) -> tuple[int, int] | None:
    try:
        found = psutil.disk_usage(str(path))
    except OSError:
        return None
    return found.free, found.total


def _children(training: int) -> list[psutil.Process] | None:
    try:
        return psutil.Process(training).children(recursive=True)
    except psutil.Error:
        return None


def _workers(children: list[psutil.Process]) -> tuple[int, float]:
    return len(children), sum(map(_load, children))


def _load(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
        return 100 * (times.user + times.system) / max(time.time() - process.create_time(), 1.0)
    except psutil.Error:  # it has just ended
        return 0.0
