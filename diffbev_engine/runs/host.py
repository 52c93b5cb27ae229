"""One reading of the host: memory, disk of the run, and the loader workers of a run."""

import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from diffbev_engine.core.disk import size_of
from diffbev_engine.core.host_memory import HostMemory, host_memory
from diffbev_engine.runs.folder import RunFolder

_CPU_S = 0.2
"""For how long the CPU is watched. psutil could compare with its last reading, which it keeps per
thread: where the thread is another one each time, that is always 0."""


@dataclass(frozen=True)
class HostReading:
    """``None`` where the system does not say; sizes of disks in bytes."""

    memory: HostMemory
    shared: tuple[int, int] | None
    """Used and total of /dev/shm."""
    disk: tuple[int, int] | None
    """Free and total where the run writes."""
    cpu: float
    """Per cent of all cores while it was read."""
    workers: tuple[int, float] | None
    """Loader processes of the training and their CPU, in per cent of one core, since they began."""
    family: frozenset[int] = frozenset()
    """Process ids of the training and of all that it started."""
    checkpoint: int | None = None
    """Size of the run's newest checkpoint."""


def read_host(work_dir: Path, training: int | None) -> HostReading:
    """Check the host; may block on a dead disk: to be called from threads only.

    Args:
        work_dir: of the run.
        training: process id of a running training on this host.
    """
    shared, disk = _usage(Path("/dev/shm")), _usage(work_dir)
    ranks = _ranks(training) if training is not None else []
    children = [child for rank in ranks for child in _children(rank)]
    return HostReading(
        host_memory(),
        shared and (shared[1] - shared[0], shared[1]),
        disk,
        psutil.cpu_percent(_CPU_S),
        _workers(children) if ranks else None,
        frozenset(process.pid for process in (*ranks, *children)),
        size_of(RunFolder(work_dir).latest),
    )


def _usage(path: Path) -> tuple[int, int] | None:
    try:
        found = psutil.disk_usage(str(path))
    except OSError:
        return None
    return found.free, found.total


def _ranks(training: int) -> list[psutil.Process]:
    """The training and, where it has several GPUs, its other processes: the same command of one launcher."""
    try:
        first = psutil.Process(training)
        launcher = first.parent()
    except psutil.Error:
        return []
    command = _command(first)
    others = _children(launcher, recursive=False) if launcher is not None and command else []
    return [first, *(other for other in others if other.pid != training and _command(other) == command)]


def _children(process: psutil.Process, *, recursive: bool = True) -> list[psutil.Process]:
    try:
        return process.children(recursive=recursive)
    except psutil.Error:
        return []


def _command(process: psutil.Process) -> list[str]:
    """Empty for one that has ended, or that the system does not show."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _workers(children: list[psutil.Process]) -> tuple[int, float]:
    return len(children), sum(map(_load, children))


def _load(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
        return 100 * (times.user + times.system) / max(time.time() - process.create_time(), 1.0)
    except psutil.Error:  # it has just ended
        return 0.0
