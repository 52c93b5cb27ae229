"""Parts of the U-Net: time embedding, residual block, and the block that re-weighs the condition.

Dimension letters: B batch, C channels, E width of the time embedding, Z X BEV rows and columns.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from diffbev_engine.models.attention import SelfAttention
from diffbev_engine.models.compiled import innermost
from diffbev_engine.models.norm import GroupNorm

_LONGEST_PERIOD = 10_000.0


class TimeEmbedding(nn.Module):
    """Sinusoids of t through two linear layers, as in DDPM (Ho et al., NeurIPS 2020)."""

    omega: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        exponents = torch.arange(width // 2) / (width // 2)
        self.register_buffer("omega", _LONGEST_PERIOD**-exponents, persistent=False)  # E/2
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, t: Tensor) -> Tensor:
        """Embed times on the scale 0 … 1000, (B,), as (B, E)."""
        angles = t.float()[:, None] * self.omega  # B x E/2
        embedding: Tensor = self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))
        return embedding


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions; with ``time_width`` the time scales and shifts between them (FiLM).

    Args:
        in_channels: Channels of the input.
        channels: Channels of the output.
        groups: Groups of both group norms; divides both numbers of channels.
        time_width: Width of the time embedding, or None for a block that does not know the time.
    """

    def __init__(self, in_channels: int, channels: int, groups: int, time_width: int | None) -> None:
        super().__init__()
        self.norm1 = GroupNorm(groups, in_channels, "silu")
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.norm2 = GroupNorm(groups, channels, "silu")
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(time_width, 2 * channels) if time_width else None
        same = in_channels == channels
        self.shortcut: nn.Module = nn.Identity() if same else nn.Conv2d(in_channels, channels, 1)

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """(B, C_in, Z, X) and (B, E) to (B, C, Z, X)."""
        x = innermost(x)
        film = None if self.film is None else self.film(time)  # B x 2C
        h = self.norm2(self.conv1(self.norm1(x)), film=film)
        skip: Tensor = self.shortcut(x)
        return skip + self.conv2(h)


class ConditionGate(nn.Module):
    """Re-weigh the condition by the noised feature: c + gate(LN(c) * LN(x)) * c.

    The injection of MedSegDiff (Wu et al., MIDL 2024), which the DiffBEV figure draws at every
    level.  The gate starts at zero, so that the condition enters as it is.

    Args:
        channels: Channels of both.
        groups: Groups of the group norm inside a self-attention.
        xt_encoding: How x is encoded before the product: ``conv`` or ``self_attn``.
    """

    def __init__(self, channels: int, groups: int, xt_encoding: Literal["conv", "self_attn"]) -> None:
        super().__init__()
        attends = xt_encoding == "self_attn"
        self.encode = (
            SelfAttention(channels, groups) if attends else nn.Conv2d(channels, channels, 3, padding=1)
        )
        self.norm_condition = GroupNorm(1, channels)  # layer norm over channels and cells
        self.norm_x = GroupNorm(1, channels)
        self.gate = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.gate.weight)
        assert self.gate.bias is not None
        nn.init.zeros_(self.gate.bias)

    def forward(self, condition: Tensor, x: Tensor) -> Tensor:
        """(B, C, Z, X) each, to the same shape."""
        condition, x = innermost(condition), innermost(x)
        product = self.norm_condition(condition) * self.norm_x(self.encode(x))
        weighed: Tensor = condition + self.gate(product).tanh() * condition
        return weighed


def downsample(in_channels: int, channels: int) -> nn.Conv2d:
    """Half the rows and columns, rounded up."""
    return nn.Conv2d(in_channels, channels, 3, stride=2, padding=1)


def upsample(x: Tensor, size: torch.Size) -> Tensor:
    """Nearest-neighbour to ``size``: the maps' sizes are not powers of two times each other."""
    return nn.functional.interpolate(x, size=tuple(size), mode="nearest")
