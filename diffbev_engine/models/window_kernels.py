"""Attention within windows as Triton kernels, forward and backward; for CUDA, in half precision.

Swin's windows have 49 tokens and heads of 32 channels: a whole window of a head fits the registers of a
program.  So nothing is written but the result, where the general kernels of PyTorch need the bias written
out for every window, queries, keys and values in layouts of their own, and the gradient of the bias for
every window before it is summed.

Dimension letters: W windows of the batch, w of one image, N tokens of a window, H heads, D channels of one.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from diffbev_engine.models.window_attention import TOKENS

_PROGRAMS = 1024
"""About as many as a large GPU runs at a time."""


@triton.jit
def _probabilities(  # type: ignore[no-untyped-def]
    q, k, bias, mask, head, window, images, scale, masked: tl.constexpr, n: tl.constexpr, t: tl.constexpr
):
    """Softmax of the scores of one window and head, t x t float32."""
    rows, columns = tl.arange(0, t)[:, None], tl.arange(0, t)[None, :]
    inside = (rows < n) & (columns < n)
    scores = tl.dot(q, tl.trans(k)) * scale
    scores += tl.load(bias + head * n * n + rows * n + columns, mask=inside, other=0.0)
    if masked:
        scores += tl.load(mask + (window % images) * n * n + rows * n + columns, mask=inside, other=0.0)
    scores = tl.where(columns < n, scores, float("-inf"))
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    return weights / tl.sum(weights, 1)[:, None]


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    qkv,
    bias,
    mask,
    out,
    images,
    scale,
    masked: tl.constexpr,
    heads: tl.constexpr,
    n: tl.constexpr,
    d: tl.constexpr,
    t: tl.constexpr,
):
    window, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    rows, channels = tl.arange(0, t)[:, None], tl.arange(0, d)[None, :]
    inside = rows < n
    place = qkv + (window * n + rows) * (3 * heads * d) + head * d + channels
    q = tl.load(place, mask=inside, other=0.0)
    k = tl.load(place + heads * d, mask=inside, other=0.0)
    v = tl.load(place + 2 * heads * d, mask=inside, other=0.0)
    p = _probabilities(q, k, bias, mask, head, window, images, scale, masked, n, t)
    result = tl.dot(p.to(v.dtype), v)
    to = out + (window * n + rows) * (heads * d) + head * d + channels
    tl.store(to, result.to(v.dtype), mask=inside)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    qkv,
    bias,
    mask,
    grad,
    grad_qkv,
    grad_bias,
    windows,
    images,
    scale,
    share: tl.constexpr,
    masked: tl.constexpr,
    heads: tl.constexpr,
    n: tl.constexpr,
    d: tl.constexpr,
    t: tl.constexpr,
):
    part, head = tl.program_id(0), tl.program_id(1)
    rows, columns, channels = tl.arange(0, t)[:, None], tl.arange(0, t)[None, :], tl.arange(0, d)[None, :]
    of_bias = tl.zeros((t, t), dtype=tl.float32)
    first = part.to(tl.int64) * share
    for number in range(share):
        window = first + number
        # The last part may have fewer windows; beyond them all is zero, and adds nothing to the bias.
        inside = rows < tl.minimum((windows - window) * n, n)
        place = (window * n + rows) * (3 * heads * d) + head * d + channels
        q = tl.load(qkv + place, mask=inside, other=0.0)
        k = tl.load(qkv + place + heads * d, mask=inside, other=0.0)
        v = tl.load(qkv + place + 2 * heads * d, mask=inside, other=0.0)
        of = grad + (window * n + rows) * (heads * d) + head * d + channels
        g = tl.load(of, mask=inside, other=0.0)
        p = _probabilities(q, k, bias, mask, head, window, images, scale, masked, n, t)
        of_p = tl.dot(g, tl.trans(v))
        of_scores = p * (of_p - tl.sum(p * of_p, 1)[:, None])
        of_bias += of_scores
        s = of_scores.to(q.dtype)
        to = grad_qkv + place
        tl.store(to, (tl.dot(s, k) * scale).to(q.dtype), mask=inside)
        tl.store(to + heads * d, (tl.dot(tl.trans(s), q) * scale).to(q.dtype), mask=inside)
        tl.store(to + 2 * heads * d, tl.dot(tl.trans(p.to(q.dtype)), g).to(q.dtype), mask=inside)
    to_bias = grad_bias + (part * heads + head) * n * n + rows * n + columns
    tl.store(to_bias, of_bias, mask=(rows < n) & (columns < n))


def attend(qkv: Tensor, bias: Tensor, mask: Tensor | None, heads: int, scale: float) -> Tensor:
    """Softmax(scale q k^T + bias + mask) v of every window.

    Args:
        qkv: (W, N, 3 H D) contiguous, half precision.
        bias: (H, N, N) float32.
        mask: (w, N, N) float32, added to the scores of the windows of an image, in their order.
        heads: H.
        scale: of the scores.

    Returns:
        (W, N, H D), of the type of ``qkv``.
    """
    windows, tokens, width = qkv.shape
    out = qkv.new_empty(windows, tokens, width // 3)
    images = 1 if mask is None else len(mask)
    given = (qkv, bias, bias if mask is None else mask, out)
    _forward[(windows, heads)](*given, images, scale, **_sizes(qkv, mask, heads))
    return out


def attend_backward(
    grad: Tensor, qkv: Tensor, bias: Tensor, mask: Tensor | None, heads: int, scale: float
) -> tuple[Tensor, Tensor]:
    """The gradients of ``qkv`` and ``bias`` from that of the result of :func:`attend`."""
    windows, tokens, _ = qkv.shape
    share = triton.cdiv(windows, max(1, _PROGRAMS // heads))
    parts = triton.cdiv(windows, share)
    grad_qkv = torch.empty_like(qkv)
    grad_bias = bias.new_empty(parts, heads, tokens, tokens)
    images = 1 if mask is None else len(mask)
    given = (qkv, bias, bias if mask is None else mask, grad, grad_qkv, grad_bias)
    _backward[(parts, heads)](*given, windows, images, scale, share, **_sizes(qkv, mask, heads))
    return grad_qkv, grad_bias.sum(0)


def _sizes(qkv: Tensor, mask: Tensor | None, heads: int) -> dict[str, int]:
    """What the kernels are compiled for."""
    _, tokens, width = qkv.shape
    return {"masked": mask is not None, "heads": heads, "n": tokens, "d": width // 3 // heads, "t": TOKENS}
