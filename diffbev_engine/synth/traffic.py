"""What moves, and who is about: vehicles in lanes, riders, people on walkways and crossings, car parks."""

from dataclasses import replace

import numpy as np

from diffbev_engine.synth import figures, vehicles
from diffbev_engine.synth.actors import Cast, Motion
from diffbev_engine.synth.roadside_objects import MOVING, PARKED, RIDDEN, STANDING, STOPPED, WALKING
from diffbev_engine.synth.solids import Body
from diffbev_engine.synth.street import LEFT, RIGHT, Crossing, Side, Street

_COUPLING = 0.35  # metres between what is coupled
EGO_SIZE = (1.85, 4.6, 1.6)  # metres: width, length, height


def add_traffic(street: Street, cast: Cast, ego: Motion, duration: float, rng: np.random.Generator) -> None:
    """Add moving vehicles: one column a lane, all of its vehicles equally fast."""
    for sign in (RIGHT, LEFT):
        for lane in range(street.lanes):
            t = street.lane_centre(sign, lane)
            if sign == RIGHT and abs(t - ego.t) < 0.1:
                _add_own_column(street, cast, ego, duration, rng)
            else:
                _add_column(street, cast, sign, t, duration, rng)
    _add_riders(street, cast, ego.speed_s, duration, rng)
    _add_waiting(street, cast, rng)


def _add_own_column(
    street: Street, cast: Cast, ego: Motion, duration: float, rng: np.random.Generator
) -> None:
    """Add the vehicles ahead of and behind the ego vehicle, as fast as it is."""
    s, end = -38.0, street.s[1] - 15 - ego.speed_s * duration
    while s < end:
        bodies, attribute = _lane_vehicle(rng)
        if s > 11.0 or s + _length(bodies) < -11.0:  # the ego vehicle is here
            _add_vehicle(cast, bodies, attribute, Motion(s, ego.t, 0.0, ego.speed_s), rng)
        s += _length(bodies) + float(rng.uniform(6, 28))


def _add_column(
    street: Street, cast: Cast, sign: int, t: float, duration: float, rng: np.random.Generator
) -> None:
    """Add the vehicles of another lane; among the first oncoming ones are a bus and a towing truck."""
    along = -sign * float(rng.uniform(3.5, 8.5))  # vehicles of the left side come towards the ego vehicle
    s = street.s[0] + max(0.0, -along) * duration + 8 + float(rng.uniform(0, 20))
    end = street.s[1] - 15 - max(0.0, along) * duration
    wanted = list(map(str, rng.permutation(["bus", "towing truck"]))) if sign == LEFT else []
    while s < end:
        in_view = s > 26.0 + 2 * abs(t)
        bodies, attribute = _lane_vehicle(rng, wanted.pop() if wanted and in_view else None)
        _add_vehicle(cast, bodies, attribute, Motion(s, t, np.pi if sign == LEFT else 0.0, along), rng)
        s += _length(bodies) + float(rng.uniform(6, 12 if wanted else 28))


def _add_vehicle(
    cast: Cast, bodies: list[Body], attribute: str, motion: Motion, rng: np.random.Generator
) -> None:
    """Add the bodies of a vehicle one behind the other, a little off the lane's middle.

    ``motion.s`` is where the vehicle begins, seen along s.
    """
    t, s = motion.t + float(rng.uniform(-0.15, 0.15)), motion.s
    for body in bodies if motion.speed_s < 0 else bodies[::-1]:
        middle = s + body.size[1] / 2
        cast.add(body, replace(motion, s=middle, t=t), attribute, clearance=0.1)
        s += body.size[1] + _COUPLING


def _length(bodies: list[Body]) -> float:
    return sum(body.size[1] for body in bodies) + _COUPLING * (len(bodies) - 1)


def _lane_vehicle(rng: np.random.Generator, kind: str | None = None) -> tuple[list[Body], str]:
    """Return the bodies of a vehicle, the front one first, and its attribute."""
    kinds = ["car", "truck", "towing truck", "bus", "bendy bus", "motorcycle", "emergency"]
    kind = kind or str(rng.choice(kinds, p=[0.64, 0.1, 0.04, 0.07, 0.03, 0.09, 0.03]))
    if kind == "truck":
        return [vehicles.truck(rng)], MOVING
    if kind == "towing truck":
        return [vehicles.truck(rng, tractor=True), vehicles.trailer(rng)], MOVING
    if kind == "bus":
        return [vehicles.bus(rng)], MOVING
    if kind == "bendy bus":
        return vehicles.bendy_bus(rng), MOVING
    if kind == "motorcycle":
        return [figures.motorcycle(rng, rider=True)], RIDDEN
    if kind == "emergency":
        return [vehicles.emergency_car(rng)], MOVING
    return [vehicles.car(rng)], MOVING


def _add_riders(
    street: Street, cast: Cast, ego_speed: float, duration: float, rng: np.random.Generator
) -> None:
    """Add cyclists and motorcyclists at the outer edge of the outermost lanes."""
    edge = street.lane_edge() - 0.35
    for sign in (RIGHT, LEFT):
        for _ in range(int(rng.integers(1, 4))):
            cycle = rng.random() < 0.7
            body = figures.bicycle(rng, rider=True) if cycle else figures.motorcycle(rng, rider=True)
            speed = (
                min(float(rng.uniform(3.5, 6.0)), ego_speed)
                if sign == RIGHT
                else float(rng.uniform(3.5, 6.0))
            )
            s = float(rng.uniform(11, 45) if sign == RIGHT else rng.uniform(18, 55 + speed * duration))
            cast.add(body, Motion(s, sign * edge, np.pi if sign == LEFT else 0.0, -sign * speed), RIDDEN)


def _add_waiting(street: Street, cast: Cast, rng: np.random.Generator) -> None:
    """Add vehicles that wait in side roads, behind the crossing there."""
    for junction in street.junctions:
        for sign in junction.arms:
            distance = street.side(sign).kerb + junction.radius + 5.0
            for _ in range(int(rng.integers(0, 3))):
                body = vehicles.car(rng) if rng.random() < 0.8 else vehicles.truck(rng)
                distance += body.size[1] / 2
                lane = sign * 0.5 * junction.half_width
                place = Motion(junction.s + lane, sign * distance, -sign * np.pi / 2)
                cast.add(body, place, STOPPED)
                distance += body.size[1] / 2 + float(rng.uniform(1.2, 3.0))


def fill_car_parks(street: Street, cast: Cast, rng: np.random.Generator) -> None:
    """Park cars in a share of the bays of every car park."""
    for park in street.car_parks:
        share = float(rng.uniform(0.35, 0.8))
        for s, t in park.bays():
            if rng.random() < share:
                turn = float(rng.choice([-1.0, 1.0])) * np.pi / 2
                place = Motion(s + float(rng.uniform(-0.15, 0.15)), t, turn)
                cast.add(vehicles.car(rng), place, PARKED, clearance=0.0)


def add_people(street: Street, cast: Cast, duration: float, rng: np.random.Generator) -> None:
    """Add people on walkways, plazas and crossings, and a few things they push or walk."""
    for side in street.sides:
        s = -20.0
        while s < street.s[1] - 20:
            _add_walker(side, s, cast, rng)
            s += float(rng.exponential(7.0)) + 0.8
    for plaza in street.plazas:
        for _ in range(int(rng.integers(1, 5))):
            place = Motion(rng.uniform(*plaza.s), plaza.sign * rng.uniform(plaza.near + 0.5, plaza.far - 0.5))
            cast.add(figures.pedestrian(rng, walking=False), place, STANDING)
    for crossing in street.crossings:
        _add_crossers(crossing, cast, duration, rng)


def _add_walker(side: Side, s: float, cast: Cast, rng: np.random.Generator) -> None:
    t = side.sign * float(rng.uniform(side.walk_from + 0.4, side.walk_to - 0.4))
    if rng.random() < 0.2:
        body = figures.pedestrian(rng, walking=False)
        cast.add(body, Motion(s, t, float(rng.uniform(-3, 3))), STANDING)
        return
    forward = float(rng.choice([-1.0, 1.0]))
    speed, turn = float(rng.uniform(0.9, 1.6)), 0.0 if forward > 0 else np.pi
    kind = str(rng.choice(["adult", "child", "police_officer"], p=[0.9, 0.08, 0.02]))
    walks = Motion(s, t, turn, forward * speed)
    added = cast.add(figures.pedestrian(rng, kind), walks, WALKING)
    if added and rng.random() < 0.2:
        companion = [figures.dog, figures.stroller, figures.bin_on_wheels][int(rng.integers(3))]
        cast.add(companion(rng), Motion(s + forward * 0.9, t, turn, forward * speed), clearance=0.0)


def _add_crossers(crossing: Crossing, cast: Cast, duration: float, rng: np.random.Generator) -> None:
    """Add people who walk over a crossing at a moment of their own, and some who wait next to it."""
    (s_low, s_high), (t_low, t_high) = crossing.s, crossing.t
    for _ in range(int(rng.integers(1, 4))):
        direction, speed = float(rng.choice([-1.0, 1.0])), float(rng.uniform(0.9, 1.5))
        moment, share = float(rng.uniform(0, duration)), float(rng.uniform(0.1, 0.9))
        if crossing.over_street:
            s = float(rng.uniform(s_low + 0.5, s_high - 0.5))
            t = t_low + share * (t_high - t_low) - direction * speed * moment
            motion = Motion(s, t, direction * np.pi / 2, 0.0, direction * speed)
        else:
            s = s_low + share * (s_high - s_low) - direction * speed * moment
            t = float(rng.uniform(t_low + 0.4, t_high - 0.4))
            motion = Motion(s, t, 0.0 if direction > 0 else np.pi, direction * speed)
        cast.add(figures.pedestrian(rng), motion, WALKING, clearance=0.25)
