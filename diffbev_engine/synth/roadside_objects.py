"""What stands at the kerb: parked vehicles, bus stops, trucks with trailers, road works, bicycles.

Every kind of object class that is rare on a real street stands here early along the route,
so that a world of a few dozen frames shows every class several times.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth import figures, scenery, vehicles
from diffbev_engine.synth.actors import Cast, Motion
from diffbev_engine.synth.solids import Body
from diffbev_engine.synth.street import LEFT, Interval, Side, Street, free_intervals
from diffbev_engine.synth.surroundings import towards_road

MOVING, PARKED, STOPPED = "vehicle.moving", "vehicle.parked", "vehicle.stopped"
STANDING, WALKING = "pedestrian.standing", "pedestrian.moving"
RIDDEN, UNRIDDEN = "cycle.with_rider", "cycle.without_rider"

# Metres of kerb that every group takes.
_LENGTHS = {
    "trailer": 17.0,
    "road_works": 14.0,
    "bus_stop": 13.5,
    "lone_trailer": 10.8,
    "truck": 10.0,
    "cars": 6.0,
    "empty": 6.0,
    "bicycles": 5.5,
    "motorcycles": 4.5,
}
# One group of every row stands early along every route, the first of the row if there is room;
# small things first, so that nothing large hides them.
_REQUIRED = (("bicycles",), ("motorcycles",), ("road_works",), ("trailer", "lone_trailer"), ("bus_stop",))
_EARLY = 42.0  # metres
_FILLERS = {
    "cars": 0.5,
    "empty": 0.2,
    "motorcycles": 0.06,
    "bicycles": 0.06,
    "road_works": 0.05,
    "trailer": 0.05,
    "bus_stop": 0.04,
    "truck": 0.04,
}


@dataclass(frozen=True)
class _Kerb:
    """Where a group is placed, and what draws it."""

    street: Street
    side: Side
    cast: Cast
    rng: np.random.Generator


def fill_kerbs(street: Street, cast: Cast, rng: np.random.Generator) -> None:
    """Place groups of objects along both kerbs, the required ones first along the route."""
    first = {side.sign: _first_in_view(street, side) for side in street.sides}
    free = {
        side.sign: free_intervals([*street.no_parking(side.sign), (first[side.sign],) * 2], street.s, 4.0)
        for side in street.sides
    }
    for names in _REQUIRED:
        found = _early_place(free, first, names, rng)
        if found is None:
            continue
        name, sign, (low, high) = found
        start = low + min(float(rng.uniform(0, 1.5)), high - low - _LENGTHS[name])
        _GROUPS[name](_Kerb(street, street.side(sign), cast, rng), start)
        free[sign].remove((low, high))
        free[sign].append((start + _LENGTHS[name] + 0.2, high))
    for sign, intervals in free.items():
        for interval in intervals:
            _fill(_Kerb(street, street.side(sign), cast, rng), interval)


def _early_place(
    free: dict[int, list[Interval]], first: dict[int, float], names: tuple[str, ...], rng: np.random.Generator
) -> tuple[str, int, Interval] | None:
    """Return the first group that fits early, with its side and stretch; or the one that fits earliest."""
    best = []
    for name in names:
        choices = [
            (low + float(rng.uniform(0, 6)), name, sign, (low, high))
            for sign, intervals in free.items()
            for low, high in intervals
            if low >= first[sign] and high - low >= _LENGTHS[name]
        ]
        best += [min(choices)] if choices else []
        if best and best[-1][0] < _EARLY:
            return best[-1][1:]
    return min(best)[1:] if best else None


def _first_in_view(street: Street, side: Side) -> float:
    """Return s from where on the kerb of a side stays in the front camera's view for a while."""
    beside = side.kerb + side.sign * street.lane_centre(LEFT, 0)
    return max(12.0, 1.6 * beside + 2.0)


def _fill(kerb: _Kerb, interval: Interval) -> None:
    """Fill a free stretch of kerb from its beginning."""
    cursor, end = interval
    while cursor + _LENGTHS["motorcycles"] < end:
        name = str(kerb.rng.choice(list(_FILLERS), p=list(_FILLERS.values())))
        if cursor + _LENGTHS[name] > end:
            name = "cars" if cursor + _LENGTHS["cars"] <= end else "motorcycles"
        _GROUPS[name](kerb, cursor)
        cursor += _LENGTHS[name] + float(kerb.rng.uniform(0.2, 1.5))


def _parallel(side: Side, s: float, body: Body) -> Motion:
    """Return a place next to the kerb that heads the way of that side's traffic."""
    offset = side.kerb - 0.35 - body.size[0] / 2
    return Motion(s, side.sign * offset, np.pi if side.sign == LEFT else 0.0)


def _cars(kerb: _Kerb, s: float) -> None:
    rng = kerb.rng
    body = vehicles.emergency_car(rng) if rng.random() < 0.04 else vehicles.car(rng)
    kerb.cast.add(body, _parallel(kerb.side, s + 3.0, body), PARKED)


def _truck(kerb: _Kerb, s: float) -> None:
    body = vehicles.truck(kerb.rng)
    kerb.cast.add(body, _parallel(kerb.side, s + 5.0, body), PARKED)


def _trailer(kerb: _Kerb, s: float) -> None:
    """A tractor with its trailer right behind it."""
    side, cast, rng = kerb.side, kerb.cast, kerb.rng
    trailer, tractor = vehicles.trailer(rng), vehicles.truck(rng, tractor=True)
    forward = -1.0 if side.sign == LEFT else 1.0
    middle = s + 8.5
    trailer_s = middle - forward * (8.3 - trailer.size[1] / 2)
    tractor_s = trailer_s + forward * (trailer.size[1] / 2 + 0.35 + tractor.size[1] / 2)
    cast.add(trailer, _parallel(side, trailer_s, trailer), PARKED)
    cast.add(tractor, _parallel(side, tractor_s, tractor), PARKED)


def _lone_trailer(kerb: _Kerb, s: float) -> None:
    body = vehicles.trailer(kerb.rng)
    kerb.cast.add(body, _parallel(kerb.side, s + 5.4, body), PARKED)


def _bus_stop(kerb: _Kerb, s: float) -> None:
    side, cast, rng = kerb.side, kerb.cast, kerb.rng
    body = vehicles.bus(rng)
    cast.add(body, _parallel(side, s + 6.7, body), STOPPED)
    shelter = Motion(s + 6.5, side.sign * (side.walk_to + 1.0), towards_road(kerb.street, side.sign))
    cast.add_scenery(scenery.shelter(), shelter)
    for _ in range(int(rng.integers(1, 4))):
        t = side.sign * (side.walk_from + rng.uniform(0.4, 1.6))
        place = Motion(s + rng.uniform(1.5, 12), t, rng.uniform(-3, 3))
        cast.add(figures.pedestrian(rng, walking=False), place, STANDING)


def _motorcycles(kerb: _Kerb, s: float) -> None:
    side, cast, rng = kerb.side, kerb.cast, kerb.rng
    for index in range(int(rng.integers(2, 5))):
        body = figures.motorcycle(rng, rider=False)
        turn = np.pi / 2 * side.sign + rng.uniform(-0.25, 0.25)
        place = Motion(s + 0.7 + 1.05 * index, side.sign * (side.kerb - 1.3), turn)
        cast.add(body, place, UNRIDDEN, clearance=0.0)


def _bicycles(kerb: _Kerb, s: float) -> None:
    """Bicycles stand at the kerb; now and then there is a rack on the walkway."""
    side, cast, rng = kerb.side, kerb.cast, kerb.rng
    if rng.random() < 0.5:
        count = int(rng.integers(3, 6))
        rack = figures.bicycle_rack(count)
        t = side.sign * (side.walk_to - 0.65)
        cast.add(rack, Motion(s + 2.5, t, np.pi / 2), clearance=0.0)
    for index in range(int(rng.integers(2, 5))):
        turn = np.pi / 2 + rng.uniform(-0.3, 0.3)
        place = Motion(s + 0.6 + 1.0 * index, side.sign * (side.kerb - 1.1), turn)
        cast.add(figures.bicycle(rng, rider=False), place, UNRIDDEN, clearance=0.0)


def _road_works(kerb: _Kerb, s: float) -> None:
    """Cones taper in, barriers shield a construction vehicle and workers, cones taper out."""
    side, cast, rng = kerb.side, kerb.cast, kerb.rng
    edge = side.kerb - 0.3 - side.strip  # between lane and strip
    style = int(rng.integers(2))
    for index, along in enumerate((0.3, 1.3, 2.3)):
        t = side.sign * (side.kerb - 0.6 - (side.strip - 0.5) * (index + 1) / 3)
        for position in (s + along, s + 13.9 - along):
            cast.add(figures.traffic_cone(rng), Motion(position, t), clearance=0.0)
    for position in np.arange(s + 4.0, s + 10.0, 2.5):
        place = Motion(float(position), side.sign * (edge + 0.35), np.pi / 2)
        cast.add(figures.barrier(rng, style), place, clearance=0.0)
    machine = vehicles.construction_vehicle(rng)
    turn = float(rng.choice([0.0, np.pi]) + rng.uniform(-0.02, 0.02))
    place = Motion(s + 7.0, side.sign * (edge + 0.8 + machine.size[0] / 2), turn)
    cast.add(machine, place, PARKED, clearance=0.0)
    for _ in range(int(rng.integers(1, 4))):
        t = side.sign * (side.kerb - rng.uniform(0.5, 1.8))
        place = Motion(s + rng.uniform(3, 11.5), t, rng.uniform(-3, 3))
        cast.add(figures.pedestrian(rng, "construction_worker", walking=False), place, STANDING)
    cast.add(figures.debris(rng), Motion(s + 11.3, side.sign * (side.kerb - 1.0), rng.uniform(-3, 3)))


def _empty(kerb: _Kerb, s: float) -> None:
    """Leave a gap."""


_Group = Callable[[_Kerb, float], None]
_GROUPS: dict[str, _Group] = {
    "cars": _cars,
    "truck": _truck,
    "trailer": _trailer,
    "lone_trailer": _lone_trailer,
    "bus_stop": _bus_stop,
    "motorcycles": _motorcycles,
    "bicycles": _bicycles,
    "road_works": _road_works,
    "empty": _empty,
}
