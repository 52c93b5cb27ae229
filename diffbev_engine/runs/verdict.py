"""What has become of a run, judged by what it left: its own last word, its supervisor's, its process."""

import signal
import time
from dataclasses import dataclass
from enum import Enum

from diffbev_engine.core.format import age, ago
from diffbev_engine.runs.evidence import Evidence
from diffbev_engine.runs.last_words import last_error, signal_of_a_worker
from diffbev_engine.runs.launch import Launch
from diffbev_engine.runs.process import Liveness, ProcessIdentity
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


@dataclass(frozen=True)
class Verdict:
    """How a run stands, and why in words."""

    state: RunCondition
    message: str
    cause: Cause | None = None
    signal: str | None = None


def judge(evidence: Evidence, alive: ProcessIdentity | None) -> Verdict:
    """What the evidence says; ``alive``: the process that the run still has on this machine."""
    last, launch = evidence.last_word, evidence.newest_launch
    if last:
        return _judge_last_word(evidence, last)
    if alive:
        return Verdict(RunCondition.RUNNING, str(alive))
    if launch and launch.ended is not None:
        return _judge_ending(evidence, launch)
    seen = [process.liveness() for process in evidence.processes()]
    if Liveness.ELSEWHERE in seen or not seen:
        return _judge_from_afar(evidence)
    if Liveness.REBOOTED in seen:
        return Verdict(RunCondition.DEAD, "the machine rebooted during the run", Cause.REBOOT)
    if evidence.status is None and evidence.damaged:  # it may have told how it ended
        return Verdict(RunCondition.UNKNOWN, "its process no longer exists")
    words = "the process no longer exists: it was killed or crashed without leaving a message"
    error = _last_error(evidence)
    words = f"{words}; last error logged: {error}" if error else words
    return Verdict(RunCondition.DEAD, words, Cause.GONE)


def _judge_last_word(evidence: Evidence, last: RunStatus) -> Verdict:
    """The end as the training recorded it itself."""
    message, launch = last.message, evidence.newest_launch
    if not message and last.state is not RunState.FINISHED:
        message = (launch.message if launch and launch.signal else "") or _last_error(evidence)
    return Verdict(RunCondition(last.state.value), message, signal=launch.signal if launch else None)


_BY_EXIT_CODE = {
    0: RunCondition.FINISHED,
    3: RunCondition.OOM,
    4: RunCondition.DIVERGED,
    5: RunCondition.INTERRUPTED,
}


def _judge_ending(evidence: Evidence, launch: Launch) -> Verdict:
    """The end that the supervisor recorded of a run that did not record its own."""
    if launch.signal:
        memory = launch.signal == "SIGKILL" and bool(launch.oom_kills_cgroup or launch.oom_kills_host)
        cause = Cause.HOST_MEMORY if memory else Cause.SIGNAL
        return Verdict(
            RunCondition.DEAD, launch.message or f"killed by {launch.signal}", cause, launch.signal
        )
    code = launch.exit_code
    console = evidence.folder.path / launch.console
    by_signal = _signal_in(code) or (signal_of_a_worker(console) if code else None)
    if by_signal:
        words = f"a process of the run was killed by {by_signal}; see {launch.console}"
        return Verdict(RunCondition.DEAD, words, Cause.SIGNAL, by_signal)
    state = RunCondition.FAILED if code is None else _BY_EXIT_CODE.get(code, RunCondition.FAILED)
    if not code:
        return Verdict(state, launch.message)
    error = _last_error(evidence)
    see = f"see {launch.console}"
    words = f"{error} (exit code {code}; {see})" if error else f"{launch.message}; {see}"
    return Verdict(state, words)


def _signal_in(code: int | None) -> str | None:
    """The signal behind an exit code of 128 + n, as a shell or a launcher reports it."""
    try:
        return signal.Signals(code - 128).name if code is not None and code > 128 else None
    except ValueError:
        return None


def _judge_from_afar(evidence: Evidence) -> Verdict:
    """A run of another machine: only its heartbeat can be seen."""
    if not evidence.processes() and evidence.status is None:
        words = "its state is not known" if evidence.damaged else "run.json and status.json are missing"
        return Verdict(RunCondition.UNKNOWN, words)
    where = next((f"on {process.host}" for process in evidence.processes()), "on an unknown machine")
    updated = evidence.status.updated if evidence.status else evidence.manifest.started_at
    silence = max(0.0, time.time() - updated)
    if silence < SILENT_AFTER_S:
        return Verdict(RunCondition.RUNNING, f"{where}; last heartbeat {ago(silence)}")
    return Verdict(RunCondition.UNKNOWN, f"{where}; no heartbeat for {age(silence)}")


def _last_error(evidence: Evidence) -> str:
    folder, launch = evidence.folder.path, evidence.newest_launch
    logs = sorted(folder.glob("train_*.log"))[-1:]
    return last_error([*([folder / launch.console] if launch else []), *logs])
