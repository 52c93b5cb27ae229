"""The runbook: phases, their steps, and the chosen step in detail; run, skip, check and fix from here."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Static

from diffbev_engine.runbook.checks.check import CheckResult
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.view import RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.i18n import tr
from diffbev_tui.lines import say
from diffbev_tui.messages import ShowScreen
from diffbev_tui.runbook import plan as plans
from diffbev_tui.runbook.actions import Planned, StepActions, StepsStarted, StopsAsked
from diffbev_tui.runbook.details import check_summary
from diffbev_tui.runbook.drawing import RunbookDrawing
from diffbev_tui.runbook.offer import offer_for
from diffbev_tui.runbook.rows import FINAL, PROBLEM, PROBLEMS
from diffbev_tui.runbook.selection import Facts, RunbookSelection
from diffbev_tui.runbook.state import Failures, Looks, Problems, failures, look_at_steps, look_for_problems
from diffbev_tui.runbook.step_detail import StepDetail
from diffbev_tui.runbook.step_find import FindStep
from diffbev_tui.runbook.step_tabs import StepTabs
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.ask_text import AskText
from diffbev_tui.widgets.choose_fix import Further, choose_fix
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainHorizontal, PlainVertical
from diffbev_tui.widgets.row_list import RowList


class RunbookPane(Pane, can_focus=False):
    """What has been done, what is next, and how to do it."""

    WRITES: ClassVar[frozenset[str]] = frozenset({"run", "phase", "failed", "skip", "stop"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "run", "runbook.key_run", id="runbook.run"),
        Binding("p", "phase", "runbook.key_phase", id="runbook.phase"),
        Binding("R", "failed", "runbook.key_failed", id="runbook.failed"),
        Binding("s", "skip", "runbook.key_skip", id="runbook.skip"),
        Binding("x", "stop", "runbook.key_stop", id="runbook.stop"),
        Binding("o", "fix", "runbook.key_fix", id="runbook.fix"),
        Binding("f", "failures", "runbook.key_failures", id="runbook.failures"),
        Binding("c", "check", "runbook.key_check", id="runbook.check"),
        # First of all, so that it is done before the next key is handed on: to the line that it opens.
        Binding("slash", "find", "runbook.key_find", id="runbook.find", priority=True),
        Binding("n", "next", "runbook.key_next", show=False, id="runbook.next"),
        Binding("left,h", "side(-1)", "runbook.key_side", show=False, id="runbook.left"),
        Binding("right,l", "side(1)", "runbook.key_side", show=False, id="runbook.right"),
        Binding("escape", "back", "runbook.key_back", show=False, id="runbook.back"),
    ]

    @dataclass
    class Checked(Message):
        """Criteria were checked."""

        results: dict[str, tuple[CheckResult, ...]]

    @dataclass
    class CheckedQuietly(Checked):
        """Criteria were checked without having been asked for."""

    @dataclass
    class ProblemsFound(Message):
        """The workspace was compared with the known problems."""

        problems: Problems

    @dataclass
    class OutputRead(Message):
        """The end of a step's log was read."""

        log: str
        lines: tuple[str, ...]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.looks = Looks()
        self._actions = StepActions(self)
        self._selection = RunbookSelection()
        self._drawing = RunbookDrawing(self)
        self._failures: Failures | None = None
        """Of the last search for problems."""

    def compose(self) -> ComposeResult:
        """What to do next; the campaign in time; phases; the steps of one of them; one step in detail."""
        yield Static(id="runbook-next")
        yield Static(id="runbook-timeline")
        yield StepTabs(id="runbook-tabs")
        with PlainHorizontal(id="runbook-body"):
            yield RowList(id="runbook-phases")
            with PlainVertical(id="runbook-right"):
                yield Static(id="runbook-title")
                yield RowList(id="runbook-steps")
                yield FindStep(id="runbook-find")
                yield StepDetail(id="runbook-detail")

    def focus_inside(self) -> None:
        """The steps first, not the leftmost list."""
        self.query_one("#runbook-detail" if self._drawing.covered else "#runbook-steps").focus()

    # what is shown -------------------------------------------------------------------------------

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Show what is new, and look closer in threads."""
        if snapshot.view is None and not snapshot.trouble:
            return
        self._actions.watch(snapshot)
        self._look_closer()
        self.draw()

    def _facts(self) -> Facts | None:
        snapshot = self.snapshot
        if snapshot.view is None or snapshot.roots is None:
            return None
        actions = self._actions
        return Facts(snapshot, snapshot.view, snapshot.roots, self.looks, actions.starting, actions.stopping)

    def draw(self) -> None:
        """Show everything as it is now."""
        if not self.ready:
            return
        facts = self._facts()
        if facts is None:
            self._drawing.draw_next(self.snapshot, self._actions.starting, self._selection.key)
        else:
            self._selection.follow(facts)
            self._drawing.draw(facts, self._selection)

    def _look_closer(self) -> None:
        """Look for known problems when something has failed since, and at the log of the chosen step."""
        view, roots, key = self.snapshot.view, self.snapshot.roots, self._selection.key
        if view is None or roots is None:
            return
        if failures(view) != self._failures:
            self._failures = failures(view)
            self.run_in_thread("problems", partial(look_for_problems, view, roots), self.ProblemsFound)
        one = None if not key or key.startswith(PROBLEM) else view[key]
        log = one.record.log if one else ""
        unread = one and one.state is StepState.FAILED and self.looks.output[0] != log
        if one and log and (unread or one.state is StepState.RUNNING):
            self.run_in_thread("tail", partial(_tail, roots.workspace / log), partial(self.OutputRead, log))

    def on_runbook_pane_problems_found(self, message: ProblemsFound) -> None:
        """Mark them."""
        self.looks = replace(self.looks, problems=message.problems)
        self.draw()

    def on_runbook_pane_output_read(self, message: OutputRead) -> None:
        """Show it."""
        self.looks = replace(self.looks, output=(message.log, message.lines))
        self.draw()

    def on_runbook_pane_checked(self, message: Checked) -> None:
        """Show what holds, and say so."""
        self._checked(message.results)
        view = self.snapshot.view
        if view is not None:
            said = [check_summary(view[name].step, one) for name, one in message.results.items()]
            self.say("\n".join(said))

    def on_runbook_pane_checked_quietly(self, message: CheckedQuietly) -> None:
        """Show what holds."""
        self._checked(message.results)

    def _checked(self, results: dict[str, tuple[CheckResult, ...]]) -> None:
        self.looks = self.looks.with_checks(results)
        self.draw()

    def on_planned(self, message: Planned) -> None:
        """Ask, or start."""
        self._actions.planned(message.plan)

    def on_steps_started(self, message: StepsStarted) -> None:
        """Choose what was started, and what runs after it, until the user chooses something else."""
        self._actions.has_started(message.started)
        if self.snapshot.view is not None:
            self._selection.go_to(self.snapshot.view, message.started.steps[0], following=True)
        self.draw()

    def on_stops_asked(self, message: StopsAsked) -> None:
        """Mark them."""
        self._actions.stopping = message.names
        self.draw()

    def go_to_step(self, step: str) -> None:
        """Choose it."""
        if self.snapshot.view is not None:
            self._drawing.close_detail()
            self._selection.show_everything()
            self._selection.go_to(self.snapshot.view, step, following=False)
            self.draw()

    def retranslate(self) -> None:
        """The same in the other language; what is chosen and in focus stays."""
        self.query_one(FindStep).retranslate()
        self.draw()

    def copy_text(self) -> str | None:
        """The command of the step, the remedy of the problem, or what runs the phase."""
        facts, phases = self._facts(), self.query_one("#runbook-phases")
        return self._selection.copy_text(facts, whole_phase=phases.has_focus) if facts else None

    # moving --------------------------------------------------------------------------------------

    @on(RowList.Moved, "#runbook-phases")
    def _phase_chosen(self, message: RowList.Moved) -> None:
        self._drawing.close_detail()
        self._selection.choose_entry(message.key)
        self._chosen()

    @on(StepTabs.Chosen)
    def _tab_chosen(self, message: StepTabs.Chosen) -> None:
        self._drawing.close_detail()
        self._selection.choose_entry(message.key)
        self._chosen()

    @on(RowList.Moved, "#runbook-steps")
    def _step_chosen(self, message: RowList.Moved) -> None:
        self._selection.choose(message.key)
        self._chosen()

    def _chosen(self) -> None:
        self.draw()
        view, key = self.snapshot.view, self._selection.key
        # The checklist is about files that other steps made: worth looking without being asked.
        if view is None or not key or key.startswith(PROBLEM) or key in self.looks.checks:
            return
        if view[key].phase.id == FINAL:
            self._check((view[key],), quiet=True)

    @on(RowList.Opened, "#runbook-phases")
    def _phase_opened(self) -> None:
        self.query_one("#runbook-steps").focus()

    @on(RowList.Opened, "#runbook-steps")
    def _step_opened(self) -> None:
        if self._drawing.narrow:
            self._drawing.open_detail()
            self.draw()
        elif self._selection.key.startswith(PROBLEM):
            self.query_one("#runbook-detail").focus()
        else:
            self.action_run()

    @on(StepDetail.Run)
    def _run_shown(self) -> None:
        self.action_run()

    @on(RowList.Resized)
    def _resized(self) -> None:
        self.draw()

    @on(FindStep.Changed)
    def _find_changed(self, message: FindStep.Changed) -> None:
        self._selection.find(message.text)
        self.draw()

    @on(FindStep.Move)
    def _find_moved(self, message: FindStep.Move) -> None:
        self.query_one("#runbook-steps", RowList).action_move(message.by)

    @on(FindStep.Left)
    def _find_left(self, message: FindStep.Left) -> None:
        problem = self._selection.end_find(self.snapshot.view, take=message.take)
        self._chosen()
        if problem and self._drawing.narrow:
            self._drawing.open_detail()
        else:
            self.query_one("#runbook-steps").focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """While finding, a slash is a letter."""
        return action != "find" or not any(line.display for line in self.query(FindStep))

    def action_find(self) -> None:
        """Type to find a step or a problem."""
        self._drawing.close_detail()
        self._selection.find("")
        self.query_one(FindStep).open()
        self.draw()

    def action_failures(self) -> None:
        """Show only what failed or is stale, of all phases; again: everything."""
        self._drawing.close_detail()
        self._selection.toggle_failures()
        self._chosen()

    def action_next(self) -> None:
        """Choose the step that the line at the top is about."""
        if self._selection.go_to_next(self.snapshot):
            self._chosen()
            self.query_one("#runbook-steps").focus()

    def action_side(self, by: int) -> None:
        """The other column; on a narrow screen the next phase, or the next step in detail."""
        if not self._drawing.narrow:
            order = ["#runbook-phases", "#runbook-steps", "#runbook-detail"]
            here = next((i for i, name in enumerate(order) if self.query_one(name).has_focus), 1)
            self.query_one(order[min(max(here + by, 0), 2)]).focus()
        elif self._drawing.covered:
            self.query_one("#runbook-steps", RowList).action_move(by)
        elif self.snapshot.view is not None:
            self._selection.move_entry(self.snapshot.view, by)
            self._chosen()

    def action_back(self) -> None:
        """Close what was opened."""
        if not self._drawing.close_detail():
            self._selection.show_everything()
        self.draw()
        self.query_one("#runbook-steps").focus()

    # doing ---------------------------------------------------------------------------------------

    def _step(self) -> tuple[Snapshot, RunbookView, WorkspacePaths, StepView] | None:
        """The chosen step with all that it takes to act on it; says so when there is none."""
        snapshot, key = self.snapshot, self._selection.key
        if snapshot.view is None or snapshot.roots is None or not key or key.startswith(PROBLEM):
            self.say(tr("runbook.no_step"))
            return None
        return snapshot, snapshot.view, snapshot.roots, snapshot.view[key]

    def _ask(self, plan: Callable[[], plans.Plan]) -> None:
        self._actions.ask(plan)

    def action_run(self) -> None:
        """Run the chosen step."""
        if found := self._step():
            snapshot, view, roots, one = found
            self._ask(lambda: plans.plan_step(view, one.step.id, roots, snapshot.runs))

    def action_phase(self) -> None:
        """Run what is left of the phase."""
        if found := self._step():
            snapshot, view, roots, one = found
            self._ask(lambda: plans.plan_phase(view, one.phase, roots, snapshot.runs))

    def action_failed(self) -> None:
        """Run everything that failed or is stale."""
        snapshot = self.snapshot
        view, roots = snapshot.view, snapshot.roots
        if view is not None and roots is not None:
            self._ask(lambda: plans.plan_failed(view, roots, snapshot.runs))

    def action_stop(self) -> None:
        """Stop the chosen step if it runs, else the one that does."""
        view = self.snapshot.view
        running = [one for one in view.steps if one.state is StepState.RUNNING] if view else []
        chosen = [one for one in running if one.step.id == self._selection.key]
        if len(chosen or running) == 1:
            one = (chosen or running)[0]
            self._actions.stop(one.step.id, one.record)
        else:
            self.say(tr("runbook.choose_running" if running else "runbook.nothing_runs"))

    def action_skip(self) -> None:
        """Skip the chosen step with a reason; a skipped one is taken back."""
        found = self._step()
        if not found or self.refused():
            return
        _, view, _, one = found
        name = one.step.id
        if one.state is StepState.SKIPPED and not one.record.put_off:
            self._actions.unskip(name)
        elif one.state is StepState.RUNNING:
            self.say(tr("runbook.skip_running", step=name), "warning")
        else:
            passed = one.state in (StepState.PASSED, StepState.STALE)
            text = tr("runbook.will_skip_passed" if passed else "runbook.will_skip")
            asked = AskText(tr("runbook.ask_skip", step=name), text, tr("runbook.skip_hint"))
            self.app.push_screen(asked, lambda reason: self._skip(view, name, reason))

    def _skip(self, view: RunbookView, name: str, reason: str | None) -> None:
        if reason:
            self._actions.skip(view, name, reason)

    def action_check(self) -> None:
        """Check whether the criteria hold; changes nothing. With the phases in focus: of the whole phase."""
        if self._selection.entry == PROBLEMS and self._selection.key.startswith(PROBLEM):
            self._failures = None
            self._look_closer()
            self.say(tr("runbook.looking_for_problems"))
        elif found := self._step():
            _, view, _, one = found
            whole = self.query_one("#runbook-phases").has_focus
            self._check(view.of_phase(one.phase) if whole else (one,))

    def _check(self, steps: tuple[StepView, ...], *, quiet: bool = False) -> None:
        if self.roots is not None:
            answer = self.CheckedQuietly if quiet else self.Checked
            self.run_in_thread("check", partial(look_at_steps, steps, self.roots), answer)

    def action_fix(self) -> None:
        """Let a fix of the chosen step or problem be chosen, or a command that helps with the step."""
        facts = self._facts()
        if facts is None or not self._selection.key:
            self.say(tr("runbook.no_step"))
            return
        offer = offer_for(self._selection.key, facts)
        further: list[Further] = []
        if offer.problem is not None:
            go = partial(self._go_to_problem, offer.problem.id)
            further.append((tr("runbook.open_problem", title=say(offer.problem.title, facts.roots)), go))
        run = offer.diagnosed
        if run and not self.read_only:
            diagnose = tr("app.tool_diagnose", method=Path(run).name)
            further.append((diagnose, partial(self.ask_app, ShowScreen("classes", run, action="diagnose"))))
        if offer.fixes or further:
            choose_fix(self, offer.title, offer.fixes, further)
        else:
            self.say(tr("runbook.no_fix"))

    def _go_to_problem(self, problem: str) -> None:
        self._selection.go_to_problem(problem)
        if self._drawing.narrow:
            self._drawing.open_detail()
        self.draw()


def _tail(path: Path) -> tuple[str, ...]:
    from diffbev_tui.runbook.process import tail_lines  # in a thread, not at the start of the UI

    return tail_lines(path)
