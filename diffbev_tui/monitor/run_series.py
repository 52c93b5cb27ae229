"""The curves of one run: followed, smoothed and cut to the columns of a chart.

A curve is a metric, or a figure of ``system.csv``, which is never smoothed.

Imports nothing heavy.
"""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from math import nan
from pathlib import Path

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.metrics.smoothing import Smoother, clamped
from diffbev_engine.runs.metrics.table import Series, is_loss, is_score
from diffbev_engine.runs.metrics.tail import MetricsTail
from diffbev_engine.runs.system_figures import figure_called, is_system
from diffbev_tui.charts.axis import Axis
from diffbev_tui.charts.chart import ChartLine
from diffbev_tui.charts.series import Band, Extremes, decimate, on_log_scale
from diffbev_tui.monitor.run_files import RunFiles
from diffbev_tui.monitor.run_system import RunSystem, SystemCurve
from diffbev_tui.monitor.step_times import StepTimes

_LOOK_S = 0.8
"""Between two listings of the directory."""


class _Smoothed:
    """A column smoothed, with what is needed to draw any part of it."""

    def __init__(self, beta: float) -> None:
        self._smoother, self.extremes = Smoother(beta), Extremes()

    @property
    def values(self) -> Sequence[float]:
        return self._smoother.values

    def extend(self, values: Sequence[float]) -> None:
        self._smoother.extend(values)
        self.extremes.extend(self._smoother.values)


class RunSeries:
    """What charts show of one run; all calls from one thread."""

    def __init__(self, path: Path) -> None:
        """Follow the run in the directory ``path``."""
        self.folder = RunFolder(path)
        self.tail = MetricsTail(self.folder.metrics)
        self._extremes: dict[str, Extremes] = {}
        self._smoothed: dict[tuple[str, float], _Smoothed] = {}
        self._epoch = self.tail.epoch
        self.files = RunFiles(self.folder)
        self.system = RunSystem(self.folder)
        self.times = StepTimes(self.folder, self.system)
        self._system_curves: dict[tuple[str, Axis], SystemCurve] = {}
        self._system_version: object = None
        self._files_due = 0.0
        self._timed = False

    def want(self, columns: Iterable[str]) -> None:
        """Read what these columns need."""
        wanted = list(columns)
        self.tail.want(name for name in wanted if not is_system(name))
        if any(map(is_system, wanted)):
            self.system.want()

    def advance(self) -> bool:
        """Read one piece of what is new; whether there is more."""
        more = self.tail.advance()
        if not more and time.monotonic() >= self._files_due:
            self._files_due = time.monotonic() + _LOOK_S
            self.files.look()
            self.system.look()
            if self._timed:
                self.times.look()
        return more

    @property
    def version(self) -> object:
        """Something else whenever a chart may look different."""
        return self.tail.version, self.files.resumes, self.times.version, self.system.version

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that can be shown."""
        table = self.tail.table
        return (*(name for name in self.tail.available if table.has(name)), *self.system.names)

    def has(self, column: str) -> bool:
        """Whether there is anything to draw of a column."""
        return column in self.system.names if is_system(column) else self.tail.table.has(column)

    @property
    def resumes(self) -> list[int]:
        """The steps after which the run was resumed."""
        return sorted({*self.files.resumes, *self.tail.resumes})

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last step; ``None`` without a row."""
        table = self.tail.table
        firsts = [rows.steps[0] for rows in (table.training, table.evaluation) if len(rows)]
        return (min(firsts), table.last_step) if firsts else None

    def span_on(self, axis: Axis, columns: Iterable[str]) -> tuple[float, float] | None:
        """First and last place on an axis; by time also that of samples of the machine after the last row."""
        if self.span is None:
            return None
        first, last = (self.times.to_axis(step, axis) for step in self.span)
        if axis is not Axis.STEP:
            samples = [self._system_curve(column, axis).last for column in columns if is_system(column)]
            last = max([last, *(place for place in samples if place is not None)])
        return first, last

    def curve(self, column: str) -> Series:
        """The values of a metric as they were logged; scores in points."""
        series = self.tail.table.series(column)
        if not is_score(column):
            return series
        return Series(series.steps, [100 * value for value in series.values])

    def value(self, column: str, beta: float, cursor: float | None, axis: Axis) -> tuple[float, float]:
        """(step, value) of the newest row, or of the last one up to the cursor; NaN where it has not been."""
        at = None if cursor is None else self.times.to_step(cursor, axis)
        ahead = cursor is not None and cursor > self._end_on(axis) + 0.5
        if is_system(column):
            found = None if ahead and axis is Axis.STEP else self._system_curve(column, axis).at(cursor)
            return (self.times.to_step(found[0], axis), found[1]) if found else (nan, nan)
        curve = self.curve(column)
        place = len(curve.values) - 1 if at is None else bisect_right(curve.steps, at) - 1
        if place < 0 or ahead:
            return nan, nan
        shown = self._smooth(column, beta, curve).values if beta else curve.values
        return float(curve.steps[place]), clamped(shown[place])

    def _end_on(self, axis: Axis) -> float:
        """The place of the last row; by time that at which the run was last seen, as in an evaluation."""
        last = self.times.to_axis(self.tail.table.last_step, axis)
        return last if axis is Axis.STEP else max(last, self.times.last_on(axis))

    def on(self, axis: Axis) -> bool:
        """Whether the run can be shown on an axis; reads its times where they are needed."""
        if axis is not Axis.STEP and not self._timed:
            self._timed = True
            self.times.look()
        return self.times.knows(axis)

    def line(
        self,
        letter: str,
        column: str,
        window: tuple[float, float],
        columns: int,
        beta: float,
        log_y: bool,
        axis: Axis = Axis.STEP,
    ) -> ChartLine:
        """A column as a chart of so many columns shows it; ``window`` in units of the axis."""
        resumes = tuple(self.times.to_axis(step, axis) for step in self.resumes)
        if is_system(column):
            system = self._system_curve(column, axis)
            return ChartLine(letter, system.band(window, columns), gaps=system.gaps, resumes=resumes)
        curve = self.curve(column)
        beta = beta if is_loss(column) else 0.0
        steps = self.times.to_step(window[0], axis), self.times.to_step(window[1], axis)
        raw = decimate(curve.steps, curve.values, self._extremes_of(column, curve), steps, columns)
        smoothed = None
        if beta:
            smooth = self._smooth(column, beta, curve)
            smoothed = decimate(curve.steps, smooth.values, smooth.extremes, steps, columns)
        best = best_of(column, curve)
        in_view = best is not None and steps[0] <= best[0] <= steps[1] and not log_y

        def convert(band: Band) -> Band:
            band = on_log_scale(band) if log_y else band
            return Band([self.times.to_axis(x, axis) for x in band.x], band.low, band.high)

        bad = self.tail.table.not_finite(column)
        bad_places = (self.times.to_axis(step, axis) for step in _first_of_stretches(bad, curve.steps))
        return ChartLine(
            letter,
            convert(raw if smoothed is None else smoothed),
            None if smoothed is None else convert(raw),
            best=(self.times.to_axis(best[0], axis), best[1]) if best and in_view else None,
            bad=tuple(self.times.to_axis(step, axis) for step in bad[:1]),
            gaps=tuple(sorted([*bad_places, *self.times.pauses_on(axis)])),
            resumes=resumes,
        )

    def _system_curve(self, column: str, axis: Axis) -> SystemCurve:
        version = (self.system.version, self.times.version)
        if version != self._system_version:
            self._system_version = version
            self._system_curves.clear()
        known = self._system_curves.get((column, axis))
        if known is None:
            figure = figure_called(column)
            assert figure is not None
            known = SystemCurve(figure, self.system, axis, self.times.start)
            self._system_curves[column, axis] = known
        return known

    def _extremes_of(self, column: str, curve: Series) -> Extremes:
        self._forget_what_was_rewritten()
        extremes = self._extremes.setdefault(column, Extremes())
        extremes.extend(curve.values)
        return extremes

    def _smooth(self, column: str, beta: float, curve: Series) -> _Smoothed:
        self._forget_what_was_rewritten()
        smoothed = self._smoothed.setdefault((column, beta), _Smoothed(beta))
        smoothed.extend(curve.values)
        return smoothed

    def _forget_what_was_rewritten(self) -> None:
        if self._epoch != self.tail.epoch:
            self._epoch = self.tail.epoch
            self._extremes.clear()
            self._smoothed.clear()

    def forget_all_but(self, columns: Iterable[str], beta: float) -> None:
        """Keep what was computed for these columns and this smoothing only."""
        keep = set(columns)
        self._extremes = {column: one for column, one in self._extremes.items() if column in keep}
        self._smoothed = {
            key: one for key, one in self._smoothed.items() if key[0] in keep and key[1] == beta
        }


def _first_of_stretches(bad: Sequence[int], good: Sequence[int]) -> list[int]:
    """One step of each stretch that was not finite: between the same two finite values."""
    found: list[int] = []
    for step in bad:
        if not found or bisect_left(good, found[-1]) != bisect_left(good, step):
            found.append(step)
    return found


def best_of(column: str, curve: Series) -> tuple[float, float] | None:
    """(step, value) of the highest score; ``None`` for columns that are no scores, or without one."""
    if not is_score(column) or not len(curve.values):
        return None
    value = max(curve.values)
    return float(curve.steps[curve.values.index(value)]), value
