"""LiDAR sweeps of nuScenes: reading them and bringing them into a camera's frame."""

from pathlib import Path

import numpy as np

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import foreign_bytes
from diffbev_engine.core.regular_file import read_bounded
from diffbev_engine.nuscenes.tables import CameraFrame
from diffbev_engine.prepare.missing import MissingFile

_LARGEST = 64 << 20
"""Bytes; a sweep has 0.7 MB."""
_POINT_BYTES = 20  # x, y, z, intensity, ring index; float32 each


def read_sweep(path: Path) -> np.ndarray:
    """Read the points of a ``.pcd.bin`` file.

    Returns:
        (N, 3) float32: x, y, z in metres, LiDAR frame; each of them in one piece of memory.

    Raises:
        DiffBEVError: naming the file, if it is missing, empty, cut off or holds NaN or Inf.
    """
    try:
        content = read_bounded(path, _LARGEST)
    except FileNotFoundError as error:
        raise MissingFile(path) from error
    except OSError as error:
        raise DiffBEVError(f"cannot read point cloud {path}: {error.strerror or error}") from error
    # Points may begin with any bytes, those of an archive too; 64 bytes of text are no points.
    if content[:64].isascii() and (foreign := foreign_bytes(content)):
        raise DiffBEVError(f"point cloud {path} {foreign}.")
    if len(content) % _POINT_BYTES:
        raise DiffBEVError(
            f"point cloud {path} is damaged: its size, {len(content)} bytes, is not a multiple of "
            f"{_POINT_BYTES} bytes per point. Extract it again."
        )
    points = np.ascontiguousarray(np.frombuffer(content, "<f4").reshape(-1, 5)[:, :3].T, np.float32).T
    if not np.isfinite(points).all():
        broken = np.count_nonzero(~np.isfinite(points).all(axis=1))
        raise DiffBEVError(
            f"point cloud {path} is damaged: {broken} of {len(points)} points are NaN or infinite"
        )
    return points


def points_in_camera(frame: CameraFrame, points: np.ndarray) -> np.ndarray:
    """Bring points of the frame's sweep into the camera frame at the time of the image.

    The chain is LiDAR, ego at the time of the sweep, world, ego at the time of the image,
    camera; the car moves in between.  Points are taken to stand still in the world.

    Args:
        frame: a frame that has a sweep.
        points: (N, 3) metres, LiDAR frame.

    Returns:
        (N, 3) float64 metres: x right, y down, z forward; each in one piece of memory.
    """
    if frame.lidar is None:
        raise ValueError(f"frame {frame.token} has no LiDAR sweep")
    camera_from_lidar = np.linalg.inv(frame.world_from_camera) @ frame.lidar.world_from_lidar
    return (camera_from_lidar[:3, :3] @ points.T + camera_from_lidar[:3, 3:]).T
