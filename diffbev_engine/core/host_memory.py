"""Host memory that a new process may use: of the machine, or of its control group if that is less."""

from dataclasses import dataclass
from pathlib import Path

_MIB = 2**20


@dataclass(frozen=True)
class HostMemory:
    """MiB."""

    total: float
    available: float
    """Without swapping."""
    swap_total: float
    swap_used: float
    limited: bool
    """Whether a control group (container, scheduler's job) allows less than the machine has."""


def host_memory(root: Path = Path("/")) -> HostMemory:
    """Read it; ``root`` holds ``proc`` and ``sys`` of the control group."""
    import psutil

    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    total, available, limited = memory.total, memory.available, False
    for limit, used in _groups(root):
        if limit < total:
            total, limited = limit, True
        available = min(available, max(0, limit - used))
    return HostMemory(total / _MIB, available / _MIB, swap.total / _MIB, swap.used / _MIB, limited)


def _groups(root: Path) -> list[tuple[int, int]]:
    """(limit, used without file cache) of the control groups of this process, bytes."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    base, found = root / "sys/fs/cgroup", []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            folders = [base / inside, base]
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            folders = [base / "memory" / inside, base / "memory"]
        else:
            continue
        found += [group for folder in folders if (group := _group(folder, *names))][:1]
    return found


def _group(folder: Path, limit: str, usage: str, cache: str) -> tuple[int, int] | None:
    try:
        allowed = (folder / limit).read_text().strip()
        used = int((folder / usage).read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return None
    if not allowed.isdecimal():  # "max": no limit
        return None
    cached = next((int(line.split()[1]) for line in lines if line.split()[0] == cache), 0)
    return int(allowed), max(0, used - cached)
