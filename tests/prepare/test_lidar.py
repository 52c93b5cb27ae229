from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.nuscenes.tables import Tables
from diffbev_engine.prepare.lidar import points_in_camera, read_sweep


def write_points(path: Path, points: np.ndarray) -> Path:
    path.write_bytes(points.astype("<f4").tobytes())
    return path


def test_sweep_holds_the_points_the_devkit_reads(nuscenes_sample: Path):
    devkit = pytest.importorskip("nuscenes.utils.data_classes")
    paths = sorted((nuscenes_sample / "samples/LIDAR_TOP").glob("*.bin"))[::20]
    for path in paths:
        expected = devkit.LidarPointCloud.from_file(str(path)).points[:3].T
        points = read_sweep(path)
        assert points.dtype == np.float32
        np.testing.assert_array_equal(points, expected)


def test_intensity_and_ring_may_hold_anything(tmp_path: Path):
    points = np.array([[1, 2, 3, np.nan, np.inf]])
    np.testing.assert_array_equal(read_sweep(write_points(tmp_path / "a.pcd.bin", points)), [[1, 2, 3]])


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((0, 5)), "is empty"),
        (np.zeros(13), r"52 bytes, is not a multiple of 20 bytes per point"),
        (np.array([[1, 2, 3, 0, 0], [1, np.nan, 3, 0, 0]]), "1 of 2 points are NaN or infinite"),
        (np.array([[-np.inf, 2, 3, 0, 0]]), "1 of 1 points are NaN or infinite"),
    ],
)
def test_damaged_sweep_is_named(tmp_path: Path, points: np.ndarray, message: str):
    path = write_points(tmp_path / "broken.pcd.bin", points)
    with pytest.raises(DiffBEVError, match=rf"broken\.pcd\.bin.*{message}"):
        read_sweep(path)


def test_missing_sweep_is_named(tmp_path: Path):
    with pytest.raises(DiffBEVError, match=r"nowhere\.pcd\.bin: No such file"):
        read_sweep(tmp_path / "nowhere.pcd.bin")


def test_points_follow_the_car_between_sweep_and_image(tiny_nuscenes: Path):
    frame = Tables.open(tiny_nuscenes).frames(["CAM_FRONT"])[0]
    assert frame.lidar is not None
    # The camera looks along x of the ego frame; LiDAR and camera sit 1 m up, the car drifts
    # 2 cm to the left between image and sweep, and here it also drives 3 m ahead before the image.
    later = frame.world_from_ego.copy()
    later[0, 3] += 3.0
    points = points_in_camera(replace(frame, world_from_ego=later), np.array([[13.0, 1.0, 0.5]]))
    np.testing.assert_allclose(points, [[-1.02, -0.5, 10.0]], atol=1e-12)


def test_frame_without_sweep_is_a_programming_error(tiny_nuscenes: Path):
    frame = replace(Tables.open(tiny_nuscenes).frames(["CAM_FRONT"])[0], lidar=None)
    with pytest.raises(ValueError, match="no LiDAR sweep"):
        points_in_camera(frame, np.zeros((1, 3)))
