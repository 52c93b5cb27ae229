import pytest
import torch

from diffbev_engine.models.attention import CrossAttention, SelfAttention, position_code


def test_self_attention_starts_as_the_identity():
    x = torch.randn(2, 16, 5, 7)
    assert torch.equal(SelfAttention(16, 4)(x), x)


def test_self_attention_carries_information_across_the_map():
    attention = SelfAttention(16, 4)
    torch.nn.init.normal_(attention.project.weight)
    x = torch.randn(1, 16, 6, 6)
    changed = x.clone()
    changed[..., 0, 0] += 3
    assert not torch.allclose(attention(x)[..., 5, 5], attention(changed)[..., 5, 5])


@pytest.mark.parametrize("key_stride", [1, 2, 4])
def test_cross_attention_has_the_shape_of_the_reader(key_stride):
    attention = CrossAttention(16, 4, key_stride, (10, 13))
    assert attention(torch.randn(2, 16, 10, 13), torch.randn(2, 16, 10, 13)).shape == (2, 16, 10, 13)


def test_cross_attention_equals_softmax_written_out():
    attention = CrossAttention(8, 2, 1, (3, 4))
    reader, source = torch.randn(2, 1, 8, 3, 4)
    query = attention.to_query(reader)[0].view(2, 4, 12)  # heads x channels x tokens
    key, value = attention.to_key_value(source)[0].view(2, 2, 4, 12)
    code = attention.code_scale[:, None, None] * attention.code.view(1, 4, 12)
    weights = torch.einsum("hcn,hcm->hnm", query + code, key + code).div(4**0.5).softmax(-1)
    expected = torch.einsum("hnm,hcm->hcn", weights, value).reshape(1, 8, 3, 4)
    torch.testing.assert_close(attention(reader, source), expected)


def test_untrained_heads_look_near_themselves_and_to_different_ranges():
    attention = CrossAttention(64, 4, 1, (98, 100))
    torch.nn.init.zeros_(attention.to_query.weight)
    torch.nn.init.zeros_(attention.to_query.bias)
    code = attention.code  # 16 x 98 x 100
    centre = code[:, 49, 50]
    spreads = []
    for scale in attention.code_scale.tolist():
        weights = (scale**2 * torch.einsum("c,czx->zx", centre, code) / 4).flatten().softmax(0).view(98, 100)
        assert weights.argmax() == 49 * 100 + 50
        rows, cols = torch.meshgrid(torch.arange(98), torch.arange(100), indexing="ij")
        spreads.append((weights * ((rows - 49) ** 2 + (cols - 50) ** 2)).sum().sqrt().item())
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[-1] < 3  # cells
    assert spreads[0] > 10


def test_every_cell_has_its_own_code():
    code = position_code(16, (98, 100)).flatten(1).T  # N x 16
    distances = torch.cdist(code[:300], code)
    distances[torch.arange(300), torch.arange(300)] = 1
    assert distances.min() > 0.02
