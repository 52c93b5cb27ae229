"""What is chosen on the runbook screen, and the rows and blocks that show it. No Textual."""

from collections.abc import Sequence
from dataclasses import dataclass

from diffbev_engine.findings.finding import Finding
from diffbev_engine.runbook.model import Problem
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.view import RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.engine import engine_command
from diffbev_tui.i18n import tr
from diffbev_tui.lines import Line, Row, say
from diffbev_tui.runbook import rows
from diffbev_tui.runbook.details import (
    Block,
    command_of,
    copy_of_problem,
    problem_blocks,
    step_blocks,
)
from diffbev_tui.runbook.next_step import next_step
from diffbev_tui.runbook.rows import FINAL, PROBLEM, PROBLEMS, StepLine
from diffbev_tui.runbook.state import Looks
from diffbev_tui.snapshot import Snapshot


@dataclass(frozen=True)
class Facts:
    """Everything that the screen shows, at one moment."""

    snapshot: Snapshot
    view: RunbookView
    roots: WorkspacePaths
    looks: Looks
    starting: tuple[str, ...] = ()
    """Steps that were started here and have not said so themselves yet."""
    stopping: frozenset[str] = frozenset()
    """Running steps that were asked to stop."""

    @property
    def findings(self) -> Sequence[Finding] | None:
        """Known problems that match; ``None`` while that is not known."""
        return self.looks.problems.all if self.looks.problems else None

    def finding(self, problem: Problem) -> Finding | None:
        """How a problem matches, if it does."""
        return next((one for one in self.findings or () if one.id == problem.id), None)

    @property
    def final_count(self) -> tuple[int, int] | None:
        """How many criteria of the checklist hold, of how many; ``None`` while nobody has checked."""
        steps = [one for one in self.view.steps if one.phase.id == FINAL]
        passed: list[bool | None] = []
        for one in steps:
            known = self.looks.of(one).checks
            passed += [check.passed for check in known] or [check.passed for check in one.record.checks]
        return (sum(one is True for one in passed), len(passed)) if passed else None


class RunbookSelection:
    """The chosen phase and step, what filters the list, and whether the choice follows what runs."""

    def __init__(self) -> None:
        self.entry = ""
        """The chosen phase, or ``problems``."""
        self.key = ""
        """The chosen step, or a problem with its mark before."""
        self._kept: dict[str, str] = {}
        self._following = True
        self._only_failures = False
        self._sought: str | None = None

    # choosing ------------------------------------------------------------------------------------

    def choose_entry(self, entry: str) -> None:
        """Choose a phase, or the problems, with the step that was chosen there last."""
        self._only_failures, self._following = False, False
        self.entry, self.key = entry, self._kept.get(entry, "")

    def move_entry(self, view: RunbookView, by: int) -> None:
        """Choose the next phase or the one before."""
        keys = [key for key, _ in rows.tab_pieces(view, None)]
        now = keys.index(self.entry) if self.entry in keys else 0
        self.choose_entry(keys[min(max(now + by, 0), len(keys) - 1)])

    def choose(self, key: str) -> None:
        """Choose a step or a problem of the list."""
        self.key, self._following = key, False
        self._kept[self.entry] = key

    def go_to(self, view: RunbookView, step: str, *, following: bool) -> None:
        """Choose a step of any phase."""
        self.entry, self.key, self._following = view[step].phase.id, step, following
        self._kept[self.entry] = step

    def go_to_next(self, snapshot: Snapshot) -> bool:
        """Choose the step to turn to; whether there is one."""
        step = next_step(snapshot)
        if step and snapshot.view is not None:
            self.show_everything()
            self.go_to(snapshot.view, step, following=True)
        return bool(step)

    def go_to_problem(self, problem: str) -> None:
        """Choose a known problem."""
        self.show_everything()
        self.choose_entry(PROBLEMS)
        self.choose(PROBLEM + problem)

    def toggle_failures(self) -> None:
        """Only what failed or is stale, or everything."""
        self._only_failures, self._following = not self._only_failures, False

    def show_everything(self) -> None:
        """No filter."""
        self._only_failures, self._sought = False, None

    def find(self, text: str) -> None:
        """Only what holds ``text``."""
        self._sought, self._following, self.key = text, False, ""

    def end_find(self, view: RunbookView | None, *, take: bool) -> bool:
        """Go to what was found, or back; whether that is a problem."""
        self._sought = None
        if take and self.key.startswith(PROBLEM):
            self.go_to_problem(self.key.removeprefix(PROBLEM))
            return True
        if take and self.key and view is not None:
            self.go_to(view, self.key, following=False)
        else:
            self.key = self._kept.get(self.entry, "")
        return False

    def follow(self, facts: Facts) -> None:
        """Choose what runs; a failure stays chosen, something that passed gives way to what is next."""
        if not self._following:
            return
        running = [one for one in facts.view.steps if one.state is StepState.RUNNING]
        mine = [one for one in facts.view.steps if one.step.id == self.key]
        if running:
            self.go_to(facts.view, running[0].step.id, following=True)
        elif facts.starting:
            self.go_to(facts.view, facts.starting[0], following=True)
        elif not (mine and mine[0].state is StepState.FAILED):
            following = next_step(facts.snapshot)
            if following:
                self.go_to(facts.view, following, following=True)
            elif not self.entry:
                self.entry = facts.view.runbook.phases[0].id

    # showing -------------------------------------------------------------------------------------

    def lines(self, facts: Facts) -> list[StepLine]:
        """The rows of the list; the choice moves to the first where it is not among them."""
        lines = self._lines(facts)
        if self.key not in [line.key for line in lines]:
            self.key = lines[0].key if lines else ""
        return lines

    def _lines(self, facts: Facts) -> list[StepLine]:
        view = facts.view
        if self._sought is not None:
            every = [*(_line(one, facts) for one in view.steps), *_problem_lines(facts)]
            ranked = [(line, _rank(line, self._sought, facts)) for line in every]
            found = [(line, rank) for line, rank in ranked if rank is not None]
            return [line for line, _ in sorted(found, key=lambda one: one[1])]
        if self._only_failures:
            wrong = (StepState.FAILED, StepState.STALE)
            return [_line(one, facts) for one in view.steps if one.state in wrong]
        if self.entry == PROBLEMS:
            return _problem_lines(facts)
        phases = [phase for phase in view.runbook.phases if phase.id == self.entry]
        return [_line(one, facts) for phase in phases for one in view.of_phase(phase)]

    def empty_row(self) -> Row:
        """What stands in a list without rows."""
        words = "runbook.nothing_found" if self._sought is not None else "runbook.no_failures"
        return Row("", ((tr(words), "dim"),))

    def title(self, facts: Facts, count: int) -> Line:
        """The line above the list."""
        if self._sought is not None:
            title, words = tr("runbook.finding"), tr("runbook.found", count=count)
        elif self._only_failures:
            title, words = tr("runbook.only_failures"), tr("runbook.found", count=count)
        elif self.entry == PROBLEMS:
            title, found = tr("runbook.problems"), facts.findings
            words = tr("runbook.matches", count=rows.matching(found)) if found is not None else "–"
        else:
            phase = facts.view.runbook.phase(self.entry)
            title = ("" if phase.id == FINAL else f"{phase.id}  ") + say(phase.title, None)
            words = rows.count_words(facts.view, phase)
        return (f" {title}", "bold"), (f"   {words}", "dim")

    def blocks(self, facts: Facts) -> list[Block]:
        """The chosen step or problem in detail."""
        if not self.key:
            return []
        if self.key.startswith(PROBLEM):
            problem = facts.view.runbook.problem(self.key.removeprefix(PROBLEM))
            return problem_blocks(problem, facts.finding(problem), facts.roots) if problem else []
        one = facts.view[self.key]
        return step_blocks(one, facts.snapshot, facts.looks.of(one), stopping=self.key in facts.stopping)

    def copy_text(self, facts: Facts, *, whole_phase: bool) -> str | None:
        """The command, the remedy, or what runs the phase from a shell."""
        if not self.key:
            return None
        if self.key.startswith(PROBLEM):
            problem = facts.view.runbook.problem(self.key.removeprefix(PROBLEM))
            return copy_of_problem(problem, facts.finding(problem), facts.roots) if problem else None
        if whole_phase:
            phase = facts.view[self.key].phase.id
            words = engine_command("runbook", "run", facts.roots.workspace, "--phase", phase)
            return " ".join(["diffbev-engine", *words[3:]])
        return command_of(facts.view[self.key], facts.roots)


def _line(one: StepView, facts: Facts) -> StepLine:
    name = one.step.id
    return rows.step_line(
        one,
        facts.snapshot,
        starting=name in facts.starting,
        stopping=name in facts.stopping,
        output=facts.looks.of(one).output,
    )


def _problem_lines(facts: Facts) -> list[StepLine]:
    found = [(problem, facts.finding(problem)) for problem in facts.view.runbook.problems]
    found.sort(key=lambda one: -int(one[1].certainty) if one[1] else 0)
    return [rows.problem_line(problem, finding, facts.roots) for problem, finding in found]


def _rank(line: StepLine, sought: str, facts: Facts) -> int | None:
    """How well a row fits: by its id, by its words, by its command; ``None`` if not at all."""
    wanted = sought.casefold()
    if wanted and line.id.casefold().startswith(wanted):
        return 0 if line.id.casefold() == wanted else 1
    texts = [f"{line.title} {line.word} {line.key}"]
    if not line.key.startswith(PROBLEM):
        texts.append(command_of(facts.view[line.key], facts.roots))
    for rank, text in enumerate(texts, start=2):
        if all(part in text.casefold() for part in wanted.split()):
            return rank
    return None
