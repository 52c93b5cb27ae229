"""What ``runbook doctor`` is asked about: a run directory, a log, or a workspace's last failure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.bilingual import EMPTY, Bilingual, same
from diffbev_engine.core.errors import UsageError
from diffbev_engine.runbook.case import Case, case_of
from diffbev_engine.runbook.doctor import diagnose
from diffbev_engine.runbook.finding import Finding
from diffbev_engine.runbook.judge import find_problem, recorded_outcome
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.record import StepState
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import view_runbook
from diffbev_engine.runbook.workspace_paths import WORKSPACE_FILE, WorkspacePaths, find_roots


@dataclass(frozen=True)
class Consultation:
    """What was looked at, and what was found."""

    about: Bilingual
    findings: Sequence[Finding]
    roots: WorkspacePaths | None


def consult(target: Path | None) -> Consultation:
    """Diagnose ``target``; without one, the workspace of the current folder.

    Raises:
        UsageError: there is no such file or folder, or no workspace.
    """
    if target is None or _is_workspace(target):
        return _about_workspace(find_roots(target))
    roots = _workspace_around(target)
    case = case_of(target, roots)
    return Consultation(same(str(target)), diagnose(load_runbook(roots), case), roots)


def _about_workspace(roots: WorkspacePaths) -> Consultation:
    """The last failed step; without one, the workspace and the machine as they are."""
    runbook, records = load_runbook(roots), StateStore(roots).read()
    view = view_runbook(runbook, records, roots)
    failed = [one for one in view.steps if one.state is StepState.FAILED]
    if not failed:
        return Consultation(same(str(roots.workspace)), diagnose(runbook, Case(roots)), roots)
    last = max(failed, key=lambda one: one.record.finished or 0)
    outcome = recorded_outcome(last.record, roots)
    findings = find_problem(runbook, last.step, roots, outcome)
    reason, title = last.record.reason or EMPTY, last.step.title
    step = f"{roots.workspace}: {last.step.id}"
    about = Bilingual(
        f"{step} {title.zh}" + (f"：{reason.zh}" if reason else ""),
        f"{step} {title.en}" + (f": {reason.en}" if reason else ""),
    )
    return Consultation(about, findings, roots)


def _is_workspace(folder: Path) -> bool:
    return any((folder / name).exists() for name in (WORKSPACE_FILE, ".diffbev", "runbook.toml"))


def _workspace_around(target: Path) -> WorkspacePaths | None:
    absolute = target.absolute()
    for folder in absolute.parents:
        if _is_workspace(folder):
            try:
                return find_roots(folder)
            except UsageError:  # a damaged workspace.toml must not keep a log from being read
                return None
    return None
