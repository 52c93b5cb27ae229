"""Background work of the runbook screen: plan, start, stop, skip and check steps, and report results."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from textual.message import Message

from diffbev_engine.runbook.present import STATE_WORDS
from diffbev_engine.runbook.record import GLYPHS, StepRecord, StepState
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import RunbookView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.fixes import Fix, fixes_of
from diffbev_tui.i18n import language, tr
from diffbev_tui.lines import say
from diffbev_tui.messages import Say, Severity
from diffbev_tui.runbook.plan import Plan, Way
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.choose_fix import choose_fix
from diffbev_tui.widgets.dialogs import Choice
from diffbev_tui.widgets.pane import Pane

if TYPE_CHECKING:
    from diffbev_tui.runbook.process import Started

_CLOCK_SLACK_S = 1.0


@dataclass
class Planned(Message):
    """What a key would do was computed."""

    plan: Plan


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
        return tuple(one.steps[0] for one in self._started if not _has_begun(one, view))

    def ask(self, plan: Callable[[], Plan]) -> None:
        """Make a plan, ask where it has consequences, start."""
        if not self._pane.refused() and not self._pane.busy_seconds("plan"):
            self._pane.run_in_thread("plan", plan, Planned)

    def planned(self, plan: Plan) -> None:
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
                lambda answer: self._answered(answer, ways, plan.question, fixes),
            )

    def _answered(
        self, answer: str | None, ways: Mapping[str, Way], question: str, fixes: Sequence[Fix]
    ) -> None:
        if answer == "fix":
            choose_fix(self._pane, question, fixes)
        elif answer is not None and answer in ways:
            self._start(ways[answer])

    def _start(self, way: Way) -> None:
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

    def stop(self, name: str, record: StepRecord) -> None:
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

    def skip(self, view: RunbookView, name: str, reason: str) -> None:
        """Skip a step for a reason."""
        roots = self._pane.roots
        if roots is not None and not self._pane.refused():
            self._pane.run_in_thread("skip", partial(_skip, view, roots, name, reason), Settled)

    def unskip(self, name: str) -> None:
        """Make a skipped step pending again."""
        roots = self._pane.roots
        if roots is not None and not self._pane.refused():
            said = Say(tr("runbook.unskipped", step=name))
            self._pane.run_in_thread("skip", partial(StateStore(roots).reset, name), lambda _: said)

    # watching ------------------------------------------------------------------------------------

    def watch(self, snapshot: Snapshot) -> None:
        """Say what ended, and settle what ended while nobody waited for it."""
        view, roots = snapshot.view, snapshot.roots
        if view is None or roots is None:
            return
        for started in [one for one in self._started if one.exit_code is not None]:
            self._started.remove(started)
            self._told.update(started.steps)
            self._pane.run_in_thread(f"ended {started.since}", partial(_outcome, roots, started), _say)
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
                self._pane.say(*_told(one.step.id, one.record))


def _say(told: tuple[str, Severity]) -> Say:
    return Say(*told)


# The runner is imported by those who need it, as the first screen does not.


def _skip(view: RunbookView, roots: WorkspacePaths, name: str, reason: str) -> None:
    from diffbev_engine.runbook.runner import skip_step

    skip_step(view.runbook, roots, name, reason)


def _settle(view: RunbookView, roots: WorkspacePaths) -> None:
    from diffbev_engine.runbook.runner import settle

    settle(view.runbook, roots, StateStore(roots))


def _has_begun(started: "Started", view: RunbookView | None) -> bool:
    """Whether the state of the runbook shows it already."""
    if view is None:
        return False
    names = set(started.steps)
    return any(
        (one.record.started or 0) >= started.since - _CLOCK_SLACK_S
        for one in view.steps
        if one.step.id in names
    )


# What handles processes is imported in the thread that needs it: not at the start of the UI.


def _start(roots: WorkspacePaths, way: Way) -> "Started":
    from diffbev_tui.runbook.process import start_steps

    return start_steps(roots, way.arguments, way.steps)


def _stop(roots: WorkspacePaths, name: str, record: StepRecord, *, at_once: bool) -> None:
    from diffbev_tui.runbook.process import stop_step

    stop_step(roots, name, record, at_once=at_once)


def _asked(roots: WorkspacePaths, running: dict[str, StepRecord]) -> frozenset[str]:
    from diffbev_tui.runbook.process import asked_to_stop

    return frozenset(name for name, record in running.items() if asked_to_stop(roots, name, record))


def _outcome(roots: WorkspacePaths, started: "Started") -> tuple[str, Severity]:
    """What came of a start, from the records; a start that left none was refused, and says why."""
    records = StateStore(roots).read()
    mine = [(name, records[name]) for name in started.steps if name in records]
    fresh = [
        (name, record) for name, record in mine if (record.started or 0) >= started.since - _CLOCK_SLACK_S
    ]
    if not fresh:
        severity: Severity = "error" if started.exit_code else "information"
        return started.last_words() or tr("runbook.ended_silently", code=started.exit_code), severity
    failed = [one for one in fresh if one[1].state is StepState.FAILED]
    if failed:
        return _told(*failed[-1])
    if len(fresh) == 1:
        return _told(*fresh[0])
    return tr(
        "runbook.all_passed", count=len(fresh), steps=", ".join(name for name, _ in fresh)
    ), "information"


def _told(name: str, record: StepRecord) -> tuple[str, Severity]:
    words = f"{GLYPHS[record.state]} {name} {STATE_WORDS[record.state][language()]}"
    reason = f": {say(record.reason, None)}" if record.reason else ""
    bad = record.state is StepState.FAILED
    severity: Severity = "error" if bad and not record.interrupted else "warning" if bad else "information"
    return words + reason, severity
