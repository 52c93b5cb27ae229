"""Polygons as runs of vertices, as the exact raster reads them."""

from dataclasses import dataclass

import numpy as np
import shapely

_EDGES = 24
"""Of a run. A drivable area has thousands, of which an image shows a hundred: whole runs are left out."""


@dataclass(frozen=True, eq=False)
class Outlines:
    """The rings of many polygons, cut into R short runs of vertices, each with a circle around it."""

    vertices: np.ndarray
    """(2, V) float64, x and y: run after run; where one continues another, it repeats that one's last."""
    turns: np.ndarray
    """(V,) int16: 1 or -1 such that winding numbers add up to 1 inside a polygon and 0 in its
    holes; 0 on the last vertex of a run, from which no edge starts."""
    starts: np.ndarray
    """(R + 1,) int64: run r owns vertices ``starts[r]`` to ``starts[r + 1]``."""
    middles: np.ndarray
    """(2, R) float64: of the circles."""
    radii: np.ndarray
    """(R,) float64."""
    offsets: np.ndarray
    """(P + 1,) int64: polygon p owns runs ``offsets[p]`` to ``offsets[p + 1]``."""

    @classmethod
    def of_polygons(cls, polygons: np.ndarray) -> "Outlines":
        """Outlines of P valid shapely polygons; rings may run in either direction."""
        rings, polygon_of_ring = shapely.get_rings(polygons, return_index=True)
        is_hole = np.r_[False, polygon_of_ring[1:] == polygon_of_ring[:-1]][: len(rings)]
        direction = np.where(shapely.is_ccw(rings) ^ is_hole, 1, -1).astype(np.int16)
        points, ring_of_point = shapely.get_coordinates(rings, return_index=True)
        of_ring = np.bincount(ring_of_point, minlength=len(rings))  # the first one again at the end

        runs_of_ring = -(-(of_ring - 1) // _EDGES)
        ring = np.repeat(np.arange(len(rings)), runs_of_ring)
        before = _EDGES * ranges(np.zeros_like(runs_of_ring), runs_of_ring)  # edges of the ring
        counts = np.minimum(_EDGES, of_ring[ring] - 1 - before) + 1
        starts = np.r_[0, np.cumsum(counts)]
        vertices = points[ranges((np.cumsum(of_ring) - of_ring)[ring] + before, counts)].T.copy()
        turns = np.repeat(direction[ring], counts)
        turns[starts[1:] - 1] = 0

        low, high = np.zeros((2, 2, len(ring)))
        if len(ring):
            low, high = (each.reduceat(vertices, starts[:-1], axis=1) for each in (np.minimum, np.maximum))
        runs_of_polygon = np.bincount(polygon_of_ring[ring], minlength=len(polygons))
        return cls(
            vertices,
            turns,
            starts,
            middles=(low + high) / 2,
            radii=np.hypot(*(high - low)) / 2,
            offsets=np.r_[0, np.cumsum(runs_of_polygon)],
        )

    def runs_of(self, polygons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The runs of the polygons with these indices, and how many each has."""
        counts = self.offsets[polygons + 1] - self.offsets[polygons]
        return ranges(self.offsets[polygons], counts), counts

    def take(self, runs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vertices (2, v) and turns (v,) of these runs, and how many each has."""
        counts = self.starts[runs + 1] - self.starts[runs]
        index = ranges(self.starts[runs], counts)
        return self.vertices[:, index], self.turns[index], counts


def outlines_of_quads(quads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (2, 5 Q) and turns (5 Q,), see ``Outlines``, of Q convex quadrilaterals, (Q, 4, 2)."""
    vertices = np.concatenate([quads, quads[:, :1]], axis=1)  # Q x 5 x 2
    diagonal, other = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
    ccw = diagonal[:, 0] * other[:, 1] > diagonal[:, 1] * other[:, 0]
    turns = np.where(ccw, 1, -1)[:, None] * np.array([1, 1, 1, 1, 0])
    return vertices.reshape(-1, 2).T, turns.ravel().astype(np.int16)


def ranges(firsts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """``firsts[i], firsts[i] + 1, …``, ``counts[i]`` numbers each, one range after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(firsts - ends + counts, counts)
