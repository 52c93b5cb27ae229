import math

import pytest
import torch

from diffbev_engine.models.depth import DepthTarget, depth_errors, depth_loss, depth_target
from diffbev_engine.models.geometry import depth_bins

UPSTREAM = torch.from_numpy(depth_bins("upstream"))
ALIGNED = torch.from_numpy(depth_bins("aligned"))


def test_a_feature_takes_its_nearest_point():
    sparse = torch.zeros(1, 4, 8)
    sparse[0, 0, 1], sparse[0, 3, 3] = 20.0, 7.2  # both in the first 4x4 feature
    target = depth_target(sparse, UPSTREAM, (1, 2), stride=4)
    assert target.supervised.tolist() == [[[True, False]]]
    assert target.depth[0, 0, 0] == pytest.approx(7.2)
    assert UPSTREAM[target.bins[0, 0, 0]] == 7


@pytest.mark.parametrize("candidates", [UPSTREAM, ALIGNED])
def test_the_target_is_the_nearest_candidate(candidates):
    depths = torch.linspace(1.01, 49.99, 400)
    target = depth_target(depths.view(1, 1, 400), candidates, (1, 400), stride=1)
    nearest = (depths[:, None].double() - candidates).abs().argmin(dim=1)
    assert torch.equal(target.bins[0, 0], nearest)


def test_rows_beyond_the_lift_are_cropped_and_padding_has_no_points():
    sparse = torch.full((1, 10, 8), 5.0)
    assert depth_target(sparse, UPSTREAM, (2, 2), stride=4).supervised.all()
    padded = depth_target(sparse, ALIGNED, (4, 2), stride=4)  # rows 12 to 15 are padding
    assert padded.supervised[0, :, 0].tolist() == [True, True, True, False]


def _target(bins, supervised):
    bins = torch.tensor(bins)
    return DepthTarget(UPSTREAM[bins].float(), bins, torch.tensor(supervised))


def test_uniform_distributions_start_where_the_documentation_says():
    target = _target([[[3, 20]]], [[[True, True]]])
    uniform = torch.zeros(1, 49, 1, 2)
    assert depth_loss(uniform, target, "ce").item() == pytest.approx(math.log(49))
    # One bin misses log 49, 48 bins miss -log(48/49) each.
    expected = (math.log(49) - 48 * math.log(48 / 49)) / 49
    assert depth_loss(uniform, target, "bce_mean").item() == pytest.approx(expected, rel=1e-5)
    assert expected == pytest.approx(0.10, abs=0.002)


@pytest.mark.parametrize("form", ["bce_mean", "ce"])
def test_matches_torch_on_supervised_features_alone(form):
    logits = torch.randn(2, 49, 3, 4, generator=torch.Generator().manual_seed(1))
    supervised = torch.rand(2, 3, 4, generator=torch.Generator().manual_seed(2)) < 0.5
    bins = torch.randint(0, 49, (2, 3, 4), generator=torch.Generator().manual_seed(3))
    target = DepthTarget(UPSTREAM[bins].float(), bins, supervised)
    rows = logits.permute(0, 2, 3, 1)[supervised]  # N x 49
    if form == "ce":
        expected = torch.nn.functional.cross_entropy(rows, bins[supervised])
    else:
        one_hot = torch.nn.functional.one_hot(bins[supervised], 49).float()
        expected = torch.nn.functional.binary_cross_entropy(rows.softmax(1), one_hot)
    torch.testing.assert_close(depth_loss(logits, target, form), expected)


@pytest.mark.parametrize("form", ["bce_mean", "ce"])
def test_extreme_logits_give_finite_loss_and_gradient(form):
    for sign in (1.0, -1.0):
        logits = torch.zeros(1, 49, 1, 1)
        logits[0, 5] = sign * 200
        logits.requires_grad_()
        loss = depth_loss(logits, _target([[[5]]], [[[True]]]), form)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("form", ["bce_mean", "ce"])
def test_a_batch_without_points_costs_nothing_and_moves_nothing(form):
    logits = torch.randn(1, 49, 2, 2, requires_grad=True)
    target = depth_target(torch.zeros(1, 8, 8), UPSTREAM, (2, 2), stride=4)
    loss = depth_loss(logits, target, form)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


def test_errors_of_a_known_estimate():
    logits = torch.full((1, 49, 1, 3), -1e4)
    logits[0, 9, 0, 0] = logits[0, 19, 0, 1] = logits[0, 0, 0, 2] = 1e4  # 10, 20 and 1 m
    target = DepthTarget(
        torch.tensor([[[8.0, 19.0, 5.0]]]),
        torch.tensor([[[7, 18, 4]]]),
        torch.tensor([[[True, True, False]]]),
    )
    errors = depth_errors(logits, target, UPSTREAM)
    assert errors.features == 2
    assert errors.absolute_relative.item() == pytest.approx(2 / 8 + 1 / 19)
    assert errors.squared.item() == pytest.approx(4 + 1)
    assert errors.within_quarter == 1  # 10 / 8 is 1.25, not below it
