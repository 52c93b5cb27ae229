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

from collections.abc import Callable, Iterable

import cv2
import numpy as np
import shapely

from diffbev_engine.core.grid import BEVGrid
from diffbev_engine.nuscenes.outlines import ranges

RASTERS = ("exact", "pon")
_BITS = 16
"""Of a row's or a column's number within one number for the place of a crossing."""
_MASK = (1 << _BITS) - 1


def to_cells(coordinates: np.ndarray, grid: BEVGrid) -> np.ndarray:
    """Camera-frame (..., 2) x and z in metres to (..., 2) column and row in cells."""
    return (coordinates - (grid.x_min, grid.z_min)) / grid.cell


def fill_exact(
    vertices: np.ndarray, turns: np.ndarray, planes: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Set the cells whose corner lies inside a polygon, by winding numbers along each row.

    Args:
        vertices: (2, V) columns and rows in cells; see `Outlines`.
        turns: (V,), see `Outlines`.
        planes: (V,) int, the plane each vertex is drawn on, less than 16; constant along a ring.
        shape: rows and columns of a plane.

    Returns:
        (rows, cols) uint16; bit p is plane p.
    """
    rows, cols = shape
    # An edge crosses row r if low <= r < high: half open, so a shared vertex counts once.
    above = np.ceil(vertices[1]).clip(0, rows).astype(np.int32)  # the first row at or above a vertex
    beyond = vertices[0] > cols
    edges = np.flatnonzero((above[:-1] != above[1:]) & (turns[:-1] != 0) & ~(beyond[:-1] & beyond[1:]))
    (column0, row0), (column1, row1) = vertices[:, edges], vertices[:, edges + 1]
    counts = np.abs(above[edges + 1] - above[edges])
    edge = np.repeat(np.arange(len(edges)), counts)  # of each crossing, among those that cross
    row = ranges(np.minimum(above[edges], above[edges + 1]), counts)

    slope = (column1 - column0) / (row1 - row0)
    column = column0[edge] + (row - row0[edge]) * slope[edge]
    column = np.ceil(column).clip(0, cols).astype(np.int64)  # a crossing beyond the grid counts at its edge
    upwards = (turns[edges] > 0) ^ (row1 > row0)
    line = (planes[edges] << _BITS)[edge] | row  # a row of a plane
    crossings = (line << _BITS | column) << 1 | upwards[edge]
    crossings.sort()  # numbers that hold all there is: a third of the time of an order and what it orders
    return _bits(crossings, shape)


def _bits(crossings: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Where winding numbers are not 0, from sorted crossings: in each line they begin at 0."""
    rows, cols = shape
    winding = np.cumsum((crossings & 1) * 2 - 1)
    place = crossings >> 1
    last = np.roll(_changes(place), -1)  # of the crossings in one place
    place, winding = place[last], winding[last]
    begins = _changes(place >> _BITS)
    first = np.flatnonzero(begins)  # of each line
    before = np.where(first > 0, winding[first - 1], 0)
    inside = winding != np.repeat(before, np.diff(first, append=len(place)))
    turned = inside.copy()
    turned[1:] ^= inside[:-1] & ~begins[1:]
    place = place[turned]
    cell = (place >> _BITS & _MASK) * (cols + 1) + (place & _MASK)
    bits = np.zeros(rows * (cols + 1), np.uint16)
    np.bitwise_xor.at(bits, cell, np.uint16(1) << (place >> 2 * _BITS).astype(np.uint16))
    return np.bitwise_xor.accumulate(bits.reshape(rows, cols + 1), axis=1)[:, :-1]


def _changes(values: np.ndarray) -> np.ndarray:
    """(N,) bool: where a value differs from the one before it; at the first too."""
    changes = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes


def fill_pon(masks: np.ndarray, rings: Iterable[np.ndarray], planes: np.ndarray, values: np.ndarray) -> None:
    """Draw rings in their order on uint8 masks (P, rows, cols) as PON does.

    Args:
        masks: changed in place.
        rings: (v, 2) each, column and row in cells.
        planes: the mask of each ring.
        values: what each ring is filled with.
    """
    for ring, plane, value in zip(rings, planes.tolist(), values.tolist(), strict=True):
        cv2.fillConvexPoly(masks[plane], np.rint(ring).astype(np.int32), (value,))


def fill_polygons_pon(
    masks: np.ndarray, polygons: np.ndarray, planes: np.ndarray, cells: Callable[[np.ndarray], np.ndarray]
) -> None:
    """Draw polygons in their order: each exterior with 1, then its holes with 0.

    Args:
        masks: (P, rows, cols) uint8, changed in place.
        polygons: (N,), with an area.
        planes: (N,), the mask of each.
        cells: takes coordinates of the polygons (V, 2) to column and row in cells (V, 2).
    """
    if not len(polygons):
        return
    rings, polygon_of_ring = shapely.get_rings(polygons, return_index=True)
    vertices, ring_of_vertex = shapely.get_coordinates(rings, return_index=True)
    ends = np.flatnonzero(np.diff(ring_of_vertex)) + 1
    exterior = np.diff(polygon_of_ring, prepend=-1) != 0  # the first ring of a polygon
    fill_pon(masks, np.split(cells(vertices), ends), planes[polygon_of_ring], exterior.astype(np.uint8))


def polygon_parts(geometries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The polygons with an area among geometries and their (nested) parts, and the geometry of each."""
    origin = np.arange(len(geometries))
    multi = shapely.get_type_id(geometries) > shapely.GeometryType.POLYGON
    while multi.any():
        geometries, parent = shapely.get_parts(geometries, return_index=True)
        origin = origin[parent]
        multi = shapely.get_type_id(geometries) > shapely.GeometryType.POLYGON
    kept = (shapely.get_type_id(geometries) == shapely.GeometryType.POLYGON) & ~shapely.is_empty(geometries)
    return geometries[kept], origin[kept]
