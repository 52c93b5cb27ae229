"""Compare the field of view in a label with the paired camera.

A label hides what the camera cannot see.  The field of view is therefore known twice: from
``calib.json`` and from the ignore bits of the label.
"""

from dataclasses import dataclass

import numpy as np

from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.prepare.encoding import IGNORE_BIT, IGNORE_FOV_BIT
from diffbev_engine.prepare.masks import fov_mask

TANGENT = LABEL_GRID.corners_x() / LABEL_GRID.corners_z()[:, None]
"""(196, 200): x / z of every cell."""
_MOST_SCALE_ERROR = 0.05
_MOST_SHIFT = 0.03
"""Of the image's width, between the two principal points."""
_MOST_OFF_CENTRE = 0.25
"""Of width or height: no camera of nuScenes has its principal point so far from the middle."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera and its original image, in pixels."""

    token: str
    intrinsics: np.ndarray
    """(3, 3)."""
    width: int
    height: int

    @property
    def fx(self) -> float:
        """Focal length."""
        return float(self.intrinsics[0, 0])

    @property
    def cx(self) -> float:
        """Principal point, horizontally."""
        return float(self.intrinsics[0, 2])


@dataclass(frozen=True)
class FieldOfView:
    """What the ignore bits of one label imply about its camera."""

    camera: Camera
    fx: float
    """Focal length, pixels, that the label implies."""
    cx: float
    """Principal point, pixels, that it implies."""

    @property
    def scale(self) -> float:
        """Focal length of the calibration over that of the label."""
        return self.camera.fx / self.fx

    def fits(self, intrinsics: np.ndarray) -> bool:
        """True when a camera of these intrinsics has the field of view of this label."""
        scale = float(intrinsics[0, 0]) / self.fx
        shift = abs(float(intrinsics[0, 2]) - self.cx) / self.camera.width
        return abs(scale - 1) <= _MOST_SCALE_ERROR and shift <= _MOST_SHIFT

    @property
    def fits_its_camera(self) -> bool:
        """Whether the field of view fits, and the principal point lies near the middle of the image."""
        k, camera = self.camera.intrinsics, self.camera
        off = max(abs(k[0, 2] / camera.width - 0.5), abs(k[1, 2] / camera.height - 0.5))
        return self.fits(k) and bool(off <= _MOST_OFF_CENTRE)


def visible_cells(label: np.ndarray) -> np.ndarray:
    """(196, 200) bool: not outside the view, by bit 15; by bit 14 where another tool left bit 15 out."""
    visible = (label >> IGNORE_FOV_BIT & 1) == 0
    return (label >> IGNORE_BIT & 1) == 0 if visible.all() else visible


def field_of_view(label: np.ndarray, camera: Camera) -> FieldOfView | None:
    """Read the field of view of a (196, 200) uint16 label off its ignore bits.

    Returns:
        None where nothing can be said: a label that hides nothing or everything, a camera that
        sees the whole grid or nothing of it.
    """
    inside, visible = fov_mask(camera.intrinsics, camera.width, LABEL_GRID), visible_cells(label)
    if any(mask.all() or not mask.any() for mask in (inside, visible)):
        return None
    tangent = TANGENT[visible]
    left, right = float(tangent.min()), float(tangent.max())
    fx = camera.width / max(right - left, 1e-6)
    return FieldOfView(camera, fx, -left * fx)
