"""When a run reached which iteration: from ``system.csv``, else from its logs. Imports nothing heavy.

``metrics.csv`` counts iterations only; between two known moments they are taken to be equally long.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from math import isnan
from pathlib import Path

from diffbev_engine.core.files import file_stamp
from diffbev_engine.core.regular_file import read_end
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.manifest import read_manifest
from diffbev_tui.charts.axis import Axis
from diffbev_tui.monitor.run_system import RunSystem, pauses

_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\S* I iter (\d{1,15})/", re.MULTILINE)
_LARGEST = 4 << 20
_MOST_KNOTS = 2_000


class StepTimes:
    """Knots of (iteration, Unix time); all calls from one thread."""

    def __init__(self, folder: RunFolder, system: RunSystem) -> None:
        self._folder, self._system = folder, system
        self._stamp: object = None
        self._system_version = -1
        self._recorded: list[tuple[float, float]] = []
        self.steps: Sequence[float] = ()
        self.times: Sequence[float] = ()
        self._pauses: tuple[float, ...] = ()
        self.version = 0

    def look(self) -> None:
        """Read what has changed."""
        self._system.want()
        if self._system.version != self._system_version:
            self._system_version, self._recorded = self._system.version, self._of_system()
        logs = [] if self._recorded else sorted(self._folder.path.glob("train_*.log"))
        stamp = (self._system_version, *map(file_stamp, logs))
        if stamp == self._stamp:
            return
        self._stamp = stamp
        found = self._recorded or self._of_logs(logs)
        kept = found[:: max(1, len(found) // _MOST_KNOTS)] + found[-1:]
        knots = _rising(kept)
        self._pauses = pauses([time for _, time in self._recorded])
        self.steps, self.times = [step for step, _ in knots], [time for _, time in knots]
        self.version += 1

    def _of_system(self) -> list[tuple[float, float]]:
        history = self._system.history
        steps = history.columns.get("step", ())
        return [(step, time) for step, time in zip(steps, history.times, strict=True) if not isnan(step)]

    def _of_logs(self, logs: Sequence[Path]) -> list[tuple[float, float]]:
        found: list[tuple[float, float]] = []
        for log in logs:
            try:
                text = read_end(log, _LARGEST).decode("utf-8", "replace")
            except OSError:
                continue
            with suppress(ValueError, OverflowError):  # a line of digits that are no time
                found += [
                    (float(step), datetime.fromisoformat(moment).timestamp())
                    for moment, step in _LINE.findall(text)
                ]
        manifest = read_manifest(self._folder)
        if found and manifest and manifest.started_at and manifest.started_at < found[0][1]:
            found.insert(0, (0.0, manifest.started_at))
        return found

    @property
    def start(self) -> float:
        """Where the relative axis begins; Unix time."""
        return self.times[0] if self.times else 0.0

    def last_on(self, axis: Axis) -> float:
        """The place of the last moment at which the run was seen, on an axis of time."""
        last = self.times[-1] if self.times else 0.0
        return last - self.start if axis is Axis.RELATIVE else last

    def to_axis(self, step: float, axis: Axis) -> float:
        """The place of an iteration on an axis."""
        if axis is Axis.STEP or len(self.steps) < 2:
            return step
        moment = _between(step, self.steps, self.times)
        return moment - self.start if axis is Axis.RELATIVE else moment

    def to_step(self, place: float, axis: Axis) -> float:
        """The iteration at a place of an axis."""
        if axis is Axis.STEP or len(self.steps) < 2:
            return place
        moment = place + self.start if axis is Axis.RELATIVE else place
        return _between(moment, self.times, self.steps)

    def pauses_on(self, axis: Axis) -> tuple[float, ...]:
        """Places on an axis of time at which the run did not run, as between a stop and a resume."""
        if axis is Axis.STEP:
            return ()
        return tuple(moment - (self.start if axis is Axis.RELATIVE else 0.0) for moment in self._pauses)

    def knows(self, axis: Axis) -> bool:
        """Whether the run can be shown on an axis."""
        return axis is Axis.STEP or len(self.steps) >= 2


def _rising(knots: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """In the order of time, without the iterations that a resume did again.

    An iteration that lasts, as during an evaluation, has two: when it was reached, and when last seen.
    """
    kept: list[tuple[float, float]] = []
    for step, time in sorted(knots, key=lambda knot: knot[1]):
        while kept and kept[-1][0] > step:
            kept.pop()
        if len(kept) > 1 and kept[-2][0] == step:
            kept.pop()
        if not kept or time > kept[-1][1]:
            kept.append((step, time))
    return kept


def _between(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Linear between knots and beyond them; the first of several that share ``x``."""
    at = bisect_left(xs, x)
    if at < len(xs) and xs[at] == x:
        return ys[at]
    at = min(max(at - 1, 0), len(xs) - 2)
    run = xs[at + 1] - xs[at]
    return ys[at] + (x - xs[at]) * (ys[at + 1] - ys[at]) / run if run else ys[at + 1]
