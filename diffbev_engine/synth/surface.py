"""Points on the surfaces of solids, as the patterns need them."""

from dataclasses import dataclass

import numpy as np

GLASS = np.array([0.17, 0.15, 0.13])  # BGR


@dataclass(frozen=True)
class Surface:
    """Points on solids of one material; N of them."""

    point: np.ndarray  # N x 3
    normal: np.ndarray  # N x 3
    low: np.ndarray  # N x 3, bounding box of the solid
    high: np.ndarray  # N x 3
    colour: np.ndarray  # N x 3, base colour
    brand: np.ndarray  # N, a number in 0..1 of the solid, the same on all of it

    @property
    def share(self) -> np.ndarray:
        """N x 3: position within the bounding box, 0 to 1."""
        return (self.point - self.low) / np.maximum(self.high - self.low, 1e-3)

    @property
    def along_wall(self) -> np.ndarray:
        """N: horizontal position along an upright face, metres."""
        facing_x = np.abs(self.normal[:, 0]) > np.abs(self.normal[:, 1])
        return np.where(facing_x, self.point[:, 1] - self.low[:, 1], self.point[:, 0] - self.low[:, 0])

    @property
    def upright(self) -> np.ndarray:
        """N: whether the face is a wall rather than a roof."""
        return np.abs(self.normal[:, 2]) < 0.5


def speckle(point: np.ndarray, cell: float) -> np.ndarray:
    """Return a random number in 0..1 (N,) that is constant over cells of ``cell`` metres."""
    index = np.floor(point / cell).astype(np.int64)
    mixed = (index[:, 0] * 73856093) ^ (index[:, 1] * 19349663) ^ (index[:, 2] * 83492791)
    mixed = (mixed ^ (mixed >> 13)) * 1274126177
    return ((mixed >> 8) & 0xFFFF) / 65535.0


def put(colour: np.ndarray, where: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Return colours (N, 3) with ``value`` at the points (N,) of ``where``."""
    return np.where(where[:, None], value, colour)
