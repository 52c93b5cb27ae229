import torch

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
