"""Polygons as runs of vertices, as the rasters read them."""

from dataclasses import dataclass

import numpy as np
import shapely


@dataclass(frozen=True, eq=False)
class Outlines:
    """Rings of many polygons as one run of vertices, ready for `fill_exact`."""

    vertices: np.ndarray
    """(2, V) float64, x and y: the closed rings one after the other, the first vertex repeated at the end."""
    turns: np.ndarray
    """(V,) int16: 1 or -1 such that winding numbers add up to 1 inside a polygon and 0 in its
    holes; 0 on the last vertex of a ring, from which no edge starts."""
    offsets: np.ndarray
    """(P + 1,) int64: polygon p owns vertices ``offsets[p]`` to ``offsets[p + 1]``."""

    @classmethod
    def of_polygons(cls, polygons: np.ndarray) -> "Outlines":
        """Outlines of P valid shapely polygons; rings may run in either direction."""
        rings, polygon_of_ring = shapely.get_rings(polygons, return_index=True)
        is_hole = np.r_[False, polygon_of_ring[1:] == polygon_of_ring[:-1]][: len(rings)]
        vertices, ring_of_vertex = shapely.get_coordinates(rings, return_index=True)
        last = np.r_[ring_of_vertex[1:] != ring_of_vertex[:-1], True][: len(vertices)]
        direction = np.where(shapely.is_ccw(rings) ^ is_hole, 1, -1).astype(np.int16)
        turns = np.where(last, np.int16(0), direction[ring_of_vertex])
        counts = np.bincount(polygon_of_ring[ring_of_vertex], minlength=len(polygons))
        return cls(np.ascontiguousarray(vertices.T), turns, np.r_[0, np.cumsum(counts)])

    @classmethod
    def of_quads(cls, quads: np.ndarray) -> "Outlines":
        """Outlines of Q convex quadrilaterals, (Q, 4, 2); corners may run in either direction."""
        vertices = np.concatenate([quads, quads[:, :1]], axis=1)  # Q x 5 x 2
        diagonal, other = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
        ccw = diagonal[:, 0] * other[:, 1] > diagonal[:, 1] * other[:, 0]
        turns = np.where(ccw, 1, -1)[:, None] * np.array([1, 1, 1, 1, 0])
        points = np.ascontiguousarray(vertices.reshape(-1, 2).T)
        return cls(points, turns.ravel().astype(np.int16), 5 * np.arange(len(quads) + 1))

    def pick(self, polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (2, v) and turns (v,) of the polygons with these indices."""
        spans = [slice(self.offsets[p], self.offsets[p + 1]) for p in polygons]
        if not spans:
            return self.vertices[:, :0], self.turns[:0]
        return (
            np.concatenate([self.vertices[:, span] for span in spans], axis=1),
            np.concatenate([self.turns[span] for span in spans]),
        )
