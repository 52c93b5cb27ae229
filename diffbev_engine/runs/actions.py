"""Stop a run gracefully (save first); kill it only on request."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import write_text
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunCondition, RunReport, asked_to_stop, inspect_run
from diffbev_engine.runs.launch import read_launch
from diffbev_engine.runs.lock import read_owner
from diffbev_engine.runs.process import Liveness, ProcessIdentity

_POLL_S = 0.1
_RECORDED_WITHIN_S = 60.0
"""torchrun may need half a minute to end after its processes."""


@dataclass(frozen=True)
class Stopped:
    """What a stopped run left."""

    report: RunReport
    checkpoint: str | None
    """The file in the run directory from which it continues."""
    lost_iterations: int | None
    """Iterations known to be done after that checkpoint."""

    def __str__(self) -> str:
        status = self.report.status
        step = f" at iteration {status.step}" if status and status.step else ""
        ended = f"{self.report.path}: {self.report.state.value}{step}."
        if self.report.state is RunCondition.FINISHED:
            return ended
        if self.checkpoint is None:
            return f"{ended} It stopped before its first checkpoint was saved."
        lost = f", {self.lost_iterations} iteration(s) before the end" if self.lost_iterations else ""
        return f"{ended} Saved: {self.checkpoint}{lost}."


def stop_run(
    path: Path,
    *,
    kill: bool = False,
    timeout_s: float = 300.0,
    waiting: Callable[[float], None] = lambda _seconds: None,
) -> Stopped:
    """Ask a training to save a checkpoint and end, and wait until it has.

    It gets SIGINT once, however often and by whomever it is asked: a second signal would end it
    before it has saved.

    Args:
        path: the run directory.
        kill: SIGKILL the training and its workers instead; what follows the last checkpoint is lost.
        timeout_s: how long to wait.
        waiting: called again and again with the seconds waited.

    Raises:
        DiffBEVError: nothing runs there, or on another machine, or it has not ended in time.
    """
    folder = RunFolder(path)
    process = _running(path)
    if kill:
        _kill_tree(_root(folder, process))
    elif not asked_to_stop(folder, process):
        request = {"process": asdict(process), "requested": time.time(), "by": socket.gethostname()}
        write_text(folder.stop_request, json.dumps(request, indent=1) + "\n")
        _send(process, signal.SIGINT)
    _wait_for_the_end(folder, process, timeout_s, waiting)
    folder.stop_request.unlink(missing_ok=True)
    return what_is_left(path)


def what_is_left(path: Path) -> Stopped:
    """From where a run would continue, and what it would have to do again."""
    report = inspect_run(path)
    saved = RunFolder(path).checkpoints()
    if not saved:
        return Stopped(report, None, None)
    iteration, checkpoint = saved[-1]
    lost = max(0, report.status.step - iteration) if report.status else None
    return Stopped(report, checkpoint.name, lost)


def _running(path: Path) -> ProcessIdentity:
    report = inspect_run(path)
    process = report.process
    if process is None or not process.alive:
        if process and report.state is RunCondition.RUNNING and process.liveness() is Liveness.ELSEWHERE:
            raise DiffBEVError(f"{path} runs {report.message}: stop it there.")
        raise DiffBEVError(
            f"no run is active in {path} (state: {report.state.value}). {report.message}".strip()
        )
    return process


def _wait_for_the_end(
    folder: RunFolder, process: ProcessIdentity, timeout_s: float, waiting: Callable[[float], None]
) -> None:
    started = time.monotonic()
    while process.alive:
        waited = time.monotonic() - started
        if waited > timeout_s:
            raise DiffBEVError(
                f"{process} did not stop within {timeout_s:.0f} s; it may still be saving or "
                f"finishing a long iteration. Run the same command again to keep waiting, or kill "
                f"it with --kill --yes (progress since the last checkpoint is lost)."
            )
        waiting(waited)
        time.sleep(_POLL_S)
    # The supervisor sees the end a moment later; where it was killed too, nobody will.
    launch = read_launch(folder)
    deadline = time.monotonic() + _RECORDED_WITHIN_S
    while launch and launch.ended is None and launch.supervisor.alive and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        launch = read_launch(folder)


def _send(process: ProcessIdentity, number: signal.Signals) -> None:
    """Signal this process and no later one with its pid."""
    try:
        if hasattr(os, "pidfd_open"):
            _send_by_descriptor(process, number)
        elif process.alive:
            os.kill(process.pid, number)
    except ProcessLookupError:
        return  # it has just ended
    except PermissionError as error:
        raise DiffBEVError(f"{process} belongs to another user: ask {process.user} to stop it.") from error


def _send_by_descriptor(process: ProcessIdentity, number: signal.Signals) -> None:
    descriptor = os.pidfd_open(process.pid)
    try:
        if process.alive:  # so the descriptor is of this process
            signal.pidfd_send_signal(descriptor, number)
    finally:
        os.close(descriptor)


def _root(folder: RunFolder, process: ProcessIdentity) -> ProcessIdentity:
    """The process that was started, such as torchrun, where that is not the training itself."""
    owner = read_owner(folder)
    return owner.process if owner and owner.process.alive else process


def _kill_tree(process: ProcessIdentity) -> None:
    import psutil

    children: list[psutil.Process] = []
    try:
        children = psutil.Process(process.pid).children(recursive=True) if process.alive else []
    except psutil.NoSuchProcess:
        return
    _send(process, signal.SIGKILL)
    for child in children:  # psutil checks that the pid is still the child's
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
