"""Convex solids: everything that is on the ground is built of them.

A convex solid is where all its half-spaces n . x <= d overlap, so one ray test serves boxes,
tapered cabins, wheels, cones and tree crowns, in the camera and in the LiDAR alike.
Coordinates are those of the object: x forward, y left, z up, metres, origin on the ground
below its middle.  Colours are BGR, 0 to 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, auto

import numpy as np
from numpy.typing import ArrayLike


class Material(IntEnum):
    """How the surface of a solid is painted; the patterns are in ``materials``."""

    PLAIN = 0
    CAR_BODY = auto()
    GLASS_CABIN = auto()
    TYRE = auto()
    SPOKES = auto()
    TRUCK_CAB = auto()
    CARGO = auto()
    RIBS = auto()
    BUS = auto()
    STRIPES = auto()
    CONE = auto()
    VEST = auto()
    LEAVES = auto()
    BRICKS = auto()
    OFFICE = auto()
    HOUSE = auto()
    LAMP = auto()


@dataclass(frozen=True)
class Solid:
    """One convex part of an object."""

    normals: np.ndarray
    """(K, 3) unit normals that point outwards."""
    offsets: np.ndarray
    """(K,) d of n . x <= d."""
    low: np.ndarray
    """(3,) lower corner of the bounding box."""
    high: np.ndarray
    """(3,) upper corner of the bounding box."""
    colour: np.ndarray
    """(3,) base colour."""
    material: Material


def box(low: ArrayLike, high: ArrayLike, colour: ArrayLike, material: Material = Material.PLAIN) -> Solid:
    """Return the box between two corners."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    normals = np.concatenate([np.eye(3), -np.eye(3)])
    return _solid(normals, np.concatenate([high, -low]), low, high, colour, material)


def taper(
    low: ArrayLike,
    high: ArrayLike,
    top_low: ArrayLike,
    top_high: ArrayLike,
    colour: ArrayLike,
    material: Material,
) -> Solid:
    """Return a box whose top face is the (x, y) rectangle from ``top_low`` to ``top_high``."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    top_low, top_high = np.asarray(top_low, float), np.asarray(top_high, float)
    rise = high[2] - low[2]
    normals, offsets = [np.array([0, 0, 1.0]), np.array([0, 0, -1.0])], [high[2], -low[2]]
    for axis in (0, 1):
        for sign, bottom, top in ((1, high[axis], top_high[axis]), (-1, low[axis], top_low[axis])):
            normal = np.zeros(3)
            normal[axis], normal[2] = sign * rise, sign * (bottom - top)
            normal /= np.linalg.norm(normal)
            normals.append(normal)
            offsets.append(normal[axis] * bottom + normal[2] * low[2])
    return _solid(np.array(normals), np.array(offsets), low, high, colour, material)


def profile(
    outline: ArrayLike, y: tuple[float, float], colour: ArrayLike, material: Material = Material.PLAIN
) -> Solid:
    """Return a convex counter-clockwise (x, z) outline (N, 2), extruded along y."""
    points = np.asarray(outline, float)
    edges = np.roll(points, -1, axis=0) - points
    normals = np.stack([edges[:, 1], np.zeros(len(edges)), -edges[:, 0]], -1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    offsets = normals[:, 0] * points[:, 0] + normals[:, 2] * points[:, 1]
    normals = np.concatenate([normals, [[0, 1.0, 0], [0, -1.0, 0]]])
    offsets = np.concatenate([offsets, [y[1], -y[0]]])
    (x_low, z_low), (x_high, z_high) = points.min(axis=0), points.max(axis=0)
    return _solid(normals, offsets, [x_low, y[0], z_low], [x_high, y[1], z_high], colour, material)


def wheel(x: float, y: float, radius: float, width: float, material: Material = Material.TYRE) -> Solid:
    """Return a wheel that is on the ground and rolls along x."""
    angle = (np.arange(8) + 0.5) * (np.pi / 4)
    rim = np.stack([x + radius * np.cos(angle), radius + radius * np.sin(angle)], -1)
    return profile(rim, (y - width / 2, y + width / 2), (0.07, 0.07, 0.07), material)


def column(
    centre: ArrayLike,
    z: tuple[float, float],
    radii: tuple[float, float],
    colour: ArrayLike,
    material: Material = Material.PLAIN,
    sides: int = 8,
) -> Solid:
    """Return an upright cone frustum with ``radii`` at the lower and the upper end."""
    angle = np.arange(sides) * (2 * np.pi / sides)
    slope = (radii[0] - radii[1]) / (z[1] - z[0])
    normals = np.stack([np.cos(angle), np.sin(angle), np.full(sides, slope)], -1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    x, y = np.asarray(centre, float)
    foot = np.stack([x + radii[0] * np.cos(angle), y + radii[0] * np.sin(angle), np.full(sides, z[0])], -1)
    offsets = (normals * foot).sum(axis=1)
    normals = np.concatenate([normals, [[0, 0, 1.0], [0, 0, -1.0]]])
    offsets = np.concatenate([offsets, [z[1], -z[0]]])
    # The polygon's corners stick out beyond the inscribed radius.
    reach = max(radii) / np.cos(np.pi / sides)
    return _solid(
        normals, offsets, [x - reach, y - reach, z[0]], [x + reach, y + reach, z[1]], colour, material
    )


def beam(
    start: ArrayLike, end: ArrayLike, thickness: float, colour: ArrayLike, material: Material = Material.PLAIN
) -> Solid:
    """Return a square bar between two points."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    axis = (end - start) / np.linalg.norm(end - start)
    helper = np.array([0, 0, 1.0]) if abs(axis[2]) < 0.9 else np.array([1.0, 0, 0])
    second = np.cross(axis, helper)
    second /= np.linalg.norm(second)
    third = np.cross(axis, second)
    half = thickness / 2
    normals = np.array([axis, -axis, second, -second, third, -third])
    middles = np.array([end, start, *(start + half * n for n in normals[2:])])
    margin = half * (np.abs(second) + np.abs(third))
    low, high = np.minimum(start, end) - margin, np.maximum(start, end) + margin
    return _solid(normals, (normals * middles).sum(axis=1), low, high, colour, material)


_BLOB_NORMALS = np.array(
    [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
    + [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)],
    dtype=float,
)
_BLOB_NORMALS /= np.linalg.norm(_BLOB_NORMALS, axis=1, keepdims=True)


def blob(
    centre: ArrayLike,
    radii: ArrayLike,
    colour: ArrayLike,
    material: Material = Material.PLAIN,
    rng: np.random.Generator | None = None,
) -> Solid:
    """Return a rounded lump: 14 planes that touch an ellipsoid, a bit dented when given ``rng``."""
    centre, radii = np.asarray(centre, float), np.asarray(radii, float)
    reach = np.linalg.norm(_BLOB_NORMALS * radii, axis=1)
    if rng is not None:
        reach[6:] *= rng.uniform(0.85, 1.0, len(reach) - 6)
    offsets = _BLOB_NORMALS @ centre + reach
    return _solid(_BLOB_NORMALS, offsets, centre - radii, centre + radii, colour, material)


def _solid(
    normals: np.ndarray,
    offsets: np.ndarray,
    low: ArrayLike,
    high: ArrayLike,
    colour: ArrayLike,
    material: Material,
) -> Solid:
    return Solid(
        normals, offsets, np.asarray(low, float), np.asarray(high, float), np.asarray(colour, float), material
    )


BOX_MARGIN = 0.06  # metres between an object and its annotated box, like an annotator's


@dataclass(frozen=True)
class Body:
    """An object of one nuScenes category, centred on its box."""

    category: str
    """nuScenes category name; scenery, which is never annotated, has none ("")."""
    size: tuple[float, float, float]
    """Width (y), length (x) and height (z) of the annotated box, metres."""
    solids: tuple[Solid, ...]


def assemble(category: str, solids: Sequence[Solid]) -> Body:
    """Centre the solids over the origin and measure their box."""
    low = np.min([solid.low for solid in solids], axis=0)
    high = np.max([solid.high for solid in solids], axis=0)
    shift = np.array([-(low[0] + high[0]) / 2, -(low[1] + high[1]) / 2, 0.0])
    length, width, _ = high - low + 2 * BOX_MARGIN
    size = (round(float(width), 3), round(float(length), 3), round(float(high[2]) + BOX_MARGIN, 3))
    return Body(category, size, tuple(_moved(solid, shift) for solid in solids))


def _moved(solid: Solid, shift: np.ndarray) -> Solid:
    return Solid(
        solid.normals,
        solid.offsets + solid.normals @ shift,
        solid.low + shift,
        solid.high + shift,
        solid.colour,
        solid.material,
    )
