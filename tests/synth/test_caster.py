import numpy as np
import pytest

from diffbev_engine.synth.camera import CameraRays
from diffbev_engine.synth.caster import cast_rays, pack, place
from diffbev_engine.synth.lidar import COLUMNS, LidarRays
from diffbev_engine.synth.rig import VEHICLES, make_rig, transform
from diffbev_engine.synth.solids import Body, box

SHAPE = (60, 100)


def _bodies(*sizes: tuple[float, float, float]) -> list[Body]:
    return [
        Body("thing", (w, length, h), (box((-length / 2, -w / 2, 0), (length / 2, w / 2, h), (1, 1, 1)),))
        for w, length, h in sizes
    ]


def _camera() -> CameraRays:
    rig = make_rig("n101", SHAPE)
    return CameraRays(rig.ego_from_camera, rig.intrinsics, SHAPE)


def _lidar() -> LidarRays:
    return LidarRays(make_rig("n101", SHAPE).ego_from_lidar)


def _slab(origin: np.ndarray, directions: np.ndarray, pose: np.ndarray, size) -> np.ndarray:
    """Distances (...) along rays to an upright box by clipping the ray at its three slabs; inf for none."""
    cos, sin = np.cos(pose[2]), np.sin(pose[2])
    to_box = np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])
    start = to_box @ (origin - [pose[0], pose[1], 0])
    ways = directions @ to_box.T
    half = np.array([size[1] / 2, size[0] / 2, size[2] / 2])
    start = start - [0, 0, half[2]]
    with np.errstate(divide="ignore"):
        a, b = (-half - start) / ways, (half - start) / ways
    enter, leave = np.minimum(a, b).max(-1), np.maximum(a, b).min(-1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)


def _directions(rays) -> np.ndarray:
    if isinstance(rays, LidarRays):
        return rays.world
    columns, rows = np.meshgrid(rays.columns, rays.rows)
    return rays.directions(rows, columns)


@pytest.mark.parametrize("rays", [_camera(), _lidar()], ids=["camera", "lidar"])
def test_nearest_boxes_agree_with_slab_clipping(rays):
    rng = np.random.default_rng(3)
    bodies = _bodies(*[tuple(rng.uniform(0.5, 4.0, 3)) for _ in range(30)])
    poses = np.stack([rng.uniform(-30, 45, 30), rng.uniform(-25, 25, 30), rng.uniform(-4, 4, 30)], -1)
    poses[np.hypot(poses[:, 0], poses[:, 1]) < 5, 0] += 12
    hits = cast_rays(place(pack(bodies), poses), rays, np.ones(30, bool))
    directions = _directions(rays)
    alone = np.stack(
        [_slab(rays.origin, directions, pose, body.size) for pose, body in zip(poses, bodies, strict=True)]
    )
    nearest = alone.min(axis=0)
    hit = np.isfinite(nearest)
    # A ray that grazes an edge may fall on either side of it in float32.
    assert np.mean((hits.solid >= 0) != hit) < 1e-3
    both = hit & (hits.solid >= 0)
    assert both.mean() > 0.1
    assert np.mean(hits.solid[both] != alone.argmin(axis=0)[both]) < 1e-2
    np.testing.assert_allclose(1 / hits.inverse[both], nearest[both], rtol=2e-2)
    assert np.median(np.abs(hits.inverse[both] * nearest[both] - 1)) < 1e-6
    np.testing.assert_allclose(hits.reachable, np.isfinite(alone).sum(axis=(1, 2)), atol=3)


def test_a_box_in_front_hides_the_one_behind():
    hits = cast_rays(
        place(pack(_bodies((6, 1, 4), (2, 1, 1))), np.array([[10.0, 0, 0], [20.0, 0, 0]])),
        _camera(),
        np.ones(2, bool),
    )
    assert hits.seen[1] == 0
    assert hits.reachable[1] > 10
    assert hits.seen[0] == hits.reachable[0]


def test_hidden_scenery_is_skipped_without_changing_the_picture():
    solids = place(pack(_bodies((6, 1, 4), (2, 1, 1))), np.array([[10.0, 0, 0], [20.0, 0, 0]]))
    all_counted = cast_rays(solids, _camera(), np.ones(2, bool))
    none_counted = cast_rays(solids, _camera(), np.zeros(2, bool))
    np.testing.assert_array_equal(all_counted.inverse, none_counted.inverse)
    np.testing.assert_array_equal(all_counted.solid, none_counted.solid)
    assert none_counted.reachable[1] == 0


def test_a_box_around_the_sensor_is_not_seen_from_inside():
    hits = cast_rays(place(pack(_bodies((9, 9, 9))), np.zeros((1, 3))), _camera(), np.ones(1, bool))
    assert (hits.solid == -1).all()


def test_a_box_beside_the_camera_that_crosses_the_image_plane_is_seen_in_part():
    rays = _camera()
    solids = place(pack(_bodies((1.0, 12.0, 2.5))), np.array([[4.0, 2.0, 0.0]]))
    hits = cast_rays(solids, rays, np.ones(1, bool))
    expected = np.isfinite(_slab(rays.origin, _directions(rays), solids.poses[0], (1.0, 12.0, 2.5)))
    assert expected.sum() > 200
    np.testing.assert_array_equal(hits.solid >= 0, expected)


def test_the_seam_of_the_lidar_cuts_no_object():
    rays = _lidar()
    # The first column looks along -x of the LiDAR, which is the left of the vehicle.
    solids = place(pack(_bodies((2, 2, 3))), np.array([[0.94, 8.0, 0.3]]))
    hits = cast_rays(solids, rays, np.ones(1, bool))
    columns = np.nonzero((hits.solid >= 0).any(axis=0))[0]
    assert columns.min() == 0
    assert columns.max() == COLUMNS - 1
    expected = np.isfinite(_slab(rays.origin, rays.world, solids.poses[0], (2, 2, 3)))
    np.testing.assert_array_equal(hits.solid >= 0, expected)


def test_poses_of_the_rig_are_rotations():
    for vehicle in VEHICLES:
        rig = make_rig(vehicle, (450, 800))
        for matrix in (rig.ego_from_camera, rig.ego_from_lidar, transform(rig.lidar_rotation, np.zeros(3))):
            np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
            assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1.0)
        # The camera looks ahead, with y down; the LiDAR's y looks ahead.
        assert rig.ego_from_camera[0, 2] > 0.99
        assert rig.ego_from_camera[2, 1] < -0.99
        assert rig.ego_from_lidar[0, 1] > 0.99
