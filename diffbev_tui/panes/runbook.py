"""The runbook: phases, their steps, and the chosen step in detail; run, skip, check and fix from here."""

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from diffbev_engine.runbook.checks.check import CheckResult
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.view import RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.core import runbook_plan as plans
from diffbev_tui.core.runbook_details import check_summary
from diffbev_tui.core.runbook_look import Looks, look_at_steps
from diffbev_tui.core.runbook_rows import FINAL, PROBLEM, PROBLEMS
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.i18n import tr
from diffbev_tui.panes.runbook_show import RunbookShow
from diffbev_tui.panes.runbook_work import Done, StepWork
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.plain import PlainHorizontal, PlainVertical
from diffbev_tui.widgets.step_detail import StepDetail
from diffbev_tui.widgets.step_dialogs import AskText
from diffbev_tui.widgets.step_find import FindStep
from diffbev_tui.widgets.step_list import StepList
from diffbev_tui.widgets.step_tabs import StepTabs


class RunbookPane(Pane, can_focus=False):
    """What has been done, what is next, and how to do it."""

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
        self.looks = Looks()
        self._work = StepWork(self)
        self._show = RunbookShow(self, self._work)

    def compose(self) -> ComposeResult:
        """What to do next; phases; the steps of one of them; one step in detail."""
        yield Static(id="runbook-next")
        yield StepTabs(id="runbook-tabs")
        with PlainHorizontal(id="runbook-body"):
            yield StepList(id="runbook-phases")
            with PlainVertical(id="runbook-right"):
                yield Static(id="runbook-title")
                yield StepList(id="runbook-steps")
                yield FindStep(id="runbook-find")
                yield StepDetail(id="runbook-detail")

    def focus_inside(self) -> None:
        """The steps first, not the leftmost list."""
        self.query_one("#runbook-detail" if self._show.covered else "#runbook-steps").focus()

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Show what is new, and look closer in threads."""
        if snapshot.view is None and not snapshot.trouble:
            return
        self._work.watch(snapshot)
        self._show.look(snapshot)
        self._show.draw(snapshot)

    def follow(self, step: str) -> None:
        """Choose what was started, and what runs after it, until the user chooses something else."""
        self._show.go_to(step, following=True)
        self.draw()

    def draw(self) -> None:
        """Show the last snapshot again, as something else has changed."""
        if self.ready:
            self._show.draw(self.ui.snapshot)

    def retranslate(self) -> None:
        """The same in the other language; what is chosen and in focus stays."""
        self.query_one(FindStep).retranslate()
        self.draw()

    def copy_text(self) -> str | None:
        """The command of the step, the remedy of the problem, or what runs the phase."""
        return self._show.copy_text()

    def on_done(self, message: Done) -> None:
        """A background job has ended."""
        message.then()
        self.draw()

    # moving --------------------------------------------------------------------------------------

    @on(StepList.Moved, "#runbook-phases")
    def _phase_chosen(self, message: StepList.Moved) -> None:
        self._show.choose_entry(message.key)
        self._chosen()

    @on(StepTabs.Chosen)
    def _tab_chosen(self, message: StepTabs.Chosen) -> None:
        self._show.choose_entry(message.key)
        self._chosen()

    @on(StepList.Moved, "#runbook-steps")
    def _step_chosen(self, message: StepList.Moved) -> None:
        self._show.choose(message.key)
        self._chosen()

    def _chosen(self) -> None:
        self.draw()
        view, key = self.ui.snapshot.view, self._show.key
        # The checklist is about files that other steps made: worth looking without being asked.
        if view is None or not key or key.startswith(PROBLEM) or key in self.looks.checks:
            return
        if view[key].phase.id == FINAL:
            self._check((view[key],), quiet=True)

    @on(StepList.Opened, "#runbook-phases")
    def _phase_opened(self) -> None:
        self.query_one("#runbook-steps").focus()

    @on(StepList.Opened, "#runbook-steps")
    def _step_opened(self) -> None:
        if self._show.narrow:
            self._show.open_detail()
        elif self._show.key.startswith(PROBLEM):
            self.query_one("#runbook-detail").focus()
        else:
            self.action_run()

    @on(StepDetail.Run)
    def _run_shown(self) -> None:
        self.action_run()

    @on(StepList.Resized)
    def _resized(self) -> None:
        self.draw()

    @on(FindStep.Changed)
    def _find_changed(self, message: FindStep.Changed) -> None:
        self._show.find(message.text)
        self.draw()

    @on(FindStep.Move)
    def _find_moved(self, message: FindStep.Move) -> None:
        self.query_one("#runbook-steps", StepList).action_move(message.by)

    @on(FindStep.Left)
    def _find_left(self, message: FindStep.Left) -> None:
        self._show.end_find(take=message.take)
        self._chosen()
        self.query_one("#runbook-steps").focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """While finding, a slash is a letter."""
        return action != "find" or not any(line.display for line in self.query(FindStep))

    def action_find(self) -> None:
        """Type to find a step or a problem."""
        self._show.close_detail()
        self._show.find("")
        self.query_one(FindStep).open()
        self.draw()

    def action_failures(self) -> None:
        """Show only what failed or is stale, of all phases; again: everything."""
        self._show.toggle_failures()
        self._chosen()

    def action_next(self) -> None:
        """Choose the step that the line at the top is about."""
        if self._show.go_to_next():
            self._chosen()
            self.query_one("#runbook-steps").focus()

    def action_side(self, by: int) -> None:
        """The other column; on a narrow screen the next phase, or the next step in detail."""
        if not self._show.narrow:
            order = ["#runbook-phases", "#runbook-steps", "#runbook-detail"]
            here = next((i for i, name in enumerate(order) if self.query_one(name).has_focus), 1)
            self.query_one(order[min(max(here + by, 0), 2)]).focus()
        elif self._show.covered:
            self.query_one("#runbook-steps", StepList).action_move(by)
        else:
            self._show.move_entry(by)
            self._chosen()

    def action_back(self) -> None:
        """Close what was opened."""
        if not self._show.close_detail():
            self._show.show_everything()
        self.draw()
        self.query_one("#runbook-steps").focus()

    # doing ---------------------------------------------------------------------------------------

    def _step(self) -> tuple[Snapshot, RunbookView, WorkspacePaths, StepView] | None:
        """The chosen step with all that it takes to act on it; says so when there is none."""
        snapshot, key = self.ui.snapshot, self._show.key
        if snapshot.view is None or snapshot.roots is None or not key or key.startswith(PROBLEM):
            self.ui.say(tr("runbook.no_step"))
            return None
        return snapshot, snapshot.view, snapshot.roots, snapshot.view[key]

    def _ask(self, plan: Callable[[], plans.Plan]) -> None:
        self._work.ask(plan)

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
        snapshot = self.ui.snapshot
        view, roots = snapshot.view, snapshot.roots
        if view is not None and roots is not None:
            self._ask(lambda: plans.plan_failed(view, roots, snapshot.runs))

    def action_stop(self) -> None:
        """Stop the chosen step if it runs, else the one that does."""
        view = self.ui.snapshot.view
        running = [one for one in view.steps if one.state is StepState.RUNNING] if view else []
        chosen = [one for one in running if one.step.id == self._show.key]
        if len(chosen or running) == 1:
            one = (chosen or running)[0]
            self._work.stop(one.step.id, one.record)
        else:
            self.ui.say(tr("runbook.choose_running" if running else "runbook.nothing_runs"))

    def action_skip(self) -> None:
        """Skip the chosen step with a reason; a skipped one is taken back."""
        found = self._step()
        if not found:
            return
        if self.ui.read_only:
            self.ui.say(tr("app.read_only_refused"), "warning")
            return
        _, view, _, one = found
        name = one.step.id
        if one.state is StepState.SKIPPED and not one.record.put_off:
            self._work.unskip(name)
        elif one.state is StepState.RUNNING:
            self.ui.say(tr("runbook.skip_running", step=name), "warning")
        else:
            passed = one.state in (StepState.PASSED, StepState.STALE)
            text = tr("runbook.will_skip_passed" if passed else "runbook.will_skip")
            asked = AskText(tr("runbook.ask_skip", step=name), text, tr("runbook.skip_hint"))
            self.app.push_screen(asked, lambda reason: self._skip(view, name, reason))

    def _skip(self, view: RunbookView, name: str, reason: str | None) -> None:
        if reason:
            self._work.skip(view, name, reason)

    def action_check(self) -> None:
        """Check whether the criteria hold; changes nothing. With the phases in focus: of the whole phase."""
        if self._show.entry == PROBLEMS and self._show.key.startswith(PROBLEM):
            self._show.look_again()
            self.ui.say(tr("runbook.looking_for_problems"))
        elif found := self._step():
            _, view, _, one = found
            whole = self.query_one("#runbook-phases").has_focus
            self._check(view.of_phase(one.phase) if whole else (one,))

    def _check(self, steps: tuple[StepView, ...], *, quiet: bool = False) -> None:
        roots = self.ui.roots
        if roots is None:
            return
        by_id = {one.step.id: one.step for one in steps}

        def show(found: dict[str, tuple[CheckResult, ...]]) -> None:
            self.looks = self.looks.with_checks(found)
            if not quiet:
                self.ui.say("\n".join(check_summary(by_id[name], one) for name, one in found.items()))

        self._work.beside("check", lambda: look_at_steps(steps, roots), show)

    def action_fix(self) -> None:
        """Open the known problem behind the failure; without one, copy what fixes the step."""
        found = self._step()
        if not found:
            return
        _, _, roots, one = found
        problem = self.looks.problem_of(one)
        if problem:
            self._show.open_problem(problem)
            self.draw()
        elif one.step.fix:
            self.ui.copy(roots.command(one.step.fix))
        else:
            self.ui.say(tr("runbook.no_fix"))
