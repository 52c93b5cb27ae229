"""Background worker: one job at a time in a daemon thread."""

import threading
import time
from collections.abc import Callable


class Background:
    """Runs a job again and again; a job that hangs is not started a second time."""

    def __init__(self, job: Callable[[], None]) -> None:
        self._job = job
        self._thread: threading.Thread | None = None
        self._started = 0.0

    def start(self) -> bool:
        """Start the job unless it is still in progress; whether it was started."""
        if self._thread is not None and self._thread.is_alive():
            return False
        self._started = time.monotonic()
        # A daemon, because a thread that waits for a dead disk could not be joined at the end.
        self._thread = threading.Thread(target=self._job, daemon=True)
        self._thread.start()
        return True

    @property
    def busy_s(self) -> float:
        """Seconds since the job that is in progress was started; 0 when there is none."""
        alive = self._thread is not None and self._thread.is_alive()
        return time.monotonic() - self._started if alive else 0.0
