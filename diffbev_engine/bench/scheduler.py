"""Run many training jobs on a few devices: queueing, failure isolation, resumable stop."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from diffbev_engine.bench.ablation_runs import Outcome, Training, read_outcome
from diffbev_engine.core.errors import DiffBEVError, ExitCode
from diffbev_engine.core.files import open_private
from diffbev_engine.train.signals import StopRequest

_POLL_S = 0.1
_GRACE_S = 120.0  # a run that was asked to stop saves its checkpoint within this time
_LINES_OF_A_FAILURE = 8
Launch = Callable[[Training, int | None], "subprocess.Popen[bytes]"]


class State(str, Enum):
    """State of one run of an ablation."""

    WAITING = "waiting"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    """Before its end, with a checkpoint from which the next call continues."""


@dataclass
class Entry:
    """A training and what became of it."""

    training: Training
    state: State = State.WAITING
    outcome: Outcome | None = None
    message: str = ""
    """Why it failed."""


@dataclass
class _Running:
    entry: Entry
    slot: int | None
    process: "subprocess.Popen[bytes]"


def slots_of(gpu_ids: Sequence[int], jobs: int) -> list[int | None]:
    """One place a simultaneous training, named by its GPU; the first ones are on different GPUs."""
    devices: list[int | None] = [*gpu_ids] or [None]
    return devices * jobs


def look_up(trainings: Sequence[Training]) -> list[Entry]:
    """The entries of an ablation; those that earlier calls finished are marked so."""
    entries = []
    for training in trainings:
        outcome = read_outcome(training)
        entries.append(Entry(training, State.FINISHED if outcome else State.WAITING, outcome))
    return entries


def work_off(
    entries: Sequence[Entry],
    slots: Sequence[int | None],
    launch: Launch,
    *,
    stop: StopRequest,
    deadline: float,
    ended: Callable[[Entry], None],
) -> None:
    """Run the waiting entries in order until all have ended or it is time to stop.

    Args:
        entries: changed in place; only waiting ones are started.
        slots: from ``slots_of``.
        launch: starts a run on a slot.
        stop: once set, as at the deadline, nothing is started and running runs get SIGTERM.
        deadline: in terms of ``time.monotonic``; ``inf`` for none.
        ended: called after each run that ended, whatever became of it.
    """
    waiting = [entry for entry in entries if entry.state is State.WAITING]
    free, running = list(slots), list[_Running]()
    asked: float | None = None
    try:
        while running or (waiting and asked is None):
            if asked is None and (stop or time.monotonic() >= deadline):
                asked = time.monotonic()
                _signal(running, signal.SIGTERM)
            if asked is not None and time.monotonic() > asked + _GRACE_S:
                _signal(running, signal.SIGKILL)
            while waiting and free and asked is None:
                entry, slot = waiting.pop(0), free.pop(0)
                entry.state = State.RUNNING
                running.append(_Running(entry, slot, launch(entry.training, slot)))
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                free.append(job.slot)
                _settle(job.entry, job.process.returncode, was_asked=asked is not None)
                ended(job.entry)
            time.sleep(_POLL_S if running else 0)
    finally:  # an error here, such as a full disk, must not leave runs that nobody watches
        _signal(running, signal.SIGTERM)
        for job in running:
            job.process.wait(_GRACE_S)


def start_training(training: Training, gpu: int | None, lock: int) -> "subprocess.Popen[bytes]":
    """Start or continue a run in a process of its own; it holds ``lock`` while it lives."""
    training.folder.path.mkdir(parents=True, exist_ok=True)
    with open_private(training.console) as console:
        return subprocess.Popen(
            [sys.executable, "-m", "diffbev_engine", *training.command(gpu)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            # Ctrl+C in the terminal reaches only this process, which asks its runs to stop: a
            # second signal would end one before it has saved.
            start_new_session=True,
        )


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Hold ``folder`` for one ablation; gives the descriptor that runs hold too.

    Raises:
        DiffBEVError: another ablation works there, or a run that outlived a killed one.
    """
    descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DiffBEVError(
                f"{folder} is in use by another ablation, or by a run that a killed ablation left "
                f"behind. Wait for it to end; `fuser {folder / '.lock'}` shows its process."
            ) from error
        yield descriptor
    finally:
        os.close(descriptor)


def _signal(running: Sequence[_Running], number: signal.Signals) -> None:
    for job in running:
        if job.process.poll() is None:
            job.process.send_signal(number)


def _settle(entry: Entry, returncode: int, *, was_asked: bool) -> None:
    """Name what became of a run that has ended."""
    entry.outcome = read_outcome(entry.training)
    if entry.outcome:
        entry.state = State.FINISHED
    elif was_asked or returncode == ExitCode.INTERRUPTED:
        entry.state = State.STOPPED
    else:
        entry.state = State.FAILED
        entry.message = f"{_ending(returncode)}\n{_tail(entry.training.console)}"


def _ending(returncode: int) -> str:
    if returncode == ExitCode.DONE:
        return "it ended without a last evaluation"
    if returncode < 0:
        return f"killed by {signal.Signals(-returncode).name}"
    known = {code.value: f" ({code.name.lower().replace('_', ' ')})" for code in ExitCode}
    return f"exit code {returncode}{known.get(returncode, '')}"


def _tail(console: Path) -> str:
    if not console.exists():
        return ""
    lines = console.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([line for line in lines if line.strip()][-_LINES_OF_A_FAILURE:])
