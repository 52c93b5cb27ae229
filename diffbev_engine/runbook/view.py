"""The runbook as it stands: every step with its state, and what to do next."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.runbook.files import matches
from diffbev_engine.runbook.model import Phase, Runbook, Step
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.run_of_step import as_its_run_stands
from diffbev_engine.runbook.staleness import why_changed
from diffbev_engine.runbook.state import Records, is_alive
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder

DONE = (StepState.PASSED, StepState.SKIPPED)


@dataclass(frozen=True)
class StepView:
    """One step as it stands."""

    step: Step
    phase: Phase
    record: StepRecord
    """With the state that looking at files and processes gives, not only the stored one."""
    waits_for: tuple[str, ...] = ()
    """Steps of ``after`` that have not passed."""

    @property
    def state(self) -> StepState:
        """The state of the step."""
        return self.record.state


@dataclass(frozen=True)
class RunbookView:
    """All steps as they stand."""

    runbook: Runbook
    steps: tuple[StepView, ...]

    def __getitem__(self, step: str) -> StepView:
        return next(view for view in self.steps if view.step.id == step)

    def of_phase(self, phase: Phase) -> tuple[StepView, ...]:
        """The steps of a phase."""
        return tuple(view for view in self.steps if view.phase.id == phase.id)

    def phase_state(self, phase: Phase) -> StepState:
        """The state of a phase: the loudest of its steps."""
        states = {view.state for view in self.of_phase(phase)}
        for state in (StepState.RUNNING, StepState.FAILED, StepState.STALE, StepState.PENDING):
            if state in states:
                return state
        return StepState.SKIPPED if states == {StepState.SKIPPED} else StepState.PASSED

    @property
    def counts(self) -> Counter[StepState]:
        """How many steps are in each state."""
        return Counter(view.state for view in self.steps)

    @property
    def next(self) -> StepView | None:
        """The step to turn to: a running one to wait for, else the first that is not done."""
        running = [view for view in self.steps if view.state is StepState.RUNNING]
        return next(iter(running or [view for view in self.steps if view.state not in DONE]), None)


def view_runbook(runbook: Runbook, records: Records, roots: WorkspacePaths) -> RunbookView:
    """Check files and processes; nothing is changed."""
    phases = {step.id: phase for phase in runbook.phases for step in phase.steps}
    seen: dict[str, StepRecord] = {}
    for step in _by_dependency(runbook.steps):
        seen[step.id] = _as_it_stands(step, records.get(step.id, StepRecord()), seen, runbook, roots)
    views = []
    for step in runbook.steps:
        waits = tuple(name for name in step.after if seen[name].state not in DONE)
        views.append(StepView(step, phases[step.id], seen[step.id], waits))
    return RunbookView(runbook, tuple(views))


def watched(runbook: Runbook, step: Step) -> tuple[str, ...]:
    """What the result of a step depends on: its inputs, and what the steps before it make."""
    made = (output for name in step.after for output in runbook.step(name).outputs)
    return tuple(dict.fromkeys(pattern for pattern in (*step.inputs, *made) if pattern not in step.outputs))


def _as_it_stands(
    step: Step, record: StepRecord, seen: dict[str, StepRecord], runbook: Runbook, roots: WorkspacePaths
) -> StepRecord:
    if record.state is StepState.RUNNING and not is_alive(record):
        reason = Bilingual(
            "运行它的进程已不存在，没有记录结果",
            "the process that ran it no longer exists and recorded no result",
        )
        record = replace(record, state=StepState.FAILED, reason=reason, interrupted=True)
    record = as_its_run_stands(step, record, roots)
    if record.state is StepState.SKIPPED and record.deferred:
        later = seen.get(step.deferred_until)
        if later and later.state is StepState.PASSED and (later.finished or 0) > (record.finished or 0):
            reason = Bilingual(
                f"{step.deferred_until} 已完成，可以检查", f"{step.deferred_until} is done, ready to check"
            )
            return replace(record, state=StepState.STALE, reason=reason)
    if record.state is not StepState.PASSED:
        return record
    stale = _why_stale(step, record, seen, runbook, roots)
    return replace(record, state=StepState.STALE, reason=stale) if stale else record


def _why_stale(
    step: Step, record: StepRecord, seen: dict[str, StepRecord], runbook: Runbook, roots: WorkspacePaths
) -> Bilingual | None:
    for pattern in watched(runbook, step):
        changed = why_changed(step, record, pattern, roots) if pattern in record.inputs else None
        if changed:
            return changed
    for pattern in step.outputs:
        # A training that lost a file takes days to make again: that is for a person to decide, and the
        # checks behind it name what is missing.
        if not any(matches(roots, pattern)) and not _is_a_training_with_results(step, roots):
            shown = roots.short(roots.path(pattern))
            return Bilingual(f"{shown} 已不存在", f"{shown} no longer exists")
    for name in step.after:
        other, makes = seen[name], runbook.step(name).outputs
        if step.run_dir and not makes:  # it only looked: that it should look again costs no training
            continue
        if other.state is StepState.STALE and not other.deferred:
            return Bilingual(f"{name} 已过期", f"{name} is stale")
        if other.state is StepState.FAILED:
            return Bilingual(f"{name} 之后失败", f"{name} has failed since")
        # Both write the same file, as 2.2 appends to the copy of 2.1: only the order can tell.
        shared = set(makes) & set(step.outputs)
        if shared and (other.finished or 0) > (record.started or 0):
            return Bilingual(f"{name} 在此之后重新运行", f"{name} was run again since")
    return None


def _is_a_training_with_results(step: Step, roots: WorkspacePaths) -> bool:
    """Whether the step trains, and its run directory still holds a checkpoint."""
    return bool(step.run_dir) and RunFolder(roots.path(step.run_dir)).has_checkpoint()


def _by_dependency(steps: Sequence[Step]) -> list[Step]:
    """Steps such that each comes behind those it depends on, also behind the one it was deferred for."""
    by_id = {step.id: step for step in steps}
    order: dict[str, Step] = {}

    def visit(step: Step, path: frozenset[str]) -> None:
        if step.id in order or step.id in path:
            return
        for name in (*step.after, *filter(None, [step.deferred_until])):
            visit(by_id[name], path | {step.id})
        order[step.id] = step

    for step in steps:
        visit(step, frozenset())
    return list(order.values())
