"""``status.json``: what a run is doing now, replaced atomically every few seconds."""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

from diffbev_engine.core.files import write_text
from diffbev_engine.core.secrets import masked_values
from diffbev_engine.core.state_file import Amount, Count, Decoded, Seconds, UnixTime, decode_file
from diffbev_engine.runs.lock import current_launch
from diffbev_engine.runs.process import ProcessIdentity, identify


class RunState(str, Enum):
    """The states of a run; the last five are final."""

    STARTING = "starting"
    TRAINING = "training"
    EVALUATING = "evaluating"
    FINISHED = "finished"
    FAILED = "failed"
    OOM = "oom"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"


FINAL_STATES = frozenset(
    {RunState.FINISHED, RunState.FAILED, RunState.OOM, RunState.DIVERGED, RunState.INTERRUPTED}
)


class Phase(str, Enum):
    """What a training process is busy with; only while ``STEPPING`` must iterations follow each other."""

    STARTING = "starting"
    """Up to the end of the first iteration of this start, compilation included."""
    WARMING_UP = "warming_up"
    """The first iterations, which may compile and tune."""
    STEPPING = "stepping"
    EVALUATING = "evaluating"
    SAVING = "saving"
    """Writing a checkpoint."""


@dataclass(frozen=True)
class RunStatus:
    """One snapshot of a run; ``None`` where a value is not known, or written by no older version."""

    state: RunState
    max_iters: Count
    step: Count = 0
    updated: UnixTime = 0.0
    """Time of this snapshot: the heartbeat."""
    message: str = ""
    """Why the run ended, or what it is busy with."""
    trouble: str | None = None
    """What is wrong although the run continues: a full disk, images that do not come."""
    evaluated: str | None = None
    """Progress of the current evaluation, as ``done/total`` images."""
    it_per_s: Amount | None = None
    images_per_s: Amount | None = None
    data_wait: Amount | None = None
    """Share of the time that training waited for data."""
    eta_s: Seconds | None = None
    """As of the last iteration: it does not count down on its own."""
    gpu_mem_mb: Amount | None = None
    last_checkpoint: str | None = None
    last_miou: float | None = None
    best_miou: float | None = None
    best_step: Count | None = None
    last_miou_step: Count | None = None
    phase: Phase | None = None
    median_step_s: Seconds | None = None
    """Usual time of one iteration."""
    monotonic: Seconds | None = None
    """``time.monotonic()`` of this snapshot: its age, on this machine, whatever the clock is set to."""
    idle_s: Seconds | None = None
    """Time without progress, as of this snapshot; see ``StatusWriter``."""
    process: ProcessIdentity | None = None
    """Who wrote it."""
    launch: str | None = None
    """The detached start that the process belongs to."""

    @property
    def age_s(self) -> float:
        """Seconds since this snapshot, never negative."""
        if self.monotonic is not None and self.process and self.process.same_machine():
            return max(0.0, time.monotonic() - self.monotonic)
        return max(0.0, time.time() - self.updated)


def decode_status(path: Path) -> Decoded[RunStatus]:
    """The status in ``path``, or what is wrong with the file."""
    return decode_file(path, RunStatus)


def read_status(path: Path) -> RunStatus | None:
    """The status in ``path``; ``None`` if it is missing, damaged or of a version with other states."""
    return decode_status(path).value


_PHASES = {RunState.TRAINING: Phase.STEPPING, RunState.EVALUATING: Phase.EVALUATING}


class StatusWriter:
    """Keeps the current status and writes it when it is due.

    Progress is an iteration, an evaluated batch or another phase.
    """

    def __init__(self, path: Path, max_iters: int, *, interval_s: float = 2.0, **known: object) -> None:
        """Write the first status, with the fields that are ``known`` already."""
        self._path = path
        self._interval_s = interval_s
        self.current = RunStatus(
            RunState.STARTING,
            max_iters,
            phase=Phase.STARTING,
            process=identify(),
            launch=current_launch(),
            **known,  # type: ignore[arg-type]
        )
        self._progressed = time.monotonic()
        self._write()

    def update(self, **changes: object) -> None:
        """Change fields; another state or phase is written at once, the rest when the interval has passed.

        Another state brings its usual phase.
        """
        before = self.current
        self.current = replace(before, **changes)  # type: ignore[arg-type]
        if self.current.state is not before.state and "phase" not in changes:
            self.current = replace(self.current, phase=_PHASES.get(self.current.state))
        if _progress(self.current) != _progress(before):
            self._progressed = time.monotonic()
        due = time.monotonic() - (before.monotonic or 0.0) >= self._interval_s
        if due or (self.current.state, self.current.phase) != (before.state, before.phase):
            self._write()

    def _write(self) -> None:
        now = time.monotonic()
        self.current = replace(
            self.current, updated=time.time(), monotonic=now, idle_s=max(0.0, now - self._progressed)
        )
        # A full disk must not end a run for the sake of its heartbeat; the next write may succeed.
        with suppress(OSError):
            write_text(self._path, json.dumps(masked_values(asdict(self.current)), indent=1) + "\n")


def record_end_for(path: Path, state: RunState, message: str, **changes: object) -> None:
    """Write the end of a run whose own process can no longer write it, where there is a status."""
    if status := read_status(path):
        now = {"updated": time.time(), "monotonic": time.monotonic(), "eta_s": None, "trouble": None}
        ended = replace(status, state=state, message=message, phase=None, **{**now, **changes})  # type: ignore[arg-type]
        write_text(path, json.dumps(asdict(ended), indent=1) + "\n")


def _progress(status: RunStatus) -> object:
    return status.state, status.phase, status.step, status.evaluated
