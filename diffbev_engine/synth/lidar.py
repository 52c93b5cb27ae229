"""One turn of a 32-beam LiDAR, cast against the same solids and ground as the picture.

LiDAR frame: x right, y forward, z up.  A turn is taken from one pose: like the objects, the
world stands still for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.caster import Hits, PlacedSolids, Window, cast_rays
from diffbev_engine.synth.raster import Raster
from diffbev_engine.synth.solids import Material

BEAMS, COLUMNS = 32, 1080
RANGE = 70.0  # metres
NOISE = 0.012  # metres, standard deviation along the beam; cut at three times that
_LOWEST, _HIGHEST = np.radians(-30.67), np.radians(10.67)
_DROPOUT = 0.03
_SHINE = {
    Material.CONE: 1.6,
    Material.STRIPES: 1.5,
    Material.VEST: 1.8,
    Material.TYRE: 0.4,
    Material.LEAVES: 0.6,
}


class LidarRays:
    """The directions of one turn: row 0 is the lowest beam; satisfies ``caster.RayGrid``.

    Directions are unit vectors, so distances along rays are ranges in metres.
    """

    shape = (BEAMS, COLUMNS)

    def __init__(self, world_from_lidar: np.ndarray) -> None:
        """Set up the rays of a sensor at a 4x4 pose."""
        self.origin = world_from_lidar[:3, 3]
        self._lidar_from_world = np.linalg.inv(world_from_lidar)
        elevation = np.linspace(_LOWEST, _HIGHEST, BEAMS)[:, None]
        azimuth = self._azimuth(np.arange(COLUMNS))[None]
        self.local = np.stack(
            [
                np.cos(elevation) * np.cos(azimuth),
                np.cos(elevation) * np.sin(azimuth),
                np.sin(elevation) * np.ones_like(azimuth),
            ],
            -1,
        )  # R x C x 3, LiDAR frame
        self.world = self.local @ world_from_lidar[:3, :3].T
        self._world32 = np.moveaxis(self.world, -1, 0).astype(np.float32)  # 3 x R x C

    @staticmethod
    def _azimuth(column: np.ndarray) -> np.ndarray:
        return -np.pi + (column + 0.5) * (2 * np.pi / COLUMNS)

    def fields(self, normals: np.ndarray, window: Window) -> np.ndarray:
        """Return n . d (K, h, w)."""
        directions = self._world32[:, window[0], window[1]]
        x, y, z = (normals[:, axis, None, None].astype(np.float32) for axis in range(3))
        return x * directions[0] + y * directions[1] + z * directions[2]

    def windows(self, corners: np.ndarray) -> Sequence[Sequence[Window]]:
        """Return the columns that the bounding boxes (P, 8, 3) may cover; two windows across the seam."""
        local = corners @ self._lidar_from_world[:3, :3].T + self._lidar_from_world[:3, 3]
        middle, flat = local.mean(axis=1), local[..., :2]
        distance = np.hypot(middle[:, 0], middle[:, 1])
        radius = np.linalg.norm(flat - middle[:, None, :2], axis=-1).max(axis=1)
        centre = np.arctan2(middle[:, 1], middle[:, 0])
        turn = (np.arctan2(flat[..., 1], flat[..., 0]) - centre[:, None] + np.pi) % (2 * np.pi) - np.pi
        scale = COLUMNS / (2 * np.pi)
        start = np.floor((centre + turn.min(axis=1) + np.pi) * scale).astype(int)
        stop = np.ceil((centre + turn.max(axis=1) + np.pi) * scale).astype(int)
        around = distance < radius  # the sensor is within the box's circle: its corners may lie anywhere
        start[around], stop[around] = 0, COLUMNS
        in_range = distance - radius < RANGE
        return [
            _split(int(a), int(b)) if good else [] for a, b, good in zip(start, stop, in_range, strict=True)
        ]

    def nearest(self, corners: np.ndarray) -> np.ndarray:
        """Return a range that the bounding boxes (P, 8, 3) do not come closer than."""
        middle = corners.mean(axis=1)
        radius = np.linalg.norm(corners[:, 0] - middle, axis=-1)
        return np.maximum(np.linalg.norm(middle - self.origin, axis=-1) - radius, 0.0)


def _split(start: int, stop: int) -> list[Window]:
    """Return the windows of columns start..stop, which may begin below 0 or end past the last one."""
    rows = slice(0, BEAMS)
    pieces = [(start, stop), (start + COLUMNS, stop + COLUMNS), (start - COLUMNS, stop - COLUMNS)]
    clipped = [(max(a, 0), min(b, COLUMNS)) for a, b in pieces]
    return [(rows, slice(a, b)) for a, b in clipped if a < b]


@dataclass(frozen=True)
class Sweep:
    """One turn."""

    points: np.ndarray
    """(N, 5) float32: x, y, z in the LiDAR frame, intensity 0 to 255, ring 0 to 31."""
    actor: np.ndarray
    """(N,) index of the actor each point lies on, -1 for the ground."""
    hits: Hits
    """The undisturbed geometry, for what is seen of every actor."""


def scan(
    solids: PlacedSolids,
    world_from_lidar: np.ndarray,
    counted: np.ndarray,
    ground: Raster,
    rng: np.random.Generator,
) -> Sweep:
    """Take one turn.

    Args:
        solids: Everything that stands on the ground.
        world_from_lidar: 4x4 pose of the sensor.
        counted: (A,) bool, the actors whose visibility matters.
        ground: Its brightness becomes the ground's intensity.
        rng: Random stream of range noise and lost returns.
    """
    rays = LidarRays(world_from_lidar)
    hits = cast_rays(solids, rays, counted)
    ground_inverse = np.maximum(rays.world[..., 2] / -rays.origin[2], 0.0)
    on_ground = ground_inverse > hits.inverse
    inverse = np.maximum(ground_inverse, hits.inverse)
    returned = (inverse > 1.0 / RANGE) & (rng.random(rays.shape) > _DROPOUT)
    noise = np.clip(rng.standard_normal(rays.shape), -3, 3) * NOISE
    distance = 1.0 / np.maximum(inverse, 1e-6)
    # Ground far away is hit at a grazing angle and often sends nothing back.
    weak = on_ground & (rng.random(rays.shape) < np.clip((distance - 25) / 60, 0, 0.7))
    returned &= ~weak
    points = rays.local[returned] * (distance + noise)[returned][:, None]
    actor = np.where(on_ground, -1, solids.table.actor[hits.solid])[returned]
    intensity = _intensity(solids, hits, ground, on_ground, rays.origin + rays.world * distance[..., None])
    ring = np.broadcast_to(np.arange(BEAMS)[:, None], rays.shape)[returned]
    rows = np.concatenate([points, intensity[returned][:, None], ring[:, None]], axis=1)
    # nuScenes stores column after column; so does this.
    order = np.argsort(np.nonzero(returned)[1], kind="stable")
    return Sweep(rows[order].astype(np.float32), actor[order], hits)


def _intensity(
    solids: PlacedSolids, hits: Hits, ground: Raster, on_ground: np.ndarray, world: np.ndarray
) -> np.ndarray:
    """Return intensities (R, C): how bright a surface is, more for what is made to shine back."""
    bright = np.mean(solids.table.colour, axis=1)
    shine = np.array([_SHINE.get(Material(material), 1.0) for material in solids.table.material])
    intensity = 60.0 * (bright * shine)[hits.solid]
    grey = ground.at(world[on_ground][:, :2])[:, :3].mean(axis=1)
    intensity[on_ground] = np.where(grey > 150, 0.3 * grey, 0.12 * grey)
    return np.clip(np.round(intensity), 0, 255)
