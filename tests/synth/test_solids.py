from itertools import product

import numpy as np
import pytest

from diffbev_engine.synth import figures, scenery, vehicles
from diffbev_engine.synth.solids import Body, Material, beam, blob, box, column, profile, taper, wheel

_FACTORIES = {
    "car": vehicles.car,
    "emergency": vehicles.emergency_car,
    "truck": vehicles.truck,
    "tractor": lambda rng: vehicles.truck(rng, tractor=True),
    "trailer": vehicles.trailer,
    "bus": vehicles.bus,
    "bendy bus": lambda rng: vehicles.bendy_bus(rng)[0],
    "construction": vehicles.construction_vehicle,
    "pedestrian": figures.pedestrian,
    "child": lambda rng: figures.pedestrian(rng, "child"),
    "worker": lambda rng: figures.pedestrian(rng, "construction_worker", walking=False),
    "bicycle": lambda rng: figures.bicycle(rng, rider=False),
    "cyclist": lambda rng: figures.bicycle(rng, rider=True),
    "motorcyclist": lambda rng: figures.motorcycle(rng, rider=True),
    "cone": figures.traffic_cone,
    "moulded barrier": lambda rng: figures.barrier(rng, 0),
    "board barrier": lambda rng: figures.barrier(rng, 1),
    "dog": figures.dog,
    "rack": lambda _: figures.bicycle_rack(4),
    "bin": figures.bin_on_wheels,
    "debris": figures.debris,
    "stroller": figures.stroller,
    "tree": scenery.tree,
    "building": lambda rng: scenery.building(rng, 15.0, 9.0),
}

_SHAPES = [
    box((-1, -2, 0), (1, 2, 3), (1, 1, 1)),
    taper((-1, -1, 0), (1, 1, 2), (-0.5, -0.2), (0.7, 0.9), (1, 1, 1), Material.PLAIN),
    profile([(-1, 0), (1, 0), (1, 1), (0, 2), (-1, 1)], (-0.5, 0.5), (1, 1, 1)),
    column((0.3, 0.1), (0.0, 2.0), (0.5, 0.1), (1, 1, 1)),
    beam((0, 0, 0), (1, 2, 1.5), 0.2, (1, 1, 1)),
    blob((0, 0, 1), (0.5, 0.8, 0.6), (1, 1, 1), rng=np.random.default_rng(0)),
    wheel(0.5, 0.2, 0.3, 0.2),
]


def _inside(solid, points: np.ndarray) -> np.ndarray:
    return (points @ solid.normals.T <= solid.offsets + 1e-9).all(axis=1)


@pytest.mark.parametrize("solid", _SHAPES, ids=lambda solid: f"{len(solid.offsets)} planes")
def test_planes_are_unit_and_keep_inside_the_bounding_box(solid):
    np.testing.assert_allclose(np.linalg.norm(solid.normals, axis=1), 1.0)
    size = solid.high - solid.low
    points = np.random.default_rng(1).uniform(solid.low - size, solid.high + size, (200_000, 3))
    inside = points[_inside(solid, points)]
    assert len(inside) > 50
    assert (inside >= solid.low - 1e-9).all()
    assert (inside <= solid.high + 1e-9).all()


def test_the_bounding_box_of_a_box_is_filled():
    points = np.random.default_rng(1).uniform((-1, -2, 0), (1, 2, 3), (1000, 3))
    assert _inside(_SHAPES[0], points).all()


def test_a_taper_is_narrow_at_the_top():
    assert _inside(_SHAPES[1], np.array([[0.95, 0.0, 0.05], [0.65, 0.85, 1.99]])).all()
    assert not _inside(_SHAPES[1], np.array([[0.95, 0.0, 1.9], [0.0, -0.5, 1.9]])).any()


def test_an_object_stays_within_its_box():
    for name, seed in product(_FACTORIES, range(4)):
        body: Body = _FACTORIES[name](np.random.default_rng(seed))
        width, length, height = body.size
        low = np.min([solid.low for solid in body.solids], axis=0)
        high = np.max([solid.high for solid in body.solids], axis=0)
        assert (low >= [-length / 2, -width / 2, -0.05]).all(), (name, seed)
        assert (high <= [length / 2, width / 2, height]).all(), (name, seed)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("car", (1.7, 3.8, 1.4), (2.1, 5.5, 2.2)),
        ("bus", (2.3, 10.0, 2.9), (2.9, 12.3, 3.6)),
        ("trailer", (2.3, 7.4, 3.3), (2.8, 10.3, 3.9)),
        ("pedestrian", (0.3, 0.3, 1.5), (1.0, 1.0, 2.0)),
        ("cone", (0.4, 0.4, 0.6), (0.6, 0.6, 1.0)),
        ("board barrier", (1.8, 0.5, 0.9), (2.5, 0.7, 1.2)),  # as in nuScenes, the long side is the width
    ],
)
def test_sizes_are_those_of_real_objects(name: str, low: tuple, high: tuple):
    for seed in range(10):
        size = np.array(_FACTORIES[name](np.random.default_rng(seed)).size)
        assert (size >= low).all(), size
        assert (size <= high).all(), size
