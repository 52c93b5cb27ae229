"""Outlines of what a map shows, in metres.

A class plane becomes the union of its rows' runs of cells: unlike contours, which touch
themselves where cells meet at a corner, the result is always valid, holes included.
"""

import numpy as np
import shapely
from shapely.geometry import Polygon

from diffbev_engine.core.grid import LABEL_GRID, BEVGrid


def outlines(plane: np.ndarray, grid: BEVGrid = LABEL_GRID) -> list[Polygon]:
    """The parts of a class.

    Args:
        plane: (rows, cols) bool.
        grid: where its cells are.

    Returns:
        Polygons with holes, x (right) and z (ahead) in metres, camera frame; the largest first.
    """
    edges = np.diff(np.pad(plane, ((0, 0), (1, 1))).astype(np.int8), axis=1)  # 1 begins a run, -1 follows it
    rows, begins = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    if not len(rows):
        return []
    near = grid.z_min + grid.cell * rows
    runs = shapely.box(grid.x_min + grid.cell * begins, near, grid.x_min + grid.cell * ends, near + grid.cell)
    parts = shapely.get_parts(shapely.union_all(runs))
    return sorted((part.simplify(0.0) for part in parts), key=lambda part: -part.area)


def as_coordinates(polygon: Polygon) -> dict[str, list[list[list[float]]] | list[list[float]]]:
    """Plain values: ``exterior`` and ``holes``, closed rings of [x, z]."""
    return {
        "exterior": [list(point) for point in polygon.exterior.coords],
        "holes": [[list(point) for point in ring.coords] for ring in polygon.interiors],
    }
