"""Which known problem it is: matches a failure against the problems of the runbook."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from diffbev_engine.runbook.case import Case
from diffbev_engine.runbook.model import Problem, Remedy, Runbook
from diffbev_engine.runbook.oom_message import OutOfMemory, parse_oom
from diffbev_engine.runbook.roots import Roots
from diffbev_engine.runbook.signs import OF_THE_RUN, SIGNS
from diffbev_engine.runbook.text import Text

_LONGEST_LINE = 300
_MOST_LINES = 3


class Certainty(IntEnum):
    """How much a finding rests on."""

    CIRCUMSTANCE = 1
    """True of the machine or the workspace now; it need not be the cause."""
    EXPECTED = 2
    """What a failure of this step usually means."""
    SHOWN = 3
    """The log, the exit code or the run's own files show it."""


@dataclass(frozen=True)
class Finding:
    """One problem that matches."""

    problem: Problem
    certainty: Certainty
    evidence: tuple[Text, ...]
    oom: OutOfMemory | None = None
    """The message of torch, for the problem of GPU memory."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What ``RUN_DIR`` and ``TRAINING_STEP`` in the remedies stand for, where the run is known."""

    def remedies(self) -> tuple[Remedy, ...]:
        """What to do, the most fitting first."""
        remedies = tuple(self._for_this_run(remedy) for remedy in self.problem.remedies)
        if self.oom is None:
            return remedies
        wanted = "expandable_segments" if self.oom.fragmented else "CUDA_VISIBLE_DEVICES"
        if not (self.oom.fragmented or self.oom.others_matter):
            return remedies
        return tuple(sorted(remedies, key=lambda remedy: wanted not in remedy.text.en))

    def _for_this_run(self, remedy: Remedy) -> Remedy:
        command = remedy.command
        for name, value in self.names.items():
            command = command.replace(name, shlex.quote(value))
        return replace(remedy, command=command)

    def to_json(self, roots: Roots | None) -> dict[str, Any]:
        """Plain values, commands with the roots filled in."""
        problem = problem_json(replace(self.problem, remedies=self.remedies()), roots)
        evidence = [text.to_json() for text in self.evidence]
        found = {"certainty": self.certainty.name.lower(), "evidence": evidence}
        return {**problem, **found, "oom": self.oom.to_json() if self.oom else None}


def diagnose(runbook: Runbook, case: Case) -> list[Finding]:
    """The problems that match, the most certain and most specific first; changes nothing."""
    lines = case.log.splitlines()
    matches = [finding for problem in runbook.problems if (finding := _match(problem, case, lines))]
    found = [replace(finding, names=_names(finding, runbook, case)) for finding in matches]
    found.sort(key=lambda finding: (-finding.certainty, _rank(finding, case), -finding.problem.weight))
    return found


def named(findings: Sequence[Finding]) -> Finding | None:
    """The problem that a failure is put down to: never a mere circumstance."""
    return next((finding for finding in findings if finding.certainty > Certainty.CIRCUMSTANCE), None)


def problem_json(problem: Problem, roots: Roots | None) -> dict[str, Any]:
    """A problem as plain values."""

    def shell(text: str) -> str:
        return roots.command(text) if roots else text.strip("\n")

    def words(text: Text) -> dict[str, str]:
        return (roots.words(text) if roots else text).to_json()

    return {
        "id": problem.id,
        "belongs_to": problem.belongs_to or None,
        "title": words(problem.title),
        "explanation": words(problem.explanation),
        "note": words(problem.note) if problem.note else None,
        "locate": [
            {"run": shell(command.run), "label": words(command.label)} for command in problem.commands
        ],
        "remedies": [
            {
                "text": words(remedy.text),
                "command": shell(remedy.command) or None,
                "setting": remedy.setting or None,
            }
            for remedy in problem.remedies
        ],
    }


def _match(problem: Problem, case: Case, lines: Sequence[str]) -> Finding | None:
    shown = _in_the_log(problem, lines)
    if case.exit_code is not None and case.exit_code in problem.exit_codes:
        shown.append(Text(f"退出码 {case.exit_code}", f"exit code {case.exit_code}"))
    if case.status.get("state") in problem.states:
        message = str(case.status.get("message", ""))[:_LONGEST_LINE]
        shown.append(
            Text(f"状态 {case.status['state']}：{message}", f"state {case.status['state']}: {message}")
        )
    expected = case.step is not None and problem.id in case.step.problems
    circumstances: list[Text] = []
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


def _in_the_log(problem: Problem, lines: Sequence[str]) -> list[Text]:
    """The last lines that match, with their numbers."""
    if not problem.logs:
        return []
    pattern = re.compile("|".join(f"(?:{_without_flags(log)})" for log in problem.logs), _flags(problem.logs))
    found: list[Text] = []
    for number in range(len(lines), 0, -1):
        line = lines[number - 1]
        if pattern.search(line):
            shown = line.strip()[:_LONGEST_LINE]
            found.append(Text(f"日志第{number}行：{shown}", f"log line {number}: {shown}"))
            if len(found) == _MOST_LINES:
                break
    return found


def _flags(logs: Sequence[str]) -> int:
    """Case is ignored for all as soon as one says so: these are signs, not a language."""
    return re.IGNORECASE if any(log.startswith("(?i)") for log in logs) else 0


def _without_flags(log: str) -> str:
    return log.removeprefix("(?i)")
