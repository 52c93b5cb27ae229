"""Polygons drawn one at a time, as the scripts of PON do; independent of the engine."""

from typing import Any

import cv2
import numpy as np


def coefficients(affine: np.ndarray) -> list[float]:
    return [*affine[0, :2], *affine[1, :2], *affine[:2, 2]]


def draw_pon(mask: np.ndarray, geometry: Any) -> None:
    if geometry.geom_type == "Polygon":
        fill_pon(mask, geometry.exterior.coords, 1)
        for hole in geometry.interiors:
            fill_pon(mask, hole.coords, 0)
    else:
        for part in getattr(geometry, "geoms", ()):
            draw_pon(mask, part)


def fill_pon(mask: np.ndarray, points: Any, value: int) -> None:
    cells = (np.array(points) - (-25, 1)) / 0.25
    if len(cells):
        cv2.fillConvexPoly(mask, cells.round().astype(np.int32), (value,))
