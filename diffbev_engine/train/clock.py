"""Training throughput and data wait time."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from diffbev_engine.runs.stall import longest_iteration_s

_RECENT = 51


class StepClock:
    """Host-side time between log steps, without evaluations, checkpoints and stalls."""

    _iterations: int
    _images: int
    _waited: float
    _waited_before: float
    """As of the last iteration."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_RECENT)
        self._last = time.perf_counter()
        self._restart()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the block as waiting for data."""
        started = time.perf_counter()
        yield
        self._waited += time.perf_counter() - started

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the block out of the measurement."""
        started = time.perf_counter()
        yield
        now = time.perf_counter()
        self._started += now - started
        self._last += now - started

    def count(self, images: int) -> None:
        """Count one iteration over ``images`` images."""
        now = time.perf_counter()
        took = now - self._last
        if self._recent and took > longest_iteration_s(usual := self.usual_s()):
            # A suspended process, a disk that hung: no speed, from which the time left could be told.
            self._started += took - usual
            self._waited = min(self._waited, self._waited_before + usual)
            took = usual
        self._recent.append(took)
        self._last, self._waited_before = now, self._waited
        self._iterations += 1
        self._images += images

    def usual_s(self) -> float:
        """Median time of the recent iterations; call after ``count``."""
        return median(self._recent)

    def read(self) -> dict[str, float]:
        """Speeds since the last reading: ``it_per_s``, ``images_per_s`` and ``data_wait`` (a share)."""
        elapsed = time.perf_counter() - self._started
        speeds = {
            "it_per_s": self._iterations / elapsed,
            "images_per_s": self._images / elapsed,
            "data_wait": self._waited / elapsed,
        }
        self._restart()
        return speeds

    def _restart(self) -> None:
        self._started = time.perf_counter()
        self._waited = 0.0
        self._waited_before = 0.0
        self._iterations = 0
        self._images = 0
