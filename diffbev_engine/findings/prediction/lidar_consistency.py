"""Compare the visible range per direction in a label with LiDAR depth.

The field of view of a camera is its own mirror image, so it cannot tell a label that is flipped left to
right.
What is in the view can: the ignore bit hides what lies behind the farthest LiDAR point of a
direction, and the depth ground truth holds these points by image column.
"""

from dataclasses import dataclass

import numpy as np

from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.prepare.encoding import IGNORE_BIT
from diffbev_engine.prepare.fov import TANGENT, Camera

_DIRECTIONS = 40
"""Into which the part of the view is divided that lies both in it and in its mirror image."""
_FEWEST = 10
"""Directions in which both must see something."""


@dataclass(frozen=True)
class Sight:
    """Correlation of how far a label sees with how far LiDAR reaches, over the directions of one image."""

    plain: float
    mirrored: float
    """With the label flipped left to right."""


def sight_of(label: np.ndarray, camera: Camera, depth: np.ndarray) -> Sight | None:
    """Hold the line of sight of a (196, 200) uint16 label against (H, W) depth, 0 where there is no point.

    Returns:
        ``None`` where nothing can be said: too few points, or a label or LiDAR that sees equally far
        everywhere.
    """
    left, right = -camera.cx / camera.fx, (camera.width - camera.cx) / camera.fx
    edge = min(-left, right)
    if edge <= 0:
        return None
    columns = (np.arange(depth.shape[1]) + 0.5) / depth.shape[1] * (right - left) + left
    rows, cols = np.nonzero((label >> IGNORE_BIT & 1) == 0)
    seen = _farthest(TANGENT[rows, cols], LABEL_GRID.corners_z()[rows], edge)
    reached = _farthest(columns, depth.max(axis=0), edge)
    plain, mirrored = _correlation(seen, reached), _correlation(seen[::-1], reached)
    return None if plain is None or mirrored is None else Sight(plain, mirrored)


def _farthest(tangent: np.ndarray, z: np.ndarray, edge: float) -> np.ndarray:
    """The largest ``z`` in each direction between the tangents -edge and edge; 0 where there is none."""
    direction = np.floor((tangent / edge + 1) / 2 * _DIRECTIONS).astype(np.int64)
    inside = (direction >= 0) & (direction < _DIRECTIONS)
    farthest = np.zeros(_DIRECTIONS)
    np.maximum.at(farthest, direction[inside], z[inside])
    return farthest


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    both = (a > 0) & (b > 0)
    if both.sum() < _FEWEST or min(a[both].std(), b[both].std()) < LABEL_GRID.cell:
        return None
    return float(np.corrcoef(a[both], b[both])[0, 1])
