"""What a run is doing, since when, and how it ended: judged here and nowhere else.

Files say it, processes prove it.  Nothing is written, no lock is touched, and nothing is
believed that a killed process could no longer correct: a status of "training" counts only
while its process lives.
"""

import os
import signal
import time
from dataclasses import asdict, dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.format import age, ago
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.evidence import Evidence, gather
from diffbev_engine.runs.failed_start import why_start_failed
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.last_words import last_error, signal_of_a_worker
from diffbev_engine.runs.launch import Launch
from diffbev_engine.runs.process import Liveness, ProcessIdentity
from diffbev_engine.runs.stall import no_progress_for, why_stalled
from diffbev_engine.runs.status import RunState, RunStatus

SILENT_AFTER_S = 600.0
"""Without a heartbeat for this long, a run on another machine is no longer said to be running."""


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
    """Its process no longer exists and could not say why: a signal, a power cut, a reboot."""
    UNKNOWN = "unknown"
    """Nothing proves that it runs, or how it ended: silent on another machine, or its files are damaged."""


class Cause(str, Enum):
    """Why a dead run is dead."""

    HOST_MEMORY = "host_memory"
    """The kernel killed it because host memory ran out."""
    SIGNAL = "signal"
    REBOOT = "reboot"
    GONE = "gone"
    """No supervisor saw it end."""


STALLED = "stalled"
"""The activity of a run that makes no progress."""


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
    """Of a running run: starting, training, evaluating, stopping or stalled."""
    process: ProcessIdentity | None
    """The training: the process to signal while the run is running."""
    detached: bool
    config: str | None
    started: float | None
    """The newest start."""
    ended: float | None
    updated: float | None
    """The last heartbeat in status.json."""
    exit_code: int | None
    signal: str | None
    """The signal that ended it, such as SIGTERM, where that is known."""
    console: str | None
    """File name of what the newest detached start wrote to stdout and stderr."""
    status: RunStatus | None
    """What the run said last, also where it is no longer true."""
    reason: str = ""
    """Why it failed, was ended or stalled: its own words, else the signal, else the last error logged."""
    stalled: bool = False
    """Whether it runs without progress; also while it is asked to stop."""
    stall: Bilingual | None = None
    """Why it stalls, where it does; ``reason`` has the English words."""
    suspended: bool = False
    """Whether its process was stopped by SIGSTOP: it is stalled, too."""
    age_s: float | None = None
    """Of a running run: seconds since its last progress (an iteration, an evaluated batch)."""
    step: int | None = None
    max_iters: int | None = None
    it_per_s: float | None = None
    """The current speed; ``None`` unless the run makes progress, as the following three."""
    images_per_s: float | None = None
    data_wait: float | None = None
    eta_s: float | None = None
    """Seconds to the end, as of the last iteration."""
    best_miou: float | None = None
    best_step: int | None = None
    last_miou: float | None = None
    last_miou_step: int | None = None
    last_checkpoint: str | None = None
    """The newest checkpoint in the directory."""
    failed_start: str | None = None
    """Why the newest start failed before training began; all else is of the start before it."""
    damaged: tuple[str, ...] = ()
    """Problems of its state files, such as "status.json is damaged: …"."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; ``status`` stays nested."""
        return asdict(self)


@dataclass(frozen=True)
class _Judgement:
    state: RunCondition
    message: str
    cause: Cause | None = None
    signal: str | None = None


def inspect_run(path: Path) -> RunReport:
    """What has become of the run in ``path``; damaged files are problems of the run, not errors.

    Raises:
        DiffBEVError: if there is no run.
    """
    folder = RunFolder(path)
    if not any(map(os.path.lexists, (folder.manifest, folder.status, folder.launch, folder.lock))):
        raise DiffBEVError(f"there is no run in {path}: neither run.json, status.json nor launch.json.")
    return _report(gather(folder))


def _report(evidence: Evidence) -> RunReport:
    launch, status = evidence.newest_launch, evidence.status
    process = evidence.living_process()
    judged = _judge(evidence, process)
    running = judged.state is RunCondition.RUNNING
    ended = launch.ended if launch else None
    if ended is None and not running and evidence.last_word:
        ended = evidence.last_word.updated
    checkpoint = _newest_checkpoint(evidence.folder)
    over = judged.state not in (RunCondition.RUNNING, RunCondition.FINISHED, RunCondition.UNKNOWN)
    process = process or next(iter(evidence.processes()), None)
    damage = f" ({'; '.join(evidence.damaged)})" if evidence.damaged else ""
    message = plain(judged.message + damage, keep="\n").strip()
    report = RunReport(
        path=str(evidence.folder.path.resolve()),
        state=judged.state,
        resumable=checkpoint is not None and over,
        cause=judged.cause,
        message=message,
        activity=None,
        process=process,
        detached=launch is not None,
        config=plain(evidence.manifest.config_path) if evidence.manifest.config_path else None,
        started=evidence.newest_start or evidence.manifest.started_at or None,
        ended=ended,
        updated=status.updated if status else None,
        exit_code=launch.exit_code if launch else None,
        signal=judged.signal,
        console=launch.console if launch else None,
        status=status,
        reason="" if running or judged.state is RunCondition.FINISHED else message,
        last_checkpoint=checkpoint,
        failed_start=why_start_failed(evidence.folder),
        damaged=tuple(map(plain, evidence.damaged)),
    )
    report = _with_progress(report)
    return _with_activity(report, evidence) if running else report


def _with_progress(report: RunReport) -> RunReport:
    status = report.status
    if status is None:
        return report
    return replace(
        report,
        step=status.step,
        max_iters=status.max_iters,
        best_miou=status.best_miou,
        best_step=status.best_step,
        last_miou=status.last_miou,
        last_miou_step=status.last_miou_step,
    )


def _with_activity(report: RunReport, evidence: Evidence) -> RunReport:
    """What a run that runs is doing, and how fast."""
    status, process = evidence.current_status, evidence.living_process()
    ended_before = status is None or evidence.last_word is not None
    activity = RunState.STARTING.value if ended_before or status is None else status.state.value
    why = why_stalled(None if ended_before else status, process, evidence.manifest)
    stopping = evidence.stop_requested(process)
    report = replace(
        report,
        activity="stopping" if stopping else STALLED if why else activity,
        stalled=bool(why),
        suspended=process is not None and process.suspended,
        stall=why or None,
        reason=why.en,
        message=f"{why.en}; {report.message}" if why else report.message,
        age_s=None if ended_before or status is None else no_progress_for(status),
    )
    if why or ended_before or status is None:
        return report
    return replace(
        report,
        it_per_s=status.it_per_s,
        images_per_s=status.images_per_s,
        data_wait=status.data_wait,
        eta_s=status.eta_s,
    )


def _judge(evidence: Evidence, alive: ProcessIdentity | None) -> _Judgement:
    last, launch = evidence.last_word, evidence.newest_launch
    if last:
        return _judge_last_word(evidence, last)
    if alive:
        return _Judgement(RunCondition.RUNNING, str(alive))
    if launch and launch.ended is not None:
        return _judge_ending(evidence, launch)
    seen = [process.liveness() for process in evidence.processes()]
    if Liveness.ELSEWHERE in seen or not seen:
        return _judge_from_afar(evidence)
    if Liveness.REBOOTED in seen:
        return _Judgement(RunCondition.DEAD, "the machine rebooted during the run", Cause.REBOOT)
    if evidence.status is None and evidence.damaged:  # it may have told how it ended
        return _Judgement(RunCondition.UNKNOWN, "its process no longer exists")
    words = "the process no longer exists: it was killed or crashed without leaving a message"
    error = _last_error(evidence)
    words = f"{words}; last error logged: {error}" if error else words
    return _Judgement(RunCondition.DEAD, words, Cause.GONE)


def _judge_last_word(evidence: Evidence, last: RunStatus) -> _Judgement:
    """The end as the training recorded it itself."""
    message, launch = last.message, evidence.newest_launch
    if not message and last.state is not RunState.FINISHED:
        message = (launch.message if launch and launch.signal else "") or _last_error(evidence)
    return _Judgement(RunCondition(last.state.value), message, signal=launch.signal if launch else None)


_BY_EXIT_CODE = {
    0: RunCondition.FINISHED,
    3: RunCondition.OOM,
    4: RunCondition.DIVERGED,
    5: RunCondition.INTERRUPTED,
}


def _judge_ending(evidence: Evidence, launch: Launch) -> _Judgement:
    """The end that the supervisor recorded of a run that did not record its own."""
    if launch.signal:
        memory = launch.signal == "SIGKILL" and bool(launch.oom_kills_cgroup or launch.oom_kills_host)
        cause = Cause.HOST_MEMORY if memory else Cause.SIGNAL
        return _Judgement(
            RunCondition.DEAD, launch.message or f"killed by {launch.signal}", cause, launch.signal
        )
    code = launch.exit_code
    console = evidence.folder.path / launch.console
    by_signal = _signal_in(code) or (signal_of_a_worker(console) if code else None)
    if by_signal:
        words = f"a process of the run was killed by {by_signal}; see {launch.console}"
        return _Judgement(RunCondition.DEAD, words, Cause.SIGNAL, by_signal)
    state = RunCondition.FAILED if code is None else _BY_EXIT_CODE.get(code, RunCondition.FAILED)
    if not code:
        return _Judgement(state, launch.message)
    error = _last_error(evidence)
    see = f"see {launch.console}"
    words = f"{error} (exit code {code}; {see})" if error else f"{launch.message}; {see}"
    return _Judgement(state, words)


def _signal_in(code: int | None) -> str | None:
    """The signal behind an exit code of 128 + n, as a shell or a launcher reports it."""
    try:
        return signal.Signals(code - 128).name if code is not None and code > 128 else None
    except ValueError:
        return None


def _judge_from_afar(evidence: Evidence) -> _Judgement:
    """A run of another machine: only its heartbeat can be seen."""
    if not evidence.processes() and evidence.status is None:
        words = "its state is not known" if evidence.damaged else "run.json and status.json are missing"
        return _Judgement(RunCondition.UNKNOWN, words)
    where = next((f"on {process.host}" for process in evidence.processes()), "on an unknown machine")
    updated = evidence.status.updated if evidence.status else evidence.manifest.started_at
    silence = max(0.0, time.time() - updated)
    if silence < SILENT_AFTER_S:
        return _Judgement(RunCondition.RUNNING, f"{where}; last heartbeat {ago(silence)}")
    return _Judgement(RunCondition.UNKNOWN, f"{where}; no heartbeat for {age(silence)}")


def _last_error(evidence: Evidence) -> str:
    folder, launch = evidence.folder.path, evidence.newest_launch
    logs = sorted(folder.glob("train_*.log"))[-1:]
    return last_error([*([folder / launch.console] if launch else []), *logs])


def _newest_checkpoint(folder: RunFolder) -> str | None:
    saved = folder.checkpoints()
    if saved:
        return saved[-1][1].name
    files = folder.checkpoint_files()
    return files[0].name if files else None
