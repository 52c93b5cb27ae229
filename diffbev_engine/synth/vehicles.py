"""Cars, trucks, buses, trailers and construction vehicles, each built of a few convex solids."""

from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.solids import (
    BOX_MARGIN,
    Body,
    Material,
    Solid,
    assemble,
    beam,
    box,
    profile,
    taper,
    wheel,
)

_PAINTS = np.array(
    [  # BGR
        [0.86, 0.86, 0.86],
        [0.62, 0.62, 0.6],
        [0.36, 0.36, 0.36],
        [0.1, 0.1, 0.11],
        [0.14, 0.12, 0.55],
        [0.5, 0.25, 0.1],
        [0.3, 0.17, 0.09],
        [0.45, 0.55, 0.6],
        [0.18, 0.3, 0.16],
        [0.2, 0.5, 0.68],
    ]
)
_PAINT_SHARES = np.array([0.24, 0.17, 0.14, 0.16, 0.08, 0.07, 0.05, 0.04, 0.03, 0.02])
_DARK = (0.1, 0.1, 0.1)
_YELLOW = np.array([0.08, 0.6, 0.85])


@dataclass(frozen=True)
class _CarShape:
    """Ranges of length and height in metres; the rest as shares of half the length or of the height."""

    length: tuple[float, float]
    height: tuple[float, float]
    waist: float
    cabin_rear: float
    cabin_front: float
    rear_slope: float
    windscreen_slope: float


_CAR_SHAPES = (
    _CarShape((4.4, 4.9), (1.42, 1.5), 0.58, 0.74, 0.42, 0.3, 0.5),  # saloon
    _CarShape((3.8, 4.3), (1.45, 1.55), 0.58, 0.96, 0.4, 0.3, 0.5),  # hatchback
    _CarShape((4.5, 4.9), (1.65, 1.85), 0.58, 0.97, 0.36, 0.1, 0.5),  # off-road car
    _CarShape((4.8, 5.3), (1.9, 2.1), 0.5, 0.98, 0.62, 0.1, 0.75),  # van
)
_CAR_SHARES = (0.42, 0.26, 0.2, 0.12)


def car(rng: np.random.Generator) -> Body:
    """Return a saloon, hatchback, off-road car or van."""
    shape = _CAR_SHAPES[int(rng.choice(len(_CAR_SHAPES), p=_CAR_SHARES))]
    half, height = rng.uniform(*shape.length) / 2, rng.uniform(*shape.height)
    y, waist, paint = rng.uniform(1.72, 1.9) / 2, shape.waist * height, _paint(rng)
    rear, front = -half * shape.cabin_rear, half * shape.cabin_front
    hull = [
        (-half, 0.24),
        (half, 0.24),
        (half, 0.62 * waist),
        (half - 0.12, 0.82 * waist),
        (front, waist),
        (-half + 0.08, waist),
        (-half, 0.85 * waist),
    ]
    cabin = taper(
        (rear, -y + 0.04, waist - 0.02),
        (front, y - 0.04, height),
        (rear + shape.rear_slope, -y + 0.2),
        (front - shape.windscreen_slope, y - 0.2),
        paint,
        Material.GLASS_CABIN,
    )
    body = profile(hull, (-y, y), paint, Material.CAR_BODY)
    return assemble("vehicle.car", [body, cabin, *_axles([-0.6 * half, 0.62 * half], y, 0.33)])


def emergency_car(rng: np.random.Generator) -> Body:
    """Return a police car or an ambulance (categories outside the ten classes)."""
    if rng.random() < 0.5:
        base = car(rng)
        top = base.size[2] - BOX_MARGIN
        lights = box((-0.2, -0.5, top), (0.1, 0.5, top + 0.12), (0.8, 0.15, 0.1))
        return assemble("vehicle.emergency.police", [*base.solids, lights])
    white = np.array([0.88, 0.9, 0.9])
    y = 1.02
    nose = profile(
        [(1.2, 0.3), (2.9, 0.3), (2.9, 0.95), (2.2, 1.25), (1.6, 2.2), (1.2, 2.2)],
        (-y, y),
        white,
        Material.TRUCK_CAB,
    )
    cell = box((-2.9, -y, 0.3), (1.2, y, 2.5), white, Material.BUS)
    lights = box((0.8, -0.7, 2.5), (1.1, 0.7, 2.66), (0.85, 0.2, 0.1))
    return assemble("vehicle.emergency.ambulance", [nose, cell, lights, *_axles([-1.8, 1.9], y, 0.37)])


def truck(rng: np.random.Generator, tractor: bool = False) -> Body:
    """Return a box truck, or the short tractor that pulls a trailer."""
    length = rng.uniform(5.4, 6.0) if tractor else rng.uniform(6.2, 9.0)
    half, y, top = length / 2, rng.uniform(2.2, 2.45) / 2, rng.uniform(2.6, 3.0)
    cab_back = half - rng.uniform(1.9, 2.3)
    paint = _paint(rng)
    cab = profile(
        [(cab_back, 0.5), (half, 0.5), (half, 1.3), (half - 0.25, top), (cab_back, top)],
        (-y, y),
        paint,
        Material.TRUCK_CAB,
    )
    frame = box((-half, -0.8 * y, 0.55), (cab_back, 0.8 * y, 0.95), _DARK)
    solids = [cab, frame, *_axles([-0.62 * half, -0.28 * half, 0.66 * half], y, 0.48)]
    if not tractor:
        load = rng.uniform(2.9, 3.5)
        colour = rng.choice([[0.85, 0.86, 0.86], [0.7, 0.72, 0.74], [0.55, 0.35, 0.2], [0.3, 0.55, 0.65]])
        solids.append(box((-half, -y, 0.95), (cab_back - 0.15, y, load), colour, Material.CARGO))
    return assemble("vehicle.truck", solids)


def trailer(rng: np.random.Generator) -> Body:
    """Return a container trailer: ribbed walls, all axles at the rear, no cab."""
    half, y, top = rng.uniform(7.5, 10.0) / 2, rng.uniform(2.35, 2.45) / 2, rng.uniform(3.4, 3.8)
    colour = rng.choice(
        [[0.15, 0.2, 0.62], [0.55, 0.32, 0.1], [0.2, 0.4, 0.2], [0.1, 0.38, 0.72], [0.5, 0.5, 0.52]]
    )
    load = box((-half, -y, 1.15), (half, y, top), colour, Material.RIBS)
    bed = box((-half, -0.85 * y, 0.85), (half, 0.85 * y, 1.15), _DARK)
    legs = [
        box((half - 2.6, side - 0.08, 0.0), (half - 2.4, side + 0.08, 0.85), _DARK) for side in (-0.8, 0.8)
    ]
    return assemble(
        "vehicle.trailer", [load, bed, *legs, *_axles([-0.85 * half, -0.62 * half, -0.39 * half], y, 0.45)]
    )


def bus(rng: np.random.Generator) -> Body:
    """Return a city bus."""
    half, y, top = rng.uniform(10.0, 12.0) / 2, rng.uniform(2.42, 2.5) / 2, rng.uniform(2.9, 3.3)
    colour = rng.choice(
        [[0.2, 0.2, 0.75], [0.2, 0.55, 0.25], [0.75, 0.5, 0.15], [0.15, 0.65, 0.85], [0.7, 0.75, 0.78]]
    )
    hull = profile(
        [(-half, 0.28), (half, 0.28), (half, 1.1), (half - 0.12, top), (-half, top)],
        (-y, y),
        colour,
        Material.BUS,
    )
    roof = box((-0.7 * half, -0.7 * y, top), (0.2 * half, 0.7 * y, top + 0.18), 0.85 * colour)
    return assemble("vehicle.bus.rigid", [hull, roof, *_axles([-0.5 * half, 0.55 * half], y, 0.48)])


def bendy_bus(rng: np.random.Generator) -> list[Body]:
    """Return the two halves of an articulated bus; nuScenes annotates each by itself."""
    colour, y, top = np.array([0.12, 0.2, 0.7]) * rng.uniform(0.8, 1.2), 1.23, rng.uniform(3.0, 3.15)
    halves = []
    for axles in ([-2.2, 2.2], [-2.2]):
        hull = box((-4.1, -y, 0.28), (4.1, y, top), colour, Material.BUS)
        halves.append(assemble("vehicle.bus.bendy", [hull, *_axles(axles, y, 0.48)]))
    return halves


def construction_vehicle(rng: np.random.Generator) -> Body:
    """Return an excavator on tracks or a wheel loader, in construction yellow."""
    yellow = _YELLOW * rng.uniform(0.85, 1.1)
    if rng.random() < 0.55:
        tracks = [
            profile(
                [(-1.6, 0.05), (1.6, 0.05), (1.9, 0.45), (1.6, 0.8), (-1.6, 0.8), (-1.9, 0.45)],
                (side - 0.27, side + 0.27),
                _DARK,
                Material.TYRE,
            )
            for side in (-0.88, 0.88)
        ]
        boom = [
            beam((0.9, -0.2, 1.6), (2.3, -0.2, 3.2), 0.38, yellow),
            beam((2.3, -0.2, 3.2), (3.4, -0.2, 1.7), 0.28, yellow),
            taper(
                (3.0, -0.6, 0.7), (3.7, 0.2, 1.7), (3.2, -0.5), (3.5, 0.1), (0.15, 0.16, 0.18), Material.PLAIN
            ),
        ]
        body = box((-1.9, -1.1, 0.95), (1.0, 1.1, 1.75), yellow)
        cab = taper(
            (0.0, 0.1, 1.75), (1.0, 1.05, 2.85), (0.05, 0.15), (0.85, 1.0), yellow, Material.GLASS_CABIN
        )
        return assemble("vehicle.construction", [*tracks, body, cab, *boom])
    wheels = [wheel(x, y, 0.7, 0.5) for x in (-1.4, 1.4) for y in (-0.9, 0.9)]
    body = profile([(-2.6, 0.7), (1.6, 0.7), (1.6, 1.4), (-0.6, 1.8), (-2.6, 1.7)], (-0.85, 0.85), yellow)
    cab = taper((-0.7, -0.7, 1.6), (0.8, 0.7, 3.0), (-0.5, -0.65), (0.6, 0.65), yellow, Material.GLASS_CABIN)
    arms = [beam((1.2, side, 1.3), (2.9, side, 0.7), 0.22, yellow) for side in (-0.5, 0.5)]
    bucket = profile([(2.6, 0.1), (3.6, 0.1), (3.1, 1.1), (2.6, 1.1)], (-1.15, 1.15), (0.2, 0.3, 0.35))
    return assemble("vehicle.construction", [*wheels, body, cab, *arms, bucket])


def _paint(rng: np.random.Generator) -> np.ndarray:
    return _PAINTS[rng.choice(len(_PAINTS), p=_PAINT_SHARES / _PAINT_SHARES.sum())] * rng.uniform(
        0.85, 1.1, 3
    )


def _axles(positions: list[float], half_width: float, radius: float) -> list[Solid]:
    """Return a pair of wheels at each x, flush with the vehicle's sides."""
    width = 0.24 if radius < 0.4 else 0.3
    reach = half_width - width / 2 + 0.01
    return [wheel(x, y, radius, width) for x in positions for y in (-reach, reach)]
