"""The real UI on a run of a million rows: when charts appear, when all is read, and the memory it takes."""

from tests.benchmarks.tui.figure import Figure
from tests.benchmarks.tui.monitor import all_drawn, first_drawn
from tests.benchmarks.tui.screen import Screen
from tests.benchmarks.tui.workspace import add_run, bench_workspace

ROWS = 1_000_000
LIMIT_FIRST_S = 0.5
LIMIT_ALL_S = 2.0
LIMIT_MEMORY_MB = 150.0
_LOOK_S = 0.05
_AFTER_S = 3.0


def measure(*, quick: bool) -> list[Figure]:
    """From pressing 2 on a screen that is ready; smoothing on at the end, which takes memory too."""
    rows = 20_000 if quick else ROWS
    with bench_workspace() as bench:
        add_run(bench, "large", rows=rows)
        with bench.open() as terminal:
            terminal.until(lambda screen: "Next:" in screen.text)
            terminal.watch(1.0)
            worked = terminal.cpu_s
            terminal.press("2")
            began = terminal.pressed
            first = terminal.until(first_drawn) - began
            peak = terminal.memory_mb

            def read(screen: Screen) -> bool:
                nonlocal peak
                peak = max(peak, terminal.memory_mb)
                return all_drawn(screen)

            while not read(terminal.screen):
                terminal.watch(_LOOK_S)
            all_rows, all_rows_cpu = terminal.now - began, terminal.cpu_s - worked
            terminal.press("s")
            for _ in range(round(_AFTER_S / _LOOK_S)):
                terminal.watch(_LOOK_S)
                peak = max(peak, terminal.memory_mb)
    million = f"{rows:,} rows"
    return [
        Figure("app_first_chart", "monitor opened to first chart", first, "s", LIMIT_FIRST_S, million),
        Figure("app_all_rows", "monitor opened to all rows", all_rows, "s", LIMIT_ALL_S, million),
        Figure("app_all_rows_cpu", "the same in processor time", all_rows_cpu, "s", LIMIT_ALL_S, million),
        Figure("app_memory", "memory of the UI, most", peak, "MB", LIMIT_MEMORY_MB, million),
    ]
