"""What stands around a street and is never annotated: buildings, trees, lamps, signs, hedges."""

import numpy as np

from diffbev_engine.synth.solids import Body, Material, Solid, assemble, beam, blob, box, column

_WALLS = np.array(
    [
        [0.5, 0.58, 0.64],
        [0.3, 0.38, 0.55],
        [0.62, 0.66, 0.68],
        [0.45, 0.5, 0.48],
        [0.55, 0.65, 0.75],
        [0.35, 0.4, 0.42],
    ]
)
_STEEL = (0.34, 0.35, 0.35)


def building(rng: np.random.Generator, length: float, depth: float) -> Body:
    """Return a building of ``length`` (x) by ``depth`` (y) metres: house, brick block or office."""
    material = (Material.HOUSE, Material.BRICKS, Material.OFFICE)[int(rng.choice(3, p=[0.4, 0.35, 0.25]))]
    floors = {
        Material.HOUSE: rng.integers(1, 4),
        Material.BRICKS: rng.integers(2, 6),
        Material.OFFICE: rng.integers(3, 10),
    }
    height = 3.2 * float(floors[material]) + 0.8
    wall = _WALLS[rng.integers(len(_WALLS))] * rng.uniform(0.8, 1.15, 3)
    half = (length / 2, depth / 2)
    solids = [box((-half[0], -half[1], 0), (half[0], half[1], height), wall, material)]
    if material is Material.HOUSE and rng.random() < 0.6:
        solids.append(_gable_roof(half, height, rng))
    else:
        roof_box = (0.3 * half[0], 0.4 * half[1])
        solids.append(
            box((-roof_box[0], -roof_box[1], height), (roof_box[0], roof_box[1], height + 1.6), 0.7 * wall)
        )
    return assemble("", solids)


def _gable_roof(half: tuple[float, float], height: float, rng: np.random.Generator) -> Solid:
    tiles = np.array([[0.2, 0.28, 0.5], [0.25, 0.25, 0.27], [0.2, 0.22, 0.35]])[rng.integers(3)]
    rise = 0.55 * half[1]
    normal = np.array([rise, half[1]]) / np.hypot(rise, half[1])
    normals = np.array(
        [[1, 0, 0], [-1, 0, 0], [0, normal[0], normal[1]], [0, -normal[0], normal[1]], [0, 0, -1]],
        dtype=float,
    )
    slope = normal[0] * half[1] + normal[1] * height
    offsets = np.array([half[0], half[0], slope, slope, -height])
    low, high = np.array([-half[0], -half[1], height]), np.array([half[0], half[1], height + rise])
    return Solid(normals, offsets, low, high, tiles, Material.PLAIN)


def tree(rng: np.random.Generator) -> Body:
    """Return a tree: a trunk and a crown of a few lumps."""
    height = rng.uniform(4.5, 8.5)
    stem = height * rng.uniform(0.32, 0.42)
    green = np.array([0.16, 0.42, 0.27]) * rng.uniform(0.7, 1.2, 3)
    solids = [column((0, 0), (0, stem + 0.5), (0.16, 0.1), (0.2, 0.27, 0.34), sides=6)]
    for _ in range(int(rng.integers(3, 6))):
        radius = rng.uniform(0.9, 1.5) * height / 6
        centre = (*rng.uniform(-0.8, 0.8, 2), rng.uniform(stem + 0.6 * radius, height - 0.7 * radius))
        shape = rng.uniform(0.8, 1.2, 3) * radius
        solids.append(blob(centre, shape, green * rng.uniform(0.85, 1.15), Material.LEAVES, rng))
    return _upright(solids)


def bush(rng: np.random.Generator, length: float) -> Body:
    """Return a clipped hedge."""
    green = np.array([0.13, 0.36, 0.22]) * rng.uniform(0.8, 1.2, 3)
    return assemble(
        "", [box((-length / 2, -0.4, 0), (length / 2, 0.4, rng.uniform(0.7, 1.2)), green, Material.LEAVES)]
    )


def lamp(rng: np.random.Generator) -> Body:
    """Return a street lamp whose arm points to the left (towards the road on the right-hand side)."""
    height = rng.uniform(6.0, 8.0)
    arm = beam((0, 0, height - 0.1), (0, 1.6, height), 0.12, _STEEL)
    head = box((-0.12, 1.3, height - 0.05), (0.12, 2.0, height + 0.08), (0.75, 0.75, 0.72), Material.LAMP)
    return _upright([column((0, 0), (0, height), (0.1, 0.06), _STEEL, sides=6), arm, head])


def traffic_light(shining: int) -> Body:
    """Return a traffic light that faces against the driving direction; one lens, from the top, shines."""
    lenses = [((0.1, 0.1, 0.85), 3.15), ((0.1, 0.5, 0.6), 2.87), ((0.2, 0.5, 0.1), 2.59)]
    case = box((-0.14, -0.16, 2.4), (0.1, 0.16, 3.35), (0.08, 0.08, 0.08))
    lamps = []
    for index, (colour, z) in enumerate(lenses):
        dim, material = (1.0, Material.LAMP) if index == shining else (0.35, Material.PLAIN)
        lens = dim * np.array(colour)
        lamps.append(box((-0.17, -0.1, z - 0.1), (-0.14, 0.1, z + 0.1), lens, material))
    return _upright([column((0, 0), (0, 2.5), (0.07, 0.07), _STEEL, sides=6), case, *lamps])


def sign(rng: np.random.Generator) -> Body:
    """Return a road sign that faces against the driving direction."""
    colour = np.array([[0.75, 0.35, 0.1], [0.15, 0.15, 0.8], [0.85, 0.85, 0.85]])[rng.integers(3)]
    plate = box((-0.06, -0.3, 2.1), (-0.03, 0.3, 2.7), colour)
    return _upright([column((0, 0), (0, 2.7), (0.04, 0.04), _STEEL, sides=6), plate])


def shelter() -> Body:
    """Return a bus shelter, open towards its left."""
    glass = (0.5, 0.47, 0.42)
    wall = box((-2.0, -0.7, 0.3), (2.0, -0.64, 2.2), glass)
    roof = box((-2.2, -0.8, 2.3), (2.2, 0.8, 2.42), (0.3, 0.3, 0.32))
    posts = [box((x - 0.05, -0.7, 0), (x + 0.05, -0.6, 2.3), _STEEL) for x in (-1.95, 1.95)]
    bench = box((-1.4, -0.55, 0.42), (1.4, -0.15, 0.5), (0.25, 0.4, 0.5))
    return _upright([wall, roof, *posts, bench])


def _upright(solids: list[Solid]) -> Body:
    """Keep the origin where the object meets the ground instead of the middle of its box."""
    high = np.max([np.maximum(np.abs(s.low), np.abs(s.high)) for s in solids], axis=0)
    return Body("", (float(2 * high[1]), float(2 * high[0]), float(high[2])), tuple(solids))
