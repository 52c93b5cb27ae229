"""A ``metrics.csv`` of a million rows, read and drawn without a screen, in a process of its own.

Its limits are those of the promise to a screen, without the screen's share of the time.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.tui.figure import Figure, shown
from tests.benchmarks.tui.rows import write_metrics

ROWS = 1_000_000
CHART_COLUMNS = ("loss", "mIoU", "Ldepth", "Ldiff")
"""The first page of the monitor."""
_SIZE = (68, 14)
_APPENDS = 200
_REDRAWS = 20


def measure(*, quick: bool) -> list[Figure]:
    """Write the files, and measure in another process."""
    rows = 20_000 if quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large", Path(folder) / "small"
        for run, count in ((large, rows), (small, max(rows // 100, 1))):
            run.mkdir()
            write_metrics(run / "metrics.csv", count)
        megabytes = (large / "metrics.csv").stat().st_size / 1e6
        command = [sys.executable, "-m", "tests.benchmarks.tui.large_run", str(large), str(small)]
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(ended.stdout)
    append, little = found["append_ms"], found["small_append_ms"]
    size = f"{rows:,} rows, {megabytes:.0f} MB in the file cache"
    beside = f"{shown(append)} ms, and {shown(little)} ms after a hundredth of the rows"
    return [
        Figure("first_chart", "first chart, no screen", found["first_chart_s"], "s", 0.5, size),
        Figure("all_rows", "all rows in 4 charts, no screen", found["all_rows_s"], "s", 2.0, size),
        Figure("all_rows_cpu", "the same in processor time", found["all_rows_cpu_s"], "s", 2.0, size),
        Figure("append_ratio", "an appended row, large : small file", append / little, "x", 2.0, beside),
        Figure("redraw", "4 charts redrawn after a row", found["redraw_ms"], "ms", None, "median"),
    ]


def _measure(large: Path, small: Path) -> dict[str, float]:
    from diffbev_tui.charts.chart import ChartSpec, draw
    from diffbev_tui.monitor.run_series import RunSeries

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

    began, worked = time.perf_counter(), time.process_time()
    series = RunSeries(large)
    series.tail.want(CHART_COLUMNS)
    series.advance()
    span = series.span or (0, 1)
    draw(ChartSpec((series.line("A", "loss", span, _SIZE[0], 0.9, log_y=False),), span, _SIZE))
    first = time.perf_counter() - began
    while series.advance():
        pass
    figures(series)
    all_rows, all_rows_cpu = time.perf_counter() - began, time.process_time() - worked
    little = RunSeries(small)
    little.tail.want(CHART_COLUMNS)
    while little.advance():
        pass
    return {
        "first_chart_s": first,
        "all_rows_s": all_rows,
        "all_rows_cpu_s": all_rows_cpu,
        "append_ms": 1e3 * append(series, _APPENDS, drawn=False),
        "small_append_ms": 1e3 * append(little, _APPENDS, drawn=False),
        "redraw_ms": 1e3 * append(series, _REDRAWS, drawn=True),
    }


if __name__ == "__main__":
    print(json.dumps(_measure(*map(Path, sys.argv[1:3]))))
