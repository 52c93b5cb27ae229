"""Scenery along a street plan: buildings, trees, lamps, signs, hedges, traffic lights."""

import numpy as np

from diffbev_engine.synth import scenery
from diffbev_engine.synth.actors import Cast, Motion
from diffbev_engine.synth.street import LEFT, Side, Street, free_intervals


def add_surroundings(street: Street, cast: Cast, rng: np.random.Generator) -> None:
    """Place all scenery; none of it is on a road, a walkway or a car park."""
    for side in street.sides:
        _front_row(street, side, cast, rng)
        _trees(street, side, cast, rng)
        _posts(street, side, cast, rng)
    _behind_places(street, cast, rng)
    _second_row(street, cast, rng)
    _ends(street, cast, rng)
    for island in street.islands:
        if island.s[1] - island.s[0] > 9 and rng.random() < 0.6:
            cast.add_scenery(scenery.sign(rng), Motion(island.s[0] + 1.0, 0.0, 0.0))


def towards_road(street: Street, side_sign: int) -> float:
    """Return the turn that points an object's left at the street; bodies are not mirrored with the plan."""
    return np.pi if (side_sign == LEFT) != street.centreline.mirrored else 0.0


def _front_row(street: Street, side: Side, cast: Cast, rng: np.random.Generator) -> None:
    low_rise = rng.random() < 0.4
    for low, high in free_intervals(street.occupied(side.sign), street.s, 7.0):
        cursor = low + float(rng.uniform(0.5, 3))
        while cursor + 7 < high:
            length = min(float(rng.uniform(8, 24)), high - cursor - 0.5)
            depth, setback = float(rng.uniform(7, 12)), float(rng.uniform(1.6, 7))
            if rng.random() < (0.65 if low_rise else 0.85):
                place = Motion(cursor + length / 2, side.sign * (side.walk_to + setback + depth / 2))
                cast.add_scenery(scenery.building(rng, length, depth), place)
            elif rng.random() < 0.5:
                hedge = Motion(cursor + length / 2, side.sign * (side.walk_to + 0.9))
                cast.add_scenery(scenery.bush(rng, length * 0.8), hedge)
            cursor += length + float(rng.uniform(0.5, 5))


def _trees(street: Street, side: Side, cast: Cast, rng: np.random.Generator) -> None:
    if rng.random() < 0.25:
        return
    spacing = float(rng.uniform(9, 18))
    for s in np.arange(street.s[0] + 4, street.s[1] - 5, spacing):
        at = float(s + rng.uniform(-2, 2))
        blocked = [*street.occupied(side.sign), *street.kerb_gaps(side.sign)]
        if all(not low - 1.5 < at < high + 1.5 for low, high in blocked):
            cast.add_scenery(
                scenery.tree(rng), Motion(at, side.sign * (side.walk_to + 0.9), rng.uniform(0, 6))
            )


def _posts(street: Street, side: Side, cast: Cast, rng: np.random.Generator) -> None:
    """Place lamps and signs just beyond the walkway, and traffic lights at the junctions."""
    against_traffic = np.pi if side.sign == LEFT else 0.0
    for s in np.arange(street.s[0] + 6, street.s[1] - 5, float(rng.uniform(22, 32))):
        if all(not low - 1 < s < high + 1 for low, high in street.occupied(side.sign)):
            t, is_lamp = side.sign * (side.walk_to + 0.3), rng.random() < 0.75
            turn = towards_road(street, side.sign) if is_lamp else against_traffic
            cast.add_scenery(scenery.lamp(rng) if is_lamp else scenery.sign(rng), Motion(float(s), t, turn))
    for junction in street.junctions:
        if len(junction.arms) == 2:
            end, shining = junction.s + side.sign * (junction.mouth + 0.3), int(rng.choice([0, 2]))
            cast.add_scenery(
                scenery.traffic_light(shining), Motion(end, side.sign * (side.walk_to + 0.2), against_traffic)
            )


def _behind_places(street: Street, cast: Cast, rng: np.random.Generator) -> None:
    """Close off car parks with hedges and put buildings behind them and behind plazas; plant the planters."""
    for park in street.car_parks:
        middle, length = sum(park.s) / 2, park.s[1] - park.s[0]
        cast.add_scenery(scenery.bush(rng, length), Motion(middle, park.sign * (park.far + 0.7)))
        cast.add_scenery(scenery.building(rng, length, 9.0), Motion(middle, park.sign * (park.far + 8.0)))
    for plaza in street.plazas:
        middle, length = sum(plaza.s) / 2, plaza.s[1] - plaza.s[0]
        cast.add_scenery(scenery.building(rng, length, 9.0), Motion(middle, plaza.sign * (plaza.far + 5.3)))
        for s, distance in plaza.planters:
            cast.add_scenery(
                scenery.tree(rng), Motion(sum(s) / 2, plaza.sign * sum(distance) / 2, rng.uniform(0, 6))
            )


def _second_row(street: Street, cast: Cast, rng: np.random.Generator) -> None:
    """Fill the view into the side roads and over low houses with buildings farther away."""
    for side in street.sides:
        arms = [(j.s - 14.0, j.s + 14.0) for j in street.junctions if side.sign in j.arms]
        for low, high in free_intervals(arms, street.s, 12.0):
            cursor = low + 1.0
            while cursor + 10 < high:
                length = min(float(rng.uniform(12, 26)), high - cursor)
                if rng.random() < 0.7:
                    place = Motion(cursor + length / 2, side.sign * float(rng.uniform(44, 56)))
                    cast.add_scenery(scenery.building(rng, length, 10.0), place)
                cursor += length + float(rng.uniform(2, 8))


def _ends(street: Street, cast: Cast, rng: np.random.Generator) -> None:
    """Close the view at the street's end and at the ends of the side roads."""
    for s in (street.s[0] - 14, street.s[1] + 14):
        for t in np.arange(-36, 37, 18.0):
            cast.add_scenery(scenery.building(rng, 12.0, 15.0), Motion(s + rng.uniform(-3, 3), float(t)))
    for junction in street.junctions:
        for sign in junction.arms:
            place = Motion(junction.s + rng.uniform(-3, 3), sign * (junction.reach + 9))
            cast.add_scenery(scenery.building(rng, 26.0, 10.0), place)
