"""How soon a key is answered while rows arrive: the real UI, from the key to the cells that it changes.

The screen is repainted all the time, so each key is known by something that nothing else changes: the line
above the charts (which says smoothing, scale, cursor, window and page), the pane in view, the marked row,
or the help.  The keys come at random moments, mixed as a user who looks around mixes them; nothing is
warmed up: the first visit of a screen counts.
"""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import chain, cycle, islice
from statistics import median
from typing import NamedTuple

from tests.benchmarks.tui.figure import Figure, percentile, shown
from tests.benchmarks.tui.monitor import open_monitor
from tests.benchmarks.tui.rows import being_written
from tests.benchmarks.tui.screen import Screen
from tests.benchmarks.tui.terminal import Terminal
from tests.benchmarks.tui.workspace import add_run, bench_workspace

LIMIT_MS = 50.0
ROWS_PER_S = 100.0
LEFT, RIGHT = "\x1b[D", "\x1b[C"
_READING = re.compile(r"loading metrics\.csv \S+ ?%")


class Press(NamedTuple):
    """A key, and what nothing but it changes."""

    kind: str
    """``charts``, ``rows``, ``screens`` or ``help``."""
    key: str
    look: Callable[[Screen], object]


def head(screen: Screen) -> object:
    """The line above the charts, or the first of another pane."""
    return _READING.sub("", screen.rows[2])


def mark(screen: Screen) -> object:
    """Where the marked rows are."""
    return [row.find("│>") for row in screen.rows]


def help_(screen: Screen) -> object:
    """Whether help stands over the pane."""
    return "pagedown" in screen.text


def mix() -> Iterator[Press]:
    """20 keys for charts, then another screen and back, a few rows of the runbook, help; again and again."""
    for other in cycle("34567"):
        yield from (
            Press("charts", key, head) for key in (*"sesx", *(LEFT,) * 4, *(RIGHT,) * 2, *"xtttesnp+0")
        )
        yield from (Press("screens", key, head) for key in (other, "2", "1"))
        yield from (Press("rows", key, mark) for key in "jkjk")
        yield Press("screens", "2", head)
        # Not closed by escape, which Textual takes for the beginning of a longer key for 100 ms.
        yield from (Press("help", key, help_) for key in "??")


def measure(*, quick: bool) -> list[Figure]:
    """All keys of the mix together, and each kind."""
    chance = random.Random(0)
    times: dict[str, list[float]] = defaultdict(list)
    with bench_workspace() as bench:
        run = add_run(bench, "run", rows=4000, running=True)
        with being_written(run.metrics, ROWS_PER_S), open_monitor(bench) as terminal:
            for press in islice(mix(), 8 if quick else 300):
                terminal.watch(0.1 if quick else chance.uniform(0.1, 0.3))
                times[press.kind].append(_answered(terminal, press))
    kinds = [_figure(f"keys_{kind}", f"  of them: {kind}", some, None) for kind, some in times.items()]
    together = list(chain.from_iterable(times.values()))
    return [
        _figure("keys", "a key, 100 rows/s, 95th percentile", together, LIMIT_MS),
        *kinds,
    ]


def _answered(terminal: Terminal, press: Press) -> float:
    before = press.look(terminal.screen)
    terminal.press(press.key)
    return terminal.until(lambda screen: press.look(screen) != before) - terminal.pressed


def _figure(name: str, what: str, times: list[float], limit: float | None) -> Figure:
    values = [1e3 * one for one in times]
    note = f"median {shown(median(values))}, most {shown(max(values))} ms of {len(values)}"
    return Figure(name, what, percentile(values, 0.95), "ms", limit, note)
