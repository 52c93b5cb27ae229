"""Alert banner shown on every screen when the current run has a problem."""

from typing import TYPE_CHECKING

from diffbev_engine.core.format import UNKNOWN, gib
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_tui.core.background import Background
from diffbev_tui.core.run_words import run_state
from diffbev_tui.core.show import duration
from diffbev_tui.core.ticks import number
from diffbev_tui.i18n import tr

if TYPE_CHECKING:
    from diffbev_tui.app import DiffBEVApp
    from diffbev_tui.core.alerts import Alarm, Alert


class LoudAlarm:
    """Reads a run in a background thread; what it finds becomes a toast and a bell, once."""

    def __init__(self, app: "DiffBEVApp", alarm: "Alarm | None" = None) -> None:
        self._app = app
        self._alarm = alarm
        self._run: RunReport | None = None
        self._look = Background(self._look_beside)

    def look(self, run: RunReport | None) -> None:
        """Check ``run`` now; to be called with every snapshot."""
        if run is not None:
            self._run = run
            self._look.start()

    def _look_beside(self) -> None:
        # Here, in a background thread: the first screen does not wait for it.
        from diffbev_tui.core.alerts import Alarm

        self._alarm, run = self._alarm or Alarm(), self._run
        for alert in self._alarm.look(run) if run is not None else ():
            if self._app.is_running and run is not None:
                self._app.call_from_thread(self._app.say, alert_text(alert, run), "error")


def alert_text(alert: "Alert", run: RunReport) -> str:
    """One sentence."""
    from diffbev_tui.core.alerts import Concern

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
