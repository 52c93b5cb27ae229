import cv2
import numpy as np
import pytest

from diffbev_engine.synth.itinerary import Canvas
from diffbev_engine.synth.mapmask import CELL, write_mask
from diffbev_engine.synth.raster import blank_raster, cloudy_noise, pyramid
from diffbev_engine.synth.world import build_site

CORNERS = np.array([[0.0, 0.0], [20.0, 0.0], [20.0, 10.0], [0.0, 10.0]])


@pytest.mark.parametrize("heading", [0.0, 0.7, -2.0])
def test_what_is_filled_in_the_world_is_found_there(heading: float):
    raster = blank_raster(CORNERS, heading, 0.1, (10, 20, 30, 40))
    raster.fill(np.array([[5, 3], [9, 3], [9, 6], [5, 6]], float), (200, 100, 50, 25))
    points = np.random.default_rng(0).uniform((1, 1), (19, 9), (500, 2))
    away = np.maximum(np.abs(points[:, 0] - 7) - 2, np.abs(points[:, 1] - 4.5) - 1.5)
    found = raster.at(points)
    assert (found[away < -0.15] == [200, 100, 50, 25]).all()
    assert (found[away > 0.15] == [10, 20, 30, 40]).all()


def test_a_line_is_as_wide_as_asked():
    raster = blank_raster(CORNERS, 0.0, 0.05, (0, 0, 0, 0))
    raster.line(np.array([[2.0, 5.0], [18.0, 5.0]]), 0.3, (255, 255, 255, 255))
    assert np.count_nonzero(raster.image[:, 200, 0] > 127) * 0.05 == pytest.approx(0.3, abs=0.051)


def test_a_pyramid_keeps_the_mean():
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 4), dtype=np.uint8)
    for level in pyramid(image, 3):
        np.testing.assert_allclose(level.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=0.6)


def test_noise_wraps_around():
    tile = cloudy_noise(np.random.default_rng(0), 128, ((8, 1.0),))
    inner = np.abs(np.diff(tile, axis=0)).max()
    assert np.abs(tile[0] - tile[-1]).max() < 1.5 * inner
    assert tile.mean() == pytest.approx(0.0, abs=1e-5)


def test_the_mask_shows_roads_and_walkways_with_north_up(tmp_path):
    canvas = Canvas(2, 1, 300.0)
    site = build_site(0, "scene-0061", 4, False, (450.0, 150.0))
    write_mask(tmp_path / "mask.png", canvas, [site])
    mask = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == (3000, 6000)
    assert mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}
    assert not mask[:, :3000].any()  # the empty tile
    s = np.arange(-40.0, 80.0, 5.0)
    road = site.street.centreline.points(s, site.ego.t)
    rows, columns = np.floor((300.0 - road[:, 1]) / CELL).astype(int), np.floor(road[:, 0] / CELL).astype(int)
    assert (mask[rows, columns] == 255).all()
