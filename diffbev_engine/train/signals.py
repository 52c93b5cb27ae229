"""Signals that ask to stop as a request: the loop finishes its iteration, saves and leaves."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from diffbev_engine.core.errors import InterruptedTraining
from diffbev_engine.runs.process import STOP_SIGNALS


class StopRequest:
    """Remembers the first signal that asked to stop."""

    def __init__(self, *, announce: bool = True) -> None:
        self.signal_name: str | None = None
        self._announce = announce
        self._nothing_to_save = False
        self._at_once = signal.SIGINT if "TORCHELASTIC_RUN_ID" not in os.environ else None

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Take note; a second Ctrl+C ends the process at once, as announced.

        What schedulers, torchrun and people repeat otherwise must not end it before it has saved.

        Raises:
            InterruptedTraining: at once, where there is nothing to save yet.
        """
        if self._nothing_to_save:
            self.signal_name = signal.Signals(number).name
            raise before_training(self.signal_name)
        if self._announce and not self:
            self._say(number)
        self.signal_name = self.signal_name or signal.Signals(number).name
        if number == self._at_once:
            signal.signal(number, signal.SIG_DFL)

    @contextmanager
    def nothing_to_save(self) -> Iterator[None]:
        """Leave at the first signal while the block runs: it changes nothing, and may take minutes."""
        self._nothing_to_save = True
        try:
            yield
        except Exception:
            self._leave_if_asked()
            raise
        finally:
            self._nothing_to_save = False
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        """Leave, whatever an ``except`` in the block may have taken the signal's exception for."""
        if self.signal_name:
            raise before_training(self.signal_name)

    def _say(self, number: int) -> None:
        again = "; press Ctrl+C again to end without saving" if number == self._at_once else ""
        line = f"{signal.Signals(number).name}: saving a checkpoint after this iteration{again}\n"
        try:
            os.write(2, line.encode())  # a buffered stream may be in the middle of a write
        except OSError:  # the terminal is gone
            self._announce = False


def before_training(by: str) -> InterruptedTraining:
    """What to say of a run that was stopped before its first iteration."""
    return InterruptedTraining(f"stopped by {by} before training began. Nothing was changed.")


@contextmanager
def stop_on_signals(*, announce: bool = True) -> Iterator[StopRequest]:
    """Turn the signals that ask to stop into a ``StopRequest`` while the block runs.

    SIGHUP stays ignored where it is, as under nohup.

    Args:
        announce: say on stderr that the first signal has been heard.
    """
    request = StopRequest(announce=announce)
    heeded = [
        number
        for number in STOP_SIGNALS
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = {number: signal.signal(number, request.receive) for number in heeded}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
