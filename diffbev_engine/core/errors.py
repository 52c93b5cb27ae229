"""Errors a user can cause, and the exit codes of every command.

One error is one clear message: what is wrong, where, and what to do.  The command line
prints the message alone; a traceback means a defect in the program.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes shared by all commands and by ``status.json``."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    OUT_OF_GPU_MEMORY = 3
    DIVERGED = 4
    INTERRUPTED = 5


class DiffBEVError(Exception):
    """A failed check or step: wrong data, an unwritable folder, a damaged file."""

    exit_code = ExitCode.FAILED


class UsageError(DiffBEVError):
    """Wrong usage or configuration."""

    exit_code = ExitCode.USAGE


class OutOfGPUMemoryError(DiffBEVError):
    """The GPU could not hold the batch."""

    exit_code = ExitCode.OUT_OF_GPU_MEMORY


class DivergedError(DiffBEVError):
    """A loss or gradient became NaN or infinite."""

    exit_code = ExitCode.DIVERGED


class InterruptedTraining(DiffBEVError):
    """Stopped by a signal after a resumable checkpoint was written."""

    exit_code = ExitCode.INTERRUPTED


def first_line(error: BaseException) -> str:
    """What ``error`` says first, where more would tell users nothing; its name if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
