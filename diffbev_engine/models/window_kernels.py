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
_NUMBERS = ["windows", "images", "share", "masked", "heads"]
"""Whatever these are, the kernels are compiled once."""


@triton.jit
def _probabilities(q, k, bias, mask, window, images, scale, masked, t: tl.constexpr):  # type: ignore[no-untyped-def]
    """Softmax of the scores of one window and head, t x t float32; ``bias`` is the head's."""
    scores = tl.dot(q, tl.trans(k)) * scale + bias
    if masked != 0:
        places = tl.arange(0, t)[:, None] * t + tl.arange(0, t)[None, :]
        scores += tl.load(mask + (window % images) * t * t + places).to(tl.float32)
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    return weights / tl.sum(weights, 1)[:, None]


@triton.jit(do_not_specialize=_NUMBERS)
def _forward(  # type: ignore[no-untyped-def]
    qkv,
    bias,
    mask,
    out,
    windows,
    images,
    scale,
    share,
    masked,
    heads,
    n: tl.constexpr,
    d: tl.constexpr,
    t: tl.constexpr,
):
    part, head = tl.program_id(0), tl.program_id(1)
    rows, columns, channels = tl.arange(0, t)[:, None], tl.arange(0, t)[None, :], tl.arange(0, d)[None, :]
    of_head = tl.load(bias + (head * t + rows) * t + columns)
    first = part.to(tl.int64) * share
    for number in range(share):
        window = first + number
        # The last part may have fewer windows.
        inside = rows < tl.minimum((windows - window) * n, n)
        place = qkv + (window * n + rows) * (3 * heads * d) + head * d + channels
        q = tl.load(place, mask=inside, other=0.0)
        k = tl.load(place + heads * d, mask=inside, other=0.0)
        v = tl.load(place + 2 * heads * d, mask=inside, other=0.0)
        p = _probabilities(q, k, of_head, mask, window, images, scale, masked, t)
        result = tl.dot(p.to(v.dtype), v)
        to = out + (window * n + rows) * (heads * d) + head * d + channels
        tl.store(to, result.to(v.dtype), mask=inside)


@triton.jit(do_not_specialize=_NUMBERS)
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
    share,
    masked,
    heads,
    n: tl.constexpr,
    d: tl.constexpr,
    t: tl.constexpr,
):
    part, head = tl.program_id(0), tl.program_id(1)
    rows, columns, channels = tl.arange(0, t)[:, None], tl.arange(0, t)[None, :], tl.arange(0, d)[None, :]
    of_head = tl.load(bias + (head * t + rows) * t + columns)
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
        p = _probabilities(q, k, of_head, mask, window, images, scale, masked, t)
        to = grad_qkv + place
        tl.store(to + 2 * heads * d, tl.dot(tl.trans(p.to(q.dtype)), g).to(q.dtype), mask=inside)
        of_p = tl.dot(g, tl.trans(v))
        of_scores = p * (of_p - tl.sum(p * of_p, 1)[:, None])
        of_bias += of_scores
        s = of_scores.to(q.dtype)
        tl.store(to, (tl.dot(s, k) * scale).to(q.dtype), mask=inside)
        tl.store(to + heads * d, (tl.dot(tl.trans(s), q) * scale).to(q.dtype), mask=inside)
    to_bias = grad_bias + (part * heads + head) * n * n + rows * n + columns
    tl.store(to_bias, of_bias, mask=(rows < n) & (columns < n))


def attend(qkv: Tensor, bias: Tensor, mask: Tensor | None, heads: int, scale: float) -> Tensor:
    """Softmax(scale q k^T + bias + mask) v of every window.

    Args:
        qkv: (W, N, 3 H D) contiguous, half precision.
        bias: (H, N, N) float32.
        mask: (w, N, N), added to the scores of the windows of an image, in their order; rounded to the
            precision of ``qkv``, in which Swin's 0 and -100 are exact.
        heads: H.
        scale: of the scores.

    Returns:
        (W, N, H D), of the type of ``qkv``.
    """
    out = qkv.new_empty(*qkv.shape[:2], qkv.shape[2] // 3)
    share, parts = _division(len(qkv), heads)
    given = (qkv, *_padded(qkv, bias, mask), out, len(qkv), 1 if mask is None else len(mask))
    _forward[(parts, heads)](*given, scale, share, **_sizes(qkv, mask, heads))
    return out


def attend_backward(
    grad: Tensor, qkv: Tensor, bias: Tensor, mask: Tensor | None, heads: int, scale: float
) -> tuple[Tensor, Tensor]:
    """The gradients of ``qkv`` and ``bias`` from that of the result of :func:`attend`."""
    share, parts = _division(len(qkv), heads)
    grad_qkv, grad_bias = torch.empty_like(qkv), bias.new_empty(parts, *bias.shape)
    given = (qkv, *_padded(qkv, bias, mask), grad, grad_qkv, grad_bias)
    sizes = len(qkv), 1 if mask is None else len(mask)
    _backward[(parts, heads)](*given, *sizes, scale, share, **_sizes(qkv, mask, heads))
    return grad_qkv, grad_bias.sum(0)


def _division(windows: int, heads: int) -> tuple[int, int]:
    """Windows of one program, and how many programs a head has."""
    share: int = triton.cdiv(windows, max(1, _PROGRAMS // heads))
    return share, triton.cdiv(windows, share)


def _padded(qkv: Tensor, bias: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Bias and mask as whole tiles, which are read at once; no weight falls on tokens that are not there."""
    missing = TOKENS - qkv.shape[1]
    columns = torch.nn.functional.pad(bias, (0, missing), value=float("-inf"))
    bias = torch.nn.functional.pad(columns, (0, 0, 0, missing))
    if mask is None:
        return bias, bias
    return bias, torch.nn.functional.pad(mask.to(qkv.dtype), (0, missing, 0, missing))


def _sizes(qkv: Tensor, mask: Tensor | None, heads: int) -> dict[str, int]:
    """The last arguments of both kernels."""
    _, tokens, width = qkv.shape
    return {
        "masked": int(mask is not None),
        "heads": heads,
        "n": tokens,
        "d": width // 3 // heads,
        "t": TOKENS,
    }
