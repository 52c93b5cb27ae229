"""Stop a run gracefully, or resume it: confirmed first, then done in the background."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.format import UNKNOWN
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.actions import Started, Stopped, resume_run, stop_run
from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_tui.core.run_words import run_state
from diffbev_tui.i18n import tr

if TYPE_CHECKING:
    from diffbev_tui.app import DiffBEVApp


class RunControl:
    """One action at a time."""

    def __init__(self, app: "DiffBEVApp") -> None:
        self._app = app
        self._busy: threading.Thread | None = None

    def stop(self, run: RunReport | None) -> None:
        """Ask whether to stop the run, and do it."""
        refusal = self._refusal(run)
        if run is None or refusal or run.state is not RunCondition.RUNNING:
            name = _name(run) if run else ""
            self._app.say(refusal or tr("monitor.refused_not_running", run=name), "warning")
            return
        step = f"{run.step:,}" if run.step is not None else UNKNOWN
        path = Path(run.path)
        self._app.confirm(
            tr("monitor.stop_question", run=_name(run)),
            tr("monitor.stop_consequence", step=step),
            lambda: self._start(
                lambda: stopped_words(stop_run(path)), tr("monitor.stopping", run=_name(run))
            ),
        )

    def resume(self, run: RunReport | None, checkpoint: str | None) -> None:
        """Ask whether to resume the run, and do it."""
        refusal = self._refusal(run) or (_why_not_resumable(run) if run else "")
        if run is None or refusal:
            self._app.say(refusal, "warning")
            return
        path = Path(run.path)
        self._app.confirm(
            tr("monitor.resume_question", run=_name(run)),
            tr("monitor.resume_consequence", checkpoint=checkpoint or run.last_checkpoint or UNKNOWN),
            lambda: self._start(
                lambda: started_words(resume_run(path)), tr("monitor.resuming", run=_name(run))
            ),
        )

    def _refusal(self, run: RunReport | None) -> str:
        if self._app.read_only:
            return tr("monitor.refused_read_only")
        if run is None:
            return tr("monitor.refused_no_run")
        if self._busy is not None and self._busy.is_alive():
            return tr("monitor.refused_busy")
        return ""

    def _start(self, action: Callable[[], str], words: str) -> None:
        self._app.say(words)
        # A daemon: leaving the UI must not wait for a run that takes its time to save.
        self._busy = threading.Thread(target=self._run, args=(action,), daemon=True)
        self._busy.start()

    def _run(self, action: Callable[[], str]) -> None:
        try:
            self._tell(action(), failed=False)
        except (DiffBEVError, OSError) as error:
            self._tell(str(error), failed=True)

    def _tell(self, words: str, *, failed: bool) -> None:
        if self._app.is_running:
            self._app.call_from_thread(self._app.say, words, "error" if failed else "information")


def stopped_words(stopped: Stopped) -> str:
    """What a stopped run left, in a sentence."""
    run = stopped.report
    facts = {"run": _name(run), "state": run_state(run), "step": f"{run.step or 0:,}"}
    if stopped.checkpoint is None:
        return tr("monitor.stopped_unsaved", **facts)
    return tr("monitor.stopped", **facts, checkpoint=stopped.checkpoint)


def started_words(started: Started) -> str:
    """What was started, in a sentence."""
    pid = started.launch.process.pid if started.launch.process else UNKNOWN
    words = tr("monitor.started", run=plain(started.work_dir.name), pid=pid)
    return "\n".join([words, *map(plain, started.changes)])


def _name(run: RunReport) -> str:
    return plain(Path(run.path).name)


def _why_not_resumable(run: RunReport) -> str:
    if run.resumable:
        return ""
    if run.state is RunCondition.RUNNING:
        return tr("monitor.refused_running", run=_name(run))
    if run.state is RunCondition.FINISHED:
        return tr("monitor.refused_finished", run=_name(run))
    return tr("monitor.refused_no_checkpoint", run=_name(run))
