"""Stop a run gracefully or resume it, after confirmation, through background engine commands."""

import threading
from pathlib import Path
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING

from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_tui.core.engine import ask_engine
from diffbev_tui.core.show import UNKNOWN
from diffbev_tui.i18n import tr

if TYPE_CHECKING:
    from diffbev_tui.app import DiffBEVApp

_PATIENCE_S = 400.0


class RunControl:
    """One command at a time."""

    def __init__(self, app: "DiffBEVApp") -> None:
        self._app = app
        self._busy: threading.Thread | None = None

    def stop(self, run: RunReport | None) -> None:
        """Ask whether to stop the run, and do it."""
        refusal = self._refusal(run)
        if run is None or refusal or run.state is not RunCondition.RUNNING:
            name = Path(run.path).name if run else ""
            self._app.say(refusal or tr("monitor.refused_not_running", run=name), "warning")
            return
        name = Path(run.path).name
        step = f"{run.status.step:,}" if run.status else UNKNOWN
        self._app.confirm(
            tr("monitor.stop_question", run=name),
            tr("monitor.stop_consequence", step=step),
            lambda: self._start("stop", run, tr("monitor.stopping", run=name)),
        )

    def resume(self, run: RunReport | None, checkpoint: str | None) -> None:
        """Ask whether to resume the run, and do it."""
        refusal = self._refusal(run) or (_why_not_resumable(run) if run else "")
        if run is None or refusal:
            self._app.say(refusal, "warning")
            return
        name = Path(run.path).name
        self._app.confirm(
            tr("monitor.resume_question", run=name),
            tr("monitor.resume_consequence", checkpoint=checkpoint or "latest.pth"),
            lambda: self._start("resume", run, tr("monitor.resuming", run=name)),
        )

    def _refusal(self, run: RunReport | None) -> str:
        if self._app.read_only:
            return tr("monitor.refused_read_only")
        if run is None:
            return tr("monitor.refused_no_run")
        if self._busy is not None and self._busy.is_alive():
            return tr("monitor.refused_busy")
        return ""

    def _start(self, command: str, run: RunReport, words: str) -> None:
        self._app.say(words)
        # A daemon: leaving the UI must not wait for a training that takes its time to save.
        self._busy = threading.Thread(target=self._run, args=(command, run.path), daemon=True)
        self._busy.start()

    def _run(self, command: str, path: str) -> None:
        shown = f"diffbev-engine runs {command} {path}"
        try:
            answer = ask_engine("runs", command, path, timeout_s=_PATIENCE_S)
        except (OSError, TimeoutExpired) as error:
            self._tell(tr("monitor.command_failed", command=shown, why=error), failed=True)
            return
        if answer.exit_code:
            self._tell(tr("monitor.command_failed", command=shown, why=answer.last_line), failed=True)
        else:
            self._tell(answer.last_line, failed=False)

    def _tell(self, words: str, *, failed: bool) -> None:
        if self._app.is_running:
            self._app.call_from_thread(self._app.say, words, "error" if failed else "information")


def _why_not_resumable(run: RunReport) -> str:
    name = Path(run.path).name
    if run.resumable:
        return ""
    if run.state is RunCondition.RUNNING:
        return tr("monitor.refused_running", run=name)
    if run.state is RunCondition.FINISHED:
        return tr("monitor.refused_finished", run=name)
    return tr("monitor.refused_no_checkpoint", run=name)
