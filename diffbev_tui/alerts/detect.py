"""Alerts for a run: stalled, NaN, diverging, crashed. Light imports only.

``AlertDetector.look`` reads a little and may block: it is for threads.  Each thing is said once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from shutil import disk_usage
from statistics import median

from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_engine.runs.metrics_table import Series
from diffbev_engine.runs.metrics_tail import MetricsTail
from diffbev_tui.host import disk_is_low, size_of

SILENT_EVALUATION_S = 300.0
DIVERGED_FACTOR = 3.0
_RECENT, _BEFORE = 11, 200
"""Rows whose medians are compared."""
_WATCHED = ("loss", "Lwce", "Ldepth", "Ldiff")
_BAD_ENDS = (RunCondition.DEAD, RunCondition.FAILED, RunCondition.OOM, RunCondition.DIVERGED)


class Concern(str, Enum):
    """What is wrong."""

    STALLED = "stalled"
    NOT_FINITE = "not_finite"
    DIVERGING = "diverging"
    DISK = "disk"
    """The disk of the run is nearly full."""
    ENDED = "ended"
    """The process is gone, or ended with an error."""


@dataclass(frozen=True)
class Alert:
    """One thing to say."""

    concern: Concern
    run: Path
    step: int | None = None
    column: str = ""
    seconds: float = 0.0
    """Since the last progress."""
    values: tuple[float, float] = (0.0, 0.0)
    """The usual loss before, and now."""
    message: str = ""
    """How the run ended, in the engine's words."""
    free: int = 0
    """Bytes that the disk has left."""


class AlertDetector:
    """Watches one run at a time; all calls from one thread at a time."""

    def __init__(self) -> None:
        self._said: set[object] = set()
        self._tail: MetricsTail | None = None
        self._alive: set[str] = set()

    def look(self, run: RunReport | None) -> list[Alert]:
        """What is new to be said about the run."""
        if run is None:
            return []
        found = [self._ending(run)]
        if run.state is RunCondition.RUNNING:
            self._alive.add(run.path)
            found += self._of_running(run)
        new = [alert for alert in found if alert is not None and _name(alert, run) not in self._said]
        self._said.update(_name(alert, run) for alert in new)
        return new

    def _ending(self, run: RunReport) -> Alert | None:
        """A death is said whenever it is found; other ends only to who has seen the run alive."""
        seen = run.path in self._alive
        if run.state is RunCondition.DEAD or (seen and run.state in _BAD_ENDS):
            step = run.step
            return Alert(Concern.ENDED, Path(run.path), step, message=run.message)
        return None

    def _of_running(self, run: RunReport) -> list[Alert | None]:
        path = RunFolder(Path(run.path)).metrics
        if self._tail is None or self._tail.path != path:
            self._tail = MetricsTail(path, _WATCHED, newest_only=True)
        while self._tail.advance():
            pass
        table = self._tail.table
        bad = [(table.first_not_finite(column), column) for column in _WATCHED]
        step, column = min(((step, column) for step, column in bad if step is not None), default=(None, ""))
        not_finite = Alert(Concern.NOT_FINITE, Path(run.path), step, column) if column else None
        stall, divergence = _stall(run), self._divergence(run, table.series("loss"))
        return [not_finite, stall, divergence, _disk(run)]

    def _divergence(self, run: RunReport, loss: Series) -> Alert | None:
        values = divergence(loss.values)
        return Alert(Concern.DIVERGING, Path(run.path), loss.steps[-1], values=values) if values else None


def _stall(run: RunReport) -> Alert | None:
    age = run.age_s or 0.0
    silent = run.stalled or (run.activity == "evaluating" and age > SILENT_EVALUATION_S)
    return Alert(Concern.STALLED, Path(run.path), run.step, seconds=age) if silent else None


def _disk(run: RunReport) -> Alert | None:
    try:
        free = disk_usage(run.path).free
    except OSError:
        return None
    if not disk_is_low(free, size_of(RunFolder(Path(run.path)).latest)):
        return None
    return Alert(Concern.DISK, Path(run.path), run.step, free=free)


def divergence(losses: Sequence[float]) -> tuple[float, float] | None:
    """(usual loss before, loss now) where it has grown out of all proportion; else ``None``."""
    recent = losses[-_RECENT:]
    before = losses[-_RECENT - _BEFORE : -_RECENT]
    if len(before) < _RECENT:
        return None
    usual, now = median(before), median(recent)
    return (usual, now) if now > DIVERGED_FACTOR * usual > 0 else None


def _name(alert: Alert, run: RunReport) -> object:
    """What makes it the same alert: a stall may come again after a new row, the rest after a new start."""
    again = alert.step if alert.concern is Concern.STALLED else alert.column
    return alert.concern, run.path, run.started, again
