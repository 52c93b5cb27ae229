"""What the terminal UI promises about large runs, measured: ``python -m diffbev_tui.bench``.

Every figure is taken in a process of its own, so that memory is that of the work measured.
"""

import json
import math
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from diffbev_engine.runs.metrics import COLUMNS

ROWS = 1_000_000
CHART_COLUMNS = ("loss", "mIoU", "Ldepth", "Ldiff")
"""The first page of the monitor."""
_SIZE = (68, 14)
_APPENDS = 200
_REDRAWS = 20


@dataclass(frozen=True)
class LargeRun:
    """How a ``metrics.csv`` of many rows is read and drawn."""

    rows: int
    megabytes: float
    first_chart_s: float
    """From nothing to the first figure of the newest rows, loading plotext included."""
    all_rows_s: float
    """Until every row is read and drawn in four smoothed charts."""
    append_ms: float
    """Median time to read one appended row."""
    small_append_ms: float
    """The same in a file of a hundredth of the rows."""
    redraw_ms: float
    """Median time from an appended row to four new figures."""
    memory_mb: float
    """Peak resident memory of the process."""


def measure_large_run(rows: int = ROWS) -> LargeRun:
    """Write a ``metrics.csv`` of so many rows and measure in another process."""
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large", Path(folder) / "small"
        for run, count in ((large, rows), (small, max(rows // 100, 1))):
            run.mkdir()
            write_large_metrics(run / "metrics.csv", count)
        command = [sys.executable, "-m", "diffbev_tui.bench", "--child", str(large), str(small)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return LargeRun(rows, **json.loads(ended.stdout))


def write_large_metrics(path: Path, rows: int) -> None:
    """Training rows as the engine writes them, and 50 evaluations."""
    chance = random.Random(0)
    blank = "," * (COLUMNS.index("grad_norm") - COLUMNS.index("lr"))
    every = max(rows // 50, 1)
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(COLUMNS) + "\n")
        for step in range(1, rows + 1):
            loss = 0.2 + math.exp(-5 * step / rows) + 0.1 * chance.random()
            parts = f"{loss:.6g},{loss / 2:.6g},{loss / 20:.6g},{loss / 5:.6g},{2e-4 * (1 - step / rows):.6g}"
            file.write(f"{step},train,train,{parts}{blank}{4 + loss:.6g},{30 + loss:.6g},18400.5\n")
            if step % every == 0:
                scores = ",".join(f"{chance.random():.6g}" for _ in range(15))
                file.write(f"{step},eval,eval,,,,,,{scores},,,\n")


def _measure(large: Path, small: Path) -> dict[str, float]:
    from diffbev_tui.core.chart import ChartSpec, draw
    from diffbev_tui.core.run_series import RunSeries

    def figures(series: RunSeries) -> None:
        span = series.span or (0, 1)
        for column in CHART_COLUMNS:
            line = series.line("A", column, span, _SIZE[0], 0.9, log_y=False)
            draw(ChartSpec((line,), span, _SIZE))

    def append(series: RunSeries, count: int, *, drawn: bool) -> float:
        """Median seconds for one row."""
        times = []
        last = series.span[1] if series.span else 0
        with series.folder.metrics.open("a", encoding="utf-8") as file:
            for step in range(last + 1, last + 1 + count):
                file.write(f"{step},train,train,1,1,1,1,1{',' * 16}1,1,1\n")
                file.flush()
                began = time.perf_counter()
                while series.advance():
                    pass
                if drawn:
                    figures(series)
                times.append(time.perf_counter() - began)
        return sorted(times)[len(times) // 2]

    began = time.perf_counter()
    series = RunSeries(large)
    series.tail.want(CHART_COLUMNS)
    series.advance()
    span = series.span or (0, 1)
    draw(ChartSpec((series.line("A", "loss", span, _SIZE[0], 0.9, log_y=False),), span, _SIZE))
    first = time.perf_counter() - began
    while series.advance():
        pass
    figures(series)
    all_rows = time.perf_counter() - began
    little = RunSeries(small)
    little.tail.want(CHART_COLUMNS)
    while little.advance():
        pass
    return {
        "megabytes": series.folder.metrics.stat().st_size / 1e6,
        "first_chart_s": first,
        "all_rows_s": all_rows,
        "append_ms": 1e3 * append(series, _APPENDS, drawn=False),
        "small_append_ms": 1e3 * append(little, _APPENDS, drawn=False),
        "redraw_ms": 1e3 * append(series, _REDRAWS, drawn=True),
        "memory_mb": peak_memory_mb(),
    }


def peak_memory_mb() -> float:
    """Peak resident memory of this process."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(_measure(*map(Path, sys.argv[2:4]))))
    else:
        for name, value in asdict(measure_large_run()).items():
            print(f"{name:16} {value:,.4g}" if isinstance(value, float) else f"{name:16} {value:,}")
