import pytest
import torch

from diffbev_engine.models.condition import Condition


@pytest.fixture
def feature():
    return torch.randn(2, 8, 6, 5)


@pytest.fixture
def mass():
    return torch.rand(2, 1, 6, 5) * 30


def test_original_condition_is_the_feature(feature, mass):
    condition = Condition("O", 8, 4)
    assert condition(feature, mass) is feature
    assert list(condition.parameters()) == []


def test_semantic_condition_reads_only_the_depth_mass(feature, mass):
    condition = Condition("S", 8, 4)
    assert torch.equal(condition(feature, mass), condition(-feature, mass))
    assert not torch.allclose(condition(feature, mass), condition(feature, mass.flip(2)))


def test_the_sum_is_the_sum(feature, mass):
    condition = Condition("O+S", 8, 4)
    torch.testing.assert_close(condition(feature, mass), feature + condition.from_mass(mass.log1p()))


def test_depth_learns_through_the_semantic_condition(feature, mass):
    mass.requires_grad_()
    Condition("S", 8, 4)(feature, mass).square().sum().backward()
    assert mass.grad.any()
