"""Steps, checks and states as plain values and as lines: what the command line and reports show."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from diffbev_engine.core.bilingual import Bilingual, Language
from diffbev_engine.core.format import UNKNOWN, duration
from diffbev_engine.findings.command import changes_of, own_command
from diffbev_engine.findings.finding import Certainty, Finding, Remedy
from diffbev_engine.runbook.checks.check import CheckResult, type_name
from diffbev_engine.runbook.model import Problem, Runbook, Step
from diffbev_engine.runbook.record import GLYPHS, StepState
from diffbev_engine.runbook.timeline import PhaseTime, TimeLeft, Timeline
from diffbev_engine.runbook.view import RunbookView, StepView
from diffbev_engine.runbook.workspace_paths import WorkspacePaths

STATE_WORDS = {
    StepState.PENDING: Bilingual("待运行", "pending"),
    StepState.RUNNING: Bilingual("运行中", "running"),
    StepState.PASSED: Bilingual("通过", "passed"),
    StepState.FAILED: Bilingual("失败", "failed"),
    StepState.SKIPPED: Bilingual("跳过", "skipped"),
    StepState.STALE: Bilingual("已过期", "stale"),
}


def runbook_json(runbook: Runbook, roots: WorkspacePaths, steps: Iterable[Step]) -> dict[str, Any]:
    """The runbook itself, without any state; only the phases that hold one of ``steps``."""
    wanted = set(steps)
    phases = [
        {
            "id": phase.id,
            "title": phase.title.to_json(),
            "source": str(phase.source) if phase.source else None,
            "steps": [step_json(step, roots) for step in phase.steps if step in wanted],
        }
        for phase in runbook.phases
        if wanted & set(phase.steps)
    ]
    return {
        **roots_json(roots),
        "phases": phases,
        "problems": [problem_json(problem, roots) for problem in runbook.problems],
    }


_FIX = Bilingual("补齐该步骤报告缺少的内容", "Create what the step reports as missing")
NO_ROOTS = WorkspacePaths(Path("WORKSPACE"), Path("NUSCENES_ROOT"))
"""What commands show where there is no workspace: names to fill in."""
_TO_FILL_IN = {"RUN_DIR", "TRAINING_STEP", str(NO_ROOTS.workspace), str(NO_ROOTS.nuscenes_root)}


def problem_json(
    problem: Problem, roots: WorkspacePaths, remedies: Iterable[Remedy] | None = None
) -> dict[str, Any]:
    """A known problem; with ``remedies`` those of one failure instead of all."""
    return {
        "id": problem.id,
        "belongs_to": problem.belongs_to or None,
        "title": roots.words(problem.title).to_json(),
        "explanation": roots.words(problem.explanation).to_json(),
        "note": roots.words(problem.note).to_json() if problem.note else None,
        "locate": [
            {"run": roots.shown_command(command.run), "label": roots.words(command.label).to_json()}
            for command in problem.commands
        ],
        "remedies": [
            filled(remedy, roots).to_json() for remedy in (problem.remedies if remedies is None else remedies)
        ],
    }


def filled(remedy: Remedy, roots: WorkspacePaths) -> Remedy:
    """A remedy with the roots filled in, and what it changes; one with a name to fill in cannot be run."""
    argv = tuple(roots.fill(argument) for argument in remedy.argv)
    shell = roots.command(remedy.shell)
    if any(_TO_FILL_IN & set(argument.split("/")) for argument in argv):
        argv, shell = (), " ".join(argv)
    changes = remedy.changes or changes_of(argv)
    return replace(remedy, text=roots.words(remedy.text), argv=argv, shell=shell, changes=changes)


def names_of_step(runbook: Runbook, step: Step, roots: WorkspacePaths) -> dict[str, str]:
    """What ``RUN_DIR`` and ``TRAINING_STEP`` stand for, for a step that is about one run."""
    folders = {name for file in (step.run_dir, *step.inputs) if (name := "/".join(file.split("/")[:2]))}
    trainings = [one for one in runbook.steps if one.run_dir and one.run_dir in folders]
    if len(trainings) != 1:
        return {}
    return {"RUN_DIR": str(roots.workspace / trainings[0].run_dir), "TRAINING_STEP": trainings[0].id}


def with_names(remedy: Remedy, names: Mapping[str, str]) -> Remedy:
    """With what is known filled in."""
    return replace(remedy, argv=tuple(names.get(argument, argument) for argument in remedy.argv))


def fix_of(step: Step, roots: WorkspacePaths) -> Remedy | None:
    """What fixes a failed step by its own account; ``None`` where it names nothing."""
    if not step.fix:
        return None
    argv = own_command(step.fix)
    return filled(Remedy(_FIX, argv=argv, shell="" if argv else step.fix), roots)


def finding_json(finding: Finding, runbook: Runbook, roots: WorkspacePaths | None) -> dict[str, Any]:
    """A finding of the doctor with its known problem."""
    problem = runbook.problem(finding.id)
    assert problem is not None, "the doctor finds known problems"
    return {
        **problem_json(problem, roots or NO_ROOTS, finding.remedies),
        "certainty": finding.certainty.name.lower(),
        "match": finding.certainty is Certainty.SHOWN,
        "severity": finding.severity.value,
        "subject": finding.subject,
        "where": finding.where or None,
        "evidence": [text.to_json() for text in finding.evidence],
        "oom": finding.figures.get("oom"),
    }


def roots_json(roots: WorkspacePaths) -> dict[str, Any]:
    """Where the workspace and its data are."""
    return {
        "workspace": str(roots.workspace),
        "nuscenes_root": str(roots.nuscenes_root),
        "data_root": str(roots.data_root),
        "demo": roots.demo,
    }


def step_json(step: Step, roots: WorkspacePaths) -> dict[str, Any]:
    """A step without its state."""
    equivalent = step.equivalent
    return {
        "id": step.id,
        "title": step.title.to_json(),
        "text": roots.words(step.text).to_json() if step.text else None,
        "criterion": roots.words(step.criterion).to_json(),
        "commands": [
            {"run": roots.shown_command(command.run), "label": command.label.to_json()}
            for command in step.commands
        ],
        "choose": step.choose,
        "equivalent": {"run": roots.shown_command(equivalent.run), "reason": equivalent.reason.to_json()}
        if equivalent
        else None,
        "checks": [
            {"type": type_name(check), "text": check.describe(roots).to_json()} for check in step.checks
        ],
        "after": list(step.after),
        "deferred_until": step.deferred_until or None,
        "put_off_until": step.deferred_until or None,
        "inputs": [roots.fill(path) for path in step.inputs],
        "outputs": [roots.fill(path) for path in step.outputs],
        "problems": list(step.problems),
        "fix": roots.shown_command(step.fix) or None,
        "run_dir": step.run_dir or None,
        "resume": roots.shown_command(step.resume) or None,
        "long": step.long,
    }


def view_json(
    view: RunbookView, roots: WorkspacePaths, steps: Iterable[Step], times: Timeline
) -> dict[str, Any]:
    """The state of every step, with its evidence, and the time taken and left."""
    wanted = set(steps)
    return {
        **roots_json(roots),
        "counts": {state.value: view.counts[state] for state in StepState},
        "next": view.next.step.id if view.next else None,
        "time": times.to_json(),
        "phases": [
            {
                "id": phase.id,
                "title": phase.title.to_json(),
                "state": view.phase_state(phase).value,
                "time": spent.to_json(),
                "steps": [state_json(one) for one in view.of_phase(phase) if one.step in wanted],
            }
            for phase, spent in zip(view.runbook.phases, times.phases, strict=True)
            if wanted & set(phase.steps)
        ],
    }


def state_json(view: StepView) -> dict[str, Any]:
    """One step as it stands."""
    head = {"id": view.step.id, "title": view.step.title.to_json(), "waits_for": list(view.waits_for)}
    return {**head, **view.record.to_json()}


def checks_json(step: Step, results: Iterable[CheckResult]) -> dict[str, Any]:
    """What the checks of a step show now."""
    listed = list(results)
    return {
        "id": step.id,
        "title": step.title.to_json(),
        "passed": all_hold(listed),
        "checks": [
            {
                "type": type_name(one.check),
                "passed": one.passed,
                "text": asdict(one.description),
                "detail": asdict(one.seen.detail),
            }
            for one in listed
        ],
    }


def all_hold(results: Iterable[CheckResult]) -> bool | None:
    """Whether all checks hold; ``None`` if none fails but some cannot be known yet."""
    passed = [result.passed for result in results]
    return False if False in passed else None if None in passed else True


def state_line(view: StepView, language: Language) -> str:
    """``✓ 2.4    Run the baseline smoke test   passed, 2 m 10 s, 2026-11-22 21:04``."""
    record = view.record
    words = [STATE_WORDS[view.state][language]]
    if record.seconds is not None and view.state in (StepState.PASSED, StepState.FAILED):
        words.append(duration(record.seconds, language, tenths=True))
    if record.finished is not None and view.state is not StepState.PENDING:
        words.append(clock(record.finished))
    if record.reason and view.state is not StepState.PASSED:
        words.append(record.reason[language])
    if view.waits_for and view.state is StepState.PENDING:
        waits = ", ".join(view.waits_for)
        words.append({"zh": f"等待 {waits}", "en": f"waits for {waits}"}[language])
    return f"{GLYPHS[view.state]} {view.step.id:<6} {view.step.title[language]} · {', '.join(words)}"


def time_line(times: Timeline | PhaseTime, language: Language) -> str:
    """``took 1 h 12 min, at least 9 h 12 min left``; with the end where that is known."""
    words = []
    if times.took_s:
        took = duration(times.took_s, language, tenths=True)
        words.append({"zh": f"用时 {took}", "en": f"took {took}"}[language])
    left = times.left_words(language) if isinstance(times, Timeline) else _left_words(times.left, language)
    if left:
        words.append({"zh": f"剩余 {left}", "en": f"{left} left"}[language])
    if isinstance(times, Timeline) and times.ends:
        ends = clock(times.ends)
        words.append({"zh": f"{ends} 前全部完成", "en": f"all done by {ends}"}[language])
    return {"zh": "，", "en": ", "}[language].join(words)


def _left_words(left: TimeLeft, language: Language) -> str:
    words = left.words(language)
    return "" if words == UNKNOWN or left == TimeLeft() else words


def clock(when: float) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(when))
