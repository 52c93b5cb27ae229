"""Peak memory against batch size: the measured points, a line through them, and what fits."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from diffbev_engine.core.plain_text import plain
from diffbev_engine.core.state_file import Amount, Count, Seconds, decode_file

MARGIN = 0.08
"""Share of the free memory that is left: a batch that just fits runs out hours later."""

MEMORY_FILE = "memory.json"
_MOST_SAMPLES = 10**9
_Finite = Annotated[float, Meta(ge=-1e15, le=1e15)]


@dataclass(frozen=True)
class MemoryPoint:
    """One batch size, measured in a process of its own; sizes in MiB."""

    batch: Count
    peak: Amount | None
    """Largest use of the training step or of evaluation; ``None`` when the batch did not fit."""
    reserved: Amount | None = None
    """What torch's allocator held at most; at least ``peak``.  ``None`` on the host."""
    evaluation: Amount | None = None
    """Largest use while evaluating alone."""
    retries: Count = 0
    """Allocations that succeeded only after torch had emptied its cache: it fits, but slowly."""
    seconds: Seconds = 0.0
    """Duration of the whole measurement."""
    problem: str = ""
    """Why there is no ``peak``."""

    @property
    def fits(self) -> bool:
        """Whether the batch ran, without emptying caches."""
        return self.peak is not None and self.retries == 0


@dataclass(frozen=True)
class MemoryLine:
    """``fixed + per_sample * batch``, MiB, by least squares."""

    fixed: _Finite
    per_sample: _Finite
    r2: _Finite
    """Share of the variance that the line explains; 1 is a perfect fit."""
    worst: Amount
    """Largest distance of a point from the line, MiB."""

    def at(self, batch: int) -> float:
        """Predicted peak of ``batch``, MiB."""
        return self.fixed + self.per_sample * batch

    def largest(self, budget: float) -> int | None:
        """The largest batch within ``budget`` MiB less the margin; ``None`` for a line that does not rise."""
        if self.per_sample <= 0:
            return None
        samples = (budget * (1 - MARGIN) - self.fixed) / self.per_sample  # of a file's line perhaps infinite
        return int(min(max(samples, 0.0), _MOST_SAMPLES))


@dataclass(frozen=True)
class MemoryCurve:
    """What was measured on one device for one configuration."""

    config: str
    device: str
    kind: Literal["gpu", "host"]
    """``gpu``: memory of the GPU; ``host``: resident memory of a fresh process, where there is no GPU."""
    precision: str
    compile: str
    image_size: tuple[Count, Count]
    free: Amount
    """MiB that were free for the run when the measurement began."""
    total: Amount
    """MiB of the device."""
    planned: Count
    """Batch size of the configuration."""
    limit: Count
    """Largest batch that was allowed to be tried."""
    points: tuple[MemoryPoint, ...]
    line: MemoryLine | None
    predicted: Count | None
    """Largest batch by the line; ``None`` without one."""
    largest: Count | None
    """Largest batch that was measured and fits with the margin to spare; ``None`` when none does."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        points = [{**asdict(point), "fits": point.fits} for point in self.points]
        return {"format": 1, "margin": MARGIN, **asdict(self), "points": points}


def fit_line(points: Sequence[MemoryPoint]) -> MemoryLine | None:
    """The line through the points that fit; ``None`` for fewer than two."""
    known = [(point.batch, point.peak) for point in points if point.fits and point.peak]
    if len({batch for batch, _ in known}) < 2:
        return None
    mean_x = sum(batch for batch, _ in known) / len(known)
    mean_y = sum(peak for _, peak in known) / len(known)
    spread = sum((batch - mean_x) ** 2 for batch, _ in known)
    slope = sum((batch - mean_x) * (peak - mean_y) for batch, peak in known) / spread
    fixed = mean_y - slope * mean_x
    residuals = [peak - fixed - slope * batch for batch, peak in known]
    variance = sum((peak - mean_y) ** 2 for _, peak in known)
    r2 = 1 - sum(r * r for r in residuals) / variance if variance else 1.0
    return MemoryLine(fixed, slope, r2, max(map(abs, residuals)))


def read_curve(path: Path) -> MemoryCurve | None:
    """The curve that ``memory --work-dir`` left; ``None`` where there is none or it cannot be read."""
    curve = decode_file(path, MemoryCurve).value
    return replace(curve, device=plain(curve.device), config=plain(curve.config)) if curve else None
