"""The BEV decoder: PON's top-down network (Roddick and Cipolla, CVPR 2020) and a linear classifier.

Dimension letters: B batch, C channels, Z X BEV rows and columns.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffbev_engine.core.classes import NUM_CLASSES
from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.compiled import innermost, is_compiled
from diffbev_engine.models.norm import GroupNorm
from diffbev_engine.models.settings import HeadSettings

_EXPANSION = 4
_ALIGNED = 8
"""Channels of a convolution in half precision that tensor cores take at once."""


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions around a shortcut, each with group norm (He et al., CVPR 2016).

    Args:
        in_channels: Channels of the input.
        planes: Inner width; the output has four times as many channels.
        groups: Groups of every group norm.
        upsample: Double the rows and columns, by transposed convolutions in both branches.
    """

    def __init__(self, in_channels: int, planes: int, groups: int, *, upsample: bool = False) -> None:
        super().__init__()
        out_channels = planes * _EXPANSION
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.norm1 = GroupNorm(groups, planes, "relu")
        self.conv2: nn.Module
        if upsample:
            self.conv2 = nn.ConvTranspose2d(planes, planes, 4, stride=2, padding=1, bias=False)
        else:
            self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.norm2 = GroupNorm(groups, planes, "relu")
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.norm3 = GroupNorm(groups, out_channels, "relu")
        self.shortcut = _shortcut(in_channels, out_channels, groups, upsample)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Z, X) to (B, 4 * planes, Z, X), or twice the rows and columns."""
        x = innermost(x)
        out = self.norm1(self.conv1(x))
        out = self.norm2(self.conv2(out))
        return self.norm3(self.conv3(out), add=self.shortcut(x))


class PyramidHead(nn.Module):
    """Two stages of bottlenecks, the second at twice the resolution, and a 1x1 classifier.

    The classifier starts with zero weights and the log-odds of ``priors`` as bias, so that an
    untrained network predicts the prior of each class everywhere.

    Args:
        in_channels: Channels of the BEV feature.
        settings: Widths and depth.
        priors: Share of visible cells of each class, in (0, 1).

    Raises:
        UsageError: a width that the groups do not divide.
    """

    def __init__(self, in_channels: int, settings: HeadSettings, priors: Sequence[float]) -> None:
        super().__init__()
        for planes in settings.planes:
            if planes % settings.groups:
                raise UsageError(
                    f"model.head.groups={settings.groups} does not divide "
                    f"the width {planes} of model.head.planes."
                )
        first, second = settings.planes
        self.stage1 = _stage(in_channels, first, settings, upsample=False)
        self.stage2 = _stage(first * _EXPANSION, second, settings, upsample=True)
        self.classifier = nn.Conv2d(second * _EXPANSION, NUM_CLASSES, 1)
        nn.init.zeros_(self.classifier.weight)
        assert self.classifier.bias is not None
        with torch.no_grad():
            self.classifier.bias.copy_(torch.tensor([math.log(p / (1 - p)) for p in priors]))

    def forward(self, bev: Tensor) -> Tensor:
        """BEV feature (B, C, Z, X) to logits (B, 14, 2 Z, 2 X)."""
        feature = self.stage2(self.stage1(bev))
        if not is_compiled(feature):
            return self.classifier(feature)
        missing = -NUM_CLASSES % _ALIGNED
        weight, bias = self.classifier.weight, self.classifier.bias
        assert bias is not None
        padded = F.pad(weight, (0, 0, 0, 0, 0, 0, 0, missing)), F.pad(bias, (0, missing))
        return F.conv2d(feature, *padded)[:, :NUM_CLASSES]


def _stage(in_channels: int, planes: int, settings: HeadSettings, *, upsample: bool) -> nn.Sequential:
    first = Bottleneck(in_channels, planes, settings.groups, upsample=upsample)
    others = [Bottleneck(planes * _EXPANSION, planes, settings.groups) for _ in range(settings.blocks - 1)]
    return nn.Sequential(first, *others)


def _shortcut(in_channels: int, out_channels: int, groups: int, upsample: bool) -> nn.Module:
    if not upsample and in_channels == out_channels:
        return nn.Identity()
    conv: nn.Module
    if upsample:
        conv = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False)
    else:
        conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
    return nn.Sequential(conv, GroupNorm(groups, out_channels))
