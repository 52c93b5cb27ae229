"""Condition for the denoiser: input in addition to the noised feature.

``O`` is the original BEV feature, ``S`` a semantic feature learned from the splatted depth
distribution, ``O+S`` their sum: the three conditions of the DiffBEV paper (Zou et al., WACV 2024).

Dimension letters: B batch, C channels, Z X BEV rows and columns.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from diffbev_engine.models.norm import GroupNorm


class Condition(nn.Module):
    """Build the condition from the BEV feature and the depth mass.

    Args:
        kind: ``O``, ``S`` or ``O+S``.
        channels: Channels of the BEV feature and of the condition.
        groups: Groups of the group norm.
    """

    def __init__(self, kind: Literal["O", "S", "O+S"], channels: int, groups: int) -> None:
        super().__init__()
        self.uses_feature = "O" in kind
        self.from_mass = (
            nn.Sequential(
                nn.Conv2d(1, channels, 3, padding=1),
                GroupNorm(groups, channels, "silu"),
                nn.Identity(),  # where the activation was: checkpoints name the convolution behind it 3
                nn.Conv2d(channels, channels, 3, padding=1),
            )
            if "S" in kind
            else None
        )

    def forward(self, feature: Tensor, depth_mass: Tensor) -> Tensor:
        """The condition (B, C, Z, X).

        Args:
            feature: (B, C, Z, X) original BEV feature.
            depth_mass: (B, 1, Z, X) non-negative: probability of depth summed into each cell.
        """
        if self.from_mass is None:
            return feature
        # Near cells collect the mass of many pixels, far ones of a few.
        semantic: Tensor = self.from_mass(torch.log1p(depth_mass))
        return feature + semantic if self.uses_feature else semantic
