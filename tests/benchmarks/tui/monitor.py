"""The monitor of the real UI with its four charts drawn."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.tui.screen import Screen
from tests.benchmarks.tui.terminal import Terminal
from tests.benchmarks.tui.workspace import Bench

CHARTS = ("loss", "mIoU", "Ldepth", "Ldiff")
"""The first page."""


@contextmanager
def open_monitor(bench: Bench) -> Iterator[Terminal]:
    """The UI, once the monitor shows all rows of the newest run in four charts."""
    with bench.open() as terminal:
        terminal.until(lambda screen: "Next:" in screen.text)
        terminal.press("2")
        terminal.until(all_drawn)
        yield terminal


def all_drawn(screen: Screen) -> bool:
    """Whether four charts have curves, and nothing is left to be read."""
    return first_drawn(screen) and "loading" not in screen.rows[2] and curves(screen) >= len(CHARTS)


def first_drawn(screen: Screen) -> bool:
    """Whether the first chart has its title with a value, and a curve."""
    return "loss  A " in screen.text and curves(screen) > 0


def curves(screen: Screen) -> int:
    """How many of the four quarters of the charts hold braille."""
    rows = screen.rows[3:-8]
    middle, half = len(rows) // 2, len(screen.rows[0]) // 2
    quarters = [
        "".join(row[side] for row in part)
        for part in (rows[:middle], rows[middle:])
        for side in (slice(0, half), slice(half, None))
    ]
    return sum(any("\u2801" <= character <= "\u28ff" for character in quarter) for quarter in quarters)
