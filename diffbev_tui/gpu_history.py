"""What the GPUs did in the last minutes, whichever screen was shown meanwhile."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from diffbev_engine.core.gpu.reading import Gpu, GpuReading

KEPT = 600
"""Readings: ten minutes at the usual pace."""


@dataclass(frozen=True)
class Track:
    """One figure of a GPU; ``None`` where the driver did not say."""

    name: str
    now: float | None
    limit: float | None
    """What the history is drawn against."""
    past: tuple[float | None, ...]
    """The oldest first, ``now`` last."""


def _figures(gpu: Gpu) -> dict[str, tuple[float | None, float | None]]:
    """Figure and its limit by name, in the order in which they are shown."""
    return {
        "memory": (gpu.used_mib, gpu.total_mib),
        "load": (gpu.utilization, 100.0),
        "power": (gpu.power_w, gpu.power_limit_w),
        "temperature": (gpu.temperature_c, 100.0),
        "clock": (gpu.clock_mhz, gpu.clock_limit_mhz),
    }


class GpuHistory:
    """Fed from one thread, read from another."""

    def __init__(self) -> None:
        self._readings: dict[str, deque[Mapping[str, tuple[float | None, float | None]]]] = {}

    def add(self, reading: GpuReading) -> None:
        """Remember a reading; a GPU that does not answer keeps its past."""
        for gpu in reading.usable:
            for each in (gpu, *gpu.instances):
                self._readings.setdefault(each.uuid, deque(maxlen=KEPT)).append(_figures(each))

    def tracks(self, gpu: Gpu) -> list[Track]:
        """The figures of ``gpu`` with their past."""
        past = [*self._readings.get(gpu.uuid, ())]
        return [
            Track(name, now, limit, tuple(one[name][0] for one in past))
            for name, (now, limit) in _figures(gpu).items()
        ]


_LEFT, _RIGHT = (0x40, 0x04, 0x02, 0x01), (0x80, 0x20, 0x10, 0x08)
"""Braille dots of the two columns of a cell, the lowest first."""


def sparkline(past: tuple[float | None, ...], limit: float | None, width: int) -> str:
    """The newest readings against ``limit``, two a cell, in at most ``width`` cells; no dot: not known."""
    shown = [*past[-2 * width :]] if width > 0 else []
    if len(shown) % 2:
        shown.insert(0, None)
    top = limit or max((value for value in shown if value is not None), default=0.0) or 1.0
    heights = [_height(value, top) for value in shown]
    return "".join(
        chr(0x2800 + sum(_LEFT[:left]) + sum(_RIGHT[:right]))
        for left, right in zip(heights[::2], heights[1::2], strict=True)
    )


def _height(value: float | None, top: float) -> int:
    """Dots of a column: none where nothing is known, at least one for what is."""
    return 0 if value is None else max(1, round(min(max(value / top, 0.0), 1.0) * len(_LEFT)))
