"""The polygons of a street in world coordinates: the only source of map, picture and labels."""

from dataclasses import dataclass, field

import numpy as np

from diffbev_engine.synth.street import Interval, Junction, Side, Street, free_intervals

_ARC_STEPS = 8


@dataclass(frozen=True)
class Polygon:
    """An outline with holes; world metres, not closed (the last point is not the first again)."""

    exterior: np.ndarray
    """(N, 2)."""
    holes: tuple[np.ndarray, ...] = ()
    """Each (M, 2)."""


@dataclass(frozen=True)
class StreetPolygons:
    """Polygons by what they are; drivable ones are grouped as records of disjoint polygons."""

    road: Polygon
    """The street from kerb to kerb; its holes are the islands."""
    arms: list[Polygon] = field(default_factory=list)
    fillets: list[Polygon] = field(default_factory=list)
    """The rounded corners between street and arms."""
    gates: list[Polygon] = field(default_factory=list)
    car_parks: list[Polygon] = field(default_factory=list)
    walkways: list[Polygon] = field(default_factory=list)
    crossings: list[Polygon] = field(default_factory=list)

    def drivable(self) -> list[list[Polygon]]:
        """Return groups of drivable polygons; polygons of one group are disjoint."""
        groups = [[self.road], self.arms, self.fillets, self.gates, self.car_parks]
        return [group for group in groups if group]

    def everything(self) -> list[Polygon]:
        """Return all polygons."""
        return [
            self.road,
            *self.arms,
            *self.fillets,
            *self.gates,
            *self.car_parks,
            *self.walkways,
            *self.crossings,
        ]


def street_polygons(street: Street) -> StreetPolygons:
    """Draw the polygons of a street plan."""
    polygons = StreetPolygons(_road(street))
    for junction in street.junctions:
        _add_arms(street, junction, polygons)
    for side in street.sides:
        _add_walkways(street, side, polygons)
    for park in street.car_parks:
        side = street.side(park.sign)
        polygons.car_parks.append(_strip(street, park.s, park.sign, (park.near, park.far)))
        polygons.gates.append(_strip(street, park.gate, park.sign, (side.kerb, park.near)))
    for plaza in street.plazas:
        outline = _strip(street, plaza.s, plaza.sign, (plaza.near, plaza.far))
        holes = [_strip(street, s, plaza.sign, distance).exterior for s, distance in plaza.planters]
        polygons.walkways.append(Polygon(outline.exterior, tuple(holes)))
    for crossing in street.crossings:
        polygons.crossings.append(Polygon(street.centreline.strip(*crossing.s, *crossing.t)))
        if crossing.over_street:
            _add_ramps(street, crossing.s, polygons)
    return polygons


def corner_arc(street: Street, junction: Junction, sign: int, end: int, radius: float) -> np.ndarray:
    """Return the arc (N, 2) around a junction corner's centre, from the street towards the arm.

    Args:
        street: The plan.
        junction: The junction.
        sign: Side of the street.
        end: -1 for the corner met first along s, +1 for the other.
        radius: Metres from the centre that all rings of this corner share.
    """
    angle = np.linspace(0.0, np.pi / 2, _ARC_STEPS + 1)
    centre_s = junction.s + end * junction.mouth
    centre_t = street.side(sign).kerb + junction.radius
    s = centre_s - end * radius * np.sin(angle)
    t = sign * (centre_t - radius * np.cos(angle))
    return street.centreline.points(s, t)


def _strip(street: Street, s: Interval, sign: int, distance: Interval) -> Polygon:
    return Polygon(street.centreline.strip(*s, sign * distance[0], sign * distance[1]))


def _road(street: Street) -> Polygon:
    outline = street.centreline.strip(*street.s, -street.right.kerb, street.left.kerb)
    return Polygon(
        outline, tuple(_island_outline(street, island.s, island.half_width) for island in street.islands)
    )


def _island_outline(street: Street, s: Interval, half_width: float) -> np.ndarray:
    """Return an island with rounded noses."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 7)
    middle = street.centreline.stations(s[0] + half_width, s[1] - half_width)[1:-1]
    along = np.concatenate(
        [
            s[1] - half_width + half_width * np.cos(angle),
            middle[::-1],
            s[0] + half_width - half_width * np.cos(angle),
            middle,
        ]
    )
    across = np.concatenate(
        [
            half_width * np.sin(angle),
            np.full(len(middle), half_width),
            -half_width * np.sin(angle),
            np.full(len(middle), -half_width),
        ]
    )
    return street.centreline.points(along, across)


def _add_arms(street: Street, junction: Junction, polygons: StreetPolygons) -> None:
    """Add the side roads of a junction, their rounded corners and the walkways along them."""
    low, high = junction.s - junction.half_width, junction.s + junction.half_width
    for sign in junction.arms:
        side = street.side(sign)
        polygons.arms.append(_strip(street, (low, high), sign, (side.kerb, junction.reach)))
        for end in (-1, 1):
            kerb = corner_arc(street, junction, sign, end, junction.radius)
            corner = street.centreline.points(
                np.array([junction.s + end * junction.half_width]), np.array([sign * side.kerb])
            )
            polygons.fillets.append(Polygon(np.concatenate([kerb, corner])))
            inner = corner_arc(street, junction, sign, end, junction.radius - side.verge)
            outer = corner_arc(street, junction, sign, end, junction.radius - side.verge - side.walk)
            polygons.walkways.append(Polygon(np.concatenate([inner, outer[::-1]])))
            edges = [
                junction.s + end * (junction.half_width + side.verge),
                junction.s + end * (junction.half_width + side.verge + side.walk),
            ]
            along = (side.kerb + junction.radius, junction.reach)
            polygons.walkways.append(_strip(street, (min(edges), max(edges)), sign, along))


def _add_walkways(street: Street, side: Side, polygons: StreetPolygons) -> None:
    for low, high in free_intervals(street.kerb_gaps(side.sign), street.s, 0.5):
        polygons.walkways.append(_strip(street, (low, high), side.sign, (side.walk_from, side.walk_to)))


def _add_ramps(street: Street, s: Interval, polygons: StreetPolygons) -> None:
    """Pave the verge where a crossing ends."""
    for side in street.sides:
        if side.verge > 0:
            polygons.walkways.append(_strip(street, s, side.sign, (side.kerb, side.walk_from)))
