"""The runbook: phases, their steps, and the chosen step in detail; run, skip, check and fix from here."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from diffbev_engine.runbook.view import StepView
from diffbev_tui.i18n import tr
from diffbev_tui.runbook.actions import Planned, StepActions, StepsStarted, StopsAsked
from diffbev_tui.runbook.checking import Checked, OutputRead, ProblemsFound, StepChecks
from diffbev_tui.runbook.drawing import RunbookDrawing
from diffbev_tui.runbook.rows import PROBLEM, PROBLEMS
from diffbev_tui.runbook.selection import Facts, RunbookSelection
from diffbev_tui.runbook.step_detail import StepDetail
from diffbev_tui.runbook.step_find import FindStep
from diffbev_tui.runbook.step_tabs import StepTabs
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.find_line import is_typing
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

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._actions = StepActions(self)
        self._checks = StepChecks(self)
        self._selection = RunbookSelection()
        self._drawing = RunbookDrawing(self)

    def compose(self) -> ComposeResult:
        """What to do next; the timeline; phases; the steps of one of them; one step in detail."""
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
        self.call_after_refresh(self._look_closer)  # what is on the screen comes first
        self.draw()

    def _look_closer(self) -> None:
        self._checks.look_closer(self._selection.key)

    def _facts(self) -> Facts | None:
        snapshot, actions, looks = self.snapshot, self._actions, self._checks.looks
        if snapshot.view is None or snapshot.roots is None:
            return None
        return Facts(snapshot, snapshot.view, snapshot.roots, looks, actions.starting, actions.stopping)

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

    @on(Checked)
    @on(ProblemsFound)
    @on(OutputRead)
    def _found(self, message: Checked | ProblemsFound | OutputRead) -> None:
        self._checks.take(message)
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
        self.query_one(FindStep).placeholder = tr("runbook.find_hint")
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
        self._checks.look_at_the_checklist(self._selection.key)

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
        self._selection.find(message.value)
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
        return action != "find" or not is_typing(self)

    def action_find(self) -> None:
        """Type to find a step or a problem."""
        self._drawing.close_detail()
        self._selection.find("")
        self.query_one(FindStep).open(tr("runbook.find_hint"), then=self.query_one("#runbook-steps"))
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

    def _step(self) -> StepView | None:
        """The chosen step; says so when there is none."""
        view, key = self.snapshot.view, self._selection.key
        if view is not None and key and not key.startswith(PROBLEM):
            return view[key]
        self.say(tr("runbook.no_step"))
        return None

    def action_run(self) -> None:
        """Run the chosen step."""
        if one := self._step():
            self._actions.run(one)

    def action_phase(self) -> None:
        """Run what is left of the phase."""
        if one := self._step():
            self._actions.run_phase(one.phase)

    def action_failed(self) -> None:
        """Run everything that failed or is stale."""
        self._actions.run_failed()

    def action_stop(self) -> None:
        """Stop the chosen step if it runs, else the one that does."""
        self._actions.stop_running(self._selection.key)

    def action_skip(self) -> None:
        """Skip the chosen step with a reason; a skipped one is taken back."""
        if one := self._step():
            self._actions.skip(one)

    def action_check(self) -> None:
        """Check whether the criteria hold; changes nothing. With the phases in focus: of the whole phase."""
        view = self.snapshot.view
        if self._selection.entry == PROBLEMS and self._selection.key.startswith(PROBLEM):
            self._checks.look_for_problems_again(self._selection.key)
            self.say(tr("runbook.looking_for_problems"))
        elif view is not None and (one := self._step()):
            whole = self.query_one("#runbook-phases").has_focus
            self._checks.check(view.of_phase(one.phase) if whole else (one,))

    def action_fix(self) -> None:
        """Let a fix of the chosen step or problem be chosen, or a command that helps with the step."""
        facts = self._facts()
        if facts is None or not self._selection.key:
            self.say(tr("runbook.no_step"))
        else:
            self._actions.offer_fixes(self._selection.key, facts, self._go_to_problem)

    def _go_to_problem(self, problem: str) -> None:
        self._selection.go_to_problem(problem)
        if self._drawing.narrow:
            self._drawing.open_detail()
        self.draw()
