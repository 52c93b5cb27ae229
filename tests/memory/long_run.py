"""Host memory of a training of thousands of tiny iterations, with everything that writes meanwhile.

Each iteration is logged, so that rows, log lines and states are as many as in a run fifty times as long;
there are five evaluations and fifty checkpoints, and a process that watches, as always.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.status import read_status
from tests.memory.usage import descendants, memory_of

_MOST_GROWTH = 8.0
"""MiB: what allocators keep more or less of, at any time."""
_EVERY_S = 1.0


def long_run(root: Path, iterations: int) -> bool:
    """Train on the data root ``root``; print the memory early and at the end; False if it grew."""
    run = RunFolder(root / "long_run")
    shutil.rmtree(run.path, ignore_errors=True)
    interval = max(1, iterations // 5)
    settings = {
        "runner.max_iters": iterations,
        "log_config.interval": 1,
        "checkpoint_config.interval": max(1, interval // 10),
        "evaluation.interval": interval,
        "data.cameras": "front",
        "data.samples_per_gpu": 1,
    }
    overrides = [part for name, value in settings.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "diffbev_engine", "train", str(root / "config.py"), *overrides]
    sizes: dict[str, list[tuple[int, float]]] = defaultdict(list)
    command += ["--work-dir", str(run.path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as process:
        while process.poll() is None:
            step = _step(run)
            for pid, size in memory_of([process.pid, *descendants(process.pid)]).items():
                kind = "training" if pid == process.pid else _kind(pid)
                sizes[kind].append((step, size))
            time.sleep(_EVERY_S)
    good = process.returncode == 0
    for kind in ("training", "watch"):
        early = _median(sizes[kind], 0.2 * iterations, 0.4 * iterations)
        late = _median(sizes[kind], 0.8 * iterations, iterations)
        met = late - early <= _MOST_GROWTH
        good &= met
        print(
            f"{f'{iterations} iterations: {kind}':34} {early:.1f} MiB early, {late:.1f} MiB late, "
            f"bound +{_MOST_GROWTH:.0f}  {'met' if met else 'EXCEEDED'}",
            flush=True,
        )
    return good


def _step(run: RunFolder) -> int:
    status = read_status(run.status)
    return status.step or 0 if status else 0


def _kind(pid: int) -> str:
    try:
        return "watch" if "diffbev_engine.runs.watch" in psutil.Process(pid).cmdline() else "loader"
    except psutil.Error:
        return "loader"


def _median(samples: list[tuple[int, float]], first: float, last: float) -> float:
    found = [size for step, size in samples if first <= step <= last]
    return statistics.median(found) if found else float("nan")
