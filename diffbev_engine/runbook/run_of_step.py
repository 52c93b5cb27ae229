"""A step that trains is judged by its run, also where that was stopped, resumed or finished elsewhere."""

import math
from collections.abc import Sequence
from dataclasses import replace

from diffbev_engine.core.bilingual import Bilingual, same
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runbook.checks.check import Outcome, look_at
from diffbev_engine.runbook.model import Step
from diffbev_engine.runbook.record import StepRecord, StepState
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.failed_start import decode_failed_start
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport, inspect_run
from diffbev_engine.runs.verdict import RunCondition

_FAILED = (RunCondition.FAILED, RunCondition.OOM, RunCondition.DIVERGED, RunCondition.DEAD)


def run_of(step: Step, roots: WorkspacePaths, runs: Sequence[RunReport]) -> RunReport | None:
    """The run that a step writes, among those that were found in the workspace."""
    if not step.run_dir:
        return None
    wanted = str(roots.workspace / step.run_dir)
    return next((run for run in runs if run.path == wanted or run.path.endswith("/" + step.run_dir)), None)


def as_its_run_stands(step: Step, record: StepRecord, roots: WorkspacePaths) -> StepRecord:
    """The record of a step that failed, as its run stands now if that was started again since."""
    run = _run_of(step, roots) if record.state is StepState.FAILED else None
    if run is None or not _went_on(run, record):
        return record
    if run.state is RunCondition.FINISHED:
        more = run.ended - run.started if run.ended and run.started else None
        seconds = None if record.seconds is None or more is None else record.seconds + more
        record = replace(record, finished=run.ended or record.finished, seconds=seconds)
        return _finished(step, record, roots)
    if run.state in _FAILED:
        return replace(record, interrupted=False, problem=None, reason=same(run.reason))
    if run.state is RunCondition.RUNNING:
        reason = Bilingual("已在流程外恢复训练", "training was resumed outside the runbook and continues")
    else:
        reason = Bilingual("已中断", "interrupted")
    return replace(record, interrupted=True, problem=None, reason=reason)


def why_its_run_failed(step: Step, record: StepRecord, roots: WorkspacePaths) -> Bilingual | None:
    """The run's own reason for the failure of the start that ``record`` is about."""
    start = decode_failed_start(RunFolder(roots.path(step.run_dir))).value if step.run_dir else None
    if start and start.failed >= (record.started or 0.0):  # before there was a run.json
        return same(start.reason)
    run = _run_of(step, roots)
    if run is None or run.state not in _FAILED or not run.reason:
        return None
    belongs = (run.started or 0.0) >= (record.started or 0.0) - 1  # run.json has whole seconds
    return same(run.reason) if belongs else None


def _went_on(run: RunReport, record: StepRecord) -> bool:
    """Whether the run was started again after the end that ``record`` tells of.

    That may have been before the end was written down, as one who is quick resumes a run.
    """
    began, started = record.started or 0.0, run.started or 0.0
    if record.finished is None:
        return started > began
    if started < math.floor(began):  # under way before the step; run.json has whole seconds
        return False
    return run.state is RunCondition.RUNNING or (run.ended or started) > record.finished


def _run_of(step: Step, roots: WorkspacePaths) -> RunReport | None:
    if not step.run_dir:
        return None
    try:
        return inspect_run(roots.path(step.run_dir))
    except DiffBEVError:  # it has not come to a run
        return None


def _finished(step: Step, record: StepRecord, roots: WorkspacePaths) -> StepRecord:
    """What the files prove; what only the output of the step would have shown, the run's own end does."""
    results = [look_at(check, roots, Outcome()) for check in step.checks if not check.of_the_run]
    missing = next((result for result in results if not result.passed), None)
    if missing is not None:
        detail = missing.seen.detail or missing.description
        reason = Bilingual(f"实验已完成，但{detail.zh}", f"the run has finished, but {detail.en}")
        return replace(record, interrupted=False, problem=None, reason=reason)
    reason = Bilingual("在流程外恢复训练后完成", "finished after it was resumed outside the runbook")
    return replace(
        record, state=StepState.PASSED, interrupted=False, problem=None, exit_code=0, reason=reason
    )
