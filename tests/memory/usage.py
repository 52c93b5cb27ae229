"""Peak memory of a command with all its processes: the sum of their proportional set sizes (PSS).

Unlike the resident size, PSS counts a page that processes share once, and a page that a forked worker
has copied by writing to it as that worker's own. Pages of files, such as those of libraries, are left
out: the system drops them when it needs room, and other programs share them. That is 250 MiB of PyTorch.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_EVERY_S = 0.05


@dataclass(frozen=True)
class Usage:
    """MiB and seconds."""

    peak: float
    """Largest sum over the process and its descendants."""
    main: float
    """Largest share of the first process."""
    workers: int
    """Largest number of other processes."""
    seconds: float
    code: int
    output: str


def memory_of(pids: Sequence[int]) -> dict[int, float]:
    """MiB of PSS by process; a process that has ended has none."""
    return {pid: size for pid in pids if (size := _pss(pid))}


def run(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Usage:
    """Run a Python command to its end."""
    started, peak, main, workers = time.monotonic(), 0.0, 0.0, 0
    command = [sys.executable, *arguments]
    with subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        while process.poll() is None:
            sizes = memory_of([process.pid, *descendants(process.pid)])
            peak, main = max(peak, sum(sizes.values())), max(main, sizes.get(process.pid, 0.0))
            workers = max(workers, len(sizes) - 1)
            time.sleep(_EVERY_S)
        output = process.stdout.read() if process.stdout else ""
    return Usage(peak, main, workers, time.monotonic() - started, process.returncode, output)


def descendants(pid: int) -> list[int]:
    """Processes that ``pid`` started, and theirs."""
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _pss(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:"))) / 1024
