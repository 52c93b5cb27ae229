"""What the runbook screen reads in addition to the snapshot: criteria, known problems, the end of a log."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from textual.message import Message

from diffbev_engine.runbook.checks.check import CheckResult
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.view import StepView
from diffbev_tui.runbook.details import check_summary
from diffbev_tui.runbook.rows import FINAL, PROBLEM
from diffbev_tui.runbook.state import Failures, Looks, Problems, failures, look_at_steps, look_for_problems
from diffbev_tui.widgets.pane import Pane


@dataclass
class Checked(Message):
    """Criteria were checked."""

    results: dict[str, tuple[CheckResult, ...]]
    asked: bool = True
    """Whether somebody waits for the answer."""


@dataclass
class ProblemsFound(Message):
    """The workspace was compared with the known problems."""

    problems: Problems


@dataclass
class OutputRead(Message):
    """The end of a step's log was read."""

    log: str
    lines: tuple[str, ...]


class StepChecks:
    """Checks steps in threads, and keeps what was found."""

    def __init__(self, pane: Pane) -> None:
        self._pane = pane
        self.looks = Looks()
        self._failures: Failures | None = None
        """Of the last search for problems."""

    def look_closer(self, chosen: str) -> None:
        """Look for known problems when something has failed since, and at the log of the chosen step."""
        view, roots = self._pane.snapshot.view, self._pane.roots
        if view is None or roots is None:
            return
        if failures(view) != self._failures:
            self._failures = failures(view)
            self._pane.run_in_thread("problems", partial(look_for_problems, view, roots), ProblemsFound)
        one = None if not chosen or chosen.startswith(PROBLEM) else view[chosen]
        log = one.record.log if one else ""
        unread = one and one.state is StepState.FAILED and self.looks.output[0] != log
        if one and log and (unread or one.state is StepState.RUNNING):
            self._pane.run_in_thread("tail", partial(_tail, roots.workspace / log), partial(OutputRead, log))

    def look_for_problems_again(self, chosen: str) -> None:
        """Also when nothing has failed since."""
        self._failures = None
        self.look_closer(chosen)

    def look_at_the_checklist(self, chosen: str) -> None:
        """It is about files that other steps made: worth checking without being asked."""
        view = self._pane.snapshot.view
        if view is None or not chosen or chosen.startswith(PROBLEM) or chosen in self.looks.checks:
            return
        if view[chosen].phase.id == FINAL:
            self.check((view[chosen],), asked=False)

    def check(self, steps: tuple[StepView, ...], *, asked: bool = True) -> None:
        """Check whether the criteria hold; changes nothing."""
        if self._pane.roots is not None:
            job = partial(look_at_steps, steps, self._pane.roots)
            self._pane.run_in_thread("check", job, partial(Checked, asked=asked))

    def take(self, found: Checked | ProblemsFound | OutputRead) -> None:
        """Keep what was found; what somebody waits for is said."""
        if isinstance(found, ProblemsFound):
            self.looks = replace(self.looks, problems=found.problems)
        elif isinstance(found, OutputRead):
            self.looks = replace(self.looks, output=(found.log, found.lines))
        else:
            self.looks = self.looks.with_checks(found.results)
            view = self._pane.snapshot.view
            if found.asked and view is not None:
                said = [check_summary(view[name].step, one) for name, one in found.results.items()]
                self._pane.say("\n".join(said))


def _tail(path: Path) -> tuple[str, ...]:
    from diffbev_tui.runbook.process import tail_lines  # in a thread, not at the start of the UI

    return tail_lines(path)
