import numpy as np
import pytest

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.geometry import depth_bins, frustum, padded_size


def test_upstream_depths_are_whole_metres_from_1_to_49():
    np.testing.assert_array_equal(depth_bins("upstream"), np.arange(1, 50))


def test_aligned_depths_are_the_centres_of_the_98_bev_rows():
    bins = depth_bins("aligned")
    assert len(bins) == 98
    assert (bins[0], bins[1], bins[-1]) == (1.25, 1.75, 49.75)


def test_upstream_points_span_the_image_and_crop_the_features():
    points = frustum("upstream", (600, 800), stride=32)
    assert points.feature_size == (18, 25)  # the backbone returns 19 x 25
    assert (points.u[0], points.u[-1], points.v[0], points.v[-1]) == (0, 799, 0, 599)


def test_aligned_points_are_the_centres_of_the_pixels_behind_a_feature():
    points = frustum("aligned", (600, 800), stride=32)
    assert points.feature_size == (19, 25)
    np.testing.assert_array_equal(points.u[:2], [15.5, 47.5])
    assert points.v[-1] == np.arange(576, 608).mean()


def test_padding_reaches_the_next_multiple_only():
    assert padded_size((600, 800), 32) == (608, 800)


def test_an_image_smaller_than_a_stride_is_refused():
    with pytest.raises(UsageError, match="smaller than the backbone's stride of 32"):
        frustum("upstream", (20, 800), stride=32)
