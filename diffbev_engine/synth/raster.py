"""A picture of the ground seen from above, and how it is drawn and looked up.

Four 8-bit channels: blue, green, red, and the roughness that scales the grain added later.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_SHIFT = 4  # binary digits of subpixel position when drawing


@dataclass(frozen=True)
class Raster:
    """An image on the ground; x of the image runs along ``heading``, y to the right of it."""

    image: np.ndarray
    """(H, W, 4) uint8."""
    corner: np.ndarray
    """World position (2,) of the image's upper left corner."""
    heading: float
    """World direction of the image's x axis, radians."""
    cell: float
    """Metres a pixel."""

    @property
    def pixel_from_world(self) -> np.ndarray:
        """2x3 affine; pixel (0, 0) covers [0, 1) x [0, 1)."""
        cos, sin = np.cos(self.heading), np.sin(self.heading)
        linear = np.array([[cos, sin], [sin, -cos]]) / self.cell
        return np.concatenate([linear, (-linear @ self.corner)[:, None]], axis=1)

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return continuous pixel coordinates (..., 2) of world points (..., 2)."""
        affine = self.pixel_from_world
        return points @ affine[:, :2].T + affine[:, 2]

    def fill(self, outline: np.ndarray, colour: tuple[float, ...]) -> None:
        """Fill a world outline (N, 2)."""
        cv2.fillPoly(self.image, [self._fixed(outline)], colour, cv2.LINE_AA, _SHIFT)

    def line(self, points: np.ndarray, width: float, colour: tuple[float, ...], closed: bool = False) -> None:
        """Draw a world polyline (N, 2) of ``width`` metres, at least one pixel."""
        # OpenCV 4's smoothed lines come out 1.4 pixels wider than asked, and in even steps.
        thickness = max(1, 2 * round((width / self.cell - 1.4) / 2))
        cv2.polylines(self.image, [self._fixed(points)], closed, colour, thickness, cv2.LINE_AA, _SHIFT)

    def at(self, points: np.ndarray) -> np.ndarray:
        """Return the nearest pixels (N, 4) of world points (N, 2); the border is repeated outside."""
        index = np.floor(self.pixels(points)).astype(int)
        x = np.clip(index[:, 0], 0, self.image.shape[1] - 1)
        y = np.clip(index[:, 1], 0, self.image.shape[0] - 1)
        return self.image[y, x]

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        # OpenCV counts from pixel centres.
        return np.round((self.pixels(points) - 0.5) * 2**_SHIFT).astype(np.int32)


def blank_raster(points: np.ndarray, heading: float, cell: float, colour: tuple[float, ...]) -> Raster:
    """Return a raster of one colour that covers world points (N, 2)."""
    cos, sin = np.cos(heading), np.sin(heading)
    axes = np.array([[cos, sin], [sin, -cos]])
    local = points @ axes.T
    low, high = local.min(axis=0), local.max(axis=0)
    width, height = np.ceil((high - low) / cell).astype(int)
    image = np.empty((height, width, 4), dtype=np.uint8)
    image[:] = np.clip(np.round(colour), 0, 255)
    return Raster(image, axes.T @ low, heading, cell)


def sample(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return pixels of an image (H, W[, C]) at coordinates of any shape; 0 outside."""
    # OpenCV wants coordinates in a rectangle, of less than 2^15 rows.
    columns = 1024
    rows = -(-x.size // columns)
    grid = np.zeros((2, rows * columns), dtype=np.float32)
    grid[0, : x.size], grid[1, : x.size] = x.ravel(), y.ravel()
    found = cv2.remap(
        image, grid[0].reshape(rows, -1), grid[1].reshape(rows, -1), cv2.INTER_LINEAR, borderValue=(0,) * 4
    )
    return found.reshape(rows * columns, *image.shape[2:])[: x.size].reshape(*x.shape, *image.shape[2:])


def pyramid(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """Return the image and its halvings, coarsest last."""
    images = [image]
    for _ in range(levels):
        last = images[-1]
        size = (max(1, last.shape[1] // 2), max(1, last.shape[0] // 2))
        images.append(cv2.resize(last, size, interpolation=cv2.INTER_AREA))
    return images


def cloudy_noise(rng: np.random.Generator, size: int, octaves: tuple[tuple[int, float], ...]) -> np.ndarray:
    """Return a tile (size, size) float32 of mean 0 that wraps around, summed over octaves.

    Args:
        rng: Random stream.
        size: Side in pixels.
        octaves: (cells over the tile's side, amplitude) of each.
    """
    total = np.zeros((size, size), dtype=np.float32)
    for cells, amplitude in octaves:
        coarse = rng.standard_normal((cells, cells)).astype(np.float32)
        wrapped = np.pad(coarse, 2, mode="wrap")
        scale = size // cells
        fine = cv2.resize(wrapped, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += amplitude * fine[2 * scale : 2 * scale + size, 2 * scale : 2 * scale + size]
    return total - total.mean()
