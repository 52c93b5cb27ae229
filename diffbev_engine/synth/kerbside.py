"""What stands at the kerb: parked vehicles, bus stops, trucks with trailers, road works, bicycles.

Every kind of object class that is rare on a real street stands here early along the route,
so that a world of a few dozen frames shows every class several times.
"""

from collections.abc import Callable

import numpy as np

from diffbev_engine.synth import figures, scenery, vehicles
from diffbev_engine.synth.actors import Cast, Motion
from diffbev_engine.synth.solids import Body
from diffbev_engine.synth.street import LEFT, Side, Street, free_intervals
from diffbev_engine.synth.surroundings import towards_road

PARKED, STOPPED = "vehicle.parked", "vehicle.stopped"
STANDING, WALKING = "pedestrian.standing", "pedestrian.moving"
RIDDEN, UNRIDDEN = "cycle.with_rider", "cycle.without_rider"

# What must stand early along every route, with the metres of kerb it takes.
_REQUIRED = {"trailer": 20.0, "bus_stop": 15.0, "road_works": 17.0, "motorcycles": 4.5, "bicycles": 5.5}
_FILLERS = {"cars": 0.5, "empty": 0.2, "road_works": 0.05, "motorcycles": 0.06, "bicycles": 0.06, "trailer": 0.05, "bus_stop": 0.04, "truck": 0.04}
_LENGTHS = {**_REQUIRED, "cars": 6.0, "truck": 10.0, "empty": 6.0}


def fill_kerbs(street: Street, cast: Cast, rng: np.random.Generator) -> None:
    """Place objects along both kerbs, the required ones first along the route."""
    sides = [side for side in street.sides if side.strip > 0]
    required = [list[str]() for _ in sides]
    used = [0.0 for _ in sides]
    for name in rng.permutation(list(_REQUIRED)):
        index = int(np.argmin(used))
        required[index].append(str(name))
        used[index] += _REQUIRED[str(name)]
    for side, names in zip(sides, required, strict=True):
        _fill_kerb(street, side, names, cast, rng)


def _fill_kerb(street: Street, side: Side, required: list[str], cast: Cast, rng: np.random.Generator) -> None:
    free = free_intervals(street.no_parking(side.sign), (street.s[0] + 5, street.s[1] - 25), 5.0)
    for low, high in free:
        cursor = max(low, 9.0) if low < 9.0 < high - 6.0 and required else low
        while cursor < high - 4.0:
            ahead = cursor >= 9.0
            fitting = [name for name in required if _LENGTHS[name] <= high - cursor] if ahead else []
            if fitting:
                name = max(fitting, key=_LENGTHS.__getitem__)
                required.remove(name)
            else:
                name = str(rng.choice(list(_FILLERS), p=list(_FILLERS.values())))
            length = _LENGTHS[name]
            if cursor + length > high:
                name, length = "cars", 6.0
            if cursor + length <= high:
                _GROUPS[name](street, side, cursor, cast, rng)
            cursor += length + float(rng.uniform(0.2, 1.5))


def _parallel(street: Street, side: Side, s: float, body: Body, out: float = 0.0) -> Motion:
    """Return a place beside the kerb that heads the way of that side's traffic; ``out`` is from the kerb."""
    offset = side.kerb - 0.35 - body.size[0] / 2 - out
    return Motion(s, side.sign * offset, np.pi if side.sign == LEFT else 0.0)


def _cars(street: Street, side: Side, s: float, cast: Cast, rng: np.random.Generator) -> None:
    body = vehicles.car(rng)
    if rng.random() < 0.04:
        body = vehicles.emergency_car(rng, str(rng.choice(["vehicle.emergency.police", "vehicle.emergency.ambulance"])))
    cast.add(body, _parallel(street, side, s + 3.0, body), PARKED)


def _truck(street: Street, side: Side, s: float, cast: Cast, rng: np.random.Generator) -> None:
    body = vehicles.truck(rng)
    cast.add(body, _parallel(street, side, s + 5.0, body), PARKED)


def _trailer(street: Street, side: Side, s: float, cast: Cast, rng: np.random.Generator) -> None:
    """A tractor with its trailer behind it, or a trailer left alone and a truck in front."""
    trailer, tractor = vehicles.trailer(rng), vehicles.truck(rng, tractor=True)
    forward = -1.0 if side.sign == LEFT else 1.0
    middle = s + 10.0
    trailer_s = middle - forward * (9.5 - trailer.size[1] / 2)
    tractor_s = trailer_s + forward * (trailer.size[1] / 2 + 0.35 + tractor.size[1] / 2)
    cast.add(trailer, _parallel(street, side, trailer_s, trailer), PARKED)
    cast.add(tractor, _parallel(street, side, tractor_s, tractor), PARKED)


def _bus_stop(street: Street, side: Side, s: float, cast: Cast, rng: np.random.Generator) -> None:
    body = vehicles.bus(rng)
    cast.add(body, _parallel(street, side, s + 7.5, body), STOPPED)
    shelter = Motion(s + 7.0, side.sign * (side.walk_to + 1.0), towards_road(street, side.sign))
    cast.add_scenery(scenery.shelter(), shelter)
    for _ in range(int(rng.integers(1, 4))):
        place = Motion(s + rng.uniform(2, 13), side.sign * (side.walk_from + rng.uniform(0.4, 1.6)), rng.uniform(-3, 3))
        cast.add(figures.pedestrian(rng, walking=False), place, STANDING)


def _motorcycles(street: Street, side: Side, s: float, cast: Cast, rng: np.random.Generator) -> None:
    for index in range(int(rng.integers(2, 5))):
        body = figures.motorcycle(rng, rider=False)
        turn = np.pi / 2 * side.sign + rng.uniform(-0.25, 0.25)
        place = Motion(s + 0.7 + 1.05 * index, side.sign * (side.kerb - 1.3), turn)
        cast.add(body, place, UNRIDDEN, clearance=0.0)


def _bicycles(street: Street, side: Side, s: float, cast: Cast, rng: np.random.Generator) -> None:
    """Bicycles leant at the kerb, or beside a rack on the walkway."""
    if rng.random() < 0.5:
        count = int(rng.integers(3, 6))
        rack = figures.bicycle_rack(count)
        t = side.sign * (side.walk_to - 0.65)
        cast.add(rack, Motion(s + 2.5, t, np.pi / 2), clearance=0.0)
    for index in range(int(rng.integers(2, 5))):
        place = Motion(s + 0.6 + 1.0 * index, side.sign * (side.kerb - 1.1), np.pi / 2 + rng.uniform(-0.3, 0.3))
        cast.add(figures.bicycle(rng, rider=False), place, UNRIDDEN, clearance=0.0)


def _road_works(street: Street, side: Side, s: float, cast: Cast, rng: np.random.Generator) -> None:
    """Cones taper in, barriers shield a construction vehicle and workers, cones taper out."""
    edge = side.kerb - 0.3 - side.strip  # between lane and strip
    style = int(rng.integers(2))
    for index, along in enumerate((0.3, 1.5, 2.7)):
        t = side.sign * (side.kerb - 0.6 - (side.strip - 0.5) * (index + 1) / 3)
        for position in (s + along, s + 16.5 - along):
            cast.add(figures.traffic_cone(rng), Motion(position, t), clearance=0.0)
    for position in np.arange(s + 4.2, s + 13.5, 2.55):
        cast.add(figures.barrier(rng, style), Motion(float(position), side.sign * (edge + 0.35), np.pi / 2), clearance=0.0)
    machine = vehicles.construction_vehicle(rng)
    turn = rng.choice([0.0, np.pi]) + rng.uniform(-0.05, 0.05)
    cast.add(machine, Motion(s + 8.4, side.sign * (edge + 0.75 + machine.size[0] / 2), turn), PARKED, clearance=0.0)
    for _ in range(int(rng.integers(1, 4))):
        place = Motion(s + rng.uniform(3.5, 14), side.sign * (side.kerb - rng.uniform(0.5, 1.8)), rng.uniform(-3, 3))
        cast.add(figures.pedestrian(rng, "construction_worker", walking=False), place, STANDING)
    cast.add(figures.debris(rng), Motion(s + 13.6, side.sign * (side.kerb - 1.0), rng.uniform(-3, 3)))


def _empty(street: Street, side: Side, s: float, cast: Cast, rng: np.random.Generator) -> None:
    """Leave a gap."""


_Group = Callable[[Street, Side, float, Cast, np.random.Generator], None]
_GROUPS: dict[str, _Group] = {
    "cars": _cars,
    "truck": _truck,
    "trailer": _trailer,
    "bus_stop": _bus_stop,
    "motorcycles": _motorcycles,
    "bicycles": _bicycles,
    "road_works": _road_works,
    "empty": _empty,
}
