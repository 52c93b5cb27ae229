"""Decimation of curves of any length: no spike is lost, nothing breaks a chart.

Imports nothing heavy.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log10, nan

from diffbev_engine.runs.metrics.smoothing import clamped

_BLOCK = 256


class Extremes:
    """The smallest and largest value of any part of a growing curve, without going through all of it."""

    def __init__(self) -> None:
        self._lows: array[float] = array("d")
        self._highs: array[float] = array("d")

    def extend(self, values: Sequence[float]) -> None:
        """Take the values past those that were taken before."""
        for start in range(len(self._lows) * _BLOCK, len(values) - _BLOCK + 1, _BLOCK):
            block = values[start : start + _BLOCK]
            self._lows.append(min(block))
            self._highs.append(max(block))

    def between(self, values: Sequence[float], start: int, end: int) -> tuple[float, float]:
        """(smallest, largest) of ``values[start:end]``, which must not be empty."""
        first = -(-start // _BLOCK)
        last = min(end // _BLOCK, len(self._lows))
        if last - first < 1:
            part = values[start:end]
            return min(part), max(part)
        lows, highs = [min(self._lows[first:last])], [max(self._highs[first:last])]
        for part in (values[start : first * _BLOCK], values[last * _BLOCK : end]):
            if part:
                lows.append(min(part))
                highs.append(max(part))
        return min(lows), max(highs)


@dataclass(frozen=True)
class Band:
    """The range of a curve in each column of a chart that holds any of it."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]

    def __len__(self) -> int:
        return len(self.x)

    def line(self, gaps: Sequence[float] = ()) -> tuple[list[float], list[float]]:
        """The band as a line of at most two points a column, by the shorter way; NaN where it is interrupted.

        Args:
            gaps: places on the x axis, in order; what lies on both sides of one is not connected.
        """
        xs: list[float] = []
        ys: list[float] = []
        passed = 0
        for x, low, high in zip(self.x, self.low, self.high, strict=True):
            here = bisect_right(gaps, x)
            if here != passed:
                if xs:
                    xs.append(x)
                    ys.append(nan)
                passed = here
            if low == high:
                both: tuple[float, ...] = (low,)
            else:
                rising = not ys or not abs(ys[-1] - low) > abs(ys[-1] - high)
                both = (low, high) if rising else (high, low)
            xs += [x] * len(both)
            ys += both
        return xs, ys


def decimate(
    steps: Sequence[float],
    values: Sequence[float],
    extremes: Extremes,
    window: tuple[float, float],
    columns: int,
) -> Band:
    """The smallest and largest value in each of ``columns`` parts of ``window``; few points stay."""
    left, right = window
    start, end = bisect_left(steps, left), bisect_right(steps, right)
    end = min(end, len(values))
    if columns < 1 or start >= end:
        return Band((), (), ())
    if end - start <= 2 * columns:
        shown = [clamped(value) for value in values[start:end]]
        return Band([float(step) for step in steps[start:end]], shown, shown)
    xs, lows, highs = [], [], []
    width = (right - left) / columns
    for column in range(columns):
        stop = end if column == columns - 1 else bisect_left(steps, left + (column + 1) * width, start, end)
        if stop > start:
            low, high = extremes.between(values, start, stop)
            xs.append(left + (column + 0.5) * width)
            lows.append(clamped(low))
            highs.append(clamped(high))
        start = stop
    return Band(xs, lows, highs)


def on_log_scale(band: Band) -> Band:
    """The band in powers of ten; columns without a positive value are skipped."""
    parts = [
        (x, log10(low if low > 0 else high), log10(high))
        for x, low, high in zip(band.x, band.low, band.high, strict=True)
        if high > 0
    ]
    return Band([x for x, _, _ in parts], [low for _, low, _ in parts], [high for _, _, high in parts])


_OUTLIER = 4.0
"""Spans of the usual values beyond which a value is left out."""
_USUAL = 0.02
"""Share of the columns on either side that may be unusual."""


def clipped_range(bands: Sequence[Band]) -> tuple[float, float, tuple[float, float] | None]:
    """A range without single values that would flatten all others; then smallest and largest of all."""
    low, high = value_range(bands)
    lows = sorted(value for band in bands for value in band.low)
    highs = sorted(value for band in bands for value in band.high)
    if len(lows) < 16:
        return low, high, None
    aside = max(1, int(_USUAL * len(lows)))
    least, most = lows[aside], highs[-1 - aside]
    span = most - least
    if span <= 0:
        return low, high, None
    shown_low = least - 0.1 * span if low < least - _OUTLIER * span else low
    shown_high = most + 0.1 * span if high > most + _OUTLIER * span else high
    return shown_low, shown_high, (low, high) if (shown_low, shown_high) != (low, high) else None


def value_range(bands: Sequence[Band]) -> tuple[float, float]:
    """A range that holds all of them, never empty; (0, 1) without any value."""
    low = min((min(band.low) for band in bands if len(band)), default=inf)
    high = max((max(band.high) for band in bands if len(band)), default=-inf)
    if low > high:
        return 0.0, 1.0
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-12):
        margin = abs(high) * 0.1 or 1.0
        return low - margin, high + margin
    return low, high
