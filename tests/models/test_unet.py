import pytest
import torch

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.settings import DiffusionSettings
from diffbev_engine.models.unet import ConditionalUNet
from diffbev_engine.models.unet_blocks import ConditionGate, TimeEmbedding

SMALL = {"widths": (8, 16, 16), "groups": 4, "blocks": 1}
SIZES = [(98, 100), (13, 18), (4, 5)]


def _inputs(size, channels=8, batch=2):
    generator = torch.Generator().manual_seed(0)
    x, condition = torch.randn(2, batch, channels, *size, generator=generator)
    return x, condition, torch.tensor([1, 900])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("xt_encoding", ["conv", "self_attn"])
def test_output_has_the_shape_of_the_input(size, xt_encoding):
    unet = ConditionalUNet(8, DiffusionSettings(**SMALL, xt_encoding=xt_encoding))
    x, condition, t = _inputs(size)
    assert unet(x, condition, t).shape == x.shape


def test_untrained_network_predicts_nothing():
    unet = ConditionalUNet(8, DiffusionSettings(**SMALL))
    assert (unet(*_inputs((12, 12))) == 0).all()


@pytest.mark.parametrize("xt_encoding", ["conv", "self_attn"])
def test_every_parameter_learns_once_the_zero_layers_have_moved(xt_encoding):
    unet = ConditionalUNet(8, DiffusionSettings(**SMALL, xt_encoding=xt_encoding))
    optimizer = torch.optim.SGD(unet.parameters(), lr=0.1)
    x, condition, t = _inputs((12, 12))
    for _ in range(5):
        optimizer.zero_grad()
        (unet(x, condition, t) - x).square().mean().backward()
        optimizer.step()
    still = [name for name, p in unet.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_output_depends_on_condition_and_time():
    unet = ConditionalUNet(8, DiffusionSettings(**SMALL))
    torch.nn.init.normal_(unet.leave.weight)
    x, condition, t = _inputs((12, 12))
    out = unet(x, condition, t)
    assert not torch.allclose(out, unet(x, -condition, t))
    assert not torch.allclose(out, unet(x, condition, t // 2))


def test_gate_starts_open_for_the_condition_as_it_is():
    condition, x = torch.randn(2, 1, 8, 6, 6)
    assert torch.equal(ConditionGate(8, 4, "conv")(condition, x), condition)


def test_gate_reads_the_noised_feature_when_trained():
    gate = ConditionGate(8, 4, "conv")
    torch.nn.init.normal_(gate.gate.weight)
    condition, x = torch.randn(2, 1, 8, 6, 6)
    assert not torch.allclose(gate(condition, x), gate(condition, x.flip(2)))


def test_neighbouring_times_embed_nearer_than_distant_ones():
    embed = TimeEmbedding(32)
    a, b, c = embed(torch.tensor([100, 101, 900]))
    assert (a - b).norm() < (a - c).norm()


def test_groups_that_do_not_divide_a_width_are_named():
    with pytest.raises(UsageError, match="groups=32 does not divide the width 48"):
        ConditionalUNet(64, DiffusionSettings(widths=(64, 48, 64)))
