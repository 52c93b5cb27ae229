"""A camera is compared with those of the training images, whatever the size of the images."""

import numpy as np
import pytest

from diffbev_engine.dataset.camera_ranges import CameraRanges
from diffbev_engine.dataset.records import read_records

_MATRIX = np.array([[80.0, 0.0, 48.0], [0.0, 80.0, 32.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def ranges(tiny_root):
    found = CameraRanges.of(read_records(tiny_root, "train", "all"))
    return CameraRanges.from_plain(found.to_plain())


def test_a_camera_of_training_differs_in_nothing_at_any_size(ranges):
    assert ranges.ranges["fx"] == (80 / 96, 80 / 96)
    assert ranges.difference(_MATRIX, (96, 64)) == ""
    assert ranges.difference(np.diag([5, 5, 1]) @ _MATRIX, (480, 320)) == ""


@pytest.mark.parametrize(
    ("row", "column", "factor", "words"),
    [
        (0, 0, 1.25, "focal length over width is 1.04, in training 0.83"),
        (1, 2, 1.2, "principal point over height"),
    ],
)
def test_another_camera_is_described(ranges, row, column, factor, words):
    matrix = _MATRIX.copy()
    matrix[row, column] *= factor
    assert words in ranges.difference(matrix, (96, 64))


@pytest.mark.parametrize(
    "content", [{}, {"fx": [1]}, {name: [np.nan, 1] for name in ("fx", "fy", "cx", "cy")}, 3]
)
def test_what_is_not_known_differs_in_nothing(content):
    assert CameraRanges.from_plain(content).difference(_MATRIX, (1, 1)) == ""
