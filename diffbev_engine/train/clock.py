"""Training throughput and data wait time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StepClock:
    """Host-side time between log steps, without evaluations and checkpoints."""

    def __init__(self) -> None:
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
        self._started += time.perf_counter() - started

    def count(self, images: int) -> None:
        """Count one iteration over ``images`` images."""
        self._iterations += 1
        self._images += images

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
        self._iterations = 0
        self._images = 0
