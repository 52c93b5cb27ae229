"""The ``system.csv`` of one run, followed: its columns at once, its samples when a chart needs them.

Imports nothing heavy.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from diffbev_engine.core.files import file_stamp
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.system import SystemHistory, SystemTail, system_columns
from diffbev_engine.runs.system_figures import SystemFigure, figures_in
from diffbev_tui.charts.axis import Axis
from diffbev_tui.charts.series import Band, Extremes, decimate

_GAP_S = 60.0
_GAP_RATIO = 4.0
"""Samples this much further apart than their neighbours are not connected: nothing ran between them."""


class RunSystem:
    """Reads what has changed; all calls from one thread."""

    def __init__(self, folder: RunFolder) -> None:
        """Nothing is read yet."""
        self._tail = SystemTail(folder.system)
        self._stamp: object = None
        self._wanted = False
        self.names: tuple[str, ...] = ()
        """The figures that it holds, as columns of charts."""
        self.history = SystemHistory()
        self.version = 0

    def want(self) -> None:
        """Read the samples too, from now on."""
        if not self._wanted:
            self._wanted = True
            self.look()

    def look(self) -> None:
        """Read the file if it has changed."""
        stamp = file_stamp(self._tail.path)
        if stamp != self._stamp:
            self._stamp = stamp
            self.names = tuple(figure.name for figure in figures_in(system_columns(self._tail.path)))
        history = self._tail.look() if self._wanted else self.history
        if history is not self.history:
            self.history = history
            self.version += 1


class SystemCurve:
    """One figure of a run on one axis."""

    def __init__(self, figure: SystemFigure, system: RunSystem, axis: Axis, start: float) -> None:
        """``start``: the Unix time at which the relative axis is 0."""
        history = system.history
        self._by_time = axis is not Axis.STEP
        xs, self._values = figure.over_time(history) if self._by_time else figure.over_iterations(history)
        zero = start if axis is Axis.RELATIVE else 0.0
        self._xs = [x - zero for x in xs] if zero else xs
        self.gaps = pauses(self._xs) if self._by_time else ()
        """Places on the axis at which nothing was recorded for a while."""

    @property
    def last(self) -> float | None:
        """The place of the newest sample."""
        return self._xs[-1] if self._xs else None

    def band(self, window: tuple[float, float], columns: int) -> Band:
        """As a chart of so many columns shows it: peaks stay, nothing is smoothed."""
        return decimate(self._xs, self._values, Extremes(), window, columns)

    def at(self, cursor: float | None) -> tuple[float, float] | None:
        """Place and value of the newest sample, or of the last one up to the cursor."""
        place = len(self._xs) - 1 if cursor is None else bisect_right(self._xs, cursor) - 1
        if place < 0 or (self._by_time and cursor is not None and cursor > self._xs[-1] + _GAP_S):
            return None
        return self._xs[place], self._values[place]


def pauses(times: Sequence[float]) -> tuple[float, ...]:
    """Moments at which nothing was recorded for a while.

    There samples are much further apart than those next to them; by thinning it is twice at most.
    """
    lengths = [later - earlier for earlier, later in pairwise(times)]
    found = []
    for place, length in enumerate(lengths):
        usual = min(lengths[max(place - 1, 0) : place] + lengths[place + 1 : place + 2], default=length)
        if length > max(_GAP_S, _GAP_RATIO * usual):
            found.append(times[place] + length / 2)
    return tuple(found)
