"""How long the first screen takes, beside that of the least Textual app there can be, round about."""

import sys
from statistics import median

from diffbev_tui.bench.empty import WORDS
from diffbev_tui.bench.figure import Figure, spread
from diffbev_tui.bench.screen import Screen
from diffbev_tui.bench.terminal import SIZE, Terminal
from diffbev_tui.bench.workspace import Bench, bench_workspace, three_runs

LIMIT_S = 0.6
LIMIT_RATIO = 2.0


def is_whole(screen: Screen) -> bool:
    """Whether the runbook screen stands there: status with a run, tabs, what is next, phases, steps, keys."""
    rows = screen.rows
    return (
        "training diffbev" in rows[0]
        and "1 Runbook" in rows[1]
        and "Next:" in rows[2]
        and "Known problems" in screen.text
        and "0.1 Enter the project folder" in screen.text
        and "palette" in rows[-1]
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
    command = [sys.executable, "-m", "diffbev_tui.bench.empty"]
    with Terminal(command, bench.environment, SIZE) as terminal:
        return terminal.until(lambda screen: WORDS in screen.text) - terminal.started
