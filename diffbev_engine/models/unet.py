"""The conditional U-Net: predicts the noise in a BEV feature, told by a condition.

Drawn in the DiffBEV figure (Zou et al., WACV 2024) and close to MedSegDiff: the noised feature runs
down three levels; the condition runs down its own three, re-weighed by the noised feature at each;
their sum is the bottleneck, from which a decoder with skip connections leads back up.

Dimension letters: B batch, C channels, Z X BEV rows and columns.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.attention import SelfAttention
from diffbev_engine.models.norm import GroupNorm
from diffbev_engine.models.settings import DiffusionSettings
from diffbev_engine.models.unet_blocks import (
    ConditionGate,
    ResidualBlock,
    TimeEmbedding,
    downsample,
    upsample,
)

_TIME_WIDTH = 256
_TIME_SCALE = 1000.0  # the time embedding is made for t up to here
_LEVELS = 3


class ConditionalUNet(nn.Module):
    """U-Net of three levels, 98x100 to 49x50 to 25x25 for the project's grid.

    The output convolution starts at zero: an untrained network predicts no noise, so that Ldiff
    starts at the variance of the noise, 1.

    Args:
        channels: Channels of the input.
        settings: Widths, blocks, groups, encoding of the input.
        condition_channels: Of the condition; as many as the input's unless given.
        out_channels: Of the output; as many as the input's unless given.

    Raises:
        UsageError: groups that do not divide a width.
    """

    def __init__(
        self,
        channels: int,
        settings: DiffusionSettings,
        *,
        condition_channels: int | None = None,
        out_channels: int | None = None,
    ) -> None:
        super().__init__()
        widths, groups, blocks = settings.widths, settings.groups, settings.blocks
        for width in widths:
            if width % groups:
                raise UsageError(
                    f"model.diffusion.groups={groups} does not divide the width {width} "
                    "of model.diffusion.widths."
                )
        self.time_scale = _TIME_SCALE / settings.timesteps
        self.condition_skips = settings.condition_skips
        self.time = TimeEmbedding(_TIME_WIDTH)
        self.enter = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.enter_condition = nn.Conv2d(condition_channels or channels, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(_stage(w, w, groups, blocks) for w in widths)
        self.condition = nn.ModuleList(ResidualBlock(w, w, groups, None) for w in widths)
        self.gates = nn.ModuleList(
            # Attention over the 9,800 cells of the finest level would cost more than all the rest.
            ConditionGate(w, groups, settings.xt_encoding if level else "conv")
            for level, w in enumerate(widths)
        )
        self.down = nn.ModuleList(downsample(a, b) for a, b in pairwise(widths))
        self.down_condition = nn.ModuleList(downsample(a, b) for a, b in pairwise(widths))
        self.attention = SelfAttention(widths[-1], groups)
        self.bottleneck = ResidualBlock(widths[-1], widths[-1], groups, _TIME_WIDTH)
        self.decoder = nn.ModuleList(_stage(below + w, w, groups, blocks) for w, below in pairwise(widths))
        self.norm = GroupNorm(groups, widths[0], "silu")
        self.leave = nn.Conv2d(widths[0], out_channels or channels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        assert self.leave.bias is not None
        nn.init.zeros_(self.leave.bias)

    def forward(self, x_t: Tensor, condition: Tensor, t: Tensor, *, features: bool = False) -> Tensor:
        """Predict from the noised feature.

        Args:
            x_t: (B, C, Z, X) noised feature.
            condition: (B, C, Z, X).
            t: (B,) int64 time of each sample, 1 … T.
            features: Return what the output is read from by ``leave``, (B, widths[0], Z, X).

        Returns:
            (B, C, Z, X), the noise or the velocity.
        """
        time = self.time(t * self.time_scale)  # B x E
        x, c = self.enter(x_t), self.enter_condition(condition)
        skips: list[Tensor] = []
        for level in range(_LEVELS):
            x = _run(self.encoder[level], x, time)
            c = self.gates[level](self.condition[level](c), x)
            if level < _LEVELS - 1:
                skips.append(x + c if self.condition_skips else x)
                x, c = self.down[level](x), self.down_condition[level](c)
        x = self.bottleneck(self.attention(x) + c, time)
        for level in reversed(range(_LEVELS - 1)):
            joined = torch.cat([upsample(x, skips[level].shape[-2:]), skips[level]], dim=1)
            x = _run(self.decoder[level], joined, time)
        last: Tensor = self.norm(x)
        return last if features else self.leave(last)


def _stage(in_channels: int, channels: int, groups: int, blocks: int) -> nn.ModuleList:
    first = ResidualBlock(in_channels, channels, groups, _TIME_WIDTH)
    others = [ResidualBlock(channels, channels, groups, _TIME_WIDTH) for _ in range(blocks - 1)]
    return nn.ModuleList([first, *others])


def _run(stage: nn.Module, x: Tensor, time: Tensor) -> Tensor:
    assert isinstance(stage, nn.ModuleList)
    for block in stage:
        x = block(x, time)
    return x
