"""Two ways to draw polygons on the BEV grid: ``exact``, and ``pon`` as the published labels were made.

Both see the grid as PON does: column j and row i stand for the *corner* x = x_min + j * cell,
z = z_min + i * cell.  Coordinates here are in cells, so that corner (i, j) is the integer point
(column j, row i).

- ``exact``: a cell is set when its corner lies inside a polygon.  Holes are holes, shapes may be
  concave, and overlapping polygons add up whatever their order.
- ``pon``: vertices are rounded to corners and handed to OpenCV's convex fill, which includes edges
  (shapes grow by up to half a cell), fills concave shapes wrongly, and lets the hole of a later
  polygon erase an earlier one.  Kept bit for bit, so that published numbers can be compared.
"""

from collections.abc import Iterable

import cv2
import numpy as np
import shapely

from diffbev_engine.core.grid import BEVGrid

RASTERS = ("exact", "pon")


def to_cells(coordinates: np.ndarray, grid: BEVGrid) -> np.ndarray:
    """Camera-frame (..., 2) x and z in metres to (..., 2) column and row in cells."""
    return (coordinates - (grid.x_min, grid.z_min)) / grid.cell


def fill_exact(
    vertices: np.ndarray, turns: np.ndarray, planes: np.ndarray, num_planes: int, shape: tuple[int, int]
) -> np.ndarray:
    """Set the cells whose corner lies inside a polygon, by winding numbers along each row.

    Args:
        vertices: (V, 2) column and row in cells; see `Outlines`.
        turns: (V,), see `Outlines`.
        planes: (V,) int, the plane each vertex is drawn on; constant along a ring.
        num_planes: P.
        shape: rows and columns of a plane.

    Returns:
        (P, rows, cols) bool.
    """
    rows, cols = shape
    start, end = vertices[:-1], vertices[1:]
    # An edge crosses row r if low <= r < high: half open, so a shared vertex counts once.
    first = np.ceil(np.minimum(start[:, 1], end[:, 1])).clip(0, rows).astype(np.int64)
    stop = np.ceil(np.maximum(start[:, 1], end[:, 1])).clip(0, rows).astype(np.int64)
    crosses = (stop > first) & (turns[:-1] != 0) & (np.minimum(start[:, 0], end[:, 0]) <= cols)
    edges = np.flatnonzero(crosses)
    counts = (stop - first)[edges]
    edge = np.repeat(edges, counts)
    row = np.arange(len(edge)) + np.repeat(first[edges] - np.r_[0, np.cumsum(counts)[:-1]], counts)

    (column0, row0), (column1, row1) = start[edge].T, end[edge].T
    column = column0 + (row - row0) * ((column1 - column0) / (row1 - row0))
    column = np.ceil(column).clip(0, cols).astype(np.int64)
    change = np.where(row1 > row0, -turns[edge], turns[edge])
    winding = np.zeros((num_planes, rows, cols + 1), np.int16)
    np.add.at(winding, (planes[edge], row, column), change)
    np.cumsum(winding, axis=2, out=winding)
    return winding[:, :, :-1] != 0


def fill_pon(mask: np.ndarray, ring: np.ndarray, value: int) -> None:
    """Draw one ring (v, 2), in cells, on a uint8 mask (rows, cols) as PON does."""
    cv2.fillConvexPoly(mask, np.rint(ring).astype(np.int32), (value,))


def fill_polygons_pon(mask: np.ndarray, polygons: Iterable[shapely.Polygon], grid: BEVGrid) -> None:
    """Draw camera-frame polygons in their order: each exterior with 1, then its holes with 0."""
    rings, polygon_of_ring = shapely.get_rings(list(polygons), return_index=True)
    vertices, ring_of_vertex = shapely.get_coordinates(rings, return_index=True)
    ends = np.flatnonzero(np.diff(ring_of_vertex)) + 1
    previous = -1
    for polygon, ring in zip(polygon_of_ring, np.split(to_cells(vertices, grid), ends), strict=False):
        fill_pon(mask, ring, int(polygon != previous))  # the first ring of a polygon is its exterior
        previous = polygon


def polygon_parts(geometries: np.ndarray) -> np.ndarray:
    """The polygons with an area among geometries and their (nested) parts, in order."""
    multi = shapely.get_type_id(geometries) > shapely.GeometryType.POLYGON
    while multi.any():
        geometries = shapely.get_parts(geometries)
        multi = shapely.get_type_id(geometries) > shapely.GeometryType.POLYGON
    is_polygon = shapely.get_type_id(geometries) == shapely.GeometryType.POLYGON
    return geometries[is_polygon & ~shapely.is_empty(geometries)]
