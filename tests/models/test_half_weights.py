"""Copies of weights in half precision stand for autocast's own: same numbers, same gradients."""

import copy
from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from diffbev_engine.models.half_weights import half_weights
from diffbev_engine.models.norm import GroupNorm


def _network():
    torch.manual_seed(0)
    layers = (
        nn.Conv2d(3, 8, 3, padding=1),
        GroupNorm(2, 8, "relu"),
        nn.ConvTranspose2d(8, 4, 2, stride=2, bias=False),
        nn.Flatten(2),
        nn.Linear(64, 5),
    )
    return nn.ModuleDict({"used": nn.Sequential(*layers), "unused": nn.Linear(2, 2)})


def _gradients(network, precision):
    x = torch.linspace(-1, 1, 96).reshape(2, 3, 4, 4)
    with half_weights(network, precision), torch.autocast("cpu", precision):
        network["used"](x).float().square().sum().backward()
    return {name: weight.grad for name, weight in network.named_parameters()}


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_gradients_are_those_of_autocast(precision):
    network = _network()
    plain = copy.deepcopy(network)
    with torch.autocast("cpu", precision):
        x = torch.linspace(-1, 1, 96).reshape(2, 3, 4, 4)
        plain["used"](x).float().square().sum().backward()
    expected = {name: weight.grad for name, weight in plain.named_parameters()}
    found = _gradients(network, precision)
    for name, gradient in expected.items():
        if gradient is None:
            assert found[name] is None
        else:
            assert found[name].dtype == torch.float32
            assert found[name].stride() == network.get_parameter(name).stride()
            # Convolutions of another memory layout add up in another order.
            assert (found[name] - gradient).norm() < 0.01 * gradient.norm()


def test_weights_are_copies_in_the_block_and_themselves_after_it():
    network = _network()
    before = dict(network.named_parameters())
    with suppress(KeyError), half_weights(network, torch.bfloat16):
        inside = dict(network.named_parameters())
        raise KeyError
    assert {name for name in before if inside[name] is before[name]} == {"used.1.weight", "used.1.bias"}
    assert all(inside[name].dtype == torch.bfloat16 for name in before if not name.startswith("used.1"))
    after = dict(network.named_parameters())
    assert list(after) == list(before)
    assert all(after[name] is before[name] for name in before)


def test_passes_add_their_gradients():
    network = _network()
    once = {
        name: grad.clone() for name, grad in _gradients(network, torch.bfloat16).items() if grad is not None
    }
    twice = _gradients(network, torch.bfloat16)
    for name, gradient in once.items():
        torch.testing.assert_close(twice[name], 2 * gradient)


def test_what_is_computed_again_in_the_backward_pass_uses_the_same_copies():
    network = _network()
    expected = _gradients(copy.deepcopy(network), torch.bfloat16)
    forward = network["used"].forward
    network["used"].forward = lambda x: checkpoint(forward, x, use_reentrant=False)
    found = _gradients(network, torch.bfloat16)
    for name, gradient in expected.items():
        assert found[name] is None if gradient is None else torch.equal(found[name], gradient)


def test_in_full_precision_nothing_is_copied():
    network = _network()
    with half_weights(network, torch.float32):
        assert all(isinstance(weight, nn.Parameter) for weight in network.parameters())
