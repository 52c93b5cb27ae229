"""What the monitor costs while nothing, or little, happens: processor time of the real UI in a terminal."""

from tests.benchmarks.tui.figure import Figure
from tests.benchmarks.tui.monitor import open_monitor
from tests.benchmarks.tui.rows import being_written
from tests.benchmarks.tui.terminal import Terminal
from tests.benchmarks.tui.workspace import add_run, bench_workspace

LIMIT_PERCENT = 3.0
_SETTLED_S = 3.0
_ROWS_PER_S = 0.5


def measure(*, quick: bool) -> list[Figure]:
    """Beside a run that has finished, one that is silent, and one that writes a row every two seconds."""
    seconds = 1.0 if quick else 20.0
    figures = []
    for name, what, running in (
        ("idle_finished", "processor, a finished run", False),
        ("idle_running", "processor, a running run without new rows", True),
    ):
        with bench_workspace() as bench:
            add_run(bench, "run", rows=4000, running=running)
            with open_monitor(bench) as terminal:
                figures.append(_figure(terminal, name, what, seconds, LIMIT_PERCENT))
    with bench_workspace() as bench:
        run = add_run(bench, "run", rows=4000, running=True)
        with being_written(run.metrics, _ROWS_PER_S), open_monitor(bench) as terminal:
            figures.append(_figure(terminal, "following", "processor, a row every 2 s", seconds, None))
    return figures


def _figure(terminal: Terminal, name: str, what: str, seconds: float, limit: float | None) -> Figure:
    terminal.watch(min(_SETTLED_S, seconds))
    before = terminal.cpu_s
    terminal.watch(seconds)
    percent = 100 * (terminal.cpu_s - before) / seconds
    return Figure(name, what, percent, "% of a core", limit, f"over {seconds:.0f} s, 4 charts")
