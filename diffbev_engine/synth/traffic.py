"""What moves, and who is about: vehicles in lanes, riders, people on walkways and crossings, car parks."""

import numpy as np

from diffbev_engine.synth import figures, vehicles
from diffbev_engine.synth.actors import Cast, Motion
from diffbev_engine.synth.kerbside import PARKED, RIDDEN, STANDING, STOPPED, WALKING
from diffbev_engine.synth.solids import Body
from diffbev_engine.synth.street import LEFT, RIGHT, Crossing, Side, Street

EGO_SIZE = (1.85, 4.6, 1.6)  # metres: width, length, height


def add_traffic(street: Street, cast: Cast, ego: Motion, duration: float, rng: np.random.Generator) -> None:
    """Add moving vehicles: one column a lane, all of its vehicles equally fast."""
    ego_lane_t = ego.t
    for sign in (RIGHT, LEFT):
        for lane in range(street.lanes):
            t = street.lane_centre(sign, lane)
            own = sign == RIGHT and abs(t - ego_lane_t) < 0.1
            speed = ego.speed_s if own else float(rng.uniform(3.5, 9.0))
            _add_column(street, cast, sign, t, speed, duration, rng, own)
    _add_riders(street, cast, ego.speed_s, duration, rng)
    _add_waiting(street, cast, rng)


def _add_column(
    street: Street,
    cast: Cast,
    sign: int,
    t: float,
    speed: float,
    duration: float,
    rng: np.random.Generator,
    own: bool,
) -> None:
    along = -sign * speed  # vehicles of the left side come towards the ego vehicle
    first = 0.0 if own else max(0.0, along * duration)
    s_low = street.s[0] + max(0.0, -along) * duration + 8
    s_high = street.s[1] - 15 - first if not own else street.s[1] - 15 - speed * duration
    s = -38.0 if own else s_low + float(rng.uniform(0, 20))
    while s < s_high:
        body, attribute = _lane_vehicle(rng)
        if not (own and abs(s) < 14.0):  # room ahead of and behind the ego vehicle
            wobble = float(rng.uniform(-0.15, 0.15))
            cast.add(body, Motion(s, t + wobble, np.pi if sign == LEFT else 0.0, along), attribute, clearance=0.3)
        s += body.size[1] + float(rng.uniform(7, 30))


def _lane_vehicle(rng: np.random.Generator) -> tuple[Body, str]:
    kind = rng.choice(["car", "truck", "bus", "motorcycle", "emergency"], p=[0.66, 0.13, 0.09, 0.09, 0.03])
    if kind == "truck":
        return vehicles.truck(rng), "vehicle.moving"
    if kind == "bus":
        return vehicles.bus(rng), "vehicle.moving"
    if kind == "motorcycle":
        return figures.motorcycle(rng, rider=True), RIDDEN
    if kind == "emergency":
        category = str(rng.choice(["vehicle.emergency.ambulance", "vehicle.emergency.police"]))
        return vehicles.emergency_car(rng, category), "vehicle.moving"
    return vehicles.car(rng), "vehicle.moving"


def _add_riders(street: Street, cast: Cast, ego_speed: float, duration: float, rng: np.random.Generator) -> None:
    """Add cyclists and motorcyclists at the outer edge of the outermost lanes."""
    edge = street.lane_edge() - 0.35
    for sign in (RIGHT, LEFT):
        for _ in range(int(rng.integers(1, 4))):
            cycle = rng.random() < 0.7
            body = figures.bicycle(rng, rider=True) if cycle else figures.motorcycle(rng, rider=True)
            speed = min(float(rng.uniform(3.5, 6.0)), ego_speed) if sign == RIGHT else float(rng.uniform(3.5, 6.0))
            s = float(rng.uniform(11, 45) if sign == RIGHT else rng.uniform(18, 55 + speed * duration))
            cast.add(body, Motion(s, sign * edge, np.pi if sign == LEFT else 0.0, -sign * speed), RIDDEN)


def _add_waiting(street: Street, cast: Cast, rng: np.random.Generator) -> None:
    """Add vehicles that wait in side roads, behind the crossing there."""
    for junction in street.junctions:
        for sign in junction.arms:
            distance = street.side(sign).kerb + junction.radius + 5.0
            for _ in range(int(rng.integers(0, 3))):
                body, _ = _lane_vehicle(rng)
                if body.category == "vehicle.motorcycle":
                    continue
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
    if added and rng.random() < 0.12:
        companion = [figures.dog, figures.stroller, figures.bin_on_wheels][int(rng.integers(3))]
        cast.add(companion(rng), Motion(s + forward * 0.9, t, turn, forward * speed), clearance=0.0)


def _add_crossers(crossing: Crossing, cast: Cast, duration: float, rng: np.random.Generator) -> None:
    """Add people who walk over a crossing at a moment of their own, and some who wait beside it."""
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
