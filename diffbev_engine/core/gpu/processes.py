"""Processes that hold memory of a GPU, and which of them is this one, across pid namespaces.

The driver counts processes as the host does. In a container the pid of this very process is another
one there, and a process that is not visible here may well be this one.
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from diffbev_engine.core.secrets import masked_command

_MIB = 2**20
_UNKNOWN_BYTES = 2**60
"""Above this the driver means "not available": all bits set, in old versions of nvidia-ml-py."""
_FIRST_NAMESPACE = "pid:[4026531836]"
"""Of the host; the number is fixed in the kernel."""


@dataclass(frozen=True)
class GpuProcess:
    """One process that uses a GPU."""

    pid: int
    """As the driver counts: in a container this may be the pid on the host."""
    mib: float | None
    """``None`` where the driver does not tell (Windows, some containers)."""
    name: str | None
    """Command line, or ``None`` for a process that is not visible from here."""
    user: str | None
    mine: bool | None
    """Whether it is this process; ``None`` when a container hides that."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def describe(pid: int, used: int | None, *, proc: Path = Path("/proc")) -> GpuProcess:
    """A process as the driver names it; ``used`` in bytes."""
    import psutil

    mib = None if used is None or used > _UNKNOWN_BYTES else used / _MIB
    own = _pids(proc / "self" / "status") or (os.getpid(),)
    try:
        process = psutil.Process(pid)
        name, user = _command(process), _user(process)
    except (psutil.Error, ValueError, OSError):
        name, user = None, None
    if pid in own:
        return GpuProcess(pid, mib, name, user, True)
    return GpuProcess(pid, mib, name, user, None if name is None or is_nested(proc) else False)


def own_among(
    processes: Sequence[GpuProcess], held: float | None = None, least: float | None = None
) -> tuple[GpuProcess, ...]:
    """The same processes, this one marked where only its memory gives it away.

    Args:
        processes: of a GPU that this process uses.
        held: MiB that this process holds on that GPU, its CUDA context included.
        least: MiB that it holds at least: what PyTorch reserved.
    """
    if any(each.mine for each in processes):
        return tuple(processes)
    hidden = [each for each in processes if each.mine is None]
    own = _closest(hidden, held, least)
    return tuple(replace(each, mine=each is own) if own else each for each in processes)


def _closest(hidden: Sequence[GpuProcess], held: float | None, least: float | None) -> GpuProcess | None:
    sized = [(each.mib, each) for each in hidden if each.mib is not None]
    if held is not None and sized:
        size, nearest = min(sized, key=lambda pair: abs(pair[0] - held))
        return nearest if abs(size - held) <= max(2.0, 0.01 * held) else None
    if least is not None and sized:
        return min((pair for pair in sized if pair[0] >= least), default=(0.0, None), key=lambda p: p[0])[1]
    return hidden[0] if len(hidden) == 1 and not sized else None


def is_nested(proc: Path = Path("/proc")) -> bool:
    """Whether this process lives in a pid namespace of its own, as in a container."""
    try:
        return str((proc / "self" / "ns" / "pid").readlink()) != _FIRST_NAMESPACE
    except OSError:
        return False


def _pids(status: Path) -> tuple[int, ...]:
    """The pids of a process from this namespace inwards; empty where the system does not tell."""
    try:
        lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return next((tuple(map(int, line.split()[1:])) for line in lines if line.startswith("NSpid:")), ())


def _command(process: Any) -> str | None:
    import psutil

    try:
        return " ".join(masked_command(process.cmdline()))[:200] or process.name()
    except psutil.Error:
        return None


def _user(process: Any) -> str | None:
    import psutil

    try:
        return str(process.username())
    except (psutil.Error, KeyError):
        return None
