"""What the keys of the runbook screen do to steps: plan, start, stop, skip and fix, and how that ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from diffbev_engine.runbook.model import Phase
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.inspect import RunReport
from diffbev_tui.fixes import Fix, fixes_of
from diffbev_tui.i18n import tr
from diffbev_tui.lines import say
from diffbev_tui.messages import Say, Severity, ShowScreen
from diffbev_tui.runbook import plan as plans
from diffbev_tui.runbook.offer import offer_for
from diffbev_tui.runbook.outcome import ending, has_begun, outcome
from diffbev_tui.runbook.selection import Facts
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.ask_text import AskText
from diffbev_tui.widgets.choose_fix import Further, choose_fix
from diffbev_tui.widgets.dialogs import Choice
from diffbev_tui.widgets.pane import Pane

if TYPE_CHECKING:
    from diffbev_tui.runbook.process import Started

_SILENT_S = 1.0
"""Preflight takes some seconds before a training: after this long it is said."""


@dataclass
class Planned(Message):
    """What a key would do was computed."""

    plan: plans.Plan


@dataclass
class StepsStarted(Message):
    """A runner was started."""

    started: "Started"


@dataclass
class StopsAsked(Message):
    """Which running steps were asked to stop, by any UI."""

    names: frozenset[str]


@dataclass
class Settled(Message):
    """The records of steps were brought up to date."""

    done: object


class StepActions:
    """Plans, starts, stops and skips steps for the runbook screen, and tells how they ended."""

    def __init__(self, pane: Pane) -> None:
        self._pane = pane
        self._started: list[Started] = []
        self._running: dict[str, StepRecord] = {}
        self._told: set[str] = set()
        """Steps whose end is told by the runner that this UI started, while they are shown as running."""
        self.stopping: frozenset[str] = frozenset()
        """Running steps that were asked to stop."""

    # starting ------------------------------------------------------------------------------------

    @property
    def starting(self) -> tuple[str, ...]:
        """Steps that were started here and have not said so themselves yet."""
        view = self._pane.snapshot.view
        return tuple(one.steps[0] for one in self._started if not has_begun(one, view))

    def run(self, one: StepView) -> None:
        """Run a step."""
        self._plan(lambda view, roots, runs: plans.plan_step(view, one.step.id, roots, runs))

    def run_phase(self, phase: Phase) -> None:
        """Run what is left of a phase."""
        self._plan(lambda view, roots, runs: plans.plan_phase(view, phase, roots, runs))

    def run_failed(self) -> None:
        """Run everything that failed or is stale."""
        self._plan(plans.plan_failed)

    def _plan(self, plan: Callable[[RunbookView, WorkspacePaths, Sequence[RunReport]], plans.Plan]) -> None:
        """Make a plan, ask where it has consequences, start."""
        snapshot = self._pane.snapshot
        if snapshot.view is None or snapshot.roots is None:
            return
        if not self._pane.refused() and not self._pane.busy_seconds("plan"):
            job = partial(plan, snapshot.view, snapshot.roots, snapshot.runs)
            self._pane.run_in_thread("plan", job, Planned)
            self._pane.set_timer(_SILENT_S, self._say_planning)

    def _say_planning(self) -> None:
        if self._pane.busy_seconds("plan"):
            self._pane.say(tr("runbook.planning"))

    def planned(self, plan: plans.Plan) -> None:
        """Start what was planned, after a question where it has consequences."""
        if plan.refusal:
            self._pane.say(plan.refusal, "warning")
        elif not plan.consequence:
            self._start(plan.ways[0])
        else:
            ways = {way.name: way for way in plan.ways}
            answers = {name: tr(f"runbook.way_{name}") for name in ways}
            fixes = fixes_of(plan.remedies, self._pane.roots)
            if fixes:
                answers["fix"] = tr("runbook.way_fix")
            answers["no"] = tr("runbook.way_no")
            first = "resume" if "resume" in ways else "no"
            self._pane.app.push_screen(
                Choice(plan.question, plan.consequence, answers, first),
                lambda answer: self._answered(answer, ways, fixes),
            )

    def _answered(self, answer: str | None, ways: Mapping[str, plans.Way], fixes: Sequence[Fix]) -> None:
        if answer == "fix":
            choose_fix(self._pane.app, tr("runbook.way_fix"), fixes, read_only=self._pane.read_only)
        elif answer is not None and answer in ways:
            self._start(ways[answer])

    def _start(self, way: plans.Way) -> None:
        roots = self._pane.roots
        if roots is None or self._pane.refused() or self._pane.busy_seconds("start"):
            return
        if any(name in self.starting for name in way.steps):
            self._pane.say(tr("runbook.starts_already", step=way.steps[0]), "warning")
            return
        self._pane.run_in_thread("start", partial(_start, roots, way), StepsStarted)

    def has_started(self, started: "Started") -> None:
        """Watch a runner."""
        self._started.append(started)

    # stopping and skipping -----------------------------------------------------------------------

    def stop_running(self, chosen: str) -> None:
        """Stop the chosen step if it runs, else the one that does."""
        view = self._pane.snapshot.view
        running = [one for one in view.steps if one.state is StepState.RUNNING] if view else []
        wanted = [one for one in running if one.step.id == chosen] or running
        if len(wanted) == 1:
            self._stop(wanted[0].step.id, wanted[0].record)
        else:
            self._pane.say(tr("runbook.choose_running" if running else "runbook.nothing_runs"))

    def _stop(self, name: str, record: StepRecord) -> None:
        """Ask whether to stop a running step, gently first."""
        roots = self._pane.roots
        if roots is None or self._pane.refused():
            return
        at_once = name in self.stopping
        key = "kill" if at_once else "stop"

        said = tr(f"runbook.{key}_asked", step=name)

        def stop() -> None:
            job = partial(_stop, roots, name, record, at_once=at_once)
            self._pane.run_in_thread("stop", job, lambda _: Say(said))

        question = tr(f"runbook.ask_{key}", step=name)
        self._pane.confirm(question, tr(f"runbook.will_{key}"), stop)

    def skip(self, one: StepView) -> None:
        """Skip a step with a reason that is asked for; a skipped one is taken back."""
        if self._pane.refused():
            return
        name = one.step.id
        if one.state is StepState.SKIPPED and not one.record.deferred:
            self._unskip(name)
        elif one.state is StepState.RUNNING:
            self._pane.say(tr("runbook.skip_running", step=name), "warning")
        else:
            passed = one.state in (StepState.PASSED, StepState.STALE)
            text = tr("runbook.will_skip_passed" if passed else "runbook.will_skip")
            asked = AskText(tr("runbook.ask_skip", step=name), text, tr("runbook.skip_hint"))
            self._pane.app.push_screen(asked, partial(self._skip, name))

    def _skip(self, name: str, reason: str | None) -> None:
        view, roots = self._pane.snapshot.view, self._pane.roots
        if reason and view is not None and roots is not None and not self._pane.refused():
            self._pane.run_in_thread("skip", partial(_skip, view, roots, name, reason), Settled)

    def _unskip(self, name: str) -> None:
        if self._pane.roots is not None:
            said = Say(tr("runbook.unskipped", step=name))
            job = partial(StateStore(self._pane.roots).reset, name)
            self._pane.run_in_thread("skip", job, lambda _: said)

    # fixing --------------------------------------------------------------------------------------

    def offer_fixes(self, chosen: str, facts: Facts, go_to_problem: Callable[[str], None]) -> None:
        """Let a fix of a step or problem be chosen, or a command that helps with the step."""
        offer = offer_for(chosen, facts)
        further: list[Further] = []
        if offer.problem is not None:
            go = partial(go_to_problem, offer.problem.id)
            further.append((tr("runbook.open_problem", title=say(offer.problem.title, facts.roots)), go))
        if offer.diagnosed and not self._pane.read_only:
            show = ShowScreen("classes", offer.diagnosed, action="diagnose")
            title = tr("app.tool_diagnose", method=Path(offer.diagnosed).name)
            further.append((title, partial(self._pane.ask_app, show)))
        if offer.fixes or further:
            choose_fix(self._pane.app, offer.title, offer.fixes, further, read_only=self._pane.read_only)
        else:
            self._pane.say(tr("runbook.no_fix"))

    # watching ------------------------------------------------------------------------------------

    def watch(self, snapshot: Snapshot) -> None:
        """Say what ended, and settle what ended while nobody waited for it."""
        view, roots = snapshot.view, snapshot.roots
        if view is None or roots is None:
            return
        for started in [one for one in self._started if one.exit_code is not None]:
            self._started.remove(started)
            self._told.update(started.steps)
            self._pane.run_in_thread(f"ended {started.since}", partial(outcome, roots, started), _say)
        self._say_endings(view)
        self._running = {one.step.id: one.record for one in view.steps if one.state is StepState.RUNNING}
        self._told &= self._running.keys()
        if self._running:
            running = dict(self._running)
            self._pane.run_in_thread("stopping", partial(_asked, roots, running), StopsAsked)
        else:
            self.stopping = frozenset()
        orphaned = any(one.state is StepState.FAILED and one.record.runner for one in view.steps)
        if orphaned and not self._pane.read_only and not self._pane.busy_seconds("settle"):
            self._pane.run_in_thread("settle", partial(_settle, view, roots), Settled)

    def _say_endings(self, view: RunbookView) -> None:
        """Of steps that somebody else started, or this UI before it was started again."""
        mine = self._told.union(*(one.steps for one in self._started))
        for one in view.steps:
            ended = one.step.id in self._running and one.state is not StepState.RUNNING
            if ended and one.step.id not in mine and one.record.started == self._running[one.step.id].started:
                self._pane.say(*ending(one.step.id, one.record))


def _say(ended: tuple[str, Severity]) -> Say:
    return Say(*ended)


# The runner is imported by those who need it, as the first screen does not.


def _skip(view: RunbookView, roots: WorkspacePaths, name: str, reason: str) -> None:
    from diffbev_engine.runbook.runner import skip_step

    skip_step(view.runbook, roots, name, reason)


def _settle(view: RunbookView, roots: WorkspacePaths) -> None:
    from diffbev_engine.runbook.runner import settle

    settle(view.runbook, roots, StateStore(roots))


# What handles processes is imported in the thread that needs it: not at the start of the UI.


def _start(roots: WorkspacePaths, way: plans.Way) -> "Started":
    from diffbev_tui.runbook.process import start_steps

    return start_steps(roots, way.arguments, way.steps)


def _stop(roots: WorkspacePaths, name: str, record: StepRecord, *, at_once: bool) -> None:
    from diffbev_tui.runbook.process import stop_step

    stop_step(roots, name, record, at_once=at_once)


def _asked(roots: WorkspacePaths, running: dict[str, StepRecord]) -> frozenset[str]:
    from diffbev_tui.runbook.process import asked_to_stop

    return frozenset(name for name, record in running.items() if asked_to_stop(roots, name, record))
