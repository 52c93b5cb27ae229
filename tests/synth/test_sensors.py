"""What the sensors add to the truth: noise, losses and limits, each as large as stated."""

import dataclasses

import numpy as np
import pytest

from diffbev_engine.synth.camera import CameraRays, look
from diffbev_engine.synth.caster import PlacedSolids, pack, place
from diffbev_engine.synth.imager import Imager, draw_imager, expose, noise_tile
from diffbev_engine.synth.lidar import Sweep, scan
from diffbev_engine.synth.lidarunit import MAX_ERROR, LidarUnit, draw_lidar_unit
from diffbev_engine.synth.raster import blank_raster
from diffbev_engine.synth.rig import VEHICLES, make_rig
from diffbev_engine.synth.solids import BOX_MARGIN, Body, box

SHAPE = (90, 160)
IMAGER = Imager(0.0, 0.0, np.ones(3), full_well=4000.0, read_noise=8.0, jpeg_quality=90)
UNIT = LidarUnit(0.012, np.zeros(32), dropout=0.05, gain=np.ones(32), power=1.0)
POSE = make_rig("n101", SHAPE).ego_from_lidar
CLEAR = 1e6  # metres


def _box(width: float, length: float, height: float, grey: float = 0.5) -> Body:
    half = (length / 2, width / 2)
    solid = box((-half[0], -half[1], 0), (half[0], half[1], height), (grey, grey, grey))
    return Body("vehicle.car", (width, length, height), (solid,))


def _sweep(solids: PlacedSolids, unit: LidarUnit, haze: float = CLEAR) -> Sweep:
    ground = blank_raster(np.array([[-80.0, -80], [80, 80]]), 0.0, 0.5, (80, 80, 80, 20))
    counted = np.ones(len(solids.poses), bool)
    return scan(solids, POSE, counted, ground, unit, haze, np.random.default_rng(5))


def _wall(distance: float, grey: float = 0.5) -> PlacedSolids:
    return place(pack([_box(60.0, 2.0, 8.0, grey)]), np.array([[distance + 1.0, 0.0, 0.0]]))


def _across(sweep: Sweep) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 5) of the only actor, and their unit directions in the ego frame."""
    points = sweep.points[sweep.actor == 0].astype(float)
    directions = points[:, :3] / np.linalg.norm(points[:, :3], axis=1, keepdims=True)
    return points, directions @ POSE[:3, :3].T


def test_ranges_to_a_flat_wall_scatter_by_the_stated_sigma():
    points, directions = _across(_sweep(_wall(15.0), UNIT))
    assert len(points) > 2000
    error = np.linalg.norm(points[:, :3], axis=1) - (15.0 - POSE[0, 3]) / directions[:, 0]
    assert error.std() == pytest.approx(UNIT.sigma, rel=0.06)
    assert abs(error.mean()) < 0.1 * UNIT.sigma


def test_every_beam_is_off_by_its_own_bias():
    unit = dataclasses.replace(UNIT, bias=np.linspace(-0.008, 0.008, 32))
    points, directions = _across(_sweep(_wall(15.0), unit))
    error = np.linalg.norm(points[:, :3], axis=1) - (15.0 - POSE[0, 3]) / directions[:, 0]
    for ring in np.unique(points[:, 4]).astype(int):
        mine = error[points[:, 4] == ring]
        assert mine.mean() == pytest.approx(unit.bias[ring], abs=5 * unit.sigma / np.sqrt(len(mine)))


def test_no_range_leaves_the_annotated_box():
    assert MAX_ERROR < BOX_MARGIN
    wild = dataclasses.replace(UNIT, sigma=1.0)
    distance = np.full((32, 100), 20.0)
    error = wild.disturb(distance, np.random.default_rng(0)) - distance
    assert np.abs(error).max() == pytest.approx(MAX_ERROR)


def test_the_stated_share_of_strong_returns_is_lost():
    lossless = dataclasses.replace(UNIT, dropout=0.0)
    whole, lossy = (len(_across(_sweep(_wall(12.0), unit))[0]) for unit in (lossless, UNIT))
    assert 1 - lossy / whole == pytest.approx(0.05, abs=0.012)


def test_dark_far_surfaces_and_fog_cost_returns():
    near_dark, far_dark = (len(_across(_sweep(_wall(d, 0.05), UNIT))[0]) for d in (12.0, 60.0))
    far_bright = len(_across(_sweep(_wall(60.0, 0.8), UNIT))[0])
    assert near_dark > far_dark
    assert far_bright > far_dark
    in_fog = len(_across(_sweep(_wall(60.0, 0.8), UNIT, haze=15.0))[0])
    assert in_fog < 0.6 * far_bright


def test_what_a_wall_hides_neither_sensor_meets():
    bodies, poses = [_box(4.0, 1.0, 4.0), _box(1.8, 4.5, 1.5)], np.array([[12.0, 0, 0], [25.0, 0, 0]])
    hidden, open_ = (
        place(pack(bodies), poses),
        place(pack(bodies), poses + np.array([[0, 15.0, 0], [0, 0, 0]])),
    )
    rig = make_rig("n101", SHAPE)
    for solids, expected in ((hidden, False), (open_, True)):
        view = look(solids, CameraRays(rig.ego_from_camera, rig.intrinsics, SHAPE), np.ones(2, bool))
        assert bool((view.hits.solid == 1).any()) is expected
        sweep = _sweep(solids, UNIT)
        assert bool((sweep.actor == 1).any()) is expected
        x, y = (sweep.points[:, :3].astype(float) @ POSE[:3, :3].T + POSE[:3, 3])[:, :2].T
        behind = (x > 14) & (x < 22) & (np.abs(y) < 1.5)
        assert bool(behind.any()) is expected  # the wall's shadow on the ground


def test_camera_noise_grows_with_the_light_as_photons_do():
    noise = noise_tile(SHAPE, np.random.default_rng(1))
    for level in (0.05, 0.2, 0.6):
        light = np.full((*SHAPE, 3), level, np.float32)
        picture = expose(light, IMAGER, 1.0, noise, np.random.default_rng(2)).astype(float)
        electrons = level * IMAGER.full_well
        sigma = np.sqrt(electrons + IMAGER.read_noise**2) / IMAGER.full_well
        slope = 255 * 0.85 * level**-0.15  # of the tone curve
        assert picture.std() == pytest.approx(np.hypot(sigma * slope, 0.29), rel=0.06)


def test_amplification_amplifies_the_noise():
    light, noise = np.full((*SHAPE, 3), 0.1, np.float32), noise_tile(SHAPE, np.random.default_rng(1))
    day, night = (expose(light, IMAGER, gain, noise, np.random.default_rng(2)).std() for gain in (1.0, 9.0))
    assert 2.5 < night / day < 9.0


def test_corners_are_darker_and_edges_softer():
    noise = np.zeros((SHAPE[0] + 128, SHAPE[1] + 128, 3), np.float32)
    rng, light = np.random.default_rng(0), np.full((*SHAPE, 3), 0.4, np.float32)
    picture = expose(light, dataclasses.replace(IMAGER, vignette=0.3), 1.0, noise, rng)
    assert picture[0, 0, 0] < 0.8 * picture[SHAPE[0] // 2, SHAPE[1] // 2, 0]
    light[:, : SHAPE[1] // 2] = 0.1
    sharp, soft = (
        expose(light, dataclasses.replace(IMAGER, blur=blur), 1.0, noise, rng)[SHAPE[0] // 2, :, 0].astype(
            int
        )
        for blur in (0.0, 12.0)
    )
    assert np.abs(np.diff(sharp)).max() > 2 * np.abs(np.diff(soft)).max()


def test_no_two_vehicles_carry_the_same_sensors():
    imagers = [draw_imager(np.random.default_rng(n)) for n in range(len(VEHICLES))]
    units = [draw_lidar_unit(np.random.default_rng(n)) for n in range(len(VEHICLES))]
    for of in (lambda i: i.blur, lambda i: i.vignette, lambda i: i.full_well):
        assert len(set(map(of, imagers))) == len(VEHICLES)
    assert len({unit.sigma for unit in units}) == len({unit.dropout for unit in units}) == len(VEHICLES)
    assert len({imager.jpeg_quality for imager in imagers}) > 1
