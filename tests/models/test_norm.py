import torch
from hypothesis import given
from hypothesis import strategies as st

from diffbev_engine.models.norm import GroupNorm


def test_keeps_the_type_of_its_input_under_autocast():
    norm, x = GroupNorm(4, 8), torch.randn(2, 8, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm(x.bfloat16()).dtype == torch.bfloat16
        assert norm(x).dtype == torch.float32


def test_equals_the_library_in_full_precision_and_nearly_in_bf16():
    norm, x = GroupNorm(4, 8), 3 * torch.randn(2, 8, 5, 5) + 1
    torch.nn.init.normal_(norm.weight)
    expected = torch.nn.functional.group_norm(x, 4, norm.weight, norm.bias)
    assert torch.equal(norm(x), expected)
    assert (norm(x.bfloat16()).float() - expected).abs().max() < 0.02 * expected.abs().max()


@given(
    seed=st.integers(0, 99),
    groups=st.sampled_from([1, 2, 4]),
    size=st.sampled_from([(3, 8, 5, 7), (1, 4, 16), (2, 4, 1, 1)]),
    offset=st.floats(-3, 3),
)
def test_sums_of_channels_give_the_norm_and_its_gradients(seed, groups, size, offset):
    torch.manual_seed(seed)
    norm = GroupNorm(groups, size[1]).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = (torch.randn(size).double() + offset).requires_grad_()
    upstream = torch.randn(size).double()
    found = []
    for form in (norm, norm._by_channel_sums):
        out = form(x)
        found.append((out, *torch.autograd.grad(out, (x, norm.weight, norm.bias), upstream)))
    for plain, summed in zip(*found, strict=True):
        torch.testing.assert_close(summed, plain, rtol=1e-3, atol=1e-4)
