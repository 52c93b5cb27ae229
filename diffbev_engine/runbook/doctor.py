"""Which known problem it is: matches a failure against the problems of the runbook."""

import re
from collections.abc import Sequence
from dataclasses import replace

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.findings.oom_message import OutOfMemory, parse_oom
from diffbev_engine.runbook.case import Case
from diffbev_engine.runbook.finding import Certainty, Finding
from diffbev_engine.runbook.model import Problem, Runbook
from diffbev_engine.runbook.signs import OF_THE_RUN, SIGNS

_LONGEST_LINE = 300
_MOST_LINES = 3


def diagnose(runbook: Runbook, case: Case) -> list[Finding]:
    """The problems that match, the most certain and most specific first; changes nothing."""
    lines = case.log.splitlines()
    matches = [finding for problem in runbook.problems if (finding := _match(problem, case, lines))]
    found = [replace(finding, names=_names(finding, runbook, case)) for finding in matches]
    found.sort(key=lambda finding: (-finding.certainty, _rank(finding, case), -finding.problem.weight))
    return found


def _match(problem: Problem, case: Case, lines: Sequence[str]) -> Finding | None:
    shown = _in_the_log(problem, lines)
    if case.exit_code is not None and case.exit_code in problem.exit_codes:
        shown.append(Bilingual(f"退出码 {case.exit_code}", f"exit code {case.exit_code}"))
    if case.status.get("state") in problem.states:
        message = str(case.status.get("message", ""))[:_LONGEST_LINE]
        shown.append(
            Bilingual(f"状态 {case.status['state']}：{message}", f"state {case.status['state']}: {message}")
        )
    expected = case.step is not None and problem.id in case.step.problems
    circumstances: list[Bilingual] = []
    for name in problem.signs:
        seen = SIGNS[name](case)
        if seen is not None:
            (shown if expected or (name in OF_THE_RUN and case.run_dir) else circumstances).append(seen)
    oom = _memory_message(case) if "oom" in problem.states and (shown or circumstances) else None
    if oom:
        shown = [*oom.say(), *shown]
    if shown:
        return Finding(problem, Certainty.SHOWN, tuple(shown), oom)
    if expected:
        return Finding(problem, Certainty.EXPECTED, tuple(circumstances))
    return Finding(problem, Certainty.CIRCUMSTANCE, tuple(circumstances)) if circumstances else None


def _rank(finding: Finding, case: Case) -> int:
    """What a step is only expected to fail of comes in the order in which the step names it."""
    if finding.certainty is not Certainty.EXPECTED or case.step is None:
        return 0
    return case.step.problems.index(finding.problem.id)


def _names(finding: Finding, runbook: Runbook, case: Case) -> dict[str, str]:
    """The run directory that a finding is about, and the step that trains it."""
    about = " ".join(text.en for text in finding.evidence)
    for step in runbook.steps if case.roots else ():
        folder = case.roots.path(step.run_dir) if case.roots and step.run_dir else None
        if folder and (folder == case.run_dir or f"{folder}/" in about):
            return {"RUN_DIR": str(folder), "TRAINING_STEP": step.id}
    return {"RUN_DIR": str(case.run_dir)} if case.run_dir else {}


def _memory_message(case: Case) -> OutOfMemory | None:
    """The message of torch, from the report of the run, its log or its status."""
    sources = (str(case.oom_report.get("message", "")), case.log, str(case.status.get("message", "")))
    return next((found for source in sources if (found := parse_oom(source))), None)


def _in_the_log(problem: Problem, lines: Sequence[str]) -> list[Bilingual]:
    """The last lines that match, with their numbers."""
    if not problem.logs:
        return []
    pattern = re.compile("|".join(f"(?:{_without_flags(log)})" for log in problem.logs), _flags(problem.logs))
    found: list[Bilingual] = []
    for number in range(len(lines), 0, -1):
        line = lines[number - 1]
        if pattern.search(line):
            shown = line.strip()[:_LONGEST_LINE]
            found.append(Bilingual(f"日志第 {number} 行：{shown}", f"log line {number}: {shown}"))
            if len(found) == _MOST_LINES:
                break
    return found


def _flags(logs: Sequence[str]) -> int:
    """Case is ignored for all as soon as one says so: these are signs, not a language."""
    return re.IGNORECASE if any(log.startswith("(?i)") for log in logs) else 0


def _without_flags(log: str) -> str:
    return log.removeprefix("(?i)")
