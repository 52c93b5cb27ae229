"""What is remembered of a step: its state and the evidence, as written to the state file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.secrets import masked_values
from diffbev_engine.core.state_file import Count, Seconds, UnixTime
from diffbev_engine.runs.process import ProcessIdentity


class StepState(str, Enum):
    """The states of a step."""

    PENDING = "pending"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    STALE = "stale"
    """Passed earlier, but an input has changed since. Derived, never stored."""


GLYPHS = {
    StepState.PENDING: "○",
    StepState.RUNNING: "●",
    StepState.PASSED: "✓",
    StepState.FAILED: "✗",
    StepState.SKIPPED: "↷",
    StepState.STALE: "~",
}


@dataclass(frozen=True)
class CheckRecord:
    """What one check showed when the step was judged."""

    description: Bilingual
    passed: bool | None
    detail: Bilingual


@dataclass(frozen=True)
class StepRecord:
    """The last word on a step."""

    state: StepState = StepState.PENDING
    reason: Bilingual | None = None
    """Why it was skipped, failed without a check saying so, or is stale."""
    started: UnixTime | None = None
    finished: UnixTime | None = None
    seconds: Seconds | None = None
    """Of this start and those that it continued; while it runs, of the latter."""
    exit_code: int | None = None
    interrupted: bool = False
    adopted: bool = False
    """Whether the results were found as they are, and nothing was run."""
    deferred: bool = False
    """Whether it was skipped only until a later step has run."""
    put_off: bool = False
    """``deferred`` in files of older versions; ``StateStore`` reads and writes it."""
    command: str = ""
    """What ran, with the roots filled in."""
    chosen: Count | None = None
    """Which of the commands ran, where the first available one is chosen."""
    log: str = ""
    """The output, relative to the workspace."""
    lines: tuple[str, ...] = ()
    """The lines of the output that proved it, or the last ones of a failure."""
    checks: tuple[CheckRecord, ...] = ()
    problem: str | None = None
    """The known problem that matched."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints at the start."""
    process: ProcessIdentity | None = None
    """The shell of the step while it runs."""
    runner: ProcessIdentity | None = None
    """Who started it and waits for it."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**masked_values(asdict(self)), "state": self.state.value, "put_off": self.deferred}


@dataclass(frozen=True)
class StateFile:
    """``runbook_state.json``; keys of newer versions are ignored."""

    steps: Mapping[str, StepRecord]
