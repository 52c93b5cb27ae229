"""Number of processes killed by the kernel's OOM killer."""

import re
from dataclasses import dataclass
from pathlib import Path

_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class OomKills:
    """Counts since boot, or between two readings; ``None`` where the system does not tell."""

    cgroup: int | None
    """At the memory limit of the control group (container, scheduler's job) of this process."""
    host: int | None
    """On the whole machine."""

    def since(self, before: "OomKills") -> "OomKills":
        """The kills between ``before`` and this reading."""
        return OomKills(_difference(self.cgroup, before.cgroup), _difference(self.host, before.host))


def count_oom_kills(root: Path = Path("/")) -> OomKills:
    """Read the kernel's counters; ``root`` holds ``proc`` and ``sys``."""
    return OomKills(_cgroup(root), _read(root / "proc/vmstat"))


def _cgroup(root: Path) -> int | None:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    groups = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        inside = path.lstrip("/")
        if controllers == "":  # version 2
            found = _first(groups / inside / "memory.events", groups / "memory.events")
        elif "memory" in controllers.split(","):
            memory = groups / "memory"
            found = _first(memory / inside / "memory.oom_control", memory / "memory.oom_control")
        else:
            continue
        if found is not None:
            return found
    return None


def _first(*paths: Path) -> int | None:
    """The first count; a container may show its own group at the root."""
    return next((count for count in map(_read, paths) if count is not None), None)


def _read(path: Path) -> int | None:
    try:
        match = _COUNT.search(path.read_text())
    except OSError:
        return None
    return int(match[1]) if match else None


def _difference(after: int | None, before: int | None) -> int | None:
    return None if after is None or before is None else max(0, after - before)
