"""Swin's attention within windows, which compiled training computes by kernels of its own.

They read tokens where the image has them.  The plain form shifts the image, pads it to whole windows and
copies it window by window, and back: each a copy, and sums over tokens in an order far from memory's.

Dimension letters: B images, H W tokens of an image, h heads, N tokens of a window, T of a tile, C channels.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn

from diffbev_engine.models.compiled import is_compiled

TOKENS = 64
"""T: the tokens of a window that the kernels take, at most."""
_HEAD_CHANNELS = (16, 32, 64)
_PROGRAMS = 1024
"""About as many as a large GPU runs at a time."""


class CompiledSwinBlock(SwinTransformerBlock):
    """timm's, with the same weights; while it is compiled for a GPU in half precision: kernels.

    The same function: Liu et al., ICCV 2021, equations 3 and 4.

    Attributes:
        shift: (rows, columns), int32, by which the windows are shifted.  In memory, so that a block with a
            shift and one without are compiled once.
    """

    shift: Tensor

    def _attn(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same shape."""
        if not (is_compiled(x) and self.attn.fused_attn):
            return super()._attn(x)
        if self._fits():
            qkv = self.attn.qkv(x)
            if qkv.dtype in (torch.bfloat16, torch.float16):
                # Padding is zero before the projection.
                of_padding = self.attn.qkv.bias.to(qkv.dtype)
                given = of_padding, self._bias(), self.shift, *self.window_size, self.attn.scale
                x = torch.ops.diffbev.window_attention(qkv, *given)
                return self.attn.proj_drop(self.attn.proj(x))
        return self._uncompiled(x)

    @torch.compiler.disable
    def _uncompiled(self, x: Tensor) -> Tensor:
        # Inductor would hand the backward of PyTorch's fused kernel a bias in a layout that it refuses.
        return super()._attn(x)

    def _fits(self) -> bool:
        """Whether the kernels are made for these sizes."""
        qkv = self.attn.qkv
        channels = qkv.out_features // 3 // self.attn.num_heads
        dropped = self.training and self.attn.attn_drop.p > 0
        fits = self.window_area <= TOKENS and channels in _HEAD_CHANNELS
        return fits and qkv.bias is not None and not dropped

    def _bias(self) -> Tensor:
        """The position bias as whole tiles (h, T, T): no weight falls on tokens that are not there."""
        bias = self.attn._get_rel_pos_bias()[0]  # h x N x N
        missing = TOKENS - self.window_area
        return F.pad(F.pad(bias, (0, missing), value=-math.inf), (0, 0, 0, missing))


def use_kernels(network: nn.Module) -> None:
    """Let the window attention of ``network`` use the kernels where it can; its image size is final."""
    for module in network.modules():
        if type(module) is SwinTransformerBlock:
            module.__class__ = CompiledSwinBlock
            device = next(module.parameters()).device
            shift = torch.tensor(module.shift_size, dtype=torch.int32, device=device)
            module.register_buffer("shift", shift, persistent=False)


def windows_of(size: tuple[int, ...], window: tuple[int, int]) -> tuple[int, int]:
    """The rows and columns of windows that cover an image of ``size`` (H, W)."""
    return -(-size[0] // window[0]), -(-size[1] // window[1])


def division(images: int, windows: int, heads: int) -> tuple[int, int]:
    """How the work on a batch is divided.

    Args:
        images: Of the batch.
        windows: Of an image.
        heads: Of the attention.

    Returns:
        The images of a program, which takes one window of each; the programs of a head.
    """
    times = min(images, -(-_PROGRAMS // (windows * heads)))
    share = -(-images // times)
    return share, windows * -(-images // share)


@torch.library.custom_op("diffbev::window_attention", mutates_args=(), device_types="cuda")
def _attend(
    qkv: Tensor, of_padding: Tensor, bias: Tensor, shift: Tensor, height: int, width: int, scale: float
) -> Tensor:
    from diffbev_engine.models.window_kernels import attend

    return attend(qkv.contiguous(), of_padding, bias.contiguous(), shift, (height, width), scale)


@torch.library.custom_op("diffbev::window_attention_backward", mutates_args=(), device_types="cuda")
def _attend_backward(
    grad: Tensor,
    qkv: Tensor,
    of_padding: Tensor,
    bias: Tensor,
    shift: Tensor,
    height: int,
    width: int,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    from diffbev_engine.models.window_kernels import attend_backward

    like_forward = grad.to(qkv.dtype).contiguous()
    given = qkv.contiguous(), of_padding, bias.contiguous(), shift, (height, width), scale
    return attend_backward(like_forward, *given)


@_attend.register_fake
def _(qkv: Tensor, *_others: Any) -> Tensor:
    return qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)


@_attend_backward.register_fake
def _(
    _grad: Tensor,
    qkv: Tensor,
    of_padding: Tensor,
    bias: Tensor,
    _shift: Tensor,
    height: int,
    width: int,
    _scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    down, across = windows_of(qkv.shape[1:3], (height, width))
    _, programs = division(len(qkv), down * across, len(bias))
    summed = bias.new_empty(programs, *of_padding.shape), bias.new_empty(programs, *bias.shape)
    return qkv.new_empty(qkv.shape), *summed


def _remember(ctx: Any, inputs: tuple[Any, ...], **_output: Tensor) -> None:
    *tensors, ctx.height, ctx.width, ctx.scale = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    how = ctx.height, ctx.width, ctx.scale
    of_qkv, of_padding, of_bias = torch.ops.diffbev.window_attention_backward(grad, *ctx.saved_tensors, *how)
    return of_qkv, of_padding.sum(0).to(of_qkv.dtype), of_bias.sum(0), None, None, None, None


_attend.register_autograd(_differentiate, setup_context=_remember)
