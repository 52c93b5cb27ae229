"""Shadows: maps of what keeps the light of the sun or of the sky from a level above the ground."""

import cv2
import numpy as np

from diffbev_engine.synth.camera import CameraRays
from diffbev_engine.synth.caster import PlacedSolids
from diffbev_engine.synth.ground import affine
from diffbev_engine.synth.raster import sample

_CELL = 0.1  # metres
_AHEAD, _BESIDE, _BEHIND = 85.0, 34.0, 4.0  # metres covered, from the camera


class ShadowMap:
    """Blurred outlines in front of a camera, any number of layers at once."""

    def __init__(self, rays: CameraRays, layers: list[tuple[np.ndarray, float]]) -> None:
        """Draw the layers.

        Args:
            rays: The camera, whose surroundings are covered.
            layers: World points (N, V, 2) whose convex hulls are dark, and the metres over which
                their edges fade out.
        """
        forward = rays.directions(np.array(rays.shape[0] / 2), np.array(rays.shape[1] / 2))[:2]
        forward = forward / np.linalg.norm(forward)
        self._axes = np.array([[forward[1], -forward[0]], forward]) / _CELL
        self._origin = np.array([_BESIDE, _BEHIND]) / _CELL  # the camera's place on the map, in pixels
        maps = [
            _soft_map((outlines - rays.origin[:2]) @ self._axes.T + self._origin, blur / _CELL)
            for outlines, blur in layers
        ]
        self._image = np.stack(maps, -1)  # rows x columns x layers

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return 0 (open) to 1 (dark), (..., layers) float32, at points (2, ...) relative to the camera."""
        limit = max(self._image.shape) + 1
        x, y = (np.clip(p, -2, limit) for p in affine(self._axes, self._origin - 0.5, points))
        return sample(self._image, x, y) * np.float32(1 / 255)


def cast_outlines(solids: PlacedSolids, to_sun: np.ndarray, level: float = 0.0) -> np.ndarray:
    """Return where the solids' corners (P, 8, 2) are dropped along the light onto a level, metres."""
    drop = to_sun[:2] / to_sun[2]
    return solids.corners[..., :2] - drop * np.maximum(solids.corners[..., 2:] - level, 0.0)


def _soft_map(outlines: np.ndarray, sigma: float) -> np.ndarray:
    """Fill the convex hulls of outlines (N, V, 2), given in pixels, and blur their edges."""
    shape = (int(_AHEAD / _CELL), int(2 * _BESIDE / _CELL))
    image = np.zeros(shape, dtype=np.uint8)
    low, high = outlines.min(axis=1), outlines.max(axis=1)
    near = (high > 0).all(axis=1) & (low < [shape[1], shape[0]]).all(axis=1)
    for outline in np.round((outlines[near] - 0.5) * 8).astype(np.int32):
        cv2.fillConvexPoly(image, cv2.convexHull(outline), (255,), cv2.LINE_8, 3)
    return cv2.GaussianBlur(image, (0, 0), max(sigma, 0.5))
