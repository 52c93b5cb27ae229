"""Activation checkpointing: blocks that keep their input alone and are computed again in the backward pass.

The same numbers in less memory, for about a third more time in these parts (Chen et al., arXiv 1604.06174).
"""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from diffbev_engine.core.errors import UsageError
from diffbev_engine.models.attention import SelfAttention
from diffbev_engine.models.head import Bottleneck
from diffbev_engine.models.model import BEVModel
from diffbev_engine.models.unet_blocks import ResidualBlock

_BLOCK_OF_TIMM = re.compile(r"(.+\.)?blocks\.\d+")
"""How timm names the blocks of its transformers and ConvNeXts; a network that names none so is refused."""


def recompute(model: BEVModel, parts: Iterable[str]) -> None:
    """Let the blocks of ``parts`` (``backbone``, ``diffusion``, ``head``) keep their inputs alone.

    Raises:
        UsageError: a part that has no such blocks, or whose results would not stay the same.
    """
    for part in parts:
        for block in _blocks(model, part):
            block.forward = partial(_recomputed, block.forward)


def _recomputed(forward: Callable[..., Any], *inputs: Any) -> Any:
    # No block draws random numbers, so no state of a generator has to be kept. A function of our own, since
    # torch.compile passes over a checkpoint that is the outermost call.
    return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False)


def _blocks(model: BEVModel, part: str) -> list[nn.Module]:
    if part == "head":
        return [module for module in model.head.modules() if isinstance(module, Bottleneck)]
    if part == "diffusion":
        if model.diffusion is None:
            raise UsageError("recompute names the diffusion, and model.diffusion=None.")
        kinds = (ResidualBlock, SelfAttention)
        return [module for module in model.diffusion.modules() if isinstance(module, kinds)]
    blocks = [
        module for name, module in model.backbone.features.named_modules() if _BLOCK_OF_TIMM.fullmatch(name)
    ]
    if not blocks:
        raise UsageError("recompute names the backbone, and this one is not made of blocks.")
    if any(
        isinstance(inner, nn.modules.batchnorm._BatchNorm) for block in blocks for inner in block.modules()
    ):
        raise UsageError(
            "recompute names the backbone, and this one has batch norms, whose running averages the second "
            "pass would update again."
        )
    return blocks
