"""Attention over BEV cells: within one map, and from one map to another.

Dimension letters: B batch, C channels, Z X BEV rows and columns, N = Z * X tokens, H heads, E channels
of a head.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffbev_engine.models.norm import GroupNorm

_SHORTEST_WAVE = 8.0  # cells; the longest wave of the position code is the map's length


class SelfAttention(nn.Module):
    """Residual self-attention over all cells of a map (Vaswani et al., NeurIPS 2017), pre-norm."""

    def __init__(self, channels: int, groups: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(groups, channels)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.project.weight)
        assert self.project.bias is not None
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Z, X) to the same shape."""
        q, k, v = (_tokens(part, self.heads) for part in self.to_qkv(self.norm(x)).chunk(3, dim=1))
        attended = F.scaled_dot_product_attention(q, k, v)  # B x H x N x E
        return x + self.project(_cells(attended, x.shape[-2:]))


class CrossAttention(nn.Module):
    """Every cell of one map reads from all cells of another.

    A fixed sine-cosine code of the cell's row and column is added to queries and keys, scaled by
    one learned number per head.  The scales start apart, so that untrained heads attend to
    neighbourhoods of different size around the cell itself.

    Args:
        channels: Channels of both maps; ``channels / heads`` must be a multiple of 4.
        heads: Number of heads.
        key_stride: Keys and values are averaged over squares of this many cells.
        size: (Z, X) of the maps.
    """

    code: Tensor

    def __init__(self, channels: int, heads: int, key_stride: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.heads = heads
        self.key_stride = key_stride
        self.to_query = nn.Conv2d(channels, channels, 1)
        self.to_key_value = nn.Conv2d(channels, 2 * channels, 1)
        self.code_scale = nn.Parameter(torch.linspace(1.0, 4.0, heads))
        self.register_buffer("code", position_code(channels // heads, size), persistent=False)

    def forward(self, reader: Tensor, source: Tensor) -> Tensor:
        """Let ``reader`` (B, C, Z, X) read from ``source`` (B, C, Z, X); (B, C, Z, X)."""
        scale = self.code_scale[:, None, None]  # H x 1 x 1
        query_code = scale * _flat(self.code)  # H x N x E
        query = _tokens(self.to_query(reader), self.heads)
        key, value = (_tokens(x, self.heads) for x in self.to_key_value(self._pool(source)).chunk(2, 1))
        key_code = scale * _flat(self._pool(self.code[None])[0])
        attended = F.scaled_dot_product_attention(
            query + query_code.to(query.dtype), key + key_code.to(key.dtype), value
        )  # B x H x N x E
        return _cells(attended, reader.shape[-2:])

    def _pool(self, x: Tensor) -> Tensor:
        if self.key_stride == 1:
            return x
        return F.avg_pool2d(x, self.key_stride, ceil_mode=True, count_include_pad=False)


def position_code(channels: int, size: tuple[int, int]) -> Tensor:
    """Sines and cosines of row and column at geometric wavelengths, (channels, Z, X) float32."""
    waves = channels // 4
    exponents = torch.arange(waves) / max(waves - 1, 1)
    omega = 2 * math.pi / (_SHORTEST_WAVE * (max(size) / _SHORTEST_WAVE) ** exponents)  # W
    axes = [torch.outer(omega, torch.arange(length)) for length in size]  # W x Z, W x X
    rows = torch.cat([axes[0].sin(), axes[0].cos()])[:, :, None].expand(-1, -1, size[1])
    cols = torch.cat([axes[1].sin(), axes[1].cos()])[:, None, :].expand(-1, size[0], -1)
    return torch.cat([rows, cols]).contiguous()


def _tokens(x: Tensor, heads: int) -> Tensor:
    tokens = x.unflatten(1, (heads, -1)).flatten(3).transpose(2, 3)  # B x H x N x E
    # The fused kernels, which never hold the N x N weights, want the channels innermost.
    return tokens.contiguous()


def _cells(tokens: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    return tokens.transpose(2, 3).flatten(1, 2).unflatten(2, tuple(size))  # B x C x Z x X


def _flat(code: Tensor) -> Tensor:
    return code.flatten(1).transpose(0, 1)  # N x E
