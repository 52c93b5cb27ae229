"""The kernels of window attention compute what timm's network does, and its gradients."""

import pytest
import torch
from timm.models.swin_transformer import SwinTransformerBlock

from diffbev_engine.models.window_attention import CompiledSwinBlock, use_kernels
from tests.models.interpreter import interpreted

ON_THE_CPU = """
import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock
from torch import nn

from diffbev_engine.models import window_attention
from diffbev_engine.models.window_attention import CompiledSwinBlock
from diffbev_engine.models.window_kernels import attend, attend_backward

torch.manual_seed(0)
window_attention._PROGRAMS = 18  # of which each gets several images, the last fewer
for size, window, shift in (
    ((14, 14), (7, 7), 0),  # whole windows
    ((9, 16), (7, 7), 3),  # padded and shifted
    ((5, 16), (7, 7), 3),  # fewer rows than a window: shifted along columns alone
    ((9, 8), (3, 5), 1),
):
    block = SwinTransformerBlock(96, size, 3, window_size=window, shift_size=shift, always_partition=False)
    block.attn.proj, attention = nn.Identity(), block.attn
    nn.init.normal_(attention.qkv.bias)
    nn.init.normal_(attention.relative_position_bias_table)
    attention.qkv.half(), block.double()
    x = torch.randn(3, *size, 96).half().double().requires_grad_()
    expected = block._attn(x)
    grad = torch.randn_like(expected).half()
    expected.backward(grad.double())

    weight, bias = (each.detach() for each in attention.qkv.parameters())
    qkv = F.linear(x.detach(), weight, bias).half()
    tile = CompiledSwinBlock._bias(block).detach().float()
    given = qkv, bias.half(), tile, torch.tensor(block.shift_size, dtype=torch.int32), block.window_size
    out = attend(*given, attention.scale)
    of_qkv, of_padding, of_bias = (each.double() for each in attend_backward(grad, *given, attention.scale))
    of_projection = of_qkv.sum((0, 1, 2)) + of_padding.sum(0)
    attention.relative_position_bias_table.grad, of_table = None, attention.relative_position_bias_table.grad
    n = block.window_area
    attention._get_rel_pos_bias()[0].backward(of_bias.sum(0)[:, :n, :n])
    for ours, theirs in (
        (out, expected),
        (of_qkv @ weight, x.grad),
        (of_projection, attention.qkv.bias.grad),
        (attention.relative_position_bias_table.grad, of_table),
    ):
        assert (ours.double() - theirs).norm() < 2e-3 * theirs.norm(), (size, shift)

# The operators as the compiler sees them.
for operator in (window_attention._attend, window_attention._attend_backward):
    operator.register_kernel("cpu")(operator._init_fn)
qkv, bias, tile, shift, _ = given
tensors = [tensor.requires_grad_() for tensor in (qkv, bias.half(), tile)]
checks = "test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static"
torch.library.opcheck(
    torch.ops.diffbev.window_attention.default, (*tensors, shift, *block.window_size, 0.2), test_utils=checks
)
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
    assert type(block) is CompiledSwinBlock
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
