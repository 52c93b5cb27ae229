"""Stop a run gracefully, or resume it: confirmed first, then done in a thread."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.message import Message

from diffbev_engine.core.format import UNKNOWN
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.actions import Started, Stopped, resume_run, stop_run
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.i18n import tr
from diffbev_tui.run_state import run_state
from diffbev_tui.widgets.pane import Pane


@dataclass
class RunActed(Message):
    """A run was stopped or started."""

    words: str


class RunControl:
    """What is already being done to a run is not started again; the pane is told by :class:`RunActed`."""

    def __init__(self, pane: Pane) -> None:
        self._pane = pane

    def stop(self, run: RunReport | None) -> None:
        """Ask whether to stop the run, and do it."""
        refusal = self._refusal(run, "stop")
        if run is None or refusal or run.state is not RunCondition.RUNNING:
            name = _name(run) if run else ""
            self._pane.say(refusal or tr("monitor.refused_not_running", run=name), "warning")
            return
        step = f"{run.step:,}" if run.step is not None else UNKNOWN
        path = Path(run.path)
        self._pane.confirm(
            tr("monitor.stop_question", run=_name(run)),
            tr("monitor.stop_consequence", step=step),
            lambda: self._start(
                f"stop {path}", lambda: stopped_words(stop_run(path)), tr("monitor.stopping", run=_name(run))
            ),
        )

    def resume(self, run: RunReport | None, checkpoint: str | None) -> None:
        """Ask whether to resume the run, and do it."""
        refusal = self._refusal(run, "resume") or (_why_not_resumable(run) if run else "")
        if run is None or refusal:
            self._pane.say(refusal, "warning")
            return
        path = Path(run.path)
        self._pane.confirm(
            tr("monitor.resume_question", run=_name(run)),
            tr("monitor.resume_consequence", checkpoint=checkpoint or run.last_checkpoint or UNKNOWN),
            lambda: self._start(
                f"resume {path}",
                lambda: started_words(resume_run(path)),
                tr("monitor.resuming", run=_name(run)),
            ),
        )

    def _refusal(self, run: RunReport | None, action: str) -> str:
        if self._pane.read_only:
            return tr("monitor.refused_read_only")
        if run is None:
            return tr("monitor.refused_no_run")
        if self._pane.busy_seconds(f"{action} {run.path}"):
            return tr("monitor.refused_busy")
        return ""

    def _start(self, key: str, action: Callable[[], str], words: str) -> None:
        self._pane.say(words)
        self._pane.run_in_thread(key, action, RunActed)


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
