"""What needs attention about a run, in words."""

from typing import TYPE_CHECKING

from diffbev_engine.core.format import UNKNOWN, gib
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_tui.charts.ticks import number
from diffbev_tui.format import duration
from diffbev_tui.i18n import tr
from diffbev_tui.run_state import run_state

if TYPE_CHECKING:
    from diffbev_tui.alerts.detect import Alert, AlertDetector


class RunAlerts:
    """Reads a run in a thread; each thing that needs attention is told once."""

    def __init__(self, detector: "AlertDetector | None" = None) -> None:
        self._detector = detector

    def look(self, run: RunReport) -> tuple[str, ...]:
        """What is new about ``run``, a sentence each."""
        # Imported here, in a thread: the first screen does not wait for it.
        from diffbev_tui.alerts.detect import AlertDetector

        self._detector = self._detector or AlertDetector()
        return tuple(alert_text(alert, run) for alert in self._detector.look(run))


def alert_text(alert: "Alert", run: RunReport) -> str:
    """One sentence."""
    from diffbev_tui.alerts.detect import Concern

    name = plain(alert.run.name)
    step = f"{alert.step:,}" if alert.step is not None else UNKNOWN
    if alert.concern is Concern.STALLED and run.suspended:
        return tr("monitor.alert_suspended", run=name, step=step)
    if alert.concern is Concern.STALLED:
        return tr("monitor.alert_stalled", run=name, age=duration(alert.seconds), step=step)
    if alert.concern is Concern.NOT_FINITE:
        return tr("monitor.alert_not_finite", run=name, column=alert.column, step=step)
    if alert.concern is Concern.DIVERGING:
        before, now = map(number, alert.values)
        return tr("monitor.alert_diverging", run=name, before=before, now=now, step=step)
    if alert.concern is Concern.DISK:
        return tr("monitor.alert_disk", run=name, free=gib(alert.free / 2**20))
    words = tr("monitor.alert_ended", run=name, state=run_state(run), message=alert.message or UNKNOWN)
    return f"{words}\n{tr('monitor.alert_memory')}" if run.state is RunCondition.OOM else words
