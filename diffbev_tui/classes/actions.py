"""Diagnosing a run from the Classes screen: asked for, started process from the UI, watched."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from textual.message import Message
from textual.timer import Timer

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.classes.diagnose_start import DiagnosePlan, going_on, plan_diagnosis, start_diagnosis
from diffbev_tui.classes.diagnosis import Diagnosis, folder_of, read_diagnosis
from diffbev_tui.detached_process import DetachedProcess
from diffbev_tui.i18n import language, tr
from diffbev_tui.widgets.pane import Pane

DIAGNOSE = "diagnose"
"""Key of the job that starts one."""
_CLOCK_SLACK_S = 2.0
"""Of the clock of a file server."""
_POLL_S = 1.0
"""How often it is checked while another screen is in view."""


@dataclass
class DiagnosisStarted(Message):
    """A diagnosis of ``run`` was started, or found."""

    run: Path
    process: DetachedProcess


@dataclass
class DiagnosisPolled(Message):
    """The log of the diagnosis was read; ``process`` is one that another UI has started on ``run``."""

    run: Path
    process: DetachedProcess | None


class DiagnoseWork:
    """One diagnosis at a time; it continues when the UI is left, and the next UI finds it."""

    def __init__(self, pane: Pane) -> None:
        self._pane = pane
        self.run: Path | None = None
        """The run that is being diagnosed."""
        self._process: DetachedProcess | None = None
        self._timer: Timer | None = None
        self.last_line = ""
        self._over = False
        self._result: Diagnosis | None = None

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.time() - self._process.since if self._process else 0.0

    def ask(self, run: RunReport | None) -> None:
        """Say what will happen, and start if that is wanted."""
        pane = self._pane
        if pane.refused():
            return
        if run is None:
            pane.say(tr("classes.diagnose_no_run"), "warning")
        elif self.run is not None:
            pane.say(tr("classes.diagnose_busy", run=self.run.name), "warning")
        else:
            self._ask(Path(run.path))

    def _ask(self, run: Path) -> None:
        pane = self._pane
        trains = any(one.state is RunCondition.RUNNING for one in pane.snapshot.runs)
        try:
            plan = plan_diagnosis(run, on_cpu=trains)
        except DiffBEVError as error:
            pane.say(str(error), "warning")
            return
        question = tr("classes.diagnose_question", checkpoint=plan.checkpoint.name, run=run.name)
        consequence = tr("classes.diagnose_consequence", folder=folder_of(run))
        if plan.on_cpu:
            consequence += " " + tr("classes.diagnose_on_cpu")
        pane.confirm(question, consequence, lambda: self._start(plan))

    def _start(self, plan: DiagnosePlan) -> None:
        roots = self._pane.roots
        if roots is not None and self.run is None:
            start = partial(start_diagnosis, plan, roots.state_folder)
            self._pane.run_in_thread(DIAGNOSE, start, partial(DiagnosisStarted, plan.run))

    def follow(self, run: Path, process: DetachedProcess) -> None:
        """Watch a diagnosis that runs."""
        self.run, self._process = run, process
        self._over, self._result = False, None
        self._timer = self._pane.set_interval(_POLL_S, self._poll_while_hidden)

    def _poll_while_hidden(self) -> None:
        run, roots = self.run, self._pane.roots
        if run is not None and roots is not None and not self._pane.display:
            self._pane.run_in_thread("read", partial(self.read, run, roots), partial(DiagnosisPolled, run))

    def read(self, run: Path, roots: WorkspacePaths) -> DetachedProcess | None:
        """What it said and found, or what another UI has started on ``run``; to be called from a thread."""
        diagnosed, process = self.run, self._process
        if diagnosed is None or process is None:
            return going_on(run, roots.state_folder)
        over = process.ended  # before its files are read: they are whole then
        self.last_line = process.last_line
        self._result = read_diagnosis(folder_of(diagnosed) / "summary.json", roots.workspace)
        self._over = over
        return None

    def watch(self, run: Path, found: DetachedProcess | None) -> None:
        """Adopt the running diagnosis of ``run``; report how it ended."""
        if self._process is None and found is not None:
            self.follow(run, found)
        process, diagnosed, result = self._process, self.run, self._result
        if process is None or diagnosed is None or not self._over:
            return
        self.run = self._process = None
        if self._timer is not None:
            self._timer.stop()
        if not process.exit_code and result is not None and result.written >= process.since - _CLOCK_SLACK_S:
            title = result.title[language()]
            self._pane.say(tr("classes.diagnosed", run=diagnosed.name, title=title))
        else:
            why = self.last_line.removeprefix("error: ")
            self._pane.say(tr("classes.diagnose_failed", why=why), "error")
