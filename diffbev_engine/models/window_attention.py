"""Swin's attention within windows, which compiled training computes by kernels of its own.

Dimension letters: W windows of the batch, w of one image, N tokens of a window, H heads, C channels.
"""

from typing import Any

import torch
from timm.models.swin_transformer import WindowAttention
from torch import Tensor, nn

from diffbev_engine.models.compiled import is_compiled

TOKENS = 64
"""Tokens of a window that the kernels take, at most."""
_HEAD_CHANNELS = (16, 32, 64)


class CompiledWindowAttention(WindowAttention):
    """timm's, with the same weights; while it is compiled for a GPU in half precision: kernels.

    The same function: Liu et al., ICCV 2021, equation 4.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(W, N, C) to the same shape; ``mask`` (w, N, N) is added to the scores."""
        if not (is_compiled(x) and self.fused_attn):
            return super().forward(x, mask)
        if self._fits():
            qkv = self.qkv(x)
            if qkv.dtype in (torch.bfloat16, torch.float16):
                bias = self._get_rel_pos_bias()[0]  # H x N x N
                x = torch.ops.diffbev.window_attention(qkv, bias, mask, self.num_heads, self.scale)
                return self.proj_drop(self.proj(x))
        return self._uncompiled(x, mask)

    @torch.compiler.disable
    def _uncompiled(self, x: Tensor, mask: Tensor | None) -> Tensor:
        # Inductor would hand the backward of PyTorch's fused kernel a bias in a layout that it refuses.
        return super().forward(x, mask)

    def _fits(self) -> bool:
        """Whether the kernels are made for these sizes."""
        channels = self.qkv.out_features // 3 // self.num_heads
        dropped = self.training and self.attn_drop.p > 0
        return self.window_area <= TOKENS and channels in _HEAD_CHANNELS and not dropped


def use_kernels(network: nn.Module) -> None:
    """Let the window attention of ``network`` use the kernels where it can."""
    for module in network.modules():
        if type(module) is WindowAttention:
            module.__class__ = CompiledWindowAttention


@torch.library.custom_op("diffbev::window_attention", mutates_args=(), device_types="cuda")
def _attend(qkv: Tensor, bias: Tensor, mask: Tensor | None, heads: int, scale: float) -> Tensor:
    from diffbev_engine.models.window_kernels import attend

    return attend(qkv.contiguous(), bias.contiguous(), mask, heads, scale)


@torch.library.custom_op("diffbev::window_attention_backward", mutates_args=(), device_types="cuda")
def _attend_backward(
    grad: Tensor, qkv: Tensor, bias: Tensor, mask: Tensor | None, heads: int, scale: float
) -> tuple[Tensor, Tensor]:
    from diffbev_engine.models.window_kernels import attend_backward

    like_forward = grad.to(qkv.dtype).contiguous()
    return attend_backward(like_forward, qkv.contiguous(), bias.contiguous(), mask, heads, scale)


@_attend.register_fake
def _(qkv: Tensor, *_others: Any) -> Tensor:
    return qkv.new_empty(qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3)


@_attend_backward.register_fake
def _(_grad: Tensor, qkv: Tensor, bias: Tensor, *_others: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(qkv), torch.empty_like(bias)


def _remember(ctx: Any, inputs: tuple[Any, ...], **_output: Tensor) -> None:
    qkv, bias, mask, ctx.heads, ctx.scale = inputs
    ctx.save_for_backward(qkv, bias, mask)


def _differentiate(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
    given = torch.ops.diffbev.window_attention_backward(grad, *ctx.saved_tensors, ctx.heads, ctx.scale)
    return *given, None, None, None


_attend.register_autograd(_differentiate, setup_context=_remember)
