"""Loader processes that die: noticed between iterations, and told in one message."""

import multiprocessing
import signal
import time
from contextlib import suppress
from types import FrameType

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.findings.dead_loader import DeadLoader, dead_loader

_CUT_OFF = (ConnectionError, EOFError)
"""What torch lets through when a loader process ends while it hands over a batch."""
_KERNEL_S = 1.0


class WorkerWatch:
    """Holds back what torch raises from its signal handler when a loader process dies.

    It would come between any two lines of an optimizer step, and leave weights that belong to no
    iteration; the loop asks for it between iterations.
    """

    def __init__(self) -> None:
        self.failure: RuntimeError | None = None
        self._raise = signal.getsignal(signal.SIGCHLD)

    def hold(self) -> None:
        """Take the place of torch's handler, which is set when a loader starts its processes."""
        current = signal.getsignal(signal.SIGCHLD)
        if callable(current) and current != self._receive:
            self._raise = current
            signal.signal(signal.SIGCHLD, self._receive)

    def release(self) -> None:
        """Give torch's handler its place back."""
        if signal.getsignal(signal.SIGCHLD) == self._receive:
            signal.signal(signal.SIGCHLD, self._raise)

    def told(self, error: BaseException) -> DiffBEVError:
        """What to tell the user of a loader process whose end led to ``error``."""
        end = time.monotonic() + _KERNEL_S
        while isinstance(error, _CUT_OFF) and not self.failure and time.monotonic() < end:
            time.sleep(0.01)  # a connection may end a moment before the kernel tells of the process
        return dead_worker(self.failure or error)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        assert callable(self._raise), "only handlers are replaced"
        try:
            self._raise(number, frame)
        except RuntimeError as error:
            self.failure = self.failure or error


def is_dead_worker(error: BaseException) -> bool:
    """Whether torch raised ``error``, while a batch was drawn, because a loader process has ended."""
    if isinstance(error, _CUT_OFF):
        return True
    return isinstance(error, RuntimeError) and dead_loader(str(error)) is not None


def dead_worker(error: BaseException) -> DiffBEVError:
    """What to tell the user of it."""
    found = dead_loader(str(error)) or DeadLoader(f"{type(error).__name__}: {error}", "")
    return DiffBEVError(found.message)


_WORDS = {"disk-sleep": "waiting for the disk or a network mount", "stopped": "stopped (SIGSTOP)"}


def workers_in_words() -> str:
    """What the loader processes are busy with, as the kernel tells it."""
    import psutil

    states: dict[str, list[int]] = {}
    for child in multiprocessing.active_children():
        with suppress(psutil.Error):
            states.setdefault(psutil.Process(child.pid).status(), []).append(child.pid or 0)
    found = [f"{', '.join(map(str, pids))} {_WORDS.get(state, state)}" for state, pids in states.items()]
    return "loader processes: " + "; ".join(found) if found else "the disk or a network mount does not answer"
