"""Speeds while the UI runs and while it is held by SIGSTOP, in pairs of windows of either order."""

import random
from collections.abc import Callable, Sequence
from statistics import median

from tests.benchmarks.tui.figure import Figure, median_error, shown
from tests.benchmarks.tui.terminal import Terminal

LIMIT_PERCENT = 1.0

Speeds = tuple[float, float]
"""Watched, and not."""


def speeds_in_pairs(terminal: Terminal, pairs: int, speed: Callable[[], float]) -> list[Speeds]:
    """Measure ``speed`` twice a pair; which half comes first is left to chance."""
    chance = random.Random(0)
    found = []
    for _ in range(pairs):
        speeds = {}
        for watched in chance.sample((True, False), 2):
            (terminal.process.resume if watched else terminal.process.suspend)()
            speeds[watched] = speed()
        found.append((speeds[True], speeds[False]))
    return found


def loss_figure(name: str, what: str, speeds: Sequence[Speeds], window: float) -> Figure:
    """How much slower, in per cent, and how sure that is."""
    losses = [100 * (1 - watched / alone) for watched, alone in speeds]
    error = median_error(losses)
    note = f"median, standard error {shown(error)} of {len(losses)} pairs of {window:.1f} s"
    return Figure(name, what, median(losses), "%", LIMIT_PERCENT, note, error)
