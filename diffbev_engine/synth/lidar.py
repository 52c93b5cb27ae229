"""One turn of a 32-beam LiDAR, cast against the same solids and ground as the picture.

LiDAR frame: x right, y forward, z up.  A turn is taken from one pose: like the objects, the
world stands still for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbev_engine.synth.caster import Hits, PlacedSolids, Window, cast_rays
from diffbev_engine.synth.lidarunit import BEAMS, LidarUnit, reflectivities
from diffbev_engine.synth.raster import Raster

COLUMNS = 1080
RANGE = 70.0  # metres
_LOWEST, _HIGHEST = np.radians(-30.67), np.radians(10.67)


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
        rows = self._rows(local[..., 2], distance - radius, distance + radius)
        return [
            _split(int(a), int(b), beams) if good else []
            for a, b, beams, good in zip(start, stop, rows, in_range, strict=True)
        ]

    def _rows(self, height: np.ndarray, near: np.ndarray, far: np.ndarray) -> list[slice]:
        """Return the beams that may meet what lies at ``height`` (P, 8) between two distances (P,)."""
        near = np.maximum(near, 1e-3)
        low, high = height.min(axis=1), height.max(axis=1)
        lowest = np.arctan2(low, np.where(low < 0, near, far))
        highest = np.arctan2(high, np.where(high > 0, near, far))
        step = (_HIGHEST - _LOWEST) / (BEAMS - 1)
        start = np.clip(np.floor((lowest - _LOWEST) / step), 0, BEAMS).astype(int)
        stop = np.clip(np.ceil((highest - _LOWEST) / step) + 1, 0, BEAMS).astype(int)
        return [slice(int(a), int(b)) for a, b in zip(start, stop, strict=True)]

    def nearest(self, corners: np.ndarray) -> np.ndarray:
        """Return a range that the bounding boxes (P, 8, 3) do not come closer than."""
        middle = corners.mean(axis=1)
        radius = np.linalg.norm(corners[:, 0] - middle, axis=-1)
        return np.maximum(np.linalg.norm(middle - self.origin, axis=-1) - radius, 0.0)


def _split(start: int, stop: int, rows: slice) -> list[Window]:
    """Return the windows of columns start..stop, which may begin below 0 or end past the last one."""
    if rows.start >= rows.stop:
        return []
    pieces = [(start, stop), (start + COLUMNS, stop + COLUMNS), (start - COLUMNS, stop - COLUMNS)]
    clipped = [(max(a, 0), min(b, COLUMNS)) for a, b in pieces]
    return [(rows, slice(a, b)) for a, b in clipped if a < b]


@dataclass(frozen=True)
class Sweep:
    """One turn."""

    points: np.ndarray
    """(N, 5) float32: x, y, z in the LiDAR frame, intensity 0 to 255, ring 0 to 31."""
    actor: np.ndarray
    """(N,) index of the actor each point is on, -1 for the ground."""
    hits: Hits
    """The undisturbed geometry, for what is seen of every actor."""


def scan(
    solids: PlacedSolids,
    world_from_lidar: np.ndarray,
    counted: np.ndarray,
    ground: Raster,
    unit: LidarUnit,
    haze_length: float,
    rng: np.random.Generator,
) -> Sweep:
    """Take one turn.

    Args:
        solids: Everything that is on the ground.
        world_from_lidar: 4x4 pose of the sensor.
        counted: (A,) bool, the actors whose visibility matters.
        ground: Its brightness becomes the ground's reflectivity.
        unit: The sensor.
        haze_length: Metres after which the air leaves 1/e of the light.
        rng: Random stream of range noise and lost returns.
    """
    rays = LidarRays(world_from_lidar)
    hits = cast_rays(solids, rays, counted)
    ground_inverse = np.maximum(rays.world[..., 2] / -rays.origin[2], 0.0)
    on_ground = ground_inverse > hits.inverse
    inverse = np.maximum(ground_inverse, hits.inverse)
    distance = 1.0 / np.maximum(inverse, 1e-6)
    reflectivity, incidence = _surfaces(solids, hits, ground, on_ground, rays, distance)
    returned = unit.returns(distance, reflectivity, incidence, haze_length, rng) & (inverse > 1.0 / RANGE)
    points = rays.local[returned] * unit.disturb(distance, rng)[returned][:, None]
    actor = np.where(on_ground, -1, solids.table.actor[hits.solid])[returned]
    intensity = unit.intensity(reflectivity, incidence)
    ring = np.broadcast_to(np.arange(BEAMS)[:, None], rays.shape)[returned]
    rows = np.concatenate([points, intensity[returned][:, None], ring[:, None]], axis=1)
    # nuScenes stores column after column; so does this.
    order = np.argsort(np.nonzero(returned)[1], kind="stable")
    return Sweep(rows[order].astype(np.float32), actor[order], hits)


def _surfaces(
    solids: PlacedSolids,
    hits: Hits,
    ground: Raster,
    on_ground: np.ndarray,
    rays: LidarRays,
    distance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the reflectivity (R, C) of what the rays meet, and the cosine at which they meet it."""
    reflectivity = reflectivities(solids.table.colour, solids.table.material)[hits.solid]
    normal = solids.normals[hits.solid, hits.face]
    incidence = np.abs(np.einsum("rci,rci->rc", normal, rays.world))
    places = rays.origin[:2] + rays.world[on_ground][:, :2] * distance[on_ground][:, None]
    grey = ground.at(places)[:, :3].mean(axis=1) / 255
    reflectivity[on_ground] = np.where(grey > 0.6, 1.2 * grey, 0.4 * grey)  # lane paint shines back
    incidence[on_ground] = np.abs(rays.world[on_ground][:, 2])
    return reflectivity, incidence
