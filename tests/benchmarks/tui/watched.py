"""Whether a training is slower while the monitor shows it.

A process that counts stands for the training: it is bound to one processor and tells all the time how far
it has got, and its run gets a row every two seconds.  The UI is open throughout, free to run where the
system puts it, and held by SIGSTOP in one half of the windows.  The windows come in pairs of either order,
so that whatever else the machine does weighs on both halves alike; what is left is the standard error.
What the UI writes is thrown away: it is another machine's work to show it.
"""

import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path

from tests.benchmarks.tui.figure import Figure
from tests.benchmarks.tui.monitor import open_monitor
from tests.benchmarks.tui.pairs import loss_figure, speeds_in_pairs
from tests.benchmarks.tui.rows import being_written
from tests.benchmarks.tui.terminal import Terminal
from tests.benchmarks.tui.workspace import add_run, bench_workspace

_ROWS_PER_S = 0.5
_COUNT = struct.Struct("Q")


class Counter:
    """How far the process that counts has got."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_COUNT.size))
        with path.open("r+b") as file:
            self._memory = mmap(file.fileno(), _COUNT.size)

    def speed(self, terminal: Terminal, seconds: float) -> float:
        """Counts a second while the output of the UI is taken for so long."""
        began, before = time.perf_counter(), self._now()
        terminal.discard(seconds)
        return (self._now() - before) / (time.perf_counter() - began)

    def _now(self) -> int:
        return int(_COUNT.unpack(self._memory)[0])


def count_for_ever(path: Path) -> None:
    """Work without end on one processor, and say how much is done."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with path.open("r+b") as file:
        memory = mmap(file.fileno(), _COUNT.size)
    done = 0
    while True:
        sum(range(2_000))
        done += 1
        _COUNT.pack_into(memory, 0, done)


@contextmanager
def counting(path: Path) -> Iterator[Counter]:
    """A process counts while the block runs."""
    counter = Counter(path)
    worker = subprocess.Popen([sys.executable, "-m", "tests.benchmarks.tui.watched", str(path)])
    try:
        yield counter
    finally:
        worker.kill()
        worker.wait()


def measure(*, quick: bool) -> list[Figure]:
    """How much slower, in per cent, and how sure that is."""
    pairs, window = (2, 0.3) if quick else (75, 1.0)
    with bench_workspace() as bench:
        run = add_run(bench, "run", rows=4000, running=True)
        with (
            being_written(run.metrics, _ROWS_PER_S),
            counting(bench.workspace.parent / "count") as counter,
            open_monitor(bench) as terminal,
        ):
            terminal.watch(min(window, 1.0))
            speeds = speeds_in_pairs(terminal, pairs, lambda: counter.speed(terminal, window))
    return [loss_figure("watched", "speed lost while watched", speeds, window)]


if __name__ == "__main__":
    count_for_ever(Path(sys.argv[1]))
