"""Ray casting against convex solids: one test for the camera and for the LiDAR.

Along a ray o + r d the plane n . x = D is met at 1/r = (n . d) / (D - n . o): the inverse
distance is linear in the direction.  A ray enters a convex solid at the smallest inverse
distance over the planes that o lies outside of, unless a plane that o lies inside of has a
larger one.  No divisions a pixel, and the nearest hit is the largest inverse distance.

Letters: P solids, K planes of a solid (padded), A actors, R x C grid of rays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from diffbev_engine.synth.solids import Body, Solid

Window = tuple[slice, slice]


@dataclass(frozen=True)
class SolidTable:
    """The solids of all actors, in the frames of their actors."""

    normals: np.ndarray  # P x K x 3, zero where padded
    offsets: np.ndarray  # P x K, infinite where padded
    planes: np.ndarray  # P, number of planes that are not padding
    low: np.ndarray  # P x 3
    high: np.ndarray  # P x 3
    colour: np.ndarray  # P x 3, BGR
    material: np.ndarray  # P
    actor: np.ndarray  # P, ascending


@dataclass(frozen=True)
class PlacedSolids:
    """The same solids in the world at one moment."""

    table: SolidTable
    poses: np.ndarray  # A x 3: x, y, heading
    normals: np.ndarray  # P x K x 3
    offsets: np.ndarray  # P x K
    corners: np.ndarray  # P x 8 x 3, of the bounding boxes


@dataclass(frozen=True)
class Hits:
    """What every ray of a grid meets first among the solids."""

    inverse: np.ndarray
    """R x C float32: 1/distance in units of the ray's direction; 0 for no hit."""
    solid: np.ndarray
    """R x C int32: index of the solid, -1 for none."""
    face: np.ndarray
    """R x C uint8: plane of the solid."""
    reachable: np.ndarray
    """A: rays that would meet the actor if it were alone; for actors that are counted."""
    seen: np.ndarray
    """A: rays that meet the actor first."""


class RayGrid(Protocol):
    """A grid of rays from one point."""

    origin: np.ndarray  # 3, world
    shape: tuple[int, int]

    def fields(self, normals: np.ndarray, window: Window) -> np.ndarray:
        """Return n . d (K, h, w) float32 of ``normals`` (K, 3) for the rays of a window."""
        ...

    def windows(self, corners: np.ndarray) -> Sequence[Sequence[Window]]:
        """Return for every box of ``corners`` (P, 8, 3) the windows of rays that may meet it."""
        ...

    def nearest(self, corners: np.ndarray) -> np.ndarray:
        """Return for every box a distance (P,), along rays, that nothing in it falls short of."""
        ...


def pack(bodies: list[Body]) -> SolidTable:
    """Pack the solids of all bodies, one actor each, into padded arrays."""
    solids: list[Solid] = [solid for body in bodies for solid in body.solids]
    actor = np.repeat(np.arange(len(bodies)), [len(body.solids) for body in bodies])
    planes = np.array([len(solid.offsets) for solid in solids])
    normals = np.zeros((len(solids), planes.max(), 3))
    offsets = np.full((len(solids), planes.max()), np.inf)
    for index, solid in enumerate(solids):
        normals[index, : planes[index]] = solid.normals
        offsets[index, : planes[index]] = solid.offsets
    return SolidTable(
        normals=normals,
        offsets=offsets,
        planes=planes,
        low=np.array([solid.low for solid in solids]),
        high=np.array([solid.high for solid in solids]),
        colour=np.array([solid.colour for solid in solids]),
        material=np.array([int(solid.material) for solid in solids]),
        actor=actor,
    )


def place(table: SolidTable, poses: np.ndarray) -> PlacedSolids:
    """Move every solid to its actor's pose (A, 3)."""
    x, y, heading = poses[table.actor].T
    rotation = np.zeros((len(heading), 3, 3))
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(heading)
    rotation[:, 1, 0] = np.sin(heading)
    rotation[:, 0, 1] = -rotation[:, 1, 0]
    rotation[:, 2, 2] = 1.0
    shift = np.stack([x, y, np.zeros_like(x)], -1)  # P x 3
    normals = np.einsum("pij,pkj->pki", rotation, table.normals)
    offsets = table.offsets + np.einsum("pki,pi->pk", normals, shift)
    choose = np.array([[(bit >> axis) & 1 for axis in range(3)] for bit in range(8)], dtype=bool)
    corners = np.where(choose, table.high[:, None], table.low[:, None])  # P x 8 x 3
    corners = np.einsum("pij,pcj->pci", rotation, corners) + shift[:, None]
    return PlacedSolids(table, poses, normals, offsets, corners)


def cast_rays(solids: PlacedSolids, rays: RayGrid, counted: np.ndarray) -> Hits:
    """Find the first solid along every ray.

    Args:
        solids: The solids.
        rays: The rays.
        counted: (A,) bool, the actors for which ``Hits.reachable`` is needed; hidden solids
            of the others are skipped.
    """
    inverse = np.zeros(rays.shape, dtype=np.float32)
    solid = np.full(rays.shape, -1, dtype=np.int32)
    face = np.zeros(rays.shape, dtype=np.uint8)
    own = np.zeros(rays.shape, dtype=np.float32)  # the current actor alone; zero between actors
    own_solid, own_face = np.empty_like(solid), np.empty_like(face)
    actors = len(solids.poses)
    reachable = np.zeros(actors, dtype=int)
    windows = rays.windows(solids.corners)
    nearest = rays.nearest(solids.corners)
    bounds = np.searchsorted(solids.table.actor, np.arange(actors + 1))
    for actor in _near_to_far(nearest, bounds):
        touched: list[Window] = []
        for index in range(bounds[actor], bounds[actor + 1]):
            for window in windows[index]:
                if not counted[actor] and inverse[window].min() * nearest[index] > 1.0:
                    continue  # all of it lies behind what was met already
                if _cast_one(solids, index, rays, window, own, own_solid, own_face):
                    touched.append(window)
        if not touched:
            continue
        union = _union(touched)
        reachable[actor] = np.count_nonzero(own[union])
        nearer = own[union] > inverse[union]
        for target, source in ((inverse, own), (solid, own_solid), (face, own_face)):
            np.copyto(target[union], source[union], where=nearer)
        own[union] = 0.0
    seen = np.bincount(solids.table.actor[solid[solid >= 0]], minlength=actors)
    return Hits(inverse, solid, face, reachable, seen)


def _near_to_far(nearest: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Return the actors, the one with the nearest solid first; ``bounds`` delimits their solids."""
    return np.argsort(np.minimum.reduceat(nearest, bounds[:-1]), kind="stable")


def _cast_one(
    solids: PlacedSolids,
    index: int,
    rays: RayGrid,
    window: Window,
    inverse: np.ndarray,
    solid: np.ndarray,
    face: np.ndarray,
) -> bool:
    """Enter one solid's hits into the buffers of its actor; return whether there are any."""
    count = solids.table.planes[index]
    normals = solids.normals[index, :count]
    clearance = solids.offsets[index, :count] - normals @ rays.origin
    clearance = np.where(np.abs(clearance) < 1e-9, 1e-9, clearance)
    outside = clearance < 0
    if not outside.any():
        return False  # the sensor is inside
    fields = rays.fields(normals / clearance[:, None], window)
    entering = fields[outside]
    near = entering.min(axis=0)
    near[near <= np.maximum(fields[~outside].max(axis=0), 0.0)] = 0.0
    better = near > inverse[window]
    if not better.any():
        return bool(near.any())
    np.copyto(inverse[window], near, where=better)
    np.copyto(face[window], np.nonzero(outside)[0].astype(np.uint8)[entering.argmin(axis=0)], where=better)
    np.copyto(solid[window], index, where=better)
    return True


def _union(windows: list[Window]) -> Window:
    rows = slice(min(w[0].start for w in windows), max(w[0].stop for w in windows))
    return rows, slice(min(w[1].start for w in windows), max(w[1].stop for w in windows))
