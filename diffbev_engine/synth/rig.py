"""The sensor rigs of the recording vehicles: where camera and LiDAR sit, and the camera's lens.

Frames: ego (x forward, y left, z up, origin on the ground), camera (x right, y down,
z forward), LiDAR (x right, y forward, z up).  Transforms are 4x4, ``a_from_b``.
"""

from dataclasses import dataclass

import numpy as np

_REFERENCE_WIDTH = 1600.0  # the focal lengths below belong to nuScenes' own image width
_EGO_FROM_LEVEL_CAMERA = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_EGO_FROM_LEVEL_LIDAR = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Rig:
    """One vehicle's calibration."""

    vehicle: str
    intrinsics: np.ndarray
    """(3, 3) for the image size the rig was made for."""
    camera_position: np.ndarray
    """(3,) in the ego frame, metres."""
    camera_rotation: np.ndarray
    """Unit quaternion w, x, y, z: ego from camera."""
    lidar_position: np.ndarray
    """(3,) in the ego frame, metres."""
    lidar_rotation: np.ndarray
    """Unit quaternion w, x, y, z: ego from LiDAR."""

    @property
    def ego_from_camera(self) -> np.ndarray:
        """4x4."""
        return transform(self.camera_rotation, self.camera_position)

    @property
    def ego_from_lidar(self) -> np.ndarray:
        """4x4."""
        return transform(self.lidar_rotation, self.lidar_position)


@dataclass(frozen=True)
class _Build:
    """How one vehicle was put together; lengths in metres, angles (yaw, pitch, roll) in degrees."""

    focal: float
    """Horizontal focal length of a 1600 pixels wide image, pixels."""
    aspect: float
    """Vertical focal length over the horizontal one."""
    centre: tuple[float, float]
    """Principal point of a 1600x900 image."""
    camera: tuple[float, float, float]
    camera_angles: tuple[float, float, float]
    lidar: tuple[float, float, float]
    lidar_angles: tuple[float, float, float]


# The first fleet drives in Boston, the second, of another model, in Singapore.
_VEHICLES = {
    "n101": _Build(
        1266.4,
        1.0,
        (816.3, 491.5),
        (1.70, 0.016, 1.51),
        (0.3, 0.4, -0.2),
        (0.94, 0.0, 1.84),
        (-0.1, 0.5, 0.2),
    ),
    "n102": _Build(
        1252.8,
        1.003,
        (826.6, 470.0),
        (1.72, 0.005, 1.49),
        (-0.4, 1.1, 0.3),
        (0.99, 0, 1.84),
        (0.2, -0.3, 0.1),
    ),
    "n103": _Build(
        1289.0,
        0.998,
        (794.0, 458.0),
        (1.68, -0.03, 1.55),
        (0.2, 1.8, 0.6),
        (0.92, 0.02, 1.86),
        (0, 0.2, -0.3),
    ),
    "n104": _Build(
        1221.5, 1.006, (806.9, 467.2), (1.51, 0.04, 1.66), (0.6, 2.4, -0.7), (0.86, 0, 1.95), (0.4, 0.1, 0.2)
    ),
    "n105": _Build(
        1236.2, 0.996, (779.4, 449.0), (1.47, -0.02, 1.71), (-0.7, 1.5, 0.9), (0.84, 0.01, 1.97), (0, -0.6, 0)
    ),
    "n106": _Build(
        1308.7,
        1.0,
        (832.0, 480.6),
        (1.54, 0.0, 1.63),
        (0.1, 0.9, -0.4),
        (0.88, -0.02, 1.93),
        (-0.3, 0.4, 0.1),
    ),
}
FLEETS = (("n101", "n102", "n103"), ("n104", "n105", "n106"))
VEHICLES = tuple(_VEHICLES)


def make_rig(vehicle: str, image_size: tuple[int, int]) -> Rig:
    """Return the calibration of a vehicle for images of ``image_size`` (height, width) pixels.

    The lens is that of a 1600 pixels wide image, scaled with the width.
    """
    height, width = image_size
    build = _VEHICLES[vehicle]
    scale = width / _REFERENCE_WIDTH
    intrinsics = np.array(
        [
            [build.focal * scale, 0.0, build.centre[0] * scale],
            [0.0, build.focal * build.aspect * scale, build.centre[1] / 900.0 * height],
            [0.0, 0.0, 1.0],
        ]
    )
    return Rig(
        vehicle,
        intrinsics,
        np.array(build.camera),
        quaternion(_rotation(*np.radians(build.camera_angles)) @ _EGO_FROM_LEVEL_CAMERA),
        np.array(build.lidar, dtype=float),
        quaternion(_rotation(*np.radians(build.lidar_angles)) @ _EGO_FROM_LEVEL_LIDAR),
    )


def ego_pose(pose: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (position (3,), quaternion w x y z) of the ego vehicle in the world.

    Args:
        pose: x, y, heading.
        time: Seconds; drives a slight nodding on the springs.
    """
    pitch = np.radians(0.25) * np.sin(2.1 * time)
    roll = np.radians(0.15) * np.sin(1.3 * time + 1.0)
    position = np.array([pose[0], pose[1], 0.0])
    return position, quaternion(_rotation(float(pose[2]), float(pitch), float(roll)))


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Return Rz(yaw) Ry(pitch) Rx(roll); positive pitch looks down, positive roll leans right."""
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    return about_z @ about_y @ about_x


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """Return the unit quaternion (w, x, y, z) of a rotation matrix, w >= 0."""
    # The quaternion is the largest eigenvector of this symmetric matrix (Bar-Itzhack, 2000).
    r = rotation
    matrix = np.array(
        [
            [np.trace(r), r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [0, r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]],
            [0, 0, r[1, 1] - r[0, 0] - r[2, 2], r[1, 2] + r[2, 1]],
            [0, 0, 0, r[2, 2] - r[0, 0] - r[1, 1]],
        ]
    )
    vector = np.linalg.eigh(matrix, UPLO="U")[1][:, -1]
    return vector if vector[0] >= 0 else -vector


def transform(rotation: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Return the 4x4 transform of a unit quaternion (w, x, y, z) and a position (3,)."""
    w, x, y, z = rotation
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = position
    return matrix
