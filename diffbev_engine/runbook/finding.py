"""A known problem that matches, and how sure that is; light, for those who only show what was found."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.runbook.model import Problem, Remedy
from diffbev_engine.runbook.workspace_paths import WorkspacePaths

if TYPE_CHECKING:
    from diffbev_engine.findings.oom_message import OutOfMemory


class Certainty(IntEnum):
    """Confidence of a finding."""

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
    evidence: tuple[Bilingual, ...]
    oom: "OutOfMemory | None" = None
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

    def to_json(self, roots: WorkspacePaths | None) -> dict[str, Any]:
        """Plain values, commands with the roots filled in."""
        problem = problem_json(replace(self.problem, remedies=self.remedies()), roots)
        evidence = [text.to_json() for text in self.evidence]
        found = {"certainty": self.certainty.name.lower(), "evidence": evidence}
        return {**problem, **found, "oom": self.oom.to_json() if self.oom else None}


def named(findings: Sequence[Finding]) -> Finding | None:
    """The problem that a failure is put down to: never a mere circumstance."""
    return next((finding for finding in findings if finding.certainty > Certainty.CIRCUMSTANCE), None)


def problem_json(problem: Problem, roots: WorkspacePaths | None) -> dict[str, Any]:
    """A problem as plain values."""

    def shell(text: str) -> str:
        return roots.command(text) if roots else text.strip("\n")

    def words(text: Bilingual) -> dict[str, str]:
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
