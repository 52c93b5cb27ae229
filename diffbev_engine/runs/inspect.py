"""Determine the state of a run from its files, verified against live processes.

Nothing is written, no lock is touched, and nothing is believed that a killed process could
no longer correct: a status of "training" counts only while its process lives.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import Launch, read_launch
from diffbev_engine.runs.lock import Owner, read_owner
from diffbev_engine.runs.process import Liveness, ProcessIdentity, identity_from
from diffbev_engine.runs.status import FINAL_STATES, RunState, RunStatus, read_status

SILENT_AFTER_S = 600.0
"""Heartbeat timeout after which a run on another machine is reported as unknown."""


class RunCondition(str, Enum):
    """What has become of a run."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    """Stopped by a signal, with everything saved."""
    FAILED = "failed"
    OOM = "oom"
    """Out of GPU memory."""
    DIVERGED = "diverged"
    DEAD = "dead"
    """The process ended without recording a reason: SIGKILL, power loss, reboot."""
    UNKNOWN = "unknown"
    """On another machine or in another container, and without a sign of life for long."""


class Cause(str, Enum):
    """Why a dead run is dead."""

    HOST_MEMORY = "host_memory"
    """The kernel killed it for lack of host memory."""
    SIGNAL = "signal"
    REBOOT = "reboot"
    GONE = "gone"
    """No supervisor saw it end."""


@dataclass(frozen=True)
class RunReport:
    """One run; ``None`` where a value is not known.  Times are Unix times."""

    path: str
    """Absolute."""
    state: RunCondition
    resumable: bool
    """Whether ``runs resume`` can continue it: it is over, not finished, and left a checkpoint."""
    cause: Cause | None
    message: str
    """How it ended, or what it is doing, in words."""
    activity: str | None
    """Of a running run: starting, training, evaluating, or stopping."""
    process: ProcessIdentity | None
    """The training: the process to signal while the run is running."""
    detached: bool
    config: str | None
    started: float | None
    """The newest start."""
    ended: float | None
    updated: float | None
    """The last sign of life in status.json."""
    exit_code: int | None
    signal: str | None
    console: str | None
    """File name of what the newest detached start wrote to stdout and stderr."""
    status: RunStatus | None
    """What the run said last, also where it is no longer true."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; ``status`` stays nested."""
        return asdict(self)


@dataclass(frozen=True)
class _Evidence:
    """What the directory holds."""

    folder: RunFolder
    manifest: Mapping[str, Any]
    status: RunStatus | None
    launch: Launch | None
    owner: Owner | None

    @property
    def newest_launch(self) -> Launch | None:
        """The detached start, unless a later start in the foreground has followed it."""
        launch = self.launch
        if launch is None or (self._owner_lives and self.owner and self.owner.launch != launch.id):
            return None
        if self.manifest.get("launch") == launch.id:
            return launch
        return launch if launch.started > self.manifest_time else None

    @property
    def _owner_lives(self) -> bool:
        return self.owner is not None and self.owner.process.alive

    @property
    def manifest_time(self) -> float:
        """When run.json was written; 0 without one."""
        try:
            return datetime.fromisoformat(self.manifest["started"]).timestamp()
        except (KeyError, TypeError, ValueError):
            return 0.0

    @property
    def last_word(self) -> RunStatus | None:
        """The status, if the newest start wrote it and it is final."""
        status = self.status
        if status is None or status.state not in FINAL_STATES or status.updated < self.newest_start:
            return None
        return status

    @property
    def newest_start(self) -> float:
        """When the newest start that is known to count began; what is older tells of an earlier one."""
        launched = self.newest_launch.started if self.newest_launch else 0.0
        return max(launched, self.owner.since if self.owner and self._owner_lives else 0.0)

    def processes(self) -> list[ProcessIdentity]:
        """Who may be the training, the surest first."""
        launch = self.newest_launch
        named = (
            identity_from(self.manifest.get("process")) if self._manifest_is_newest() else None,
            launch.process if launch else None,
            self.owner.process if self.owner else None,
        )
        return [process for process in named if process]

    def _manifest_is_newest(self) -> bool:
        launch = self.newest_launch
        return launch is None or self.manifest.get("launch") == launch.id


def inspect_run(path: Path) -> RunReport:
    """What has become of the run in ``path``.

    Raises:
        DiffBEVError: if there is no run.
    """
    folder = RunFolder(path)
    if not any(path.exists() for path in (folder.manifest, folder.status, folder.launch, folder.lock)):
        raise DiffBEVError(f"{path} is not a run directory: no run.json, status.json or launch.json found.")
    evidence = _Evidence(
        folder,
        read_manifest(folder),
        read_status(folder.status),
        read_launch(folder),
        read_owner(folder),
    )
    return _report(evidence)


def _report(evidence: _Evidence) -> RunReport:
    launch, status = evidence.newest_launch, evidence.status
    process = next((process for process in evidence.processes() if process.alive), None)
    state, cause, message = _judge(evidence, process)
    ended = launch.ended if launch else None
    if ended is None and state is not RunCondition.RUNNING and status and evidence.last_word:
        ended = status.updated
    running = state is RunCondition.RUNNING
    saved = evidence.folder.latest.exists()
    return RunReport(
        path=str(evidence.folder.path.resolve()),
        state=state,
        resumable=saved and state not in (RunCondition.RUNNING, RunCondition.FINISHED, RunCondition.UNKNOWN),
        cause=cause,
        message=message,
        activity=_activity(evidence, process) if running else None,
        process=process or next(iter(evidence.processes()), None),
        detached=launch is not None,
        config=evidence.manifest.get("config_path"),
        started=evidence.newest_start or evidence.manifest_time or None,
        ended=ended,
        updated=status.updated if status else None,
        exit_code=launch.exit_code if launch else None,
        signal=launch.signal if launch else None,
        console=launch.console if launch else None,
        status=status,
    )


_Judgement = tuple[RunCondition, Cause | None, str]


def _judge(evidence: _Evidence, alive: ProcessIdentity | None) -> _Judgement:
    last, launch = evidence.last_word, evidence.newest_launch
    if last:
        return RunCondition(last.state.value), None, last.message
    if alive:
        return RunCondition.RUNNING, None, str(alive)
    seen = [process.liveness() for process in evidence.processes()]
    if launch and launch.ended is not None:
        return _judge_ending(launch)
    if Liveness.ELSEWHERE in seen or not seen:
        return _judge_from_afar(evidence)
    if Liveness.REBOOTED in seen:
        return RunCondition.DEAD, Cause.REBOOT, "the machine rebooted during the run"
    return (
        RunCondition.DEAD,
        Cause.GONE,
        "the process no longer exists: it was killed or crashed without leaving a message",
    )


def _judge_ending(launch: Launch) -> _Judgement:
    """The end that the supervisor recorded of a training that did not record its own."""
    if launch.signal == "SIGKILL" and (launch.oom_kills_cgroup or launch.oom_kills_host):
        return RunCondition.DEAD, Cause.HOST_MEMORY, launch.message
    if launch.signal:
        return RunCondition.DEAD, Cause.SIGNAL, launch.message
    by_code = {
        0: RunCondition.FINISHED,
        3: RunCondition.OOM,
        4: RunCondition.DIVERGED,
        5: RunCondition.INTERRUPTED,
    }
    message = f"{launch.message}; see {launch.console}" if launch.exit_code else launch.message
    return (
        by_code.get(-1 if launch.exit_code is None else launch.exit_code, RunCondition.FAILED),
        None,
        message,
    )


def _judge_from_afar(evidence: _Evidence) -> _Judgement:
    """A run of another machine: only its heartbeat can be seen."""
    if not evidence.processes() and evidence.status is None:
        return RunCondition.UNKNOWN, None, "run.json and status.json are missing or damaged"
    where = next((f"on {process.host}" for process in evidence.processes()), "on an unknown machine")
    updated = evidence.status.updated if evidence.status else evidence.manifest_time
    silence = time.time() - updated
    if silence < SILENT_AFTER_S:
        return RunCondition.RUNNING, None, f"{where}; last heartbeat {max(0, round(silence))} s ago"
    return RunCondition.UNKNOWN, None, f"{where}; no heartbeat for {round(silence / 60)} min"


def _activity(evidence: _Evidence, process: ProcessIdentity | None) -> str:
    if process and asked_to_stop(evidence.folder, process):
        return "stopping"
    status = evidence.status
    if status is None or status.state in FINAL_STATES or status.updated < evidence.newest_start:
        return RunState.STARTING.value
    return status.state.value


def asked_to_stop(folder: RunFolder, process: ProcessIdentity) -> bool:
    """Whether ``process`` has been sent the signal to save and stop."""
    return identity_from(_read_json(folder.stop_request).get("process")) == process


def read_manifest(folder: RunFolder) -> Mapping[str, Any]:
    """``run.json``; empty if it is missing or damaged."""
    return _read_json(folder.manifest)


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, Mapping) else {}
