"""Slow read-only workspace checks (criteria, known problems); call from a thread."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from diffbev_engine.findings.finding import Finding
from diffbev_engine.runbook.checks.check import CheckResult
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_tui.runbook.details import Known
from diffbev_tui.runbook.rows import matching

Failures = tuple[tuple[str, float | None], ...]


@dataclass(frozen=True)
class Problems:
    """Known problems that match."""

    by_step: Mapping[str, tuple[Finding, ...]] = field(default_factory=dict)
    """Failed step to what matches its failure."""
    all: tuple[Finding, ...] = ()
    """Of every failure, most reliable first; without a failure, of the workspace and the machine."""


@dataclass(frozen=True)
class Looks:
    """What was found by checks outside the snapshot."""

    checks: Mapping[str, tuple[float, tuple[CheckResult, ...]]] = field(default_factory=dict)
    """Step to when, and what its criteria showed."""
    problems: Problems | None = None
    output: tuple[str, tuple[str, ...]] = ("", ())
    """A log and its last lines."""

    def with_checks(self, results: Mapping[str, tuple[CheckResult, ...]]) -> "Looks":
        """With what was just checked."""
        now = time.time()
        return replace(self, checks={**self.checks, **{name: (now, one) for name, one in results.items()}})

    def problem_of(self, one: StepView) -> str:
        """The known problem behind the failure of a step; "" if there is none."""
        found = self.problems.by_step.get(one.step.id, ()) if self.problems else ()
        sure = [finding.id for finding in found if matching([finding])]
        return sure[0] if sure else one.record.problem or ""

    def of(self, one: StepView) -> Known:
        """All that is known of a step."""
        checked, checks = self.checks.get(one.step.id, (None, ()))
        found = self.problems.by_step.get(one.step.id, ()) if self.problems else ()
        findings = tuple(finding for finding in found if matching([finding]))
        output = self.output[1] if one.record.log and self.output[0] == one.record.log else ()
        return Known(checks, checked, findings, output)


def failures(view: RunbookView) -> Failures:
    """What a check for problems depends on: which steps failed, and when."""
    return tuple((one.step.id, one.record.finished) for one in view.steps if one.state is StepState.FAILED)


def look_for_problems(view: RunbookView, roots: WorkspacePaths) -> Problems:
    """Match every failure against the known problems."""
    # The doctor comes when he is needed, which is after the first screen.
    from diffbev_engine.runbook.doctor import diagnose_workspace, find_problem
    from diffbev_engine.runbook.judge import recorded_outcome

    failed = [one for one in view.steps if one.state is StepState.FAILED and not _was_stopped(one)]
    if not failed:
        return Problems({}, tuple(diagnose_workspace(view.runbook, roots)))
    found = {}
    for one in failed:
        outcome = recorded_outcome(one.record, roots)
        found[one.step.id] = tuple(find_problem(view.runbook, one.step, roots, outcome, one.record))
    surest: dict[str, Finding] = {}
    for finding in (finding for findings in found.values() for finding in findings):
        other = surest.get(finding.id)
        if other is None or finding.certainty > other.certainty:
            surest[finding.id] = finding
    return Problems(found, tuple(sorted(surest.values(), key=lambda one: -one.certainty)))


def _was_stopped(one: StepView) -> bool:
    """Whether somebody stopped it; a process that is just gone has no exit code."""
    return one.record.interrupted and one.record.exit_code is not None


def look_at_steps(steps: tuple[StepView, ...], roots: WorkspacePaths) -> dict[str, tuple[CheckResult, ...]]:
    """Whether the criteria hold now; what a command must print is looked up in its last log.

    Raises:
        DiffBEVError: the state of the runbook is damaged.
    """
    from diffbev_engine.runbook.judge import check_step, recorded_outcome

    records = StateStore(roots).read()
    return {
        one.step.id: tuple(check_step(one.step, roots, recorded_outcome(records.get(one.step.id), roots)))
        for one in steps
    }
