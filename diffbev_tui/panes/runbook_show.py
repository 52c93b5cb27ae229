"""What the runbook screen shows: which phase and step are chosen, and the words for them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from textual.geometry import Size
from textual.widgets import Static

from diffbev_engine.findings.finding import Finding
from diffbev_engine.runbook.model import Problem
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.view import RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.core import runbook_rows as rows
from diffbev_tui.core.engine import engine_command
from diffbev_tui.core.runbook_details import (
    Block,
    command_of,
    copy_of_problem,
    problem_blocks,
    step_blocks,
)
from diffbev_tui.core.runbook_look import Failures, Problems, failures, look_for_problems
from diffbev_tui.core.runbook_next import next_line, next_step
from diffbev_tui.core.runbook_rows import FINAL, PROBLEM, PROBLEMS, StepLine, lay_out
from diffbev_tui.core.runbook_text import Line, say
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.i18n import tr
from diffbev_tui.widgets.step_detail import StepDetail
from diffbev_tui.widgets.step_list import StepList, content_of
from diffbev_tui.widgets.step_tabs import StepTabs

if TYPE_CHECKING:
    from diffbev_tui.panes.runbook import RunbookPane
    from diffbev_tui.panes.runbook_work import StepWork


class RunbookShow:
    """The eyes of the runbook screen."""

    def __init__(self, pane: "RunbookPane", work: "StepWork") -> None:
        self._pane, self._work = pane, work
        self.entry = ""
        """The chosen phase, or ``problems``."""
        self.key = ""
        """The chosen step, or a problem with its mark before."""
        self._kept: dict[str, str] = {}
        self._following = True
        self._only_failures = False
        self._sought: str | None = None
        self._failures: Failures | None = None
        self._drawn: dict[str, object] = {}

    # choosing ------------------------------------------------------------------------------------

    @property
    def narrow(self) -> bool:
        """Whether the phases are one line, and details cover the list."""
        return self._pane.screen.has_class("-narrow")

    @property
    def detail_open(self) -> bool:
        """Whether the details cover the list."""
        return self._pane.has_class("-detail")

    @property
    def covered(self) -> bool:
        """Whether details cover the list now."""
        return self.narrow and self.detail_open

    def open_detail(self) -> None:
        """Let the details cover the list."""
        self._pane.add_class("-detail")
        self._pane.query_one("#runbook-detail").focus()
        self._pane.draw()

    def close_detail(self) -> bool:
        """Back to the list; whether it was covered."""
        was = self.covered
        self._pane.remove_class("-detail")
        return was

    def choose_entry(self, entry: str) -> None:
        """Choose a phase, or the problems, with the step that was chosen there last."""
        self.close_detail()
        self._only_failures, self._following = False, False
        self.entry, self.key = entry, self._kept.get(entry, "")

    def move_entry(self, by: int) -> None:
        """Choose the next phase or the one before."""
        view = self._pane.ui.snapshot.view
        if view is not None:
            keys = [key for key, _ in rows.tab_pieces(view, None)]
            now = keys.index(self.entry) if self.entry in keys else 0
            self.choose_entry(keys[min(max(now + by, 0), len(keys) - 1)])

    def choose(self, key: str) -> None:
        """Choose a step or a problem of the list."""
        self.key, self._following = key, False
        self._kept[self.entry] = key

    def go_to(self, step: str, *, following: bool) -> None:
        """Choose a step of any phase."""
        view = self._pane.ui.snapshot.view
        if view is not None:
            self.entry, self.key, self._following = view[step].phase.id, step, following
            self._kept[self.entry] = step

    def go_to_next(self) -> bool:
        """Choose the step to turn to; whether there is one."""
        step = next_step(self._pane.ui.snapshot)
        if step:
            self.show_everything()
            self.go_to(step, following=True)
        return bool(step)

    def open_problem(self, problem: str) -> None:
        """Choose a known problem."""
        self.show_everything()
        self.choose_entry(PROBLEMS)
        self.choose(PROBLEM + problem)
        if self.narrow:
            self.open_detail()

    def toggle_failures(self) -> None:
        """Only what failed or is stale, or everything."""
        self._only_failures, self._following = not self._only_failures, False
        self.close_detail()

    def show_everything(self) -> None:
        """No filter."""
        self._only_failures, self._sought = False, None

    def find(self, text: str) -> None:
        """Only what holds ``text``."""
        self._sought, self._following, self.key = text, False, ""

    def end_find(self, *, take: bool) -> None:
        """Go to what was found, or back."""
        self._sought = None
        if take and self.key.startswith(PROBLEM):
            self.open_problem(self.key.removeprefix(PROBLEM))
        elif take and self.key:
            self.go_to(self.key, following=False)
        else:
            self.key = self._kept.get(self.entry, "")

    # looking -------------------------------------------------------------------------------------

    def look_again(self) -> None:
        """Look for known problems again."""
        self._failures = None
        self.look(self._pane.ui.snapshot)

    def look(self, snapshot: Snapshot) -> None:
        """Look for known problems when something has failed since, and at the log of the chosen step."""
        view, roots = snapshot.view, snapshot.roots
        if view is None or roots is None:
            return
        if failures(view) != self._failures and self._work.beside(
            "problems", lambda: look_for_problems(view, roots), self._found
        ):
            self._failures = failures(view)
        one = None if not self.key or self.key.startswith(PROBLEM) else view[self.key]
        log = one.record.log if one else ""
        unread = one and one.state is StepState.FAILED and self._pane.looks.output[0] != log
        if one and log and (unread or one.state is StepState.RUNNING):
            self._work.beside("tail", lambda: (log, _tail(roots.workspace / log)), self._read)

    def _found(self, problems: Problems) -> None:
        self._pane.looks = replace(self._pane.looks, problems=problems)

    def _read(self, output: tuple[str, tuple[str, ...]]) -> None:
        self._pane.looks = replace(self._pane.looks, output=output)

    @property
    def _findings(self) -> Sequence[Finding] | None:
        problems = self._pane.looks.problems
        return problems.all if problems else None

    # drawing -------------------------------------------------------------------------------------

    def draw(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""
        view, roots = snapshot.view, snapshot.roots
        if view is None or roots is None:
            self._draw_next(snapshot)
            return
        if self._following:
            self._follow(view, snapshot)
        self._expect_sizes()
        phases = self._pane.query_one("#runbook-phases", StepList)
        final = self._final_count(view)
        phases.show(rows.phase_rows(view, self._findings, final, phases.room), self.entry)
        self._pane.query_one(StepTabs).show(rows.tab_pieces(view, self._findings), self.entry)
        steps = self._pane.query_one("#runbook-steps", StepList)
        lines = self._lines(view, snapshot, roots)
        if self.key not in [line.key for line in lines]:
            self.key = lines[0].key if lines else ""
        self._draw_next(snapshot)
        steps.show(lay_out(lines, steps.room) or [self._empty()], self.key)
        self._put("#runbook-title", self._title(view, len(lines)))
        self._pane.query_one(StepDetail).show(self.key, self._blocks(view, snapshot, roots))

    def _expect_sizes(self) -> None:
        """Before the first layout: what the styles make of this terminal, so that one paint is enough."""
        pane, (width, height) = self._pane, self._pane.app.size
        phases, detail = pane.query_one("#runbook-phases", StepList), pane.query_one(StepDetail)
        if phases.size or detail.size or phases.styles.width is None:
            return
        left = 0 if self.narrow else int(phases.styles.width.value)
        phases.expected = Size(max(left - 1, 0), height)
        pane.query_one("#runbook-steps", StepList).expected = Size(width - left, height)
        detail.expected = Size(width - left, height // 2)

    def _draw_next(self, snapshot: Snapshot) -> None:
        self._put("#runbook-next", next_line(snapshot, self._work.starting, self.key))

    def _put(self, where: str, line: Line) -> None:
        if self._drawn.get(where) != (line, self._pane.app.theme):
            self._drawn[where] = (line, self._pane.app.theme)
            self._pane.query_one(where, Static).update(content_of(line))

    def _follow(self, view: RunbookView, snapshot: Snapshot) -> None:
        """Choose what runs; a failure stays chosen, something that passed gives way to what is next."""
        running = [one for one in view.steps if one.state is StepState.RUNNING]
        mine = [one for one in view.steps if one.step.id == self.key]
        starting = self._work.starting
        if running:
            self.go_to(running[0].step.id, following=True)
        elif starting:
            self.go_to(starting[0], following=True)
        elif not (mine and mine[0].state is StepState.FAILED):
            following = next_step(snapshot)
            if following:
                self.go_to(following, following=True)
            elif not self.entry:
                self.entry = view.runbook.phases[0].id

    def _lines(self, view: RunbookView, snapshot: Snapshot, roots: WorkspacePaths) -> list[StepLine]:
        if self._sought is not None:
            ranked = [
                (line, _rank(line, self._sought, view, roots)) for line in self._all(view, snapshot, roots)
            ]
            found = [(line, rank) for line, rank in ranked if rank is not None]
            return [line for line, _ in sorted(found, key=lambda one: one[1])]
        if self._only_failures:
            wrong = (StepState.FAILED, StepState.STALE)
            return [self._line(one, snapshot) for one in view.steps if one.state in wrong]
        if self.entry == PROBLEMS:
            return self._problem_lines(view, roots)
        phases = [phase for phase in view.runbook.phases if phase.id == self.entry]
        return [self._line(one, snapshot) for phase in phases for one in view.of_phase(phase)]

    def _all(self, view: RunbookView, snapshot: Snapshot, roots: WorkspacePaths) -> list[StepLine]:
        return [*(self._line(one, snapshot) for one in view.steps), *self._problem_lines(view, roots)]

    def _line(self, one: StepView, snapshot: Snapshot) -> StepLine:
        name = one.step.id
        return rows.step_line(
            one,
            snapshot,
            starting=name in self._work.starting,
            stopping=name in self._work.stopping,
            output=self._pane.looks.of(one).output,
        )

    def _problem_lines(self, view: RunbookView, roots: WorkspacePaths) -> list[StepLine]:
        found = [(problem, self._finding(problem)) for problem in view.runbook.problems]
        found.sort(key=lambda one: -int(one[1].certainty) if one[1] else 0)
        return [rows.problem_line(problem, finding, roots) for problem, finding in found]

    def _finding(self, problem: Problem) -> Finding | None:
        return next((one for one in self._findings or () if one.id == problem.id), None)

    def _empty(self) -> rows.Row:
        words = "runbook.nothing_found" if self._sought is not None else "runbook.no_failures"
        return rows.Row("", ((tr(words), "dim"),))

    def _title(self, view: RunbookView, count: int) -> Line:
        if self._sought is not None:
            title, words = tr("runbook.finding"), tr("runbook.found", count=count)
        elif self._only_failures:
            title, words = tr("runbook.only_failures"), tr("runbook.found", count=count)
        elif self.entry == PROBLEMS:
            title = tr("runbook.problems")
            known = self._findings is not None
            words = tr("runbook.matches", count=rows.matching(self._findings)) if known else "–"
        else:
            phase = view.runbook.phase(self.entry)
            title = ("" if phase.id == FINAL else f"{phase.id}  ") + say(phase.title, None)
            words = rows.count_words(view, phase)
        return (f" {title}", "bold"), (f"   {words}", "dim")

    def _blocks(self, view: RunbookView, snapshot: Snapshot, roots: WorkspacePaths) -> list[Block]:
        if not self.key:
            return []
        if self.key.startswith(PROBLEM):
            problem = view.runbook.problem(self.key.removeprefix(PROBLEM))
            return problem_blocks(problem, self._finding(problem), roots) if problem else []
        one = view[self.key]
        stopping = self.key in self._work.stopping
        return step_blocks(one, snapshot, self._pane.looks.of(one), stopping=stopping)

    def _final_count(self, view: RunbookView) -> tuple[int, int] | None:
        """How many criteria of the checklist hold; ``None`` while nobody has looked."""
        steps = [one for one in view.steps if one.phase.id == FINAL]
        passed: list[bool | None] = []
        for one in steps:
            known = self._pane.looks.of(one).checks
            passed += [check.passed for check in known] or [check.passed for check in one.record.checks]
        return (sum(one is True for one in passed), len(passed)) if passed else None

    def copy_text(self) -> str | None:
        """The command, the remedy, or what runs the phase from a shell."""
        snapshot = self._pane.ui.snapshot
        view, roots = snapshot.view, snapshot.roots
        if view is None or roots is None or not self.key:
            return None
        if self.key.startswith(PROBLEM):
            problem = view.runbook.problem(self.key.removeprefix(PROBLEM))
            return copy_of_problem(problem, self._finding(problem), roots) if problem else None
        if self._pane.query_one("#runbook-phases").has_focus:
            phase = view[self.key].phase.id
            words = engine_command("runbook", "run", roots.workspace, "--phase", phase)
            return " ".join(["diffbev-engine", *words[3:]])
        return command_of(view[self.key], roots)


def _tail(path: Path) -> tuple[str, ...]:
    from diffbev_tui.core.runbook_process import tail_lines  # in a thread, not at the start of the UI

    return tail_lines(path)


def _rank(line: StepLine, sought: str, view: RunbookView, roots: WorkspacePaths) -> int | None:
    """How well a row fits: by its id, by its words, by its command; ``None`` if not at all."""
    wanted = sought.casefold()
    if wanted and line.id.casefold().startswith(wanted):
        return 0 if line.id.casefold() == wanted else 1
    texts = [f"{line.title} {line.word} {line.key}"]
    if not line.key.startswith(PROBLEM):
        texts.append(command_of(view[line.key], roots))
    for rank, text in enumerate(texts, start=2):
        if all(part in text.casefold() for part in wanted.split()):
            return rank
    return None
