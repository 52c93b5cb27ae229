"""Diagnosing a run from the Classes screen: asked for, started apart from the UI, watched."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from textual.timer import Timer

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.inspect import RunCondition, RunReport
from diffbev_tui.core.apart import Apart
from diffbev_tui.core.diagnose_start import DiagnosePlan, going_on, plan_diagnosis, start_diagnosis
from diffbev_tui.core.diagnosis import Diagnosis, folder_of, read_diagnosis
from diffbev_tui.i18n import language, tr

if TYPE_CHECKING:
    from diffbev_tui.panes.classes import ClassesPane

_CLOCK_SLACK_S = 2.0
"""Of the clock of a file server."""
_LOOK_S = 1.0
"""How often it is checked while another screen is in view."""


class DiagnoseWork:
    """One diagnosis at a time; it continues when the UI is left, and the next UI finds it."""

    def __init__(self, pane: "ClassesPane") -> None:
        self._pane = pane
        self.run: Path | None = None
        """The run that is being diagnosed."""
        self._apart: Apart | None = None
        self._timer: Timer | None = None
        self.last_line = ""
        self._over = False
        self._result: Diagnosis | None = None

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.time() - self._apart.since if self._apart else 0.0

    def ask(self, run: RunReport | None) -> None:
        """Say what will happen, and start if that is wanted."""
        ui = self._pane.ui
        if ui.read_only:
            ui.say(tr("app.read_only_refused"), "warning")
        elif run is None:
            ui.say(tr("classes.diagnose_no_run"), "warning")
        elif self.run is not None:
            ui.say(tr("classes.diagnose_busy", run=self.run.name), "warning")
        else:
            self._ask(Path(run.path))

    def _ask(self, run: Path) -> None:
        ui = self._pane.ui
        trains = any(one.state is RunCondition.RUNNING for one in ui.snapshot.runs)
        try:
            plan = plan_diagnosis(run, on_cpu=trains)
        except DiffBEVError as error:
            ui.say(str(error), "warning")
            return
        question = tr("classes.diagnose_question", checkpoint=plan.checkpoint.name, run=run.name)
        consequence = tr("classes.diagnose_consequence", folder=folder_of(run))
        if plan.on_cpu:
            consequence += " " + tr("classes.diagnose_on_cpu")
        ui.confirm(question, consequence, lambda: self._start(plan))

    def _start(self, plan: DiagnosePlan) -> None:
        roots = self._pane.ui.roots
        if roots is None or self.run is not None:
            return
        folder = roots.state_folder

        def start() -> Apart | str:
            try:
                return start_diagnosis(plan, folder)
            except OSError as error:
                return str(error)

        self._pane.once(start, lambda started: self._started(plan.run, started))

    def _started(self, run: Path, started: Apart | str) -> None:
        if isinstance(started, str):
            self._pane.ui.say(tr("classes.diagnose_failed", why=started), "error")
        else:
            self._follow(run, started)

    def _follow(self, run: Path, apart: Apart) -> None:
        self.run, self._apart = run, apart
        self._over, self._result = False, None
        self._timer = self._pane.set_interval(_LOOK_S, self._look_while_hidden)

    def _look_while_hidden(self) -> None:
        """Another screen is in view; how it ended is said there too."""
        run, roots = self.run, self._pane.ui.roots
        if run is not None and roots is not None and not self._pane.display:
            self._pane.beside(lambda: self.read(run, roots), lambda found: self.watch(run, found))

    def read(self, run: Path, roots: WorkspacePaths) -> Apart | None:
        """What it said and found, or what another UI has started on ``run``; to be called from a thread."""
        diagnosed, apart = self.run, self._apart
        if diagnosed is None or apart is None:
            return going_on(run, roots.state_folder)
        over = apart.ended  # before its files are read: they are whole then
        self.last_line = apart.last_line
        self._result = read_diagnosis(folder_of(diagnosed) / "summary.json", roots.workspace)
        self._over = over
        return None

    def watch(self, run: Path, found: Apart | None) -> None:
        """Adopt the running diagnosis of ``run``; report how it ended."""
        if self._apart is None and found is not None:
            self._follow(run, found)
        apart, diagnosed, result = self._apart, self.run, self._result
        if apart is None or diagnosed is None or not self._over:
            return
        self.run = self._apart = None
        if self._timer is not None:
            self._timer.stop()
        if not apart.exit_code and result is not None and result.written >= apart.since - _CLOCK_SLACK_S:
            title = result.title[language()]
            self._pane.ui.say(tr("classes.diagnosed", run=diagnosed.name, title=title))
        else:
            why = self.last_line.removeprefix("error: ")
            self._pane.ui.say(tr("classes.diagnose_failed", why=why), "error")
