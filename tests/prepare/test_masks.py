import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.prepare.masks import fov_mask, occlusion_mask

FRONT = np.array([[1266.417, 0.0, 816.267], [0.0, 1266.417, 491.507], [0.0, 0.0, 1.0]])
X, Z = np.meshgrid(LABEL_GRID.corners_x(), LABEL_GRID.corners_z())


def ray(x: float, z: float) -> int:
    return round(x / z / 0.005 + 5000)


def test_the_front_camera_sees_61_percent_of_the_grid():
    seen = fov_mask(FRONT, 1600, LABEL_GRID)
    assert seen.shape == (196, 200)
    assert seen.mean() == pytest.approx(0.614, abs=0.01)


def test_the_view_is_a_wedge_that_opens_away_from_row_0():
    seen = fov_mask(FRONT, 1600, LABEL_GRID)
    per_row = seen.sum(axis=1)
    assert per_row[0] < 10
    assert (np.diff(per_row) >= 0).all()
    for row in (0, 50, 150):
        columns = np.flatnonzero(seen[row])
        assert (np.diff(columns) == 1).all()
        assert columns[0] <= 100 <= columns[-1]


def test_the_right_edge_of_the_image_is_outside():
    intrinsics = np.array([[100.0, 0, 0], [0, 100.0, 0], [0, 0, 1]])
    seen = fov_mask(intrinsics, 100, LABEL_GRID)  # u = 100 x / z, so x = 0 is the left edge, x = z the right
    assert seen[4, 100]  # z = 2, x = 0
    assert seen[4, 107]  # x = 1.75
    assert not seen[4, 108]  # x = 2
    assert not seen[4, 99]


def test_without_points_all_is_hidden():
    assert occlusion_mask(np.empty((0, 3)), LABEL_GRID).all()


def test_the_farthest_point_of_a_ray_decides():
    points = np.array([[0.0, 3.0, 10.0], [0.0, -2.0, 30.0], [0.0, 0.0, -40.0]])
    hidden = occlusion_mask(points, LABEL_GRID)
    middle = hidden[:, 100]  # x = 0
    assert not middle[Z[:, 100] <= 30].any()
    assert middle[Z[:, 100] > 30].all()


@given(
    st.lists(
        st.tuples(st.floats(-60, 60), st.floats(-3, 3), st.floats(-5, 80)),
        min_size=1,
        max_size=200,
    ),
    st.randoms(use_true_random=False),
)
def test_a_cell_is_hidden_when_all_points_on_its_ray_are_nearer(points: list, random):
    hidden = occlusion_mask(np.array(points), LABEL_GRID)
    farthest: dict[int, float] = {}
    for x, _, z in points:
        if z > 0 and abs(x / z) < 1e6 and 0 < ray(x, z) < 10_000:
            farthest[ray(x, z)] = max(farthest.get(ray(x, z), 0.0), z)
    for _ in range(200):
        i, j = random.randrange(196), random.randrange(200)
        assert hidden[i, j] == (farthest.get(ray(X[i, j], Z[i, j]), 0.0) < Z[i, j])
