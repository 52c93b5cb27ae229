"""How long the first screen takes, beside that of the least Textual app there can be, round about."""

import sys
from statistics import median

from diffbev_engine.runbook.load import packaged_runbook
from tests.benchmarks.tui.empty import WORDS
from tests.benchmarks.tui.figure import Figure, spread
from tests.benchmarks.tui.screen import Screen
from tests.benchmarks.tui.terminal import SIZE, Terminal
from tests.benchmarks.tui.workspace import Bench, bench_workspace, three_runs

LIMIT_S = 0.6
LIMIT_RATIO = 2.0


def is_whole(screen: Screen) -> bool:
    """Whether the runbook screen is complete: status with a run, tabs, what is next, phases, steps, keys."""
    rows = screen.rows
    return (
        "training diffbev" in rows[0]
        and "1 Runbook" in rows[1]
        and "Next:" in rows[2]
        and "Known problems" in screen.text
        and f"0.1 {packaged_runbook().step('0.1').title.en}" in screen.text
        and "help" in rows[-1]
    )


def measure(*, quick: bool) -> list[Figure]:
    """Both programs in turns, from starting them to the last cell of the first screen."""
    ours, empty, ratios = [], [], []
    with bench_workspace() as bench:
        three_runs(bench)
        _ours(bench), _empty(bench)  # compiles, and fills the file cache
        for _ in range(2 if quick else 15):
            ours.append(_ours(bench))
            empty.append(_empty(bench))
            ratios.append(ours[-1] / empty[-1])
    return [
        Figure("first_paint", "first screen, 3 runs", median(ours), "s", LIMIT_S, spread(ours, "s")),
        Figure("empty_paint", "the same, empty Textual app", median(empty), "s", None, spread(empty, "s")),
        Figure("paint_ratio", "ratio of the two", median(ratios), "x", LIMIT_RATIO, spread(ratios, "x")),
    ]


def _ours(bench: Bench) -> float:
    with bench.open() as terminal:
        return terminal.until(is_whole) - terminal.started


def _empty(bench: Bench) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.tui.empty"]
    with Terminal(command, bench.environment, SIZE) as terminal:
        return terminal.until(lambda screen: WORDS in screen.text) - terminal.started
