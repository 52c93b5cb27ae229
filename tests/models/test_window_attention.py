"""The kernels of window attention compute what timm's network does, and its gradients."""

import pytest
import torch
from timm.models.swin_transformer import SwinTransformerBlock, WindowAttention

from diffbev_engine.models.window_attention import CompiledWindowAttention, use_kernels
from tests.models.interpreter import interpreted

ON_THE_CPU = """
import torch
from diffbev_engine.models import window_kernels
from diffbev_engine.models.window_kernels import attend, attend_backward

torch.manual_seed(0)
window_kernels._PROGRAMS = 9  # of which each gets several windows, the last fewer
windows, images, tokens, heads, channels = 4, 2, 49, 3, 32
scale = channels**-0.5
qkv = torch.randn(windows, tokens, 3 * heads * channels, dtype=torch.float16)
bias = torch.randn(heads, tokens, tokens)
for mask in (None, torch.where(torch.rand(images, tokens, tokens) < 0.3, -100.0, 0.0)):
    given, table = qkv.double().requires_grad_(), bias.double().requires_grad_()
    q, k, v = given.view(windows, tokens, 3, heads, channels).permute(2, 0, 3, 1, 4)
    scores = scale * q @ k.transpose(-1, -2) + table
    if mask is not None:
        scores = (scores.unflatten(0, (-1, images)) + mask[:, None]).flatten(0, 1)
    expected = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
    gradient = torch.randn_like(expected).half()
    expected.backward(gradient.double())
    found = attend(qkv, bias, mask, heads, scale), *attend_backward(gradient, qkv, bias, mask, heads, scale)
    for ours, theirs in zip(found, (expected, given.grad, table.grad), strict=True):
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=2e-3, atol=4e-3)
print("equal")
"""


@pytest.mark.slow
def test_the_kernels_give_attention_and_its_gradients():
    assert interpreted(ON_THE_CPU) == "equal\n"


def test_a_network_keeps_its_weights_and_numbers():
    block = SwinTransformerBlock(32, (14, 14), num_heads=2, window_size=7, shift_size=3)
    images, before = torch.randn(1, 14, 14, 32), dict(block.state_dict())
    expected = block(images)
    use_kernels(block)
    assert type(block.attn) is CompiledWindowAttention
    assert isinstance(block.attn, WindowAttention)
    assert block.state_dict().keys() == before.keys()
    assert torch.equal(block(images), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("shift", [0, 3])
def test_a_compiled_block_gives_the_numbers_of_a_plain_one(shift):
    torch.manual_seed(0)
    block = SwinTransformerBlock(64, (30, 44), num_heads=2, window_size=7, shift_size=shift).cuda()
    use_kernels(block)
    block.attn.fused_attn = True
    images = torch.randn(2, 30, 44, 64, device="cuda")
    compiled = torch.compile(block, dynamic=False, fullgraph=True)
    found = []
    for network in (block, compiled):
        given = images.clone().requires_grad_()
        block.zero_grad()
        with torch.autocast("cuda", torch.bfloat16):
            out = network(given)
        out.square().sum().backward()
        found.append([out, given.grad, *(parameter.grad for parameter in block.parameters())])
    for plain, fast in zip(*found, strict=True):
        assert (plain - fast).norm() <= 0.02 * plain.norm()
