import cv2
import numpy as np
import pytest

from diffbev_engine.synth.polygons import Polygon
from diffbev_engine.synth.world import Site, build_site

CELL = 0.2


def _site(number: int, mirrored: bool = False) -> Site:
    return build_site(0, f"scene-{number:04d}", 6, mirrored, (200.0, 200.0))


def _fill(polygons: list[Polygon]) -> np.ndarray:
    image = np.zeros((2000, 2000), np.uint8)
    for polygon in polygons:
        layer = np.zeros_like(image)
        rings = [
            np.round(ring / CELL * 16 - 8).astype(np.int32) for ring in (polygon.exterior, *polygon.holes)
        ]
        cv2.fillPoly(layer, rings, 1, cv2.LINE_8, 4)
        image |= layer
    return image.astype(bool)


@pytest.mark.parametrize("number", range(8))
def test_roads_and_walkways_do_not_overlap(number: int):
    polygons = _site(number, mirrored=number % 2 == 1).polygons
    drivable = _fill([polygon for group in polygons.drivable() for polygon in group])
    walkway = _fill(polygons.walkways)
    assert drivable.sum() * CELL**2 > 1000
    assert walkway.sum() * CELL**2 > 500
    # A drawn polygon includes its edge, which both sides of a kerb share.
    within = cv2.erode(drivable.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert (within & walkway).sum() / walkway.sum() < 0.004


@pytest.mark.parametrize("number", range(8))
def test_crossings_lie_on_roads(number: int):
    polygons = _site(number).polygons
    drivable = _fill([*[polygon for group in polygons.drivable() for polygon in group]])
    crossing = _fill(polygons.crossings)
    assert crossing.any()
    assert (crossing & drivable).sum() / crossing.sum() > 0.97


def test_no_road_covers_an_island_and_no_walkway_a_planter():
    islands = planters = 0
    for number in range(8):
        polygons = _site(number).polygons
        drivable = _fill([polygon for group in polygons.drivable() for polygon in group])
        walkway = _fill(polygons.walkways)
        for layer, hole in [(drivable, hole) for hole in polygons.road.holes] + [
            (walkway, hole) for polygon in polygons.walkways for hole in polygon.holes
        ]:
            inside = cv2.erode(_fill([Polygon(hole)]).astype(np.uint8), np.ones((5, 5), np.uint8)).astype(
                bool
            )
            assert not (layer & inside).any()
        islands += len(polygons.road.holes)
        planters += sum(len(polygon.holes) for polygon in polygons.walkways)
    assert islands > 3
    assert planters > 3


def test_every_street_has_every_map_class_near_its_start():
    for number in range(12):
        site = _site(number)
        assert any(crossing.s[0] < 60 for crossing in site.street.crossings)
        assert any(park.s[0] < 60 for park in site.street.car_parks)
        assert site.polygons.walkways


def test_a_site_lies_around_its_centre_on_the_map():
    points = np.concatenate([polygon.exterior for polygon in _site(3).polygons.everything()])
    np.testing.assert_allclose((points.min(axis=0) + points.max(axis=0)) / 2, [200, 200])


def test_left_hand_traffic_mirrors_the_lane_of_the_ego_vehicle():
    right, left = _site(5), _site(5, mirrored=True)
    assert right.ego == left.ego
    for site, sign in ((right, -1), (left, 1)):
        line = site.street.centreline
        middle, ego = (
            line.place(np.array(0.0), np.array(0.0)),
            line.place(np.array(0.0), np.array(site.ego.t)),
        )
        to_left = np.array([-np.sin(middle[2]), np.cos(middle[2])])
        assert np.sign((ego - middle)[:2] @ to_left) == sign
