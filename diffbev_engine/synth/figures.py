"""People, two-wheelers and the small things of a street, each built of a few convex solids."""

import numpy as np
from numpy.typing import ArrayLike

from diffbev_engine.synth.solids import (
    Body,
    Material,
    Solid,
    assemble,
    beam,
    blob,
    box,
    column,
    profile,
    taper,
    wheel,
)

_SKINS = np.array([[0.55, 0.68, 0.85], [0.42, 0.55, 0.75], [0.25, 0.36, 0.55], [0.15, 0.22, 0.35]])
_CLOTHES = np.array(
    [
        [0.12, 0.12, 0.13],
        [0.4, 0.22, 0.12],
        [0.2, 0.2, 0.6],
        [0.8, 0.8, 0.82],
        [0.45, 0.45, 0.47],
        [0.25, 0.45, 0.3],
        [0.3, 0.6, 0.8],
        [0.55, 0.3, 0.5],
    ]
)
_DARK = (0.1, 0.1, 0.11)
_ORANGE = np.array([0.1, 0.4, 0.95])


def pedestrian(rng: np.random.Generator, kind: str = "adult", walking: bool = True) -> Body:
    """Return a person; ``kind`` is adult, child, construction_worker or police_officer."""
    height = rng.uniform(1.05, 1.4) if kind == "child" else rng.uniform(1.58, 1.88)
    shirt, trousers = _CLOTHES[rng.integers(len(_CLOTHES), size=2)] * rng.uniform(0.8, 1.15, (2, 1))
    material = Material.PLAIN
    if kind == "construction_worker":
        shirt, material = np.array([0.1, 0.75, 0.9]), Material.VEST
    elif kind == "police_officer":
        shirt, trousers = np.array([0.35, 0.2, 0.1]), np.array([0.25, 0.14, 0.08])
    step = 0.13 * height if walking else 0.02
    solids = _person(rng, height, step, shirt, trousers, material)
    if kind == "construction_worker":
        solids.append(blob((0, 0, 0.97 * height), (0.13, 0.12, 0.07), (0.1, 0.7, 0.95)))
    return assemble(f"human.pedestrian.{kind}", solids)


def _person(
    rng: np.random.Generator,
    height: float,
    step: float,
    shirt: ArrayLike,
    trousers: ArrayLike,
    material: Material,
) -> list[Solid]:
    hip, shoulder = 0.48 * height, 0.83 * height
    skin = _SKINS[rng.integers(len(_SKINS))]
    hair = np.array([0.06, 0.08, 0.12]) * rng.uniform(0.5, 3.0)
    width = 0.125 * height
    legs = [
        beam((side * step, side * 0.08, 0.02), (0, side * 0.07, hip + 0.05), 0.13, trousers)
        for side in (-1, 1)
    ]
    arms = [
        beam(
            (-side * step * 0.8, side * (width + 0.07), 0.45 * height),
            (0, side * width, shoulder),
            0.09,
            shirt,
        )
        for side in (-1, 1)
    ]
    torso = taper(
        (-0.11, -width * 0.85, hip),
        (0.11, width * 0.85, shoulder + 0.03),
        (-0.09, -width * 0.7),
        (0.09, width * 0.7),
        shirt,
        material,
    )
    head = blob((0.02, 0, 0.91 * height), (0.1, 0.085, 0.075 * height), skin)
    cap = blob((-0.02, 0, 0.95 * height), (0.11, 0.095, 0.05 * height), hair)
    return [*legs, *arms, torso, head, cap]


def bicycle(rng: np.random.Generator, rider: bool) -> Body:
    """Return a bicycle, with its rider when ridden."""
    frame = np.array(
        [[0.15, 0.15, 0.65], [0.55, 0.3, 0.1], [0.15, 0.5, 0.2], [0.1, 0.1, 0.1], [0.2, 0.65, 0.85]]
    )[rng.integers(5)]
    solids = [wheel(x, 0.0, 0.34, 0.05, Material.SPOKES) for x in (-0.53, 0.53)]
    solids += [
        beam((-0.53, 0, 0.36), (-0.1, 0, 0.85), 0.06, frame),
        beam((-0.1, 0, 0.32), (0.42, 0, 0.85), 0.06, frame),
        beam((-0.12, 0, 0.83), (0.42, 0, 0.86), 0.06, frame),
        beam((0.53, 0, 0.34), (0.4, 0, 1.0), 0.05, frame),
        beam((0.4, -0.28, 1.0), (0.4, 0.28, 1.0), 0.05, _DARK),
        box((-0.28, -0.08, 0.86), (-0.02, 0.08, 0.95), _DARK),
    ]
    if rider:
        solids += _rider(rng, seat=0.95)
    return assemble("vehicle.bicycle", solids)


def motorcycle(rng: np.random.Generator, rider: bool) -> Body:
    """Return a motorcycle or scooter, with its rider when ridden."""
    paint = np.array(
        [[0.12, 0.12, 0.6], [0.12, 0.12, 0.13], [0.6, 0.3, 0.1], [0.75, 0.75, 0.76], [0.15, 0.45, 0.8]]
    )[rng.integers(5)]
    solids = [wheel(x, 0.0, 0.31, 0.16) for x in (-0.68, 0.7)]
    solids += [
        profile([(-0.75, 0.5), (-0.3, 0.25), (0.35, 0.25), (0.45, 0.9), (-0.8, 0.8)], (-0.17, 0.17), paint),
        box((-0.8, -0.16, 0.78), (0.05, 0.16, 0.88), _DARK),
        beam((0.72, 0, 0.31), (0.45, 0, 1.05), 0.12, (0.4, 0.4, 0.42)),
        beam((0.42, -0.36, 1.05), (0.42, 0.36, 1.05), 0.07, _DARK),
        blob((0.5, 0, 0.9), (0.12, 0.1, 0.11), (0.85, 0.9, 0.9)),
        box((-0.95, -0.06, 0.55), (-0.85, 0.06, 0.75), (0.1, 0.1, 0.7)),
    ]
    if rider:
        solids += _rider(rng, seat=0.88)
    return assemble("vehicle.motorcycle", solids)


def _rider(rng: np.random.Generator, seat: float) -> list[Solid]:
    shirt, trousers = _CLOTHES[rng.integers(len(_CLOTHES), size=2)]
    head = seat + 0.72
    solids = [
        beam((-0.15, 0, seat), (0.08, 0, seat + 0.56), 0.32, shirt),
        blob((0.14, 0, head), (0.13, 0.12, 0.15), _CLOTHES[rng.integers(len(_CLOTHES))]),
    ]
    for side in (-1, 1):
        solids.append(beam((0.05, side * 0.2, seat + 0.46), (0.42, side * 0.24, seat + 0.15), 0.1, shirt))
        solids.append(beam((-0.12, side * 0.12, seat), (0.18, side * 0.15, seat - 0.22), 0.15, trousers))
        solids.append(beam((0.18, side * 0.15, seat - 0.22), (0.05, side * 0.15, 0.3), 0.13, trousers))
    return solids


def traffic_cone(rng: np.random.Generator) -> Body:
    """Return an orange cone with white rings."""
    height = rng.uniform(0.68, 0.95)
    base = box((-0.21, -0.21, 0.0), (0.21, 0.21, 0.05), _ORANGE * 0.6)
    cone = column((0, 0), (0.05, height), (0.17, 0.03), _ORANGE, Material.CONE)
    return assemble("movable_object.trafficcone", [base, cone])


def barrier(rng: np.random.Generator, style: int) -> Body:
    """Return a temporary barrier: 0 a moulded one, 1 a striped board on feet.  Its width is the long side."""
    half = rng.uniform(1.9, 2.3) / 2
    if style == 0:
        outline = [
            (-0.26, 0.0),
            (0.26, 0.0),
            (0.24, 0.22),
            (0.1, 0.45),
            (0.08, 0.95),
            (-0.08, 0.95),
            (-0.24, 0.22),
        ]
        foot = profile([*outline[:3], (-0.24, 0.22)], (-half, half), (0.3, 0.3, 0.32), Material.STRIPES)
        wall = profile(
            [(-0.18, 0.2), (0.18, 0.2), (0.08, 0.98), (-0.08, 0.98)],
            (-half, half),
            (0.2, 0.2, 0.8),
            Material.STRIPES,
        )
        return assemble("movable_object.barrier", [foot, wall])
    boards = [
        box((-0.03, -half, z), (0.03, half, z + 0.26), (0.15, 0.3, 0.9), Material.STRIPES)
        for z in (0.38, 0.8)
    ]
    feet = [box((-0.25, y - 0.04, 0.0), (0.25, y + 0.04, 0.08), _DARK) for y in (-half + 0.15, half - 0.15)]
    posts = [
        box((-0.04, y - 0.03, 0.05), (0.04, y + 0.03, 1.08), (0.7, 0.7, 0.7))
        for y in (-half + 0.15, half - 0.15)
    ]
    return assemble("movable_object.barrier", [*boards, *feet, *posts])


def dog(rng: np.random.Generator) -> Body:
    """Return an animal: a dog."""
    fur = np.array([0.2, 0.32, 0.5]) * rng.uniform(0.3, 1.4)
    legs = [beam((x, y, 0.01), (x, y, 0.3), 0.07, fur) for x in (-0.25, 0.22) for y in (-0.08, 0.08)]
    trunk = box((-0.32, -0.12, 0.27), (0.3, 0.12, 0.5), fur)
    head = blob((0.42, 0, 0.56), (0.14, 0.09, 0.1), fur)
    return assemble("animal", [*legs, trunk, head])


def bicycle_rack(bicycles: int) -> Body:
    """Return the hoops of a bicycle rack as wide as ``bicycles`` of them."""
    steel = (0.55, 0.55, 0.56)
    solids: list[Solid] = []
    for index in range(bicycles):
        y = 0.7 * index
        solids += [beam((x, y, 0.0), (x, y, 0.8), 0.06, steel) for x in (-0.4, 0.4)]
        solids.append(beam((-0.43, y, 0.8), (0.43, y, 0.8), 0.06, steel))
    return assemble("static_object.bicycle_rack", solids)


def bin_on_wheels(rng: np.random.Generator) -> Body:
    """Return a rubbish bin (pushable)."""
    colour = np.array([[0.2, 0.35, 0.15], [0.3, 0.3, 0.3], [0.55, 0.3, 0.1]])[rng.integers(3)]
    tub = taper((-0.3, -0.28, 0.08), (0.3, 0.28, 1.0), (-0.34, -0.3), (0.34, 0.3), colour, Material.PLAIN)
    tub = box(tub.low, tub.high, colour)
    lid = box((-0.34, -0.32, 1.0), (0.36, 0.32, 1.07), colour * 0.7)
    return assemble(
        "movable_object.pushable_pullable", [tub, lid, *(wheel(-0.26, y, 0.1, 0.05) for y in (-0.2, 0.2))]
    )


def debris(rng: np.random.Generator) -> Body:
    """Return a heap of rubble."""
    brown = np.array([0.28, 0.36, 0.42])
    lumps = [
        blob((*rng.uniform(-0.4, 0.4, 2), 0.2), rng.uniform(0.2, 0.5, 3) * [1, 1, 0.4], brown, rng=rng)
        for _ in range(4)
    ]
    return assemble("movable_object.debris", [_on_ground(lump) for lump in lumps])


def stroller(rng: np.random.Generator) -> Body:
    """Return a pushchair."""
    cloth = _CLOTHES[rng.integers(len(_CLOTHES))]
    seat = profile([(-0.3, 0.45), (0.3, 0.35), (0.35, 0.6), (-0.25, 1.0)], (-0.22, 0.22), cloth)
    return assemble(
        "human.pedestrian.stroller",
        [seat, *(wheel(x, y, 0.13, 0.05) for x in (-0.3, 0.3) for y in (-0.2, 0.2))],
    )


def _on_ground(lump: Solid) -> Solid:
    """Cut a lump off at the ground."""
    normals = np.concatenate([lump.normals, [[0, 0, -1.0]]])
    offsets = np.concatenate([lump.offsets, [0.0]])
    low = np.maximum(lump.low, [-np.inf, -np.inf, 0.0])
    return Solid(normals, offsets, low, lump.high, lump.colour, lump.material)
