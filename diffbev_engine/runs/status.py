"""``status.json``: what a run is doing now, replaced atomically every few seconds."""

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path

from diffbev_engine.core.files import write_text


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


@dataclass(frozen=True)
class RunStatus:
    """One snapshot of a run; ``None`` where a value is not known yet."""

    state: RunState
    max_iters: int
    step: int = 0
    updated: float = 0.0
    """Unix time of this snapshot: the heartbeat."""
    message: str = ""
    """Why the run ended, or what it is busy with."""
    evaluated: str | None = None
    """Progress of the evaluation in hand, as ``done/total`` images."""
    it_per_s: float | None = None
    images_per_s: float | None = None
    data_wait: float | None = None
    """Share of the time that training waited for data."""
    eta_s: float | None = None
    gpu_mem_mb: float | None = None
    last_checkpoint: str | None = None
    last_miou: float | None = None
    best_miou: float | None = None
    best_step: int | None = None


def read_status(path: Path) -> RunStatus | None:
    """The status in ``path``; ``None`` if it is missing, damaged or of a version with other states."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        known = {name: data[name] for name in RunStatus.__dataclass_fields__ if name in data}
        return RunStatus(**{**known, "state": RunState(data["state"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


class StatusWriter:
    """Keeps the current status and writes it when it is due."""

    def __init__(self, path: Path, max_iters: int, *, interval_s: float = 2.0) -> None:
        self._path = path
        self._interval_s = interval_s
        self.current = RunStatus(RunState.STARTING, max_iters)
        self._write()

    def update(self, **changes: object) -> None:
        """Change fields; a change of state is written at once, others when the interval has passed."""
        before = self.current
        self.current = replace(before, **changes)  # type: ignore[arg-type]
        due = time.time() - before.updated >= self._interval_s
        if due or self.current.state is not before.state:
            self._write()

    def _write(self) -> None:
        self.current = replace(self.current, updated=time.time())
        # A full disk must not end a run for the sake of its heartbeat; the next write may succeed.
        with suppress(OSError):
            write_text(self._path, json.dumps(asdict(self.current), indent=1) + "\n")
