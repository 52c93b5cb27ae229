"""Smoothing and decimation of curves of any length: no spike is lost, nothing breaks a chart.

Imports nothing heavy.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log10

LIMIT = 1e300
"""Larger magnitudes are drawn as this one: differences of values must not overflow."""
_BLOCK = 256
_AT_ONCE = 1 << 14
_FORGOTTEN = 1e-17
"""Share of the start in an average below which correcting for it changes nothing."""


class Smoother:
    """An exponential moving average without the bias of its start: a constant stays that constant.

    It is fed what a curve has become; only values that are new are worked through.
    """

    def __init__(self, beta: float) -> None:
        """``beta`` in [0, 1): the share that the past keeps."""
        self._beta = beta
        self._decay = 1.0
        self.values: array[float] = array("d")

    def extend(self, values: Sequence[float]) -> None:
        """Take the values past those that were taken before; finite ones only."""
        new = array("d", values[len(self.values) :])
        if not new:
            return
        if max(new) > LIMIT or min(new) < -LIMIT:
            new = array("d", [clamped(value) for value in new])
        if self._beta == 0:
            self.values.extend(new)
            return
        now = self.values[-1] if self.values else 0.0
        place = 0
        while self._decay > _FORGOTTEN and place < len(new):
            self._decay *= self._beta
            now += (new[place] - now) * ((1 - self._beta) / (1 - self._decay))
            self.values.append(now)
            place += 1
        weight = 1 - self._beta
        for start in range(place, len(new), _AT_ONCE):
            part = new[start : start + _AT_ONCE].tolist()  # half the time: a list already holds float objects
            self.values.fromlist([now := now + (value - now) * weight for value in part])


def clamped(value: float) -> float:
    """The value, no larger than what a chart can hold; NaN stays NaN."""
    return value if value != value else min(max(value, -LIMIT), LIMIT)


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

    def line(self) -> tuple[list[float], list[float]]:
        """The band as a line of at most two points a column, by the shorter way."""
        xs: list[float] = []
        ys: list[float] = []
        for x, low, high in zip(self.x, self.low, self.high, strict=True):
            if low == high:
                both: tuple[float, ...] = (low,)
            else:
                rising = not ys or abs(ys[-1] - low) <= abs(ys[-1] - high)
                both = (low, high) if rising else (high, low)
            xs += [x] * len(both)
            ys += both
        return xs, ys


def decimate(
    steps: Sequence[int],
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
