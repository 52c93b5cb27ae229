"""The ground as the camera sees it: texture and grain, looked up for every pixel."""

from dataclasses import dataclass

import cv2
import numpy as np

from diffbev_engine.synth.camera import CameraRays
from diffbev_engine.synth.raster import Raster, cloudy_noise, pyramid

_LEVELS = 6
_TAPS = 3  # looks along the line of sight: far ground is squeezed far more along than across it
_TILE = 512
_GRAIN_CELLS = (0.025, 0.4, 3.0)  # metres a noise pixel
_GRAIN_SHARES = (0.5, 0.45, 0.55)


@dataclass(frozen=True)
class GroundTexture:
    """A painted raster, its halvings and its grain."""

    raster: Raster
    levels: list[np.ndarray]
    noise: np.ndarray
    """(512, 512) float32 that wraps around, standard deviation 1."""


def make_texture(raster: Raster, rng: np.random.Generator) -> GroundTexture:
    """Prepare a painted raster for looking at it from the road."""
    noise = cloudy_noise(rng, _TILE, ((512, 1.0), (256, 0.7), (64, 0.5)))
    return GroundTexture(raster, pyramid(raster.image, _LEVELS), (noise / noise.std()).astype(np.float32))


def ground_points(rays: CameraRays, first_row: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return where the rays from a row on meet the ground.

    Args:
        rays: The camera.
        first_row: First image row.
        shift: Rows added to every ray, for looks between the rows.

    Returns:
        World x and y relative to the camera (2, h, W) and camera depths (h, W), float32;
        depths are clipped to 2 km.
    """
    x, y, z = rays.fields(np.eye(3), (slice(first_row, rays.shape[0]), slice(0, rays.shape[1])), shift)
    height = np.float32(rays.origin[2])
    depth = -height / np.minimum(z, -height / 2000.0)
    return np.stack([x * depth, y * depth]), depth


def ground_albedo(texture: GroundTexture, rays: CameraRays, first_row: int, focal: float) -> np.ndarray:
    """Return the colour (h, W, 3) float32 of the ground, 0 to 255, from ``first_row`` down."""
    total = np.zeros((rays.shape[0] - first_row, rays.shape[1], 4), dtype=np.float32)
    axes = texture.raster.pixel_from_world[:, :2]
    origin = texture.raster.pixels(rays.origin[:2])
    for tap in range(_TAPS):
        points, depth = ground_points(rays, first_row, (tap + 0.5) / _TAPS - 0.5)
        pixel = affine(axes, origin, points)
        level = _levels(depth[:, depth.shape[1] // 2], rays.origin[2], focal, texture.raster.cell)
        for value in range(level.min(), level.max() + 1):
            rows = np.nonzero(level == value)[0]
            if len(rows):
                band = slice(rows[0], rows[-1] + 1)
                total[band] += _look_up(texture.levels[value], pixel[:, band], value)
    total /= _TAPS
    points, depth = ground_points(rays, first_row)
    total[..., :3] += (total[..., 3] * _grain(texture, rays.origin, points, depth, focal))[..., None]
    return total[..., :3]


def affine(axes: np.ndarray, origin: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return axes @ points + origin in float32, for points (2, ...)."""
    (a, b), (c, d) = axes.astype(np.float32)
    x, y = points
    return np.stack([a * x + b * y + np.float32(origin[0]), c * x + d * y + np.float32(origin[1])])


def _levels(depth: np.ndarray, height: float, focal: float, cell: float) -> np.ndarray:
    """Return the halving whose pixels are as large as an image pixel's footprint, for rows of one depth."""
    across, along = depth / focal, depth**2 / (focal * height * _TAPS)
    level = np.log2(np.maximum(np.sqrt(across * along) / cell, 1.0))
    return np.clip(np.round(level), 0, _LEVELS).astype(int)


def _look_up(image: np.ndarray, pixel: np.ndarray, level: int) -> np.ndarray:
    limits = (image.shape[1] + 1, image.shape[0] + 1)
    x, y = (np.clip(pixel[axis] / 2**level - 0.5, -2, limits[axis]) for axis in (0, 1))
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _grain(
    texture: GroundTexture, origin: np.ndarray, points: np.ndarray, depth: np.ndarray, focal: float
) -> np.ndarray:
    """Return grain (h, W), about -1 to 1, that blurs out where its cells shrink below a pixel."""
    grain = np.zeros(depth.shape, dtype=np.float32)
    for cell, share in zip(_GRAIN_CELLS, _GRAIN_SHARES, strict=True):
        start = np.mod(origin[:2] / cell, _TILE)
        x, y = (np.mod(points[axis] / cell + start[axis], _TILE, dtype=np.float32) for axis in (0, 1))
        tile = cv2.remap(texture.noise, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        seen = np.minimum(np.float32(2.0 * cell * focal) / depth, 1.0)
        grain += np.float32(0.5 * share) * seen * tile
    return grain
