"""The plan of one street in street coordinates: what lies where, before any polygon is drawn.

Street coordinates are (s, t) of ``centreline``: metres along and metres to the left.  The
ego vehicle drives towards growing s on the right-hand side (t < 0); a mirrored centre line
makes that left-hand traffic.
"""

from dataclasses import dataclass

from diffbev_engine.synth.centreline import Centreline

LEFT, RIGHT = 1, -1
Interval = tuple[float, float]


@dataclass(frozen=True)
class Side:
    """One side of the street, from the outermost lane outwards; widths in metres."""

    sign: int
    """LEFT or RIGHT."""
    kerb: float
    """Distance of the kerb from the centre line."""
    strip: float
    """Parking strip inside the kerb."""
    verge: float
    """Grass between kerb and walkway."""
    walk: float
    """Walkway."""

    @property
    def walk_from(self) -> float:
        """Distance of the walkway's inner edge from the centre line."""
        return self.kerb + self.verge

    @property
    def walk_to(self) -> float:
        """Distance of the walkway's outer edge from the centre line."""
        return self.kerb + self.verge + self.walk


@dataclass(frozen=True)
class Junction:
    """A side road crosses or meets the street at a right angle, on a straight piece of it."""

    s: float
    half_width: float
    """Of the side road."""
    radius: float
    """Of the rounded kerbs at the corners."""
    arms: tuple[int, ...]
    """Signs of the sides that the side road leads to."""
    reach: float
    """Distance of the arms' ends from the centre line."""

    @property
    def mouth(self) -> float:
        """Half the length of kerb that the junction interrupts."""
        return self.half_width + self.radius


@dataclass(frozen=True)
class Crossing:
    """A pedestrian crossing: a rectangle in street coordinates."""

    s: Interval
    t: Interval
    over_street: bool
    """People walk along t (over the street) rather than along s (over an arm)."""
    stripes: bool
    """Zebra stripes; otherwise two lines."""


@dataclass(frozen=True)
class CarPark:
    """Two rows of bays along an aisle next to the walkway, reached through a gate."""

    sign: int
    s: Interval
    near: float
    """Distance of the near edge from the centre line."""
    gate: Interval
    bay_depth: float = 5.0
    aisle: float = 6.0
    bay_width: float = 2.6

    @property
    def far(self) -> float:
        """Distance of the far edge from the centre line."""
        return self.near + 2 * self.bay_depth + self.aisle

    def bays(self) -> list[tuple[float, float]]:
        """Return (s, t) of every bay's middle; bays in front of the gate are skipped."""
        places = []
        count = int((self.s[1] - self.s[0] - 0.6) / self.bay_width)
        for index in range(count):
            s = self.s[0] + 0.3 + (index + 0.5) * self.bay_width
            in_gate = self.gate[0] - self.bay_width / 2 < s < self.gate[1] + self.bay_width / 2
            near, far = self.near + self.bay_depth / 2, self.far - self.bay_depth / 2
            places += [(s, self.sign * distance) for distance in ([far] if in_gate else [near, far])]
        return places


@dataclass(frozen=True)
class Plaza:
    """A paved square next to the walkway, with planters that are not walkway."""

    sign: int
    s: Interval
    near: float
    far: float
    planters: tuple[tuple[Interval, Interval], ...]
    """(s interval, distance interval) of each."""


@dataclass(frozen=True)
class Island:
    """A raised island in the median: a hole in the drivable area."""

    s: Interval
    half_width: float


@dataclass(frozen=True)
class Street:
    """The whole plan of one scene's surroundings."""

    centreline: Centreline
    s: Interval
    """Where the street begins and ends."""
    lanes: int
    """Lanes in each direction."""
    lane_width: float
    median: float
    """Width of the median between the directions; 0 for a line only."""
    left: Side
    right: Side
    junctions: tuple[Junction, ...]
    crossings: tuple[Crossing, ...]
    car_parks: tuple[CarPark, ...]
    plazas: tuple[Plaza, ...]
    islands: tuple[Island, ...]

    @property
    def sides(self) -> tuple[Side, Side]:
        """Left and right."""
        return self.left, self.right

    def side(self, sign: int) -> Side:
        """Return the side of a sign."""
        return self.left if sign == LEFT else self.right

    def lane_centre(self, sign: int, lane: int) -> float:
        """Return t of a lane's middle; lane 0 is next to the median."""
        return sign * (self.median / 2 + (lane + 0.5) * self.lane_width)

    def lane_edge(self) -> float:
        """Return the distance of the outermost lane's outer edge from the centre line."""
        return self.median / 2 + self.lanes * self.lane_width

    def kerb_gaps(self, sign: int) -> list[Interval]:
        """Return the intervals of s where the kerb of a side is open: junction mouths and gates."""
        gaps = [(j.s - j.mouth, j.s + j.mouth) for j in self.junctions if sign in j.arms]
        return sorted(gaps + [park.gate for park in self.car_parks if park.sign == sign])

    def no_parking(self, sign: int) -> list[Interval]:
        """Return the intervals of s where nothing may stand at the kerb of a side."""
        wide = [(low - 1.0, high + 1.0) for low, high in self.kerb_gaps(sign)]
        wide += [(j.s - j.mouth, j.s + j.mouth) for j in self.junctions]
        return sorted(wide + [(c.s[0] - 2.5, c.s[1] + 2.5) for c in self.crossings if c.over_street])

    def occupied(self, sign: int) -> list[Interval]:
        """Return the intervals of s beyond the walkway of a side that arms, car parks and plazas take."""
        side = self.side(sign)
        taken = []
        for junction in self.junctions:
            if sign in junction.arms:
                reach = junction.half_width + side.verge + side.walk + 0.5
                taken.append((junction.s - reach, junction.s + reach))
        taken += [park.s for park in self.car_parks if park.sign == sign]
        taken += [plaza.s for plaza in self.plazas if plaza.sign == sign]
        return sorted(taken)


def free_intervals(taken: list[Interval], within: Interval, shortest: float) -> list[Interval]:
    """Return the parts of ``within`` not in ``taken`` that are at least ``shortest`` long."""
    free, cursor = [], within[0]
    for low, high in [*sorted(taken), (within[1], within[1])]:
        if min(low, within[1]) - cursor >= shortest:
            free.append((cursor, min(low, within[1])))
        cursor = max(cursor, high)
    return free
