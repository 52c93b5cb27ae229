"""Start again by itself under SLURM: the job goes back into the queue once its checkpoint is written."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from diffbev_engine.core.errors import InterruptedTraining, UsageError
from diffbev_engine.runs.slurm import SHORTEST_S, current_job
from diffbev_engine.train.signals import StopRequest

_BEFORE_THE_LIMIT = ("SIGUSR1", "SIGUSR2")
"""What ``#SBATCH --signal`` sends in time; SIGTERM may be ``scancel``, after which nobody wants it again."""
_WITHIN_S = 60.0


def require_slurm() -> None:
    """Check that there is a job to put back.

    Raises:
        UsageError: this process is not part of a SLURM job.
    """
    if current_job() is None:
        raise UsageError(
            "--requeue needs a SLURM job, but SLURM_JOB_ID is not set. Elsewhere, use --resume and start it "
            "again."
        )


@contextmanager
def starting_up(stop: StopRequest, *, requeues: bool) -> Iterator[None]:
    """Leave at the first signal while the block runs; an announced end puts the job back all the same.

    Raises:
        InterruptedTraining: a signal came.
    """
    try:
        with stop.nothing_to_save():
            yield
    except InterruptedTraining as failure:
        raise (put_back(failure, stop, trained=False) if requeues else failure) from failure


def put_back(failure: InterruptedTraining, stop: StopRequest, *, trained: bool) -> InterruptedTraining:
    """Put the job back into the queue, from its main process only, and say so.

    Args:
        failure: why it ends.
        stop: the signal.
        trained: whether this start has done an iteration; a job that never will is not put back for ever.
    """
    if os.environ.get("RANK", "0") != "0":
        return failure
    return InterruptedTraining(f"{failure} {requeue(stop.signal_name, trained=trained)}.")


def _time_limit() -> int | None:
    """Of this job, in seconds, where SLURM tells it (22.05 and newer)."""
    began, ends = (os.environ.get(f"SLURM_JOB_{name}_TIME", "") for name in ("START", "END"))
    return int(ends) - int(began) if began.isdecimal() and ends.isdecimal() else None


def requeue(signal_name: str | None, *, trained: bool = True) -> str:
    """Put this job back into the queue, if the scheduler announced its end; returns what to tell of it."""
    if signal_name not in _BEFORE_THE_LIMIT:
        return f"not put back into the queue: {signal_name} is no announcement of a time limit"
    limit = _time_limit()
    if not trained and limit is not None and limit <= SHORTEST_S:
        return (
            f"not put back into the queue: the job's time limit of {limit} s leaves no time to train; submit "
            "it with a longer one"
        )
    own = current_job()
    assert own is not None, "require_slurm was called"
    job = own.job  # of an array the one task: the number alone may mean the whole array
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=_WITHIN_S, check=False
        )
        problem = "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"
    except (OSError, subprocess.TimeoutExpired) as error:
        problem = str(error)
    if problem:
        return f"cannot put job {job} back into the queue: {problem}. Submit it again: it resumes by itself"
    return f"job {job} is back in the queue and resumes by itself"
