"""The rays of the camera, and the geometry its image shows: depth and solid of every pixel.

Pixel (row i, column j) covers [j, j+1) x [i, i+1) of the image plane; its ray goes through
the middle.  The direction of a ray has z = 1 in the camera frame, so distances along rays
are camera depths.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.caster import Hits, PlacedSolids, Window, cast_rays

_NEAR = 0.2  # metres
_FAR = 220.0


class CameraRays:
    """The rays through all pixels of one image; satisfies ``caster.RayGrid``."""

    def __init__(self, world_from_camera: np.ndarray, intrinsics: np.ndarray, shape: tuple[int, int]) -> None:
        """Set up the rays.

        Args:
            world_from_camera: 4x4.
            intrinsics: 3x3.
            shape: Image height and width.
        """
        self.shape = shape
        self.origin = world_from_camera[:3, 3]
        self._camera_from_world = np.linalg.inv(world_from_camera)
        self._intrinsics = intrinsics
        self._world_from_pixel = world_from_camera[:3, :3] @ np.linalg.inv(intrinsics)
        self.columns = np.arange(shape[1], dtype=np.float32) + 0.5
        self.rows = np.arange(shape[0], dtype=np.float32) + 0.5

    def fields(self, normals: np.ndarray, window: Window, shift: float = 0.0) -> np.ndarray:
        """Return n . d (K, h, w): affine in the pixel coordinates; ``shift`` is added to the rows."""
        a, b, c = (normals @ self._world_from_pixel).astype(np.float32).T
        rows = b[:, None] * (self.rows[window[0]] + np.float32(shift)) + c[:, None]
        columns = a[:, None] * self.columns[window[1]]
        return rows[:, :, None] + columns[:, None, :]

    def directions(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return world directions (..., 3) of points of the image plane, camera z = 1."""
        pixel = np.stack([columns, rows, np.ones_like(rows)], -1)
        return pixel @ self._world_from_pixel.T

    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return x/z of every column (W,) and y/z of every row (H,) in the camera frame, float32."""
        k = self._intrinsics.astype(np.float32)
        return (self.columns - k[0, 2]) / k[0, 0], (self.rows - k[1, 2]) / k[1, 1]

    def windows(self, corners: np.ndarray) -> Sequence[Sequence[Window]]:
        """Return the pixels that the bounding boxes (P, 8, 3) may cover."""
        local = corners @ self._camera_from_world[:3, :3].T + self._camera_from_world[:3, 3]
        depth = local[..., 2]
        pixel = self._project(local)
        low, high = pixel.min(axis=1), pixel.max(axis=1)
        inside = (depth.max(axis=1) > _NEAR) & (depth.min(axis=1) < _FAR)
        for index in np.nonzero(inside & (depth.min(axis=1) < _NEAR))[0]:
            pixel = self._project(_in_front(local[index]))
            low[index], high[index] = pixel.min(axis=0), pixel.max(axis=0)
        size = np.array([self.shape[1], self.shape[0]])
        low = np.clip(np.floor(low), 0, size).astype(int)
        high = np.clip(np.ceil(high), 0, size).astype(int)
        inside &= (high > low).all(axis=1)
        return [
            [(slice(int(lo[1]), int(hi[1])), slice(int(lo[0]), int(hi[0])))] if good else []
            for lo, hi, good in zip(low, high, inside, strict=True)
        ]

    def nearest(self, corners: np.ndarray) -> np.ndarray:
        """Return the smallest depth of the bounding boxes (P, 8, 3), 0 when partly behind the camera."""
        axis = self._camera_from_world[2]
        return np.maximum((corners @ axis[:3] + axis[3]).min(axis=1), 0.0)

    def _project(self, local: np.ndarray) -> np.ndarray:
        """Return pixel coordinates (..., 2) of camera points in front of the camera."""
        pixel = local @ self._intrinsics.T
        return pixel[..., :2] / np.maximum(pixel[..., 2:], _NEAR)


def _in_front(corners: np.ndarray) -> np.ndarray:
    """Return points (M, 3) whose hull is the part of a box (8, 3) in front of the camera."""
    first, second = np.triu_indices(len(corners), 1)
    a, b = corners[first], corners[second]
    cut = (a[:, 2] < _NEAR) != (b[:, 2] < _NEAR)
    a, b = a[cut], b[cut]
    share = (_NEAR - a[:, 2]) / (b[:, 2] - a[:, 2])
    return np.concatenate([corners[corners[:, 2] >= _NEAR], a + share[:, None] * (b - a)])


@dataclass(frozen=True)
class View:
    """The geometry of one image."""

    rays: CameraRays
    hits: Hits
    ground: np.ndarray
    """(H, W) bool: the ground is seen."""
    inverse_depth: np.ndarray
    """(H, W) float32 of whatever is seen, 1/metres; 0 in the sky."""

    @property
    def objects(self) -> np.ndarray:
        """(H, W) bool: a solid is seen."""
        return (self.hits.solid >= 0) & ~self.ground


def look(solids: PlacedSolids, rays: CameraRays, counted: np.ndarray) -> View:
    """Cast the rays of an image onto the solids and the ground plane z = 0.

    ``counted`` (A,) bool names the actors whose visibility matters.
    """
    hits = cast_rays(solids, rays, counted)
    up = np.array([[0.0, 0.0, 1.0]])
    everything = (slice(0, rays.shape[0]), slice(0, rays.shape[1]))
    ground_inverse = np.maximum(rays.fields(up / -rays.origin[2], everything)[0], 0.0)
    ground = ground_inverse > hits.inverse
    return View(rays, hits, ground, np.maximum(ground_inverse, hits.inverse))
