"""Diagnosing a run from the Classes screen: asked for, started apart from the UI, watched."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from diffbev_engine.errors import DiffBEVError
from diffbev_engine.runs.survey import RunCondition, RunReport
from diffbev_tui.core.diagnose_start import DiagnosePlan, Diagnosing, plan_diagnosis, start_diagnosis
from diffbev_tui.core.diagnosis import Diagnosis, folder_of
from diffbev_tui.i18n import language, tr

if TYPE_CHECKING:
    from diffbev_tui.panes.classes import ClassesPane


class DiagnoseWork:
    """One diagnosis at a time; it goes on when the UI is left."""

    def __init__(self, pane: "ClassesPane") -> None:
        self._pane = pane
        self.going_on: Diagnosing | None = None
        self.last_line = ""

    @property
    def seconds(self) -> float:
        """Since it was started."""
        return time.time() - self.going_on.since if self.going_on else 0.0

    def ask(self, run: RunReport | None) -> None:
        """Say what will happen, and start if that is wanted."""
        ui = self._pane.ui
        if ui.read_only:
            ui.say(tr("app.read_only_refused"), "warning")
        elif run is None:
            ui.say(tr("classes.diagnose_no_run"), "warning")
        elif self.going_on is not None:
            ui.say(tr("classes.diagnose_busy", run=self.going_on.plan.run.name), "warning")
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
        if roots is None or self.going_on is not None:
            return
        folder = roots.state_folder

        def start() -> Diagnosing | str:
            try:
                return start_diagnosis(plan, folder)
            except OSError as error:
                return str(error)

        self._pane.once(start, self._started)

    def _started(self, started: Diagnosing | str) -> None:
        if isinstance(started, str):
            self._pane.ui.say(tr("classes.diagnose_failed", why=started), "error")
        else:
            self.going_on = started

    def read(self) -> None:
        """Read what it said last; to be called from a thread."""
        if self.going_on is not None:
            self.last_line = self.going_on.last_line

    def watch(self, diagnosis: Diagnosis | None) -> None:
        """Say how it ended."""
        going = self.going_on
        if going is None or going.exit_code is None:
            return
        self.going_on, name = None, going.plan.run.name
        if going.exit_code:
            why = self.last_line.removeprefix("error: ")
            self._pane.ui.say(tr("classes.diagnose_failed", why=why), "error")
        elif diagnosis is not None:
            title = diagnosis.title[language()]
            self._pane.ui.say(tr("classes.diagnosed", run=name, title=title))
