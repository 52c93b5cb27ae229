from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.core.grid import BEVGrid
from diffbev_engine.nuscenes.outlines import Outlines, outlines_of_quads
from diffbev_engine.prepare.raster import (
    fill_exact,
    fill_polygons_pon,
    polygon_parts,
    to_cells,
)

SHAPE = (30, 40)
GRID = BEVGrid(x_min=0.0, x_max=40.0, z_min=0.0, z_max=30.0, cell=1.0)  # a cell is a metre
COLUMNS, ROWS = np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0]))
U_SHAPE = shapely.Polygon([(4, 4), (30, 4), (30, 24), (24, 24), (24, 10), (10, 10), (10, 24), (4, 24)])


def fill(polygons: Sequence[shapely.Polygon]) -> np.ndarray:
    outlines = Outlines.of_polygons(np.array(polygons, object))
    vertices, turns, _ = outlines.take(outlines.runs_of(np.arange(len(polygons)))[0])
    return fill_exact(vertices, turns, np.zeros(len(turns), int), SHAPE) != 0


def fill_quads(quads: np.ndarray) -> np.ndarray:
    vertices, turns = outlines_of_quads(quads)
    return fill_exact(vertices, turns, np.zeros(len(turns), int), SHAPE) != 0


def fill_pon_style(polygons: Sequence[shapely.Polygon]) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    planes = np.zeros(len(polygons), int)
    fill_polygons_pon(mask[None], np.array(polygons, object), planes, lambda points: to_cells(points, GRID))
    return mask.astype(bool)


def inside(geometry: shapely.Geometry) -> np.ndarray:
    return shapely.contains_xy(geometry, COLUMNS, ROWS)


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@st.composite
def star_polygons(draw: st.DrawFn) -> shapely.Polygon:
    """Concave polygons with holes, in part or wholly off the grid, in either direction."""
    count = draw(st.integers(3, 12))
    radii = np.array(draw(st.lists(st.floats(4, 25), min_size=count, max_size=count)))
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False) + draw(st.floats(0, 6))
    centre = (draw(st.floats(-20, 60)), draw(st.floats(-20, 50)))
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None] + centre
    if draw(st.booleans()):
        ring = ring[::-1]
    polygon = shapely.Polygon(ring)
    if draw(st.booleans()):
        hole = shapely.Point(centre).buffer(draw(st.floats(0.5, 3)), quad_segs=2)
        polygon = polygon.difference(hole)
    if draw(st.booleans()):
        polygon = shapely.segmentize(polygon, draw(st.floats(0.3, 3)))  # rings of several runs
    parts, _ = polygon_parts(np.array([polygon]))
    return parts[np.argmax(shapely.area(parts))]


@given(st.lists(star_polygons(), min_size=1, max_size=4))
def test_a_cell_is_set_exactly_when_its_corner_is_inside_a_polygon(polygons: list[shapely.Polygon]):
    union = shapely.union_all(polygons)
    edges = shapely.MultiLineString([ring for polygon in polygons for ring in shapely.get_rings(polygon)])
    clear = shapely.distance(edges, shapely.points(COLUMNS, ROWS)) > 1e-6
    assert np.array_equal(fill(polygons)[clear], inside(union)[clear])


@given(st.lists(star_polygons(), min_size=2, max_size=4), st.randoms())
def test_the_order_of_polygons_does_not_matter(polygons: list[shapely.Polygon], random):
    shuffled = random.sample(polygons, len(polygons))
    assert np.array_equal(fill(polygons), fill(shuffled))


@pytest.mark.parametrize("flipped", [False, True])
def test_quads_match_shapely_in_either_direction(flipped: bool):
    rng = np.random.default_rng(0)
    angles, centres = rng.uniform(0, 7, 40), rng.uniform(-5, 45, (40, 2))
    corners = np.array([[2.3, 1.1], [-2.3, 1.1], [-2.3, -1.1], [2.3, -1.1]])
    turn = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], -1).reshape(-1, 2, 2)
    quads = corners @ turn.swapaxes(1, 2) + centres[:, None]
    if flipped:  # every other one runs the other way; overlaps must not cancel
        quads[::2] = quads[::2, ::-1]
    assert np.array_equal(fill_quads(quads), inside(shapely.union_all(shapely.polygons(quads))))


def test_neighbours_share_no_cell_and_leave_no_gap():
    left, right = shapely.box(3, 3, 10, 9), shapely.box(10, 3, 20, 9)
    first, second = fill([left]), fill([right])
    assert not (first & second).any()
    assert np.array_equal(first | second, fill([shapely.box(3, 3, 20, 9)]))
    assert first.sum() == left.area


def test_a_hole_does_not_erase_a_polygon_below():
    ring = shapely.box(5, 5, 25, 25).difference(shapely.box(10, 10, 20, 20))
    below = shapely.box(12, 12, 18, 18)
    assert fill([below, ring])[15, 15]
    assert not fill_pon_style([below, ring])[15, 15]  # the defect that `pon` keeps
    assert fill_pon_style([ring, below])[15, 15]


def test_pon_gets_concave_shapes_wrong_and_exact_does_not():
    # Half a cell off the corners, where neither raster has to decide about edges.
    truth = shapely.affinity.translate(U_SHAPE, 0.5, 0.5)
    assert iou(fill([truth]), inside(truth)) == 1.0
    assert iou(fill_pon_style([U_SHAPE]), inside(U_SHAPE)) < 0.8


def test_pon_matches_one_opencv_call_a_ring():
    rng = np.random.default_rng(1)
    polygons = [shapely.Point(*rng.uniform(0, 40, 2)).buffer(rng.uniform(2, 15)) for _ in range(6)]
    polygons[2] = polygons[2].difference(polygons[2].centroid.buffer(1.5))
    expected = np.zeros(SHAPE, np.uint8)
    for polygon in polygons:
        exterior = np.array(polygon.exterior.coords).round().astype(np.int32)
        cv2.fillConvexPoly(expected, exterior, 1)
        for hole in polygon.interiors:
            cv2.fillConvexPoly(expected, np.array(hole.coords).round().astype(np.int32), 0)
    assert np.array_equal(fill_pon_style(polygons), expected.astype(bool))


def test_pon_draws_nothing_from_nothing():
    assert not fill_pon_style([]).any()
    assert not fill([]).any()


def test_lines_points_and_empty_parts_are_dropped():
    square = shapely.box(0, 0, 1, 1)
    nested = shapely.GeometryCollection(
        [shapely.Point(0, 0), shapely.MultiPolygon([square, shapely.box(2, 2, 3, 3)]), shapely.Polygon()]
    )
    parts, origin = polygon_parts(np.array([shapely.LineString([(0, 0), (1, 1)]), nested, square]))
    assert origin.tolist() == [1, 1, 2]
    assert shapely.equals(parts, [square, shapely.box(2, 2, 3, 3), square]).all()


def test_cells_count_from_the_near_left_corner():
    grid = BEVGrid()
    cells = to_cells(np.array([[-25.0, 1.0], [0.0, 1.5], [24.75, 49.75]]), grid)
    assert cells.tolist() == [[0, 0], [100, 2], [199, 195]]
