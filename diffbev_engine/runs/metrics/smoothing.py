"""An exponential moving average of a noisy column, for charts and exports. Imports nothing heavy."""

from array import array
from collections.abc import Sequence

LIMIT = 1e300
"""Larger magnitudes count as this one: differences of values must not overflow."""
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
