"""Detects what needs attention about a run while it runs, and how it ended. Each thing is told once."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from diffbev_engine.core.disk import disk_is_low, free_bytes, size_of
from diffbev_engine.runs.alerts import Alert, AlertKind
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.metrics.tail import MetricsTail
from diffbev_engine.runs.verdict import RunCondition

SILENT_EVALUATION_S = 300.0
"""Without an evaluated batch for this long, an evaluation is told like a stall."""
DIVERGED_FACTOR = 3.0
_RECENT, _BEFORE = 11, 200
"""Rows whose medians are compared."""
_WATCHED = ("loss", "Lwce", "Ldepth", "Ldiff")
_ENDS = {
    RunCondition.FINISHED: AlertKind.FINISHED,
    RunCondition.INTERRUPTED: AlertKind.INTERRUPTED,
    RunCondition.FAILED: AlertKind.FAILED,
    RunCondition.OOM: AlertKind.OOM,
    RunCondition.DIVERGED: AlertKind.DIVERGED,
    RunCondition.DEAD: AlertKind.DEAD,
}


class AlertDetector:
    """Follows one start of one run; all calls from one thread."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._tail = MetricsTail(folder.metrics, _WATCHED, newest_only=True)
        self._told: set[AlertKind] = set()
        """What is told once per start."""
        self._stalled_at: int | None = None
        self._troubled = False
        self._stalled_for = 0.0
        self._best: float | None = None
        self._seen_best = False

    def look(self, run: RunReport) -> list[Alert]:
        """What is new about the run; times are now."""
        found = self._running(run) if run.state is RunCondition.RUNNING else self._ended(run)
        now = time.time()
        return [replace(alert, time=now) for alert in found]

    def _ended(self, run: RunReport) -> list[Alert]:
        kind = _ENDS.get(run.state)
        best = self._new_best(run)
        if kind is None or not self._first(kind):
            return best
        message = "" if kind is AlertKind.FINISHED else run.reason
        return [*best, Alert(0.0, kind, run.step, message=message)]

    def _running(self, run: RunReport) -> list[Alert]:
        while self._tail.advance():
            pass
        return [
            *self._stall(run),
            *self._trouble(run),
            *self._losses(),
            *self._disk(run),
            *self._new_best(run),
        ]

    def _stall(self, run: RunReport) -> list[Alert]:
        age = run.age_s or 0.0
        silent = run.activity == "evaluating" and age > SILENT_EVALUATION_S
        if run.stalled or silent:
            self._stalled_for = max(self._stalled_for, age)
            if self._stalled_at is not None:
                return []
            self._stalled_at = run.step if run.step is not None else 0
            return [Alert(0.0, AlertKind.STALLED, run.step, message=run.reason, seconds=age)]
        if self._stalled_at is None:
            return []
        took, self._stalled_at, self._stalled_for = self._stalled_for, None, 0.0
        return [Alert(0.0, AlertKind.CONTINUES, run.step, seconds=took)]

    def _trouble(self, run: RunReport) -> list[Alert]:
        """Of a run that continues; a stall gives its reasons itself."""
        new = bool(run.trouble) and not run.stalled and not self._troubled
        self._troubled = bool(run.trouble)
        return [Alert(0.0, AlertKind.TROUBLE, run.step, message=run.trouble)] if new else []

    def _losses(self) -> list[Alert]:
        table, found = self._tail.table, []
        bad = [(table.first_not_finite(column), column) for column in _WATCHED]
        step, column = min(((step, column) for step, column in bad if step is not None), default=(None, ""))
        if column and self._first(AlertKind.NOT_FINITE):
            found.append(Alert(0.0, AlertKind.NOT_FINITE, step, column=column))
        loss = table.series("loss")
        values = divergence(loss.values)
        if values and self._first(AlertKind.DIVERGING):
            found.append(Alert(0.0, AlertKind.DIVERGING, loss.steps[-1], before=values[0], value=values[1]))
        return found

    def _disk(self, run: RunReport) -> list[Alert]:
        free = free_bytes(Path(run.path))
        if free is None or not disk_is_low(free, size_of(self._folder.latest)):
            return []
        if not self._first(AlertKind.DISK_LOW):
            return []
        return [Alert(0.0, AlertKind.DISK_LOW, run.step, free=free)]

    def _new_best(self, run: RunReport) -> list[Alert]:
        """Of evaluations that this start made: what the checkpoint knew is no news."""
        before, known = self._best, self._seen_best
        if run.status is not None:
            self._best, self._seen_best = run.best_miou, True
        if not known or run.best_miou is None or (before is not None and run.best_miou <= before):
            return []
        return [Alert(0.0, AlertKind.NEW_BEST, run.best_step, value=run.best_miou, before=before)]

    def _first(self, kind: AlertKind) -> bool:
        first = kind not in self._told
        self._told.add(kind)
        return first


def divergence(losses: Sequence[float]) -> tuple[float, float] | None:
    """(usual loss before, loss now) where it has grown out of all proportion; else ``None``."""
    recent = losses[-_RECENT:]
    before = losses[-_RECENT - _BEFORE : -_RECENT]
    if len(before) < _RECENT:
        return None
    usual, now = median(before), median(recent)
    return (usual, now) if now > DIVERGED_FACTOR * usual > 0 else None
