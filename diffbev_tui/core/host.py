"""One reading of the host: memory, disk of the run, and the loader workers of a training."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from diffbev_engine.memory.host import HostMemory, host_memory


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


def read_host(work_dir: Path, training: int | None) -> HostReading:
    """Look at the host; may block on a dead disk: to be called from threads only.

    Args:
        work_dir: of the run.
        training: process id of a running training on this host.
    """
    shared, disk = _usage(Path("/dev/shm")), _usage(work_dir)
    return HostReading(
        host_memory(),
        shared and (shared[1] - shared[0], shared[1]),
        disk,
        psutil.cpu_percent(),
        _workers(training) if training is not None else None,
    )


def _usage(path: Path) -> tuple[int, int] | None:
    try:
        found = psutil.disk_usage(str(path))
    except OSError:
        return None
    return found.free, found.total


def _workers(training: int) -> tuple[int, float] | None:
    try:
        children = psutil.Process(training).children(recursive=True)
        load = [_load(child) for child in children]
    except psutil.Error:
        return None
    return len(children), sum(load)


def _load(process: psutil.Process) -> float:
    times = process.cpu_times()
    return 100 * (times.user + times.system) / max(time.time() - process.create_time(), 1.0)
