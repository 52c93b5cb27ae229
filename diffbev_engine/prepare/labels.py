"""One BEV label from maps, boxes and LiDAR, by the algorithm of PON (Roddick and Cipolla, CVPR 2020).

The BEV frame is the camera frame without its height (x right, z forward): camera pitch, roll and
height are neglected, as in the published labels.  ``world_from_bev`` below is the 3 x 3 affine map
from homogeneous (x, z) to world (X, Y).
"""

import math
from dataclasses import dataclass

import numpy as np
import shapely

from diffbev_engine.core.classes import CATEGORY_TO_CLASS, CLASSES, NUM_CLASSES
from diffbev_engine.core.grid import LABEL_GRID, BEVGrid
from diffbev_engine.nuscenes.maps import MapLayers
from diffbev_engine.nuscenes.outlines import outlines_of_quads
from diffbev_engine.nuscenes.tables import Boxes, CameraFrame
from diffbev_engine.prepare.encoding import add_ignored, pack_planes, unpack_classes
from diffbev_engine.prepare.lidar import points_in_camera
from diffbev_engine.prepare.masks import fov_mask, occlusion_mask
from diffbev_engine.prepare.raster import (
    RASTERS,
    fill_exact,
    fill_polygons_pon,
    fill_pon,
    polygon_parts,
    to_cells,
)

_PLANE_OF_CLASS = {name: plane for plane, name in enumerate(CLASSES)}
# Boxes of no class (animals, strollers, debris, ...) are drawn on a plane of their own, after the classes.
_NO_CLASS = NUM_CLASSES


@dataclass(frozen=True, eq=False)
class LabelPlanes:
    """A label before encoding; (rows, cols), row 0 nearest to the camera."""

    bits: np.ndarray
    """uint16, a bit a class."""
    ignore: np.ndarray
    """bool: outside the view, hidden from LiDAR, or under a box of no class."""
    outside_fov: np.ndarray
    """bool: outside the view or under a box of no class."""

    @property
    def classes(self) -> np.ndarray:
        """(14, rows, cols) bool."""
        return unpack_classes(self.bits)

    def encode(self) -> np.ndarray:
        """(rows, cols) uint16, see `encoding`."""
        return add_ignored(self.bits, self.ignore, self.outside_fov)


def render_label(
    frame: CameraFrame,
    boxes: Boxes,
    map_layers: MapLayers,
    points: np.ndarray,
    raster: str,
    grid: BEVGrid = LABEL_GRID,
) -> LabelPlanes:
    """Draw the label of one image.

    Args:
        frame: the image.
        boxes: all boxes of its sample, whatever their visibility.
        map_layers: of its location.
        points: (N, 3) of its key-frame sweep, lidar frame.
        raster: ``exact`` or ``pon``, see `raster`.
        grid: in the camera frame.
    """
    if raster not in RASTERS:
        raise ValueError(f"raster must be one of {RASTERS}, not {raster!r}")
    world_from_bev = frame.world_from_camera[np.ix_((0, 1, 3), (0, 2, 3))]
    bev_from_world = np.linalg.inv(world_from_bev)
    patch = _to_world_patch(world_from_bev, grid)
    quads, planes = _footprints(boxes, bev_from_world, grid)

    draw = _draw_exact if raster == "exact" else _draw_pon
    drawn = draw(map_layers, patch, bev_from_world, quads, planes, grid)
    of_no_class = drawn & np.uint16(1 << _NO_CLASS)
    outside = (of_no_class != 0) | ~fov_mask(frame.intrinsics, frame.width, grid)
    hidden = occlusion_mask(points_in_camera(frame, points), grid)
    return LabelPlanes(bits=drawn ^ of_no_class, ignore=outside | hidden, outside_fov=outside)


def _to_world_patch(world_from_bev: np.ndarray, grid: BEVGrid) -> shapely.Polygon:
    """The extent of the grid as a world polygon."""
    near, far = (grid.x_max, grid.z_min), (grid.x_max, grid.z_max)
    corners = np.array([near, far, (grid.x_min, grid.z_max), (grid.x_min, grid.z_min), near])
    return shapely.polygons(_apply(world_from_bev, corners))


def _apply(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(..., 2) points through a 3 x 3 affine map."""
    return points @ affine[:2, :2].T + affine[:2, 2]


def _footprints(boxes: Boxes, bev_from_world: np.ndarray, grid: BEVGrid) -> tuple[np.ndarray, np.ndarray]:
    """Box footprints near the grid: (Q, 4, 2) in cells, and the plane of each (Q,)."""
    shape = np.array(grid.shape[::-1])
    # No corner is farther from the centre than this; one cell of margin, since the raster of PON rounds
    # vertices, and one for rounding here.
    centres = to_cells(_apply(bev_from_world, boxes.centres[:, :2]), grid)
    scale = np.linalg.norm(bev_from_world[:2, :2]) / grid.cell
    reach = scale * np.linalg.norm(boxes.sizes, axis=1, keepdims=True) / 2 + 2
    boxes = boxes.take(np.flatnonzero(((centres > -reach) & (centres < shape + reach)).all(axis=1)))

    quads = to_cells(_apply(bev_from_world, boxes.bottom_corners()[:, :, :2]), grid)
    names = [CATEGORY_TO_CLASS.get(category, "") for category in boxes.categories]
    planes = np.array([_PLANE_OF_CLASS.get(name, _NO_CLASS) for name in names], np.int64)
    near = (quads.max(axis=1) > -1) & (quads.min(axis=1) < shape + 1)
    keep = near.all(axis=1)
    return quads[keep], planes[keep]


def _draw_exact(
    map_layers: MapLayers,
    patch: shapely.Polygon,
    bev_from_world: np.ndarray,
    quads: np.ndarray,
    planes: np.ndarray,
    grid: BEVGrid,
) -> np.ndarray:
    """(rows, cols) uint16, a bit a plane; nothing needs clipping, far edges cross no row or column."""
    outlines = map_layers.outlines
    (column_x, column_y, column), (row_x, row_y, row), _ = bev_from_world

    def cells(world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = world
        return (
            (column_x * x + column_y * y + column - grid.x_min) / grid.cell,
            (row_x * x + row_y * y + row - grid.z_min) / grid.cell,
        )

    near = [layer.near(patch) for layer in map_layers.layers]
    before = np.cumsum([0, *(len(layer.polygons) for layer in map_layers.layers[:-1])])
    of_layer = [len(polygons) for polygons in near]
    runs, of_polygon = outlines.runs_of(np.concatenate(near) + np.repeat(before, of_layer))
    plane = np.repeat(np.repeat(np.arange(len(near)), of_layer), of_polygon)  # of each run

    # Runs above, below and to the right of the grid change nothing; one cell of margin for rounding.
    columns, rows = cells(outlines.middles[:, runs])
    reach = outlines.radii[runs] / grid.cell
    column_reach, row_reach = math.hypot(column_x, column_y) * reach + 1, math.hypot(row_x, row_y) * reach + 1
    last_row, last_column = grid.shape
    seen = (rows + row_reach > 0) & (rows - row_reach < last_row) & (columns - column_reach < last_column)
    on_map, turns, of_run = outlines.take(runs[seen])
    of_boxes, turns_of_boxes = outlines_of_quads(quads)
    return fill_exact(
        vertices=np.concatenate([cells(on_map), of_boxes], axis=1),
        turns=np.concatenate([turns, turns_of_boxes]),
        planes=np.concatenate([np.repeat(plane[seen], of_run), np.repeat(planes, 5)]),
        shape=grid.shape,
    )


def _draw_pon(
    map_layers: MapLayers,
    patch: shapely.Polygon,
    bev_from_world: np.ndarray,
    quads: np.ndarray,
    planes: np.ndarray,
    grid: BEVGrid,
) -> np.ndarray:
    """(rows, cols) uint16, a bit a plane: clip in the world, then move to the grid and round."""
    masks = np.zeros((NUM_CLASSES + 1, *grid.shape), np.uint8)
    near = [layer.meeting(patch) for layer in map_layers.layers]
    plane_of_polygon = np.repeat(np.arange(len(near)), [len(polygons) for polygons in near])
    parts, origin = polygon_parts(shapely.intersection(np.concatenate(near), patch))

    def cells(points: np.ndarray) -> np.ndarray:
        return to_cells(_apply(bev_from_world, points), grid)

    fill_polygons_pon(masks, parts, plane_of_polygon[origin], cells)
    fill_pon(masks, quads, planes, np.ones(len(quads), np.uint8))
    return pack_planes(masks)
