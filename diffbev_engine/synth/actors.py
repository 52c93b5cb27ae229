"""Things in the world, where they are at a time, and whether two of them collide.

Times are seconds since the scene began.  A pose is (x, y, heading) in the world: metres and
radians; everything is on the plane z = 0.
"""

from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.centreline import Centreline
from diffbev_engine.synth.solids import Body

Size = tuple[float, float, float]


@dataclass(frozen=True)
class Motion:
    """A place in street coordinates that moves at a constant rate."""

    s: float
    t: float
    turn: float = 0.0
    """Heading relative to the street, radians."""
    speed_s: float = 0.0
    """Metres per second along the street."""
    speed_t: float = 0.0
    """Metres per second across the street."""

    @property
    def moving(self) -> bool:
        """Whether the place changes with time."""
        return self.speed_s != 0.0 or self.speed_t != 0.0


@dataclass(frozen=True)
class Actor:
    """One object of the world: annotated, or scenery when its category is empty."""

    body: Body
    motion: Motion
    attribute: str = ""
    """nuScenes attribute name; "" for none."""

    @property
    def annotated(self) -> bool:
        """Whether the object appears in the annotation table."""
        return self.body.category != ""


def poses(centreline: Centreline, motions: list[Motion], times: np.ndarray | float) -> np.ndarray:
    """Return the poses of motions at times.

    Args:
        centreline: The street.
        motions: N of them.
        times: Seconds, scalar or (T,).

    Returns:
        (N, 3), or (N, T, 3) for several times.
    """
    rows = np.array([(m.s, m.t, m.turn, m.speed_s, m.speed_t) for m in motions], dtype=float).reshape(-1, 5)
    s, t, turn, speed_s, speed_t = (rows[:, column] for column in range(5))
    if np.ndim(times):
        s, t, turn, speed_s, speed_t = (values[:, None] for values in (s, t, turn, speed_s, speed_t))
    return centreline.place(s + speed_s * times, t + speed_t * times, turn)


def footprints(pose: np.ndarray, size: Size, margin: float = 0.0) -> np.ndarray:
    """Return the corners (..., 4, 2) of a box (width, length, height) on the ground at poses (..., 3)."""
    half_length, half_width = size[1] / 2 + margin, size[0] / 2 + margin
    corners = np.array(
        [
            [half_length, half_width],
            [half_length, -half_width],
            [-half_length, -half_width],
            [-half_length, half_width],
        ]
    )
    cos, sin = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    rotation = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], -2)  # (..., 2, 2)
    return np.einsum("...ij,cj->...ci", rotation, corners) + pose[..., None, :2]


def overlap(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return whether pairs of rectangles (..., 4, 2) overlap: no edge direction separates them."""
    separated = np.zeros(np.broadcast_shapes(first.shape[:-2], second.shape[:-2]), dtype=bool)
    for rectangle in (first, second):
        for edge in (0, 1):
            axis = rectangle[..., edge + 1, :] - rectangle[..., edge, :]
            a = np.einsum("...ci,...i->...c", first, axis)
            b = np.einsum("...ci,...i->...c", second, axis)
            separated |= (a.max(-1) < b.min(-1)) | (b.max(-1) < a.min(-1))
    return ~separated


class Cast:
    """The actors of one scene; an actor that would run into another is turned away."""

    def __init__(self, centreline: Centreline, duration: float) -> None:
        """Start empty.

        Args:
            centreline: The street.
            duration: Seconds over which nothing may collide.
        """
        self.actors: list[Actor] = []
        self._centreline = centreline
        self._times = np.linspace(0.0, max(duration, 0.5), max(int(duration / 0.4), 2) + 1)
        self._footprints = np.zeros((0, len(self._times), 4, 2))

    def reserve(self, motion: Motion, size: Size, margin: float) -> None:
        """Keep the way of something free that is not an actor: the ego vehicle."""
        self._remember(footprints(self._paths(motion), size, margin))

    def add(self, body: Body, motion: Motion, attribute: str = "", clearance: float = 0.1) -> bool:
        """Add an actor unless it would touch another one; return whether it was added."""
        outline = footprints(self._paths(motion), body.size, clearance)
        reach = 0.5 * np.hypot(body.size[0], body.size[1]) + clearance
        centre, others = outline.mean(axis=-2), self._footprints.mean(axis=-2)
        other_reach = 0.5 * np.linalg.norm(self._footprints[:, 0, 0] - self._footprints[:, 0, 2], axis=-1)
        close = np.linalg.norm(others - centre, axis=-1) < reach + other_reach[:, None]  # (N, T)
        actor_index, time_index = np.nonzero(close)
        if overlap(self._footprints[actor_index, time_index], outline[time_index]).any():
            return False
        self._remember(outline)
        self.actors.append(Actor(body, motion, attribute))
        return True

    def add_scenery(self, body: Body, motion: Motion) -> None:
        """Add something that is not annotated and may touch its neighbours."""
        self.actors.append(Actor(body, motion))

    def _paths(self, motion: Motion) -> np.ndarray:
        return poses(self._centreline, [motion], self._times)[0]

    def _remember(self, outline: np.ndarray) -> None:
        self._footprints = np.concatenate([self._footprints, outline[None]])
