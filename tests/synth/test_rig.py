"""Vehicles differ in their calibration, and every picture obeys the calibration of its vehicle."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from diffbev_engine.synth.actors import footprints
from diffbev_engine.synth.camera import CameraRays, look
from diffbev_engine.synth.caster import pack, place
from diffbev_engine.synth.itinerary import arrange
from diffbev_engine.synth.job import SynthJob
from diffbev_engine.synth.names import scene_names
from diffbev_engine.synth.rig import FLEETS, VEHICLES, Rig, make_rig
from diffbev_engine.synth.solids import Body, box

SHAPE = (450, 800)
SIZE = (1.8, 4.4, 1.5)  # width, length, height
POSE = np.array([22.0, -2.0, 0.4])


def _seen(rig: Rig) -> np.ndarray:
    """Left, top, right, bottom of a car in the picture."""
    half = (SIZE[1] / 2, SIZE[0] / 2)
    body = Body("vehicle.car", SIZE, (box((-half[0], -half[1], 0), (*half, SIZE[2]), (1, 1, 1)),))
    rays = CameraRays(rig.ego_from_camera, rig.intrinsics, SHAPE)
    rows, columns = np.nonzero(look(place(pack([body]), POSE[None]), rays, np.ones(1, bool)).objects)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def _projected(rig: Rig, intrinsics: np.ndarray) -> np.ndarray:
    """The same from the corners of the car's box and the intrinsics given."""
    base = footprints(POSE, SIZE)
    corners = np.concatenate([np.c_[base, np.full(4, z)] for z in (0.0, SIZE[2])])
    camera = np.linalg.inv(rig.ego_from_camera)
    pixel = (corners @ camera[:3, :3].T + camera[:3, 3]) @ intrinsics.T
    pixel = pixel[:, :2] / pixel[:, 2:]
    return np.concatenate([pixel.min(axis=0), pixel.max(axis=0)])


@pytest.mark.parametrize("vehicle", VEHICLES)
def test_a_projected_box_lands_on_the_picture_of_its_own_vehicle_only(vehicle: str):
    rig = make_rig(vehicle, SHAPE)
    seen = _seen(rig)
    assert np.abs(_projected(rig, rig.intrinsics) - seen).max() < 1.01
    for other in set(VEHICLES) - {vehicle}:
        assert np.abs(_projected(rig, make_rig(other, SHAPE).intrinsics) - seen).max() > 1.5


def test_vehicles_differ_in_lens_and_mounting():
    rigs = [make_rig(vehicle, SHAPE) for vehicle in VEHICLES]
    for a, b in itertools.combinations(rigs, 2):
        assert abs(a.intrinsics[0, 0] - b.intrinsics[0, 0]) > 2
        assert not np.allclose(a.camera_position, b.camera_position, atol=0.01)
        assert np.degrees(2 * np.arccos(min(1.0, abs(a.camera_rotation @ b.camera_rotation)))) > 0.2
        assert not np.allclose(a.lidar_rotation, b.lidar_rotation, atol=1e-3)
    heights = [[make_rig(vehicle, SHAPE).camera_position[2] for vehicle in fleet] for fleet in FLEETS]
    assert max(heights[0]) < min(heights[1])
    assert any(rig.intrinsics[0, 0] != rig.intrinsics[1, 1] for rig in rigs)


@pytest.mark.parametrize("scenes", [8, 24])
def test_each_country_has_its_fleet_and_validation_meets_no_new_vehicle(tmp_path: Path, scenes: int):
    recordings, _ = arrange(SynthJob(tmp_path, scenes=scenes))
    for recording in recordings:
        assert recording.vehicle in FLEETS[int(recording.mirrored)]
    val = set(scene_names(scenes)[1])
    driven = {r.vehicle for r in recordings if r.scene not in val}
    assert len(driven) >= 5
    assert {r.vehicle for r in recordings if r.scene in val} <= driven
