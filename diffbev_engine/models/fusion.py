"""How the denoised BEV feature joins the original one: cross-attention, concatenation or addition.

All three end in a projection that starts at zero and is added to the original feature.  It is the
gate: an untrained fusion returns the original feature bit for bit, so that DiffBEV starts as its
baseline, and the whole matrix opens with the optimizer's first steps, where a scalar gate in front
of a random matrix would need thousands.

Dimension letters: B batch, C channels, Z X BEV rows and columns.
"""

import torch
from torch import Tensor, nn

from diffbev_engine.models.attention import CrossAttention
from diffbev_engine.models.norm import GroupNorm
from diffbev_engine.models.settings import FusionSettings


class Fusion(nn.Module):
    """Original plus gated contribution of the denoised feature.

    Args:
        settings: Type and sizes.
        channels: Channels of the original feature.
        size: (Z, X) of both features.
        denoised_channels: Of the denoised feature; as many as the original's unless given.
    """

    def __init__(
        self,
        settings: FusionSettings,
        channels: int,
        size: tuple[int, int],
        denoised_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.kind = settings.type
        self.scale = nn.Conv2d(denoised_channels or channels, channels, 1)  # its variance is another
        self.norm: nn.Module = nn.Identity() if self.kind == "add" else GroupNorm(1, channels)
        if self.kind == "cross_attn":
            self.attention = CrossAttention(channels, settings.heads, settings.key_stride, size)
        joined = 2 * channels if self.kind == "concat" else channels
        self.project = nn.Conv2d(joined, channels, 1)
        nn.init.zeros_(self.project.weight)
        assert self.project.bias is not None
        nn.init.zeros_(self.project.bias)

    def forward(self, original: Tensor, denoised: Tensor) -> Tensor:
        """Fuse ``original`` and ``denoised`` (B, C, Z, X), the latter standardised; (B, C, Z, X)."""
        contribution = self.scale(denoised)
        if self.kind == "cross_attn":
            contribution = self.attention(self.norm(original), contribution)
        elif self.kind == "concat":
            contribution = torch.cat([self.norm(original), contribution], dim=1)
        return original + self.project(contribution)
