"""Time the network forward pass only, synchronizing the device before and after."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

WHAT_IS_TIMED = (
    "images on the device to logits (normalisation, noise, forward pass), synchronised; "
    "median over batches, the first left out"
)


class NetworkClock:
    """Keeps the time of every forward pass; the first, which warms up, counts only if it is the only one."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._passes: list[float] = []  # milliseconds per image

    @contextmanager
    def timing(self, images: int) -> Iterator[None]:
        """Time the enclosed pass over ``images`` images."""
        self._wait()
        started = time.perf_counter()
        yield
        self._wait()
        self._passes.append(1000 * (time.perf_counter() - started) / images)

    def ms_per_image(self) -> float:
        """Milliseconds per image on one device: median over batches, mean over processes."""
        passes = self._passes[1:] or self._passes
        own = (statistics.median(passes), 1.0) if passes else (0.0, 0.0)  # more processes than images
        total = torch.tensor(own, dtype=torch.float64, device=self._device)
        if distributed.is_initialized():
            distributed.all_reduce(total)
        milliseconds, processes = total.tolist()
        return float(milliseconds / processes)

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
