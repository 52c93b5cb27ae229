"""Rows of a ``metrics.csv`` as a training writes them; as a program, at a steady pace.

``python -m tests.benchmarks.tui.rows FILE ROWS_PER_SECOND`` appends until it is ended: a process of its own,
so that writing takes no time from whoever measures.
"""

import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffbev_engine.runs.metrics.dialect import COLUMNS

_BLANK = "," * (COLUMNS.index("grad_norm") - COLUMNS.index("lr"))
_EVALUATIONS = 50


def training_row(step: int, share: float, chance: random.Random) -> str:
    """A row after ``share`` of a training."""
    loss = 0.2 + math.exp(-5 * share) + 0.1 * chance.random()
    parts = f"{loss:.6g},{loss / 2:.6g},{loss / 20:.6g},{loss / 5:.6g},{2e-4 * (1 - share):.6g}"
    return f"{step},train,train,{parts}{_BLANK}{4 + loss:.6g},{30 + loss:.6g},18400.5\n"


def write_metrics(path: Path, rows: int, step: int = 1) -> None:
    """So many training rows, ``step`` iterations apart, and 50 evaluations."""
    chance = random.Random(0)
    every = max(rows // _EVALUATIONS, 1)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(COLUMNS) + "\n")
        for row in range(1, rows + 1):
            file.write(training_row(step * row, row / rows, chance))
            if row % every == 0:
                scores = ",".join(f"{chance.random():.6g}" for _ in range(15))
                file.write(f"{step * row},eval,eval,,,,,,{scores},,,\n")


def append_for_ever(path: Path, rows_per_s: float) -> None:
    """Append rows at a steady pace, from the last step that is there; each is flushed."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 4096, 0))
        step = int(file.read().rstrip(b"\n").rpartition(b"\n")[2].partition(b",")[0])
    chance, began, written = random.Random(1), time.monotonic(), 0
    with path.open("a", encoding="utf-8") as file:
        while True:
            written += 1
            time.sleep(max(began + written / rows_per_s - time.monotonic(), 0.0))
            file.write(training_row(step + written, 0.9, chance))
            file.flush()


@contextmanager
def being_written(path: Path, rows_per_s: float) -> Iterator[None]:
    """Rows arrive in ``path`` while the block runs."""
    command = [sys.executable, "-m", "tests.benchmarks.tui.rows", str(path), json.dumps(rows_per_s)]
    writer = subprocess.Popen(command)
    try:
        yield
    finally:
        writer.kill()
        writer.wait()


if __name__ == "__main__":
    append_for_ever(Path(sys.argv[1]), float(sys.argv[2]))
