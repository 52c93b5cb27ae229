import pytest
import torch

from diffbev_engine.models.fusion import Fusion
from diffbev_engine.models.settings import FusionSettings

TYPES = ["cross_attn", "concat", "add"]


@pytest.mark.parametrize("kind", TYPES)
def test_untrained_fusion_returns_the_original_to_the_bit(kind):
    fusion = Fusion(FusionSettings(type=kind), 16, (6, 5))
    original, denoised = torch.randn(2, 2, 16, 6, 5)
    assert torch.equal(fusion(original, denoised), original)


@pytest.mark.parametrize("kind", TYPES)
def test_trained_fusion_reads_the_denoised_feature(kind):
    fusion = Fusion(FusionSettings(type=kind), 16, (6, 5))
    torch.nn.init.normal_(fusion.project.weight)
    original, denoised = torch.randn(2, 2, 16, 6, 5)
    assert not torch.allclose(fusion(original, denoised), fusion(original, -denoised))


@pytest.mark.parametrize("kind", TYPES)
def test_every_parameter_learns_once_the_gate_has_opened(kind):
    fusion = Fusion(FusionSettings(type=kind), 16, (6, 5))
    torch.nn.init.normal_(fusion.project.weight)
    original, denoised = torch.randn(2, 2, 16, 6, 5)
    fusion(original, denoised).square().sum().backward()
    assert [name for name, p in fusion.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_the_gate_itself_learns_from_the_first_step():
    fusion = Fusion(FusionSettings(), 16, (6, 5))
    original, denoised = torch.randn(2, 2, 16, 6, 5)
    fusion(original, denoised).square().sum().backward()
    assert fusion.project.weight.grad.any()
