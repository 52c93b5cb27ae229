"""Background work of the runbook screen: plan, start, stop, skip and check steps, and report results."""

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from textual.message import Message

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runbook.present import STATE_WORDS
from diffbev_engine.runbook.record import GLYPHS, StepRecord, StepState
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import RunbookView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.core.runbook_plan import Plan, Way
from diffbev_tui.core.runbook_text import say
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.i18n import language, tr
from diffbev_tui.widgets.dialogs import Choice

if TYPE_CHECKING:
    from diffbev_tui.app import Severity
    from diffbev_tui.core.runbook_process import Started
    from diffbev_tui.panes.runbook import RunbookPane

_Result = TypeVar("_Result")
_CLOCK_SLACK_S = 1.0


class Done(Message):
    """A background job has ended: ``then`` is to be called in the UI."""

    def __init__(self, then: Callable[[], None]) -> None:
        super().__init__()
        self.then = then


class StepWork:
    """The hands of the runbook screen."""

    def __init__(self, pane: "RunbookPane") -> None:
        self._pane = pane
        self._going_on: set[str] = set()
        self._started: list[Started] = []
        self._running: dict[str, StepRecord] = {}
        self.stopping: frozenset[str] = frozenset()
        """Running steps that were asked to stop."""

    def beside(self, name: str, job: Callable[[], _Result], then: Callable[[_Result], None]) -> bool:
        """Do ``job`` in a thread, then ``then`` in the UI; ``False`` if one of this name is in progress."""
        if name in self._going_on:
            return False
        self._going_on.add(name)

        def end(call: Callable[[], None]) -> None:
            self._going_on.discard(name)
            call()

        def work() -> None:
            try:
                result = job()
            except (DiffBEVError, OSError, ValueError) as error:
                words = str(error)
                self._pane.post_message(Done(lambda: end(lambda: self._say(words))))
            else:
                self._pane.post_message(Done(lambda: end(lambda: then(result))))

        # A daemon: a thread that waits for a dead disk must not keep the program from ending.
        threading.Thread(target=work, daemon=True).start()
        return True

    # starting ------------------------------------------------------------------------------------

    @property
    def starting(self) -> tuple[str, ...]:
        """Steps that were started here and have not said so themselves yet."""
        view = self._pane.ui.snapshot.view
        return tuple(one.steps[0] for one in self._started if not _has_begun(one, view))

    def ask(self, plan: Callable[[], Plan]) -> None:
        """Make a plan, ask where it has consequences, start."""
        if not self._refused_as_read_only():
            self.beside("plan", plan, self._planned)

    def _planned(self, plan: Plan) -> None:
        if plan.refusal:
            self._pane.ui.say(plan.refusal, "warning")
        elif not plan.consequence:
            self._start(plan.ways[0])
        else:
            ways = {way.name: way for way in plan.ways}
            answers = {**{name: tr(f"runbook.way_{name}") for name in ways}, "no": tr("runbook.way_no")}
            first = "resume" if "resume" in ways else "no"
            self._pane.app.push_screen(
                Choice(plan.question, plan.consequence, answers, first),
                lambda answer: self._start(ways[answer]) if answer in ways else None,
            )

    def _start(self, way: Way) -> None:
        roots = self._pane.ui.roots
        if roots is None or self._refused_as_read_only():
            return
        if any(name in self.starting for name in way.steps):
            self._pane.ui.say(tr("runbook.starts_already", step=way.steps[0]), "warning")
            return
        self.beside("start", lambda: _start(roots, way), self._has_started)

    def _has_started(self, started: "Started") -> None:
        self._started.append(started)
        self._pane.follow(started.steps[0])

    # stopping and skipping -----------------------------------------------------------------------

    def stop(self, name: str, record: StepRecord) -> None:
        """Ask whether to stop a running step, gently first."""
        roots = self._pane.ui.roots
        if roots is None or self._refused_as_read_only():
            return
        at_once = name in self.stopping
        key = "kill" if at_once else "stop"

        said = tr(f"runbook.{key}_asked", step=name)

        def stop() -> None:
            job = partial(_stop, roots, name, record, at_once=at_once)
            self.beside("stop", job, lambda _: self._pane.ui.say(said))

        question = tr(f"runbook.ask_{key}", step=name)
        self._pane.ui.confirm(question, tr(f"runbook.will_{key}"), stop)

    def skip(self, view: RunbookView, name: str, reason: str) -> None:
        """Skip a step for a reason."""
        roots = self._pane.ui.roots
        if roots is not None and not self._refused_as_read_only():
            self.beside("skip", lambda: _skip(view, roots, name, reason), lambda _: None)

    def unskip(self, name: str) -> None:
        """Make a skipped step pending again."""
        roots = self._pane.ui.roots
        if roots is not None and not self._refused_as_read_only():
            words = tr("runbook.unskipped", step=name)
            self.beside("skip", lambda: StateStore(roots).reset(name), lambda _: self._pane.ui.say(words))

    def _refused_as_read_only(self) -> bool:
        if self._pane.ui.read_only:
            self._pane.ui.say(tr("app.read_only_refused"), "warning")
        return self._pane.ui.read_only

    def _say(self, error: str) -> None:
        self._pane.ui.say(error, "error")

    # watching ------------------------------------------------------------------------------------

    def watch(self, snapshot: Snapshot) -> None:
        """Say what ended, and settle what ended while nobody waited for it."""
        view, roots = snapshot.view, snapshot.roots
        if view is None or roots is None:
            return
        for started in [one for one in self._started if one.exit_code is not None]:
            self._started.remove(started)
            self.beside(
                f"ended {started.since}",
                lambda started=started: _outcome(roots, started),  # type: ignore[misc]
                lambda told: self._pane.ui.say(*told),
            )
        self._say_endings(view)
        self._running = {one.step.id: one.record for one in view.steps if one.state is StepState.RUNNING}
        if self._running:
            running = dict(self._running)
            self.beside("stopping", lambda: _asked(roots, running), self._set_stopping)
        else:
            self.stopping = frozenset()
        orphaned = any(one.state is StepState.FAILED and one.record.runner for one in view.steps)
        if orphaned and not self._pane.ui.read_only:
            self.beside("settle", lambda: _settle(view, roots), lambda _: None)

    def _set_stopping(self, names: frozenset[str]) -> None:
        self.stopping = names

    def _say_endings(self, view: RunbookView) -> None:
        """Of steps that somebody else started, or this UI before it was started again."""
        mine = {name for one in self._started for name in one.steps}
        for one in view.steps:
            ended = one.step.id in self._running and one.state is not StepState.RUNNING
            if ended and one.step.id not in mine and one.record.started == self._running[one.step.id].started:
                self._pane.ui.say(*_told(one.step.id, one.record))


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
    from diffbev_tui.core.runbook_process import start_steps

    return start_steps(roots, way.arguments, way.steps)


def _stop(roots: WorkspacePaths, name: str, record: StepRecord, *, at_once: bool) -> None:
    from diffbev_tui.core.runbook_process import stop_step

    stop_step(roots, name, record, at_once=at_once)


def _asked(roots: WorkspacePaths, running: dict[str, StepRecord]) -> frozenset[str]:
    from diffbev_tui.core.runbook_process import asked_to_stop

    return frozenset(name for name, record in running.items() if asked_to_stop(roots, name, record))


def _outcome(roots: WorkspacePaths, started: "Started") -> "tuple[str, Severity]":
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


def _told(name: str, record: StepRecord) -> "tuple[str, Severity]":
    words = f"{GLYPHS[record.state]} {name} {STATE_WORDS[record.state][language()]}"
    reason = f": {say(record.reason, None)}" if record.reason else ""
    bad = record.state is StepState.FAILED
    severity: Severity = "error" if bad and not record.interrupted else "warning" if bad else "information"
    return words + reason, severity
