"""The parts of a network that torch.compile gets, each by itself.

Compiling a part once for all its copies takes a fraction of the time that the whole network takes, and gives
the same kernels: what a graph break would separate is separated here.
"""

from collections.abc import Iterator

import torch
from timm.layers import PatchEmbed
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from torch import nn

from diffbev_engine.models.condition import Condition
from diffbev_engine.models.fusion import Fusion
from diffbev_engine.models.head import PyramidHead
from diffbev_engine.models.lift_splat import LiftSplat
from diffbev_engine.models.model import BEVEncoder
from diffbev_engine.models.unet import ConditionalUNet

_REGIONS = (
    PatchEmbed,
    SwinTransformerBlock,
    PatchMerging,
    LiftSplat,
    BEVEncoder,
    Condition,
    ConditionalUNet,  # and not the diffusion around it, which calls it several times
    Fusion,
    PyramidHead,
)
_VARIANTS = 64
"""Shapes and modes in which one region may be compiled; Swin's block has one for each stage."""


def compile_regions(model: nn.Module) -> None:
    """Let the regions of ``model`` compile themselves, each when it is called."""
    config = torch._dynamo.config
    limit = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"  # torch 2.6
    setattr(config, limit, max(getattr(config, limit), _VARIANTS))
    for region in regions(model):
        region.compile(dynamic=False)  # Swin's numbers of windows as variables: Inductor fails on them


def regions(model: nn.Module) -> Iterator[nn.Module]:
    """The regions, none within another."""
    for child in model.children():
        if isinstance(child, _REGIONS):
            yield child
        else:
            yield from regions(child)
