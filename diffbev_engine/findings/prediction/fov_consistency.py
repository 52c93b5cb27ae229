"""Compare the field of view in a label with the paired camera.

A label hides what the camera cannot see: everything outside the wedge that the intrinsics span.  That
wedge is known twice, from ``calib.json`` and from the ignore bits of the label.
"""

from dataclasses import dataclass

import numpy as np
import torch

from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.findings.prediction.transforms import AXIS_CHANGES, IDENTITY
from diffbev_engine.prepare.encoding import IGNORE_BIT, IGNORE_FOV_BIT
from diffbev_engine.prepare.masks import fov_mask

INVERTED = "inverted"
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
class View:
    """What the ignore bits of one label say about its camera."""

    camera: Camera
    separation: dict[str, float]
    """By hypothesis (an axis change, or inverted): share of visible cells inside the wedge minus that
    outside; 1 where label and calibration agree. Of bit 15 where the label has it, else of bit 14."""
    separation_pon: float
    """The same of bit 14, unchanged."""
    fx: float
    """Focal length, pixels, that the label's view implies."""
    cx: float
    """Principal point, pixels, that it implies."""
    visible: float
    """Share of cells that bit 14 shows."""

    @property
    def scale(self) -> float:
        """Focal length of the calibration over that of the label."""
        return self.camera.fx / self.fx

    def fits(self, intrinsics: np.ndarray) -> bool:
        """True when a camera of these intrinsics spans the wedge of this label."""
        scale = float(intrinsics[0, 0]) / self.fx
        shift = abs(float(intrinsics[0, 2]) - self.cx) / self.camera.width
        return abs(scale - 1) <= _MOST_SCALE_ERROR and shift <= _MOST_SHIFT

    @property
    def fits_its_camera(self) -> bool:
        """Whether the wedge fits, and the principal point lies near the middle of the image."""
        k, camera = self.camera.intrinsics, self.camera
        off = max(abs(k[0, 2] / camera.width - 0.5), abs(k[1, 2] / camera.height - 0.5))
        return self.fits(k) and bool(off <= _MOST_OFF_CENTRE)


def view_of(label: np.ndarray, camera: Camera) -> View | None:
    """Hold the ignore bits of a (196, 200) uint16 label against its camera.

    Returns:
        ``None`` where nothing can be said: a label that hides nothing or everything, a camera that
        sees the whole grid or nothing of it.
    """
    inside = torch.from_numpy(fov_mask(camera.intrinsics, camera.width, LABEL_GRID))
    visible_pon = torch.from_numpy((label >> IGNORE_BIT & 1) == 0)
    visible_fov = torch.from_numpy((label >> IGNORE_FOV_BIT & 1) == 0)
    # Labels of other tools have no bit 15, and then it hides nothing.
    visible = visible_pon if visible_fov.all() else visible_fov
    if any(mask.all() or not mask.any() for mask in (inside, visible)):
        return None
    separation = {change.name: _separation(change.apply(visible), inside) for change in AXIS_CHANGES}
    tangent = TANGENT[visible.numpy()]
    left, right = float(tangent.min()), float(tangent.max())
    fx = camera.width / max(right - left, 1e-6)
    return View(
        camera=camera,
        separation={**separation, INVERTED: -separation[IDENTITY]},
        separation_pon=_separation(visible_pon, inside),
        fx=fx,
        cx=-left * fx,
        visible=float(visible_pon.float().mean()),
    )


def _separation(visible: torch.Tensor, inside: torch.Tensor) -> float:
    return float(visible[inside].float().mean() - visible[~inside].float().mean())
