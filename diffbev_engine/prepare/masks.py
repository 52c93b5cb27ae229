"""The two reasons to ignore a BEV cell: outside the camera's view, or hidden from LiDAR."""

from functools import lru_cache

import numpy as np

from diffbev_engine.core.grid import BEVGrid


def fov_mask(intrinsics: np.ndarray, width: int, grid: BEVGrid) -> np.ndarray:
    """Cells whose near left corner projects into the image columns [0, width).

    Only the horizontal view counts, as in PON; height is unknown in BEV.

    Args:
        intrinsics: (3, 3) at the original resolution.
        width: of the original image, pixels.
        grid: in the camera frame.

    Returns:
        (rows, cols) bool.
    """
    return _in_view(float(intrinsics[0, 0]), float(intrinsics[0, 2]), width, grid).copy()


@lru_cache(maxsize=16)  # a car has six cameras
def _in_view(focal: float, centre: float, width: int, grid: BEVGrid) -> np.ndarray:
    u = (grid.corners_x() / grid.corners_z()[:, None]) * focal + centre
    return (u >= 0) & (u < width)


def occlusion_mask(points_camera: np.ndarray, grid: BEVGrid) -> np.ndarray:
    """Cells that lie farther than every LiDAR point in their direction, as PON decides it.

    Directions x/z fall into rays of width cell / z_max (0.005: 10,000 rays for the label grid).
    A cell is hidden if the farthest point on its ray is nearer than the cell; a ray without
    points hides all its cells.  Points of all heights count, and one sweep is sparse, so the mask
    speckles; that is the published behaviour.

    Args:
        points_camera: (N, 3) in the camera frame, metres.
        grid: in the same frame.

    Returns:
        (rows, cols) bool.
    """
    width, offset, num_rays = _rays(grid)
    x, z = points_camera[:, 0], points_camera[:, 2]
    with np.errstate(all="ignore"):  # next to the camera x/z has no bound: no ray of the grid
        ray = np.rint(x / z / width - offset)
        kept = np.flatnonzero((z > 0) & (ray > 0) & (ray < num_rays))
    farthest = np.zeros(num_rays)
    np.maximum.at(farthest, ray[kept].astype(np.int64), z[kept])
    return farthest[_ray_of_cell(grid)] < grid.corners_z()[:, None]


def _rays(grid: BEVGrid) -> tuple[float, float, int]:
    """Width of a ray in x/z, number of the ray straight to the left edge, number of rays."""
    width = grid.cell / grid.z_max
    return width, grid.x_min / width, int((grid.x_max - grid.x_min) / width)


@lru_cache(maxsize=4)
def _ray_of_cell(grid: BEVGrid) -> np.ndarray:
    width, offset, num_rays = _rays(grid)
    ray = np.rint(grid.corners_x() / grid.corners_z()[:, None] / width - offset)
    return ray.clip(0, num_rays - 1).astype(np.int64)
