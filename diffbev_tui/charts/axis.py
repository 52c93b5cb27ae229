"""The axes of a chart: steps, wall time or time since the start below; at least three values on the left.

Imports nothing heavy.
"""

from datetime import datetime
from enum import Enum

from diffbev_engine.core.format import step_label, with_unit
from diffbev_tui.charts.ticks import axis_labels, linear_ticks, log_label, log_ticks

_LEAST = 3
_SECONDS = (1, 2, 5, 10, 15, 30)
_MINUTES = tuple(60 * count for count in (1, 2, 5, 10, 15, 30))
_HOURS = tuple(3600 * count for count in (1, 2, 3, 6, 12))
_DAYS = tuple(86_400 * count for count in (1, 2, 5, 10, 20, 50, 100, 200, 500))
_TIME_STEPS = (*_SECONDS, *_MINUTES, *_HOURS, *_DAYS)


class Axis(str, Enum):
    """What the x axis counts; times are seconds."""

    STEP = "step"
    RELATIVE = "relative"
    """Time since the first row."""
    WALL = "wall"
    """Unix time."""

    def ticks(self, low: float, high: float, most: int) -> tuple[list[float], list[str]]:
        """At most ``most`` places, and what stands there."""
        if self is Axis.STEP:
            places = linear_ticks(low, high, most)
            return places, [step_label(place) for place in places]
        step = next((one for one in _TIME_STEPS if (high - low) / one <= most), _TIME_STEPS[-1])
        zone = _offset(low) if self is Axis.WALL else 0.0
        first = -(-(low + zone) // step)
        places = []
        while (place := first * step - zone) <= high and len(places) < most:
            places.append(place)
            first += 1
        return places, [self.label(place, step) for place in places]

    def label(self, place: float, step: float = 1.0) -> str:
        """One place in words: ``41.3k``, ``2 h``, ``14:40``; digits and letters of one cell only."""
        if self is Axis.STEP:
            return step_label(place)
        if self is Axis.WALL:
            moment = datetime.fromtimestamp(place)
            return (
                f"{moment:%m-%d}"
                if step >= 86_400
                else f"{moment:%H:%M:%S}"
                if step < 60
                else f"{moment:%H:%M}"
            )
        hours, seconds = divmod(round(place), 3600)
        if step < 60:
            return f"{hours}:{seconds // 60:02d}:{seconds % 60:02d}"
        return f"{hours}:{seconds // 60:02d}" if step < 3600 else f"{hours}h"


def _offset(moment: float) -> float:
    """Seconds by which local time is ahead of UTC: round numbers are those of the clock on the wall."""
    found = datetime.fromtimestamp(moment).astimezone().utcoffset()
    return found.total_seconds() if found else 0.0


def y_axis(
    low: float, high: float, rows: int, *, log_y: bool, unit: str = ""
) -> tuple[list[float], list[str]]:
    """At least three values and their words, as far as there are rows; powers of ten where ``log_y``."""
    most = max(_LEAST, rows // 3)
    places: list[float] = []
    for wanted in range(most, 4 * most):  # round numbers may leave fewer than they might
        places = (log_ticks if log_y else linear_ticks)(low, high, wanted)
        if len(places) >= _LEAST:
            break
    if len(places) < _LEAST:
        places = [low, (low + high) / 2, high]
    while len(places) > max(rows, _LEAST):
        places = places[::2]
    labels = [log_label(place) for place in places] if log_y else axis_labels(places)
    return places, [with_unit(label, unit) for label in labels]
