"""Work off the UI thread: daemon threads, one job per key at a time, answers as typed messages."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from textual.message import Message
from textual.message_pump import MessagePump

_Result = TypeVar("_Result")
_Job = Callable[[], None]
_changed = threading.Condition()
_running: set[threading.Thread] = set()


@dataclass
class JobFailed(Message):
    """A job raised; sent to the widget that started it."""

    key: str
    error: Exception

    @property
    def words(self) -> str:
        """The message of an error that users can cause, else the exception with its kind."""
        named = isinstance(self.error, (OSError, ValueError)) or type(self.error).__module__.startswith(
            "diffbev_engine"
        )
        return str(self.error) if named else f"{type(self.error).__name__}: {self.error}"


class RunInThread(MessagePump):
    """Adds :meth:`run_in_thread` to a widget or an app.

    Textual's own thread workers are joined when the program ends, so that a thread that waits for a dead
    disk would keep the shell waiting; these are daemons.
    """

    _jobs: dict[str, tuple[float, _Job | None]]

    def run_in_thread(
        self, key: str, job: Callable[[], _Result], answer: Callable[[_Result], Message]
    ) -> None:
        """Run ``job`` and post ``answer(result)`` to this widget, or :class:`JobFailed`.

        Args:
            key: while a job of this key is running, only the newest further one waits for its turn, so
                that a job that hangs costs one thread.
            job: must not touch widgets.
            answer: makes the message, such as a message class with one field.
        """

        def work() -> None:
            message: Message
            try:
                message = answer(job())
            except Exception as error:
                message = JobFailed(key, error)
            with suppress(RuntimeError):  # the event loop was closed
                self.post_message(message)

        with _changed:
            jobs = self._all_jobs()
            if key in jobs:
                jobs[key] = (jobs[key][0], work)
                return
            jobs[key] = (time.monotonic(), None)
            thread = threading.Thread(target=self._work_off, args=(key, work), name=f"job {key}", daemon=True)
            _running.add(thread)
        thread.start()

    def busy_seconds(self, key: str) -> float:
        """How long the job of this key has been running; 0 if there is none."""
        found = self._all_jobs().get(key)
        return time.monotonic() - found[0] if found else 0.0

    def _all_jobs(self) -> dict[str, tuple[float, _Job | None]]:
        if "_jobs" not in self.__dict__:
            self._jobs = {}
        return self._jobs

    def _work_off(self, key: str, first: _Job) -> None:
        work: _Job | None = first
        while work is not None:
            work()
            with _changed:
                work = self._jobs.pop(key)[1]
                if work is not None:
                    self._jobs[key] = (time.monotonic(), None)
        with _changed:
            _running.discard(threading.current_thread())
            _changed.notify_all()


def jobs_running() -> bool:
    """Whether any job is running; for tests."""
    return bool(_running)


def wait_until_idle(seconds: float) -> bool:
    """Wait until no job is running; whether that was so within ``seconds``. For tests."""
    with _changed:
        return _changed.wait_for(lambda: not _running, seconds)
