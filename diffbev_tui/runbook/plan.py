"""What starting a step, a phase or all that failed would do: which steps, which ways, what happens."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.findings.finding import Remedy
from diffbev_engine.runbook.model import Phase
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.run_of_step import run_of
from diffbev_engine.runbook.view import DONE, RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.i18n import tr
from diffbev_tui.lines import say

_MOST_LINES = 12


@dataclass(frozen=True)
class Way:
    """One way to start."""

    name: str
    """``run``, ``resume``, ``over`` or ``adopt``."""
    arguments: tuple[str, ...]
    """For ``diffbev-engine runbook run WORKSPACE``."""
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What was asked for: refused, or one or more ways to do it."""

    refusal: str = ""
    question: str = ""
    consequence: str = ""
    """What will happen; empty where there is nothing to warn of, and nobody need be asked."""
    ways: tuple[Way, ...] = ()
    remedies: tuple[Remedy, ...] = ()
    """Of what speaks against a start."""


def plan_step(view: RunbookView, name: str, roots: WorkspacePaths, runs: Sequence[RunReport]) -> Plan:
    """Run one step, also one that has passed; reads files, so to be called from a thread."""
    from diffbev_engine.runbook.judge import adopt  # what starts something is not needed at the start
    from diffbev_tui.runbook.outlook import Outlook, outlook

    one = view[name]
    before = steps_before(view, [one])
    refusal = _refusal([*before, one], roots, runs)
    if refusal:
        return Plan(refusal)
    title = say(one.step.title, roots)
    run = Way("run", ("--step", name), (name,))
    if before:
        names = [step.step.id for step in before]
        text = [tr("runbook.waits_first", step=name, before=", ".join(names))]
        text += _consequences([*before, one], roots, runs)
        whole = Way("run", _named([*names, name]), (*names, name))
        return Plan(
            "", tr("runbook.ask_with_before", count=len(before) + 1, step=name), _lines(text), (whole,)
        )
    ways = [run]
    if can_go_on(one, roots):
        ways = [Way("resume", run.arguments, (name,)), Way("over", (*run.arguments, "--again"), (name,))]
    text = _consequences([one], roots, runs)
    ahead = outlook(one.step, roots, runs) if one.step.run_dir and one.step.long else Outlook()
    text += ahead.lines
    if text and one.state is not StepState.PASSED and adopt(one.step, roots, view.runbook) is not None:
        ways.append(Way("adopt", (*run.arguments, "--adopt"), (name,)))
        text.append(tr("runbook.will_adopt"))
    question = tr("runbook.ask_run", step=name, title=title)
    return Plan("", question, _lines(text), tuple(ways), ahead.remedies)


def plan_phase(view: RunbookView, phase: Phase, roots: WorkspacePaths, runs: Sequence[RunReport]) -> Plan:
    """Run what is left of a phase."""
    rest = [one for one in view.of_phase(phase) if one.state not in DONE]
    if not rest:
        return Plan(tr("runbook.phase_done", phase=say(phase.title, roots)))
    before = steps_before(view, rest)
    question = tr("runbook.ask_phase", count=len(rest), phase=say(phase.title, roots))
    # Only steps that are not named may be deferred until a later one has run.
    arguments = () if before else ("--phase", phase.id)
    return _plan_many(rest, before, question, arguments, roots, runs)


def plan_failed(view: RunbookView, roots: WorkspacePaths, runs: Sequence[RunReport]) -> Plan:
    """Run everything that failed or is stale, in the whole runbook."""
    wrong = [one for one in view.steps if one.state in (StepState.FAILED, StepState.STALE)]
    if not wrong:
        return Plan(tr("runbook.nothing_failed"))
    question = tr("runbook.ask_failed", count=len(wrong))
    return _plan_many(wrong, steps_before(view, wrong), question, (), roots, runs)


def steps_before(view: RunbookView, steps: Iterable[StepView]) -> list[StepView]:
    """What must pass before ``steps`` can run, in the order of the runbook, without these themselves."""
    asked = {one.step.id for one in steps}
    wanted: set[str] = set()

    def visit(name: str) -> None:
        for other in view[name].waits_for:
            if other not in wanted | asked:
                wanted.add(other)
                visit(other)

    for name in asked:
        visit(name)
    return [one for one in view.steps if one.step.id in wanted]


def can_go_on(one: StepView, roots: WorkspacePaths) -> bool:
    """Whether a start would continue from a checkpoint, by the rule of the runner."""
    step = one.step
    cut_short = one.state is StepState.FAILED
    return bool(step.resume) and cut_short and RunFolder(roots.workspace / step.run_dir).has_checkpoint()


def _plan_many(
    steps: Sequence[StepView],
    before: Sequence[StepView],
    question: str,
    arguments: tuple[str, ...],
    roots: WorkspacePaths,
    runs: Sequence[RunReport],
) -> Plan:
    everything = [*before, *steps]
    refusal = _refusal(everything, roots, runs)
    if refusal:
        return Plan(refusal)
    names = [one.step.id for one in everything]
    text = [tr("runbook.will_run", steps=", ".join(names))]
    if before:
        text.append(tr("runbook.will_run_before", before=", ".join(one.step.id for one in before)))
    warnings = _consequences(everything, roots, runs)
    way = Way("run", arguments or _named(names), tuple(names))
    return Plan("", question, _lines([*text, *warnings]) if warnings or before else "", (way,))


def _named(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(part for name in names for part in ("--step", name))


def _lines(text: Sequence[str]) -> str:
    shown = list(text[:_MOST_LINES])
    if len(text) > _MOST_LINES:
        shown.append(tr("runbook.and_more", count=len(text) - _MOST_LINES))
    return "\n".join(shown)


def _refusal(steps: Sequence[StepView], roots: WorkspacePaths, runs: Sequence[RunReport]) -> str:
    """Why none of it can be started now."""
    for one in steps:
        if one.state is StepState.RUNNING:
            owner = one.record.runner or one.record.process
            if one is steps[-1]:
                return tr("runbook.runs_already", step=one.step.id, owner=owner)
            return tr("runbook.waits_running", step=steps[-1].step.id, running=one.step.id, owner=owner)
        run = run_of(one.step, roots, runs)
        if run is not None and run.state is RunCondition.RUNNING:
            return tr(
                "runbook.trained_already", step=one.step.id, run=one.step.run_dir, owner=run.process or "–"
            )
    return ""


def _consequences(steps: Sequence[StepView], roots: WorkspacePaths, runs: Sequence[RunReport]) -> list[str]:
    """What is worth knowing before; nothing for a step that only looks."""
    said = [words for one in steps if (words := _consequence(one, roots))]
    busy = [Path(run.path).name for run in runs if run.state is RunCondition.RUNNING]
    if busy and any(one.step.run_dir for one in steps):
        said.append(tr("runbook.will_share", runs=", ".join(busy)))
    return said


def _consequence(one: StepView, roots: WorkspacePaths) -> str:
    step = one.step
    if step.run_dir:
        if can_go_on(one, roots):
            return tr("runbook.will_go_on", step=step.id, run=step.run_dir)
        if RunFolder(roots.workspace / step.run_dir).holds_a_run():
            return tr("runbook.will_start_over", step=step.id, run=step.run_dir)
        return tr("runbook.will_train", step=step.id, run=step.run_dir)
    files = [roots.path(pattern) for pattern in step.outputs if not any(sign in pattern for sign in "*?[")]
    there = [roots.short(path) for path in files if path.is_file()]
    if there:
        return tr("runbook.will_write_again", step=step.id, files=", ".join(there))
    return tr("runbook.will_take_long", step=step.id) if step.long else ""
