"""Sparse depth images from LiDAR: the ground truth of depth supervision."""

from pathlib import Path

import numpy as np

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import write_bytes
from diffbev_engine.core.image_header import MOST_PIXELS
from diffbev_engine.core.npz import open_npz, packed_npz
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.nuscenes.tables import CameraFrame
from diffbev_engine.prepare.lidar import points_in_camera

# Both as in the devkit's `map_pointcloud_to_image`: nearer points sit on the car itself.
_NEAREST_M = 1.0
_MARGIN_PX = 1
_SLACK = 1 << 20


def project_depth(
    frame: CameraFrame, points: np.ndarray, height: int, width: int, min_depth: float, max_depth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Project a LiDAR sweep into an image that is resized to ``height`` x ``width``.

    A point counts when it is more than 1 m ahead of the camera, lies inside the original
    image less a margin of one pixel, and ``min_depth <= z < max_depth``.  Of several points
    in one pixel the nearest is kept.

    Args:
        frame: the image's calibration and poses; it must have a sweep.
        points: (N, 3) metres, LiDAR frame.
        height: rows of the output; the aspect ratio need not be the original one.
        width: columns of the output.
        min_depth: metres along the optical axis.
        max_depth: metres along the optical axis.

    Returns:
        depth (height, width) float32, metres along the optical axis (z, not the distance),
        0 where no point falls; mask (height, width) uint8, 1 where one does.
    """
    u, v, z = _pixels(frame, points)
    # Rounded first: 49.9999999 becomes 50 as float32 and would fall out of the last depth bin.
    z = z.astype(np.float32)
    kept = (z >= min_depth) & (z < max_depth)
    z = z[kept]
    columns = np.floor(u[kept] * (width / frame.width)).astype(np.intp)
    rows = np.floor(v[kept] * (height / frame.height)).astype(np.intp)
    pixels = rows * width + columns
    order = np.argsort(-z)  # the farthest first: of several points in a pixel the last is kept
    pixels = pixels[order]
    depth, mask = empty_depth(height, width)
    depth.reshape(-1)[pixels] = z[order]
    mask.reshape(-1)[pixels] = 1
    return depth, mask


def empty_depth(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth and mask of an image without a sweep: no pixel is known."""
    return np.zeros((height, width), np.float32), np.zeros((height, width), np.uint8)


def write_depth(path: Path, depth: np.ndarray, mask: np.ndarray) -> None:
    """Write ``depth`` and ``mask`` as ``.npz``, atomically; equal arrays give equal files.

    Float32, since float16 is 3 cm coarse beyond 32 m and takes 49.99 m to 50 m, out of the
    last depth bin, to save a third of the file.
    """
    write_bytes(path, packed_npz({"depth": depth, "mask": mask}))


def read_depth(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Depth from a file of ``write_depth``, or of another tool in the same form.

    Args:
        path: the file.
        size: (height, width) that it must have; any without.

    Returns:
        (height, width) float32 metres, 0 where no point is known.

    Raises:
        DiffBEVError: naming the file, if it cannot be read, is damaged or of another size.
    """
    most = MOST_PIXELS if size is None else size[0] * size[1]
    try:
        with open_regular(path) as file, open_npz(file, _SLACK + 24 * most) as arrays:
            shape, dtype = arrays.header("depth")
            if size is not None and len(shape) == 2 and shape != size:
                raise DiffBEVError(
                    f"{path} has shape {shape}, the images are loaded at {size}. Run "
                    f"`diffbev-engine prepare-depth --height {size[0]} --width {size[1]} --overwrite`."
                )
            masked, kind = arrays.header("mask")
            if len(shape) != 2 or masked != shape or dtype.kind not in "iuf" or kind.kind not in "buif":
                raise ValueError(f"depth {shape} {dtype} and mask {masked} {kind} do not fit together")
            depth = arrays.array("depth", most * dtype.itemsize)
            mask = arrays.array("mask", most * kind.itemsize)
    except OSError as error:
        raise DiffBEVError(f"cannot read {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise DiffBEVError(
            f"{path} is damaged ({error}). Delete it and run `diffbev-engine prepare-depth` again."
        ) from error
    np.copyto(depth, 0, where=~(mask > 0))  # a mask of floats may have NaN: no depth is known there
    return depth.astype(np.float32, copy=False)


def _pixels(frame: CameraFrame, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image coordinates u, v (original resolution) and depth z of the visible points, (K,) each."""
    camera = points_in_camera(frame, points).T  # 3 x N
    camera = camera[:, np.flatnonzero(camera[2] > _NEAREST_M)]
    z = camera[2]
    u, v = (frame.intrinsics @ camera)[:2] / z
    inside = (u > _MARGIN_PX) & (u < frame.width - _MARGIN_PX)
    inside &= (v > _MARGIN_PX) & (v < frame.height - _MARGIN_PX)
    kept = np.flatnonzero(inside)
    return u[kept], v[kept], z[kept]
