"""The lanes of a street as the map knows them: outline, neighbours and a centre line of arcs."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from diffbev_engine.synth.street import LEFT, RIGHT, Interval, Street, free_intervals

LaneKey = tuple[object, ...]
_STRAIGHT_RADIUS = 999.999


@dataclass(frozen=True)
class Lane:
    """One lane between two junctions, or its connector across one."""

    key: LaneKey
    connector: bool
    outline: np.ndarray
    """(N, 2), world."""
    entry: np.ndarray
    """(2, 2) edge where vehicles come in."""
    exit: np.ndarray
    """(2, 2) edge where they go out."""
    path: list[dict[str, Any]]
    """Arcs in driving direction, as in the map's ``arcline_path_3``."""
    incoming: tuple[LaneKey, ...]
    outgoing: tuple[LaneKey, ...]


def street_lanes(street: Street) -> list[Lane]:
    """Return all lanes and connectors along the street; side roads have none."""
    junctions = [(j.s - j.mouth, j.s + j.mouth) for j in street.junctions]
    pieces = sorted(junctions + free_intervals(junctions, street.s, 0.5))
    lanes = []
    for sign in (RIGHT, LEFT):
        for index in range(street.lanes):
            for number, s in enumerate(pieces):
                lanes.append(_lane(street, sign, index, number, pieces, s in junctions))
    return lanes


def _lane(
    street: Street, sign: int, index: int, number: int, pieces: list[Interval], connector: bool
) -> Lane:
    s, t, half = pieces[number], street.lane_centre(sign, index), street.lane_width / 2
    origin = street.centreline.start[:2]

    def neighbour(step: int) -> tuple[LaneKey, ...]:
        other = number + step
        return ((*origin, sign, index, other),) if 0 <= other < len(pieces) else ()

    edges = [street.centreline.points(np.full(2, at), np.array([t - half, t + half])) for at in s]
    before, after = neighbour(-1), neighbour(1)
    forward = sign == RIGHT
    return Lane(
        key=(*origin, sign, index, number),
        connector=connector,
        outline=street.centreline.strip(*s, t - half, t + half),
        entry=edges[0] if forward else edges[1],
        exit=edges[1] if forward else edges[0],
        path=_path(street, s, t, forward),
        incoming=before if forward else after,
        outgoing=after if forward else before,
    )


def _path(street: Street, s: Interval, t: float, forward: bool) -> list[dict[str, Any]]:
    """Return the arcs of a line at offset ``t``: a parallel of an arc is an arc about the same centre."""
    offset, turn = street.centreline.hand * t, 0.0 if forward else np.pi
    arcs = []
    for start, length, curvature in street.centreline.pieces(*s):
        stretch = 1 - curvature * offset
        ends = street.centreline.place(np.array([start, start + length]), np.array(t))
        ends[:, 2] += turn
        bend = curvature / stretch * (1 if forward else -1)
        first, last = (ends[0], ends[1]) if forward else (ends[1], ends[0])
        arcs.append(
            {
                "start_pose": first.tolist(),
                "end_pose": last.tolist(),
                "shape": "LSL" if bend > 0 else "RSR",
                "radius": float(1 / abs(bend)) if bend else _STRAIGHT_RADIUS,
                "segment_length": [length * stretch, 0.0, 0.0] if bend else [0.0, length * stretch, 0.0],
            }
        )
    return arcs if forward else arcs[::-1]
