"""Draws a random street: width, bends, junctions, crossings, car parks, plazas, islands."""

import numpy as np

from diffbev_engine.synth.centreline import Centreline
from diffbev_engine.synth.street import (
    LEFT,
    RIGHT,
    CarPark,
    Crossing,
    Interval,
    Island,
    Junction,
    Plaza,
    Side,
    Street,
    free_intervals,
)

BEHIND, AHEAD = 55.0, 130.0  # metres of street behind the first and ahead of the last ego position
ARM_REACH = 62.0  # metres from the centre line to the end of a side road
_JUNCTION_STRAIGHT = 24.0  # metres of straight street on both sides of a junction


def plan_street(rng: np.random.Generator, travel: float, mirrored: bool, heading: float) -> Street:
    """Draw the street of one scene.

    Args:
        rng: Random stream.
        travel: Metres that the ego vehicle drives from s = 0.
        mirrored: Left-hand traffic.
        heading: World heading at s = 0, radians; the centre line passes the world origin there.
    """
    extent = (-BEHIND, travel + AHEAD)
    lanes = int(rng.choice([1, 2], p=[0.65, 0.35]))
    lane_width = float(rng.uniform(3.2, 3.6))
    median = float(rng.uniform(1.6, 2.4)) if rng.random() < 0.45 else 0.0
    edge = median / 2 + lanes * lane_width
    left, right = _side(rng, LEFT, edge), _side(rng, RIGHT, edge)
    junctions = _junctions(rng, extent, left, right)
    centreline = _bends(rng, extent, junctions, mirrored, heading)
    crossings = _crossings(rng, extent, junctions, left, right)
    parks, plazas = _beside_walkway(rng, extent, junctions, crossings, left, right)
    return Street(
        centreline=centreline,
        s=extent,
        lanes=lanes,
        lane_width=lane_width,
        median=median,
        left=left,
        right=right,
        junctions=tuple(junctions),
        crossings=tuple(crossings),
        car_parks=tuple(parks),
        plazas=tuple(plazas),
        islands=tuple(_islands(rng, extent, median, junctions, crossings)),
    )


def _side(rng: np.random.Generator, sign: int, edge: float) -> Side:
    strip = float(rng.uniform(2.7, 3.0))
    verge = float(rng.uniform(0.8, 1.8)) if rng.random() < 0.4 else 0.0
    return Side(sign, edge + strip + 0.3, strip, verge, walk=float(rng.uniform(2.2, 3.6)))


def _junctions(rng: np.random.Generator, extent: Interval, left: Side, right: Side) -> list[Junction]:
    radius = max(side.verge + side.walk for side in (left, right)) + float(rng.uniform(0.8, 2.0))
    s = float(rng.uniform(60, 70) if rng.random() < 0.6 else rng.uniform(85, 115))
    junctions = []
    while s < extent[1] - 30:
        arms = ((LEFT, RIGHT), (LEFT,), (RIGHT,))[int(rng.choice(3, p=[0.5, 0.2, 0.3]))]
        junctions.append(Junction(s, float(rng.uniform(3.2, 4.6)), radius, arms, ARM_REACH))
        s += float(rng.uniform(75, 130))
    return junctions


def _bends(
    rng: np.random.Generator, extent: Interval, junctions: list[Junction], mirrored: bool, heading: float
) -> Centreline:
    """Lay arcs between the junctions; the way they turn alternates, so the street never bites its tail."""
    straights = [(j.s - _JUNCTION_STRAIGHT, j.s + _JUNCTION_STRAIGHT) for j in junctions]
    turn_sign = float(rng.choice([-1.0, 1.0]))
    cursor, lengths, curvatures = 0.0, [], []
    for low, high in free_intervals(straights, (float(rng.uniform(0, 12)), extent[1] - 40), 18.0):
        angle = turn_sign * float(np.radians(rng.uniform(4, 45)))
        radius = max((high - low) / abs(angle), float(rng.uniform(75, 160)))
        lengths += [low - cursor, high - low]
        curvatures += [0.0, np.sign(angle) / radius]
        cursor, turn_sign = high, -turn_sign
    return Centreline((0.0, 0.0, heading), 0.0, tuple(lengths), tuple(map(float, curvatures)), mirrored)


def _crossings(
    rng: np.random.Generator, extent: Interval, junctions: list[Junction], left: Side, right: Side
) -> list[Crossing]:
    over = (-right.kerb, left.kerb)
    stripes = bool(rng.random() < 0.75)
    crossings = []
    for junction in junctions:
        depth = float(rng.uniform(2.8, 4.2))
        low, high = junction.s - junction.mouth - 0.6, junction.s + junction.mouth + 0.6
        crossings.append(Crossing((low - depth, low), over, True, stripes))
        if rng.random() < 0.7:
            crossings.append(Crossing((high, high + depth), over, True, stripes))
        for sign in junction.arms:
            near = (left if sign == LEFT else right).kerb + junction.radius + 0.4
            far = near + float(rng.uniform(2.5, 3.5))
            width = (junction.s - junction.half_width, junction.s + junction.half_width)
            t = (min(sign * near, sign * far), max(sign * near, sign * far))
            crossings.append(Crossing(width, t, False, stripes))
    blocked = [(j.s - j.mouth - 22, j.s + j.mouth + 22) for j in junctions]
    for low, high in free_intervals(blocked, (13.0, extent[1] - 25), 36.0):
        # One crossing early in every free stretch, so that short scenes show one as well.
        s = float(rng.uniform(low, min(low + 14, high - 4)))
        crossings.append(Crossing((s, s + float(rng.uniform(2.8, 4.0))), over, True, stripes))
    return crossings


def _beside_walkway(
    rng: np.random.Generator,
    extent: Interval,
    junctions: list[Junction],
    crossings: list[Crossing],
    left: Side,
    right: Side,
) -> tuple[list[CarPark], list[Plaza]]:
    """Alternate car parks and plazas in the free stretches of both sides, a car park first."""
    parks: list[CarPark] = []
    plazas: list[Plaza] = []
    first = LEFT if rng.random() < 0.35 else RIGHT
    for side in (left, right):
        taken = [
            (
                j.s - j.half_width - side.verge - side.walk - 1.5,
                j.s + j.half_width + side.verge + side.walk + 1.5,
            )
            for j in junctions
            if side.sign in j.arms
        ]
        park_next, cursor = side.sign == first, float(rng.uniform(9, 15))
        while cursor < extent[1] - 40:
            length = float(rng.uniform(19, 32) if park_next else rng.uniform(14, 26))
            stretch = next(iter(free_intervals(taken, (cursor, extent[1] - 20), length)), None)
            if stretch is None:
                break
            s = (stretch[0], stretch[0] + length)
            gate = _gate(rng, s, crossings) if park_next else None
            if gate:
                parks.append(CarPark(side.sign, s, side.walk_to + float(rng.uniform(0.5, 1.5)), gate))
            else:
                plazas.append(_plaza(rng, side, s))
            park_next, cursor = not park_next, s[1] + float(rng.uniform(18, 50))
    return parks, plazas


def _gate(
    rng: np.random.Generator, s: Interval, crossings: list[Crossing], width: float = 5.5
) -> Interval | None:
    """Return a gate at one end of a car park that meets no crossing of the street."""
    blocked = [(c.s[0] - 1.5, c.s[1] + 1.5) for c in crossings if c.over_street]
    choices = free_intervals(blocked, (s[0] + 1, s[1] - 1), width)
    if not choices:
        return None
    if rng.random() < 0.5:
        return choices[0][0], choices[0][0] + width
    return choices[-1][1] - width, choices[-1][1]


def _plaza(rng: np.random.Generator, side: Side, s: Interval) -> Plaza:
    far = side.walk_to + float(rng.uniform(7, 12))
    planters = []
    for low in np.arange(s[0] + 2.5, s[1] - 5.5, 7.5):
        near = float(rng.uniform(side.walk_to + 1.5, far - 4.0))
        planters.append(
            ((float(low), float(low + rng.uniform(2.5, 4.5))), (near, near + float(rng.uniform(1.8, 2.8))))
        )
    return Plaza(side.sign, s, side.walk_to, far, tuple(planters))


def _islands(
    rng: np.random.Generator,
    extent: Interval,
    median: float,
    junctions: list[Junction],
    crossings: list[Crossing],
) -> list[Island]:
    if median == 0:
        return []
    blocked = [(j.s - j.mouth - 2, j.s + j.mouth + 2) for j in junctions]
    blocked += [(c.s[0] - 0.8, c.s[1] + 0.8) for c in crossings if c.over_street]
    islands, cursor = [], float(rng.uniform(8, 20))
    while (stretch := next(iter(free_intervals(blocked, (cursor, extent[1] - 20), 5.0)), None)) is not None:
        start = stretch[0]
        end = min(stretch[1], start + float(rng.uniform(5, 18)))
        islands.append(Island((start, end), median / 2 - 0.25))
        cursor = end + float(rng.uniform(8, 35))
    return islands
