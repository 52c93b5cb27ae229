"""Measured peak memory of the real training step against batch size, and the largest that fits.

Every size runs in a process of its own: a process that has run out of memory measures nothing
more, and its end takes nothing else along.
"""

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from diffbev_engine.bench.memory_child import ANSWER, Request
from diffbev_engine.config.load import load_settings
from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.host_memory import host_memory
from diffbev_engine.findings.compiler import why_not_compiled
from diffbev_engine.findings.memory.curve import MARGIN, MemoryCurve, MemoryLine, MemoryPoint, fit_line

LARGEST_ON_GPU = 512
LARGEST_ON_HOST = 8
"""On a CPU a large batch takes minutes and the memory of everybody else."""
_ATTEMPTS = 4
_KILLED = -9

Show = Callable[[MemoryPoint, float], None]
"""Told of every point and of the MiB that are free for it."""


def measure_memory(
    config: str,
    overrides: Sequence[str],
    *,
    gpu_ids: Sequence[int] = (),
    max_batch: int | None = None,
    limit: float | None = None,
    like: MemoryCurve | None = None,
    begin: Callable[[int], None] = lambda _batch: None,
    show: Show = lambda _point, _free: None,
) -> MemoryCurve:
    """Measure 1, 2, 4, … and then the size that the line through them predicts.

    Where the network is compiled, which takes a minute a size, two sizes are enough for the line.

    Args:
        config: configuration file or preset; its data is not read, weights are random.
        overrides: as after ``--set``.
        gpu_ids: the GPU.
        max_batch: largest size to try; by default 512 on a GPU and 8 on a CPU.
        limit: measure as on a GPU with this many GiB, of one that has more and is idle otherwise.
        like: curve of the same network on a larger GPU, from which the first size is predicted.
        begin: called with every size before it is measured.
        show: called with every point.

    Raises:
        UsageError: a limit, without a GPU.
        DiffBEVError: a measurement failed for another reason than memory.
    """
    settings = load_settings(config, overrides)
    known = like.points if like else ()
    request = Request(config, tuple(overrides), tuple(gpu_ids), limit, batch=1)
    search = _Search(request, settings, max_batch, begin, show, known)
    search.run(_expected_on(limit, like) if limit and like else None)
    line = search.line
    return MemoryCurve(
        config=config,
        device=search.device["device"],
        kind=search.device["kind"],
        precision=settings.precision,
        compile=settings.compile,
        image_size=settings.data.image_size,
        free=search.free,
        total=search.device["total"],
        planned=settings.data.samples_per_gpu,
        limit=search.limit,
        points=tuple(sorted(search.points, key=lambda point: point.batch)),
        line=line,
        predicted=line.largest(search.free) if line else None,
        largest=max(search.fitting, default=None),
    )


def _expected_on(limit: float, like: MemoryCurve) -> int | None:
    """The largest batch on a GPU of ``limit`` GiB by the line of ``like``; ``None`` if it has no line."""
    taken = like.total - like.free  # by the CUDA context
    largest = like.line.largest(limit * 1024 - taken) if like.line else None
    return None if largest is None else max(1, largest)


class _Search:
    """Raises the batch until memory or the limit ends it, then closes in on the largest that fits."""

    def __init__(
        self,
        request: Request,
        settings: Settings,
        max_batch: int | None,
        begin: Callable[[int], None],
        show: Show,
        known: Sequence[MemoryPoint] = (),
    ) -> None:
        self._request = request
        self._settings = settings
        self._max_batch = max_batch
        self._begin = begin
        self._show = show
        self._known = known
        self.points: list[MemoryPoint] = []
        self.device: dict[str, Any] = {}
        memory = host_memory()
        self._host = {"free": memory.available, "total": memory.total}

    @property
    def free(self) -> float:
        """MiB that the run may use."""
        return float(self.device["free"])

    @property
    def limit(self) -> int:
        """Largest batch that may be tried."""
        if self._max_batch is not None:
            return self._max_batch
        return LARGEST_ON_GPU if self.device["kind"] == "gpu" else LARGEST_ON_HOST

    @property
    def fitting(self) -> list[int]:
        """Sizes that fit with the margin to spare."""
        room = self.free * (1 - MARGIN)
        return [point.batch for point in self.points if point.fits and (point.peak or 0.0) <= room]

    @property
    def line(self) -> MemoryLine | None:
        """Through the points of this search and of the larger GPU."""
        return fit_line([*self._known, *self.points])

    def run(self, first: int | None = None) -> None:
        """Fill ``points``, starting at ``first`` if given, else at 1."""
        sizes = self._rising() if first is None else [min(first, self._max_batch or LARGEST_ON_GPU)]
        for batch in sizes:
            self._try(batch)
        for _ in range(_ATTEMPTS):
            guess = self._next_guess()
            if guess is None:
                return
            self._try(guess)

    def _rising(self) -> Iterator[int]:
        yield 1
        compiles = why_not_compiled(self._settings, on_gpu=self.device["kind"] == "gpu") is None
        for batch in (4,) if compiles else (2**n for n in itertools.count(1)):
            room = self.free * (1 - MARGIN)
            if batch > self.limit or not self.points[-1].fits or self._expected(batch) > room:
                return
            yield batch

    def _expected(self, batch: int) -> float:
        """Peak by the line so far; with one point alone, at least that of the point."""
        line = self.line
        return line.at(batch) if line else self.points[-1].peak or 0.0

    def _next_guess(self) -> int | None:
        """What the line predicts, above the largest that fits and below the smallest that does not."""
        line = self.line
        fits = max(self.fitting, default=0)
        others = [point.batch for point in self.points if point.batch not in self.fitting]
        fails = min(others, default=self.limit + 1)
        if line is None:
            guess = (fits + fails) // 2
            return guess if guess > fits > 0 else None
        predicted = line.largest(self.free)
        guess = min(self.limit if predicted is None else predicted, fails - 1)
        if fails <= self.limit and guess == fails - 1 > fits + 1:
            guess = (fits + fails) // 2  # the line is too hopeful
        return guess if guess > fits else None

    def _try(self, batch: int) -> None:
        self._begin(batch)
        answer = run_child(replace(self._request, batch=batch))
        if "kind" in answer and not self.device:
            self.device = {**self._host, **answer}
        if not self.device:  # the first process was killed before it reported its device
            self.device = {**self._host, "device": "CPU", "kind": "host"}
        values = {name: answer[name] for name in MemoryPoint.__dataclass_fields__ if name in answer}
        point = MemoryPoint(**{"batch": batch, "peak": None, **values})
        self.points.append(point)
        self._show(point, self.free)


def run_child(request: Request) -> dict[str, Any]:
    """Measure one size in a fresh process.

    Raises:
        UsageError: it cannot be done here.
        DiffBEVError: it failed for another reason than memory; the last lines it wrote.
    """
    command = [sys.executable, "-m", "diffbev_engine.bench.memory_child"]
    done = subprocess.run(
        command,
        input=json.dumps(asdict(request)),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith(ANSWER)]
    if done.returncode == 0 and answers:
        answer: dict[str, Any] = json.loads(answers[-1].removeprefix(ANSWER))
        if "refused" in answer:
            raise UsageError(answer["refused"])
        return answer
    if done.returncode == _KILLED:
        return {"problem": "killed by the system: the host has no memory for it"}
    lines = done.stderr.strip().splitlines()[-3:]
    raise DiffBEVError(f"batch {request.batch} could not be measured: {' '.join(lines) or done.returncode}")
