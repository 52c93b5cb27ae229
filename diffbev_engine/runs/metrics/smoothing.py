"""An exponential moving average of a noisy column, for charts and exports. Imports nothing heavy."""

from array import array
from collections.abc import Sequence

LIMIT = 1e300
"""Larger magnitudes count as this one: differences of values must not overflow."""
_AT_ONCE = 1 << 12
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
        while len(self.values) < len(values):
            start = len(self.values)
            part = list(values[start : start + _AT_ONCE])  # half the time: a list already holds float objects
            if max(part) > LIMIT or min(part) < -LIMIT:
                part = [clamped(value) for value in part]
            self.values.fromlist(self._averages(part) if self._beta else part)

    def _averages(self, values: list[float]) -> list[float]:
        now, place, found = self.values[-1] if self.values else 0.0, 0, []
        while self._decay > _FORGOTTEN and place < len(values):
            self._decay *= self._beta
            now += (values[place] - now) * ((1 - self._beta) / (1 - self._decay))
            found.append(now)
            place += 1
        weight = 1 - self._beta
        rest = values[place:] if place else values
        return found + [now := now + (value - now) * weight for value in rest]


def clamped(value: float) -> float:
    """The value, no larger than what a chart can hold; NaN stays NaN."""
    return value if value != value else min(max(value, -LIMIT), LIMIT)
