"""Evaluate a finished step: checks, evidence lines, matching known problem."""

import time
from dataclasses import replace
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import ExitCode
from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.secrets import masked
from diffbev_engine.findings.failure import read_tail
from diffbev_engine.runbook.checks.check import CheckResult, Outcome, look_at
from diffbev_engine.runbook.checks.files import PathExists
from diffbev_engine.runbook.checks.output import ExitCodeIs
from diffbev_engine.runbook.files import fingerprints
from diffbev_engine.runbook.model import Runbook, Step
from diffbev_engine.runbook.record import CheckRecord, StepRecord, StepState
from diffbev_engine.runbook.run_of_step import why_its_run_failed
from diffbev_engine.runbook.view import watched
from diffbev_engine.runbook.workspace_paths import WorkspacePaths

_LARGEST_OUTPUT = 64 * 1024 * 1024
_MOST_LINES = 8


def check_step(step: Step, roots: WorkspacePaths, outcome: Outcome | None = None) -> list[CheckResult]:
    """Run every check of a step; changes nothing.

    Without an ``outcome`` the checks of the output are not known (``None``).
    """
    return [look_at(check, roots, outcome or Outcome()) for check in step.checks]


def recorded_outcome(record: StepRecord | None, roots: WorkspacePaths) -> Outcome:
    """What the last start of a step printed, as far as its log is still there."""
    if record is None or not record.log or record.state is StepState.RUNNING:
        return Outcome()
    path = roots.workspace / record.log
    readable = path.is_file() and roots.holds(path)
    return Outcome(read_output(path), record.exit_code) if readable else Outcome()


def judge(
    step: Step, roots: WorkspacePaths, outcome: Outcome, record: StepRecord, *, stopped: bool = False
) -> StepRecord:
    """The record of a step whose commands have ended."""
    results = check_step(step, roots, outcome)
    code_is_judged = any(isinstance(check, ExitCodeIs) for check in step.checks)
    code_is_good = code_is_judged or not outcome.exit_code
    passed = code_is_good and all(result.passed for result in results)
    reason = None
    # Also a run that somebody stopped from elsewhere (`runs stop`): it says so itself.
    stopped = stopped or bool(step.run_dir and outcome.exit_code == ExitCode.INTERRUPTED)
    if not passed:
        broken = [result for result in results if not result.passed]
        broken.sort(key=lambda result: _says_little(result, step))
        reason = why_its_run_failed(step, record, roots) if outcome.exit_code else None
        reason = reason or _what_failed(broken[0] if broken else None, outcome)
        if stopped:
            reason = Bilingual("已中断", "interrupted")
            if step.resume:
                reason = Bilingual(
                    "已中断；再次运行将从最新的检查点恢复训练，--again 重新开始",
                    "interrupted; run again to resume from the last checkpoint, or use --again to start over",
                )
    return replace(
        record,
        state=StepState.PASSED if passed else StepState.FAILED,
        reason=reason,
        exit_code=outcome.exit_code,
        interrupted=stopped and not passed,
        checks=tuple(CheckRecord(one.description, one.passed, one.seen.detail) for one in results),
        lines=_proof(results, outcome) if passed else _last_lines(outcome),
    )


def adopt(step: Step, roots: WorkspacePaths, runbook: Runbook) -> StepRecord | None:
    """The record of a step whose results are there already; ``None`` if files cannot prove it."""
    of_files = [look_at(check, roots, Outcome()) for check in step.checks if not check.of_the_run]
    makes_something = bool(step.outputs)
    if not makes_something or not of_files or not all(result.passed for result in of_files):
        return None
    now = time.time()
    return StepRecord(
        StepState.PASSED,
        Bilingual("使用已有结果，未运行命令", "existing results were used; no command was run"),
        started=now,
        finished=now,
        seconds=0.0,
        adopted=True,
        checks=tuple(CheckRecord(one.description, one.passed, one.seen.detail) for one in of_files),
        inputs=fingerprints(roots, watched(runbook, step)),
    )


def read_output(log: Path) -> str:
    """What a step printed."""
    return read_tail(log, _LARGEST_OUTPUT)


def _says_little(result: CheckResult, step: Step) -> int:
    """Sort key: a missing file says most; an exit code says least, but for a run more than the rest."""
    if isinstance(result.check, PathExists):
        return 0
    if isinstance(result.check, ExitCodeIs):
        return 1 if step.run_dir else 3
    return 2


def _what_failed(result: CheckResult | None, outcome: Outcome) -> Bilingual:
    if result is None:
        return Bilingual(f"退出码 {outcome.exit_code}", f"exit code {outcome.exit_code}")
    detail = result.seen.detail
    if not detail:
        return Bilingual(f"不满足：{result.description.zh}", f"not met: {result.description.en}")
    return Bilingual(
        f"不满足：{result.description.zh}（{detail.zh}）",
        f"not met: {result.description.en} ({detail.en})",
    )


def _proof(results: list[CheckResult], outcome: Outcome) -> tuple[str, ...]:
    """The lines of the output that the checks found, or its end."""
    of_output = (one for one in results if one.check.of_the_run and not isinstance(one.check, ExitCodeIs))
    lines = dict.fromkeys(one.seen.detail.en for one in of_output if one.seen.detail)
    return tuple(lines)[:_MOST_LINES] or _last_lines(outcome, 3)


def _last_lines(outcome: Outcome, most: int = _MOST_LINES) -> tuple[str, ...]:
    lines = [line for line in (outcome.output or "").splitlines() if line.strip()]
    return tuple(plain(masked(line), longest=300).rstrip() for line in lines[-most:])
