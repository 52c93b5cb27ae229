"""Outlines cover exactly the cells of their class, whatever its shape."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from diffbev_engine.core.grid import BEVGrid
from diffbev_engine.predict.polygons import as_coordinates, outlines

_GRID = BEVGrid(x_min=-2.0, x_max=2.0, z_min=1.0, z_max=4.0, cell=0.5)


@given(arrays(bool, (6, 8)))
def test_outlines_are_valid_and_cover_the_cells(plane):
    parts = outlines(plane, _GRID)
    assert all(part.is_valid for part in parts)
    assert sum(part.area for part in parts) == pytest.approx(plane.sum() * 0.25)
    assert [part.area for part in parts] == sorted((part.area for part in parts), reverse=True)


def test_a_ring_has_a_hole_and_its_place_in_metres():
    plane = np.zeros((6, 8), bool)
    plane[1:4, 4:7] = True
    plane[2, 5] = False
    [part] = outlines(plane, _GRID)
    assert part.bounds == (0.0, 1.5, 1.5, 3.0)
    about = as_coordinates(part)
    assert len(about["holes"]) == 1
    assert sorted(map(tuple, about["holes"][0][:-1])) == [(0.5, 2.0), (0.5, 2.5), (1.0, 2.0), (1.0, 2.5)]
