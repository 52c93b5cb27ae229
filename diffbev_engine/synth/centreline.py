"""The centre line of a street: straights and arcs, and the street coordinates along it.

Street coordinates are (s, t): metres along the centre line and metres to the left of it.
Everything is planned for right-hand traffic; a mirrored centre line turns the same plan
into left-hand traffic by negating t and all turns.  World coordinates are metres, x east,
y north, angles counter-clockwise from x.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

_MAX_SAGITTA = 0.01  # metres between a drawn chord and its arc


@dataclass(frozen=True)
class Centreline:
    """A chain of arcs of constant curvature; both ends continue straight for ever."""

    start: tuple[float, float, float]
    """World x, y and heading (radians) at ``s_start``."""
    s_start: float
    """Street coordinate s of the first arc's beginning, metres."""
    lengths: tuple[float, ...]
    """Arc lengths, metres."""
    curvatures: tuple[float, ...]
    """1/radius of each arc, 1/metres, positive to the left; 0 is straight."""
    mirrored: bool = False
    """Left-hand traffic: t and turns change sign."""

    @property
    def hand(self) -> float:
        """+1 for right-hand traffic, -1 for left-hand traffic."""
        return -1.0 if self.mirrored else 1.0

    @cached_property
    def _knots(self) -> np.ndarray:
        """Start of every arc: rows of s, x, y, heading, curvature; a straight tail at the end."""
        rows = [(-np.inf, *self.start, 0.0)]
        s, (x, y, heading) = self.s_start, self.start
        for length, curvature in zip(self.lengths, self.curvatures, strict=True):
            rows.append((s, x, y, heading, curvature))
            x, y, heading = _advance(x, y, heading, curvature, length)
            s += length
        rows.append((s, x, y, heading, 0.0))
        return np.array(rows, dtype=float)

    def place(self, s: np.ndarray, t: np.ndarray, turn: np.ndarray | float = 0.0) -> np.ndarray:
        """Return world (..., 3): x, y and heading of street points.

        Args:
            s: Metres along the centre line, any shape.
            t: Metres to the left, broadcastable.
            turn: Heading relative to the street, radians.
        """
        s, t, turn = np.broadcast_arrays(np.asarray(s, float), np.asarray(t, float), np.asarray(turn, float))
        knots = self._knots
        index = np.maximum(np.searchsorted(knots[:, 0], s, side="right") - 1, 0)
        start_s = np.where(index == 0, self.s_start, knots[index, 0])
        _, x, y, heading, curvature = np.moveaxis(knots[index], -1, 0)
        x, y, heading = _advance(x, y, heading, curvature, s - start_s)
        offset = self.hand * t
        return np.stack(
            [x - offset * np.sin(heading), y + offset * np.cos(heading), heading + self.hand * turn], -1
        )

    def points(self, s: np.ndarray, t: np.ndarray | float) -> np.ndarray:
        """Return world (..., 2) of street points."""
        return self.place(np.asarray(s), np.asarray(t))[..., :2]

    def stations(self, s_from: float, s_to: float) -> np.ndarray:
        """Return increasing values of s, ends included, that draw the street without visible chords."""
        stations = [np.array([s_from, s_to])]
        begin = self.s_start
        for length, curvature in zip(self.lengths, self.curvatures, strict=True):
            low, high = max(begin, s_from), min(begin + length, s_to)
            begin += length
            if high <= low:
                continue
            step = np.sqrt(8 * _MAX_SAGITTA / abs(curvature)) if curvature else high - low
            stations.append(np.linspace(low, high, int(np.ceil((high - low) / step)) + 1))
        return np.unique(np.round(np.concatenate(stations), 6))

    def pieces(self, s_from: float, s_to: float) -> list[tuple[float, float, float]]:
        """Return (s, length, curvature) of the arcs between two stations, straight tails included."""
        bounds = [-np.inf, *(self.s_start + np.concatenate([[0.0], np.cumsum(self.lengths)])), np.inf]
        curvatures = [0.0, *self.curvatures, 0.0]
        found = []
        for low, high, curvature in zip(bounds[:-1], bounds[1:], curvatures, strict=True):
            low, high = max(low, s_from), min(high, s_to)
            if high - low > 1e-6:
                found.append((float(low), float(high - low), float(curvature)))
        return found

    def strip(self, s_from: float, s_to: float, t_from: float, t_to: float) -> np.ndarray:
        """Return the world outline (N, 2) of the strip between two stations and two offsets."""
        stations = self.stations(s_from, s_to)
        return np.concatenate([self.points(stations, t_from), self.points(stations[::-1], t_to)])


def _advance(x: Any, y: Any, heading: Any, curvature: Any, length: Any) -> tuple[Any, Any, Any]:
    """Follow an arc: a chord of length sin(a)/a at half the turn; floats and arrays alike."""
    half_turn = 0.5 * curvature * length
    chord = length * np.sinc(half_turn / np.pi)
    return (
        x + chord * np.cos(heading + half_turn),
        y + chord * np.sin(heading + half_turn),
        heading + 2 * half_turn,
    )
