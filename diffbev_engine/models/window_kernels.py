"""Attention within windows as Triton kernels, forward and backward; for CUDA, in half precision.

Swin's windows have 49 tokens and heads of 32 channels: a whole window of a head fits the registers of a
program.  So nothing is written but the result, where the general kernels of PyTorch need the bias written
out for every window, queries, keys and values in layouts of their own, and the gradient of the bias for
every window before it is summed.  A program takes the same window of several images, so that what depends
on its place is computed once.

Dimension letters: B images, H W tokens of an image, h heads, D channels of one, N tokens of a window, T of a
tile, P programs of a head.
"""

import triton
import triton.language as tl
from torch import Tensor

from diffbev_engine.models.window_attention import TOKENS, division, windows_of

_NUMBERS = ["images", "height", "width", "down", "across", "share", "heads"]
"""Whatever these are, the kernels are compiled once."""
_APART = tl.constexpr(-100.0)
"""What Swin adds to the score of two tokens that only the shift has brought into one window."""


@triton.jit
def _window(  # type: ignore[no-untyped-def]
    bias,
    shift,
    height,
    width,
    down,
    across,
    rows: tl.constexpr,
    columns: tl.constexpr,
    t: tl.constexpr,
):
    """The window and head of this program: an image is shifted up and left, then padded below and right.

    Returns:
        Places of the tokens in an image (T, 1); which of them are in the image, and which are padding; what
        is added to the scores (T, T).
    """
    window, head = tl.program_id(0) % (down * across), tl.program_id(1)
    each = tl.arange(0, t)
    row = window // across * rows + each // columns
    column = window % across * columns + each % columns
    rows_up, columns_left = tl.load(shift), tl.load(shift + 1)
    side = 2 * (row >= down * rows - rows_up).to(tl.int32)
    side += (column >= across * columns - columns_left).to(tl.int32)
    tile = each[:, None] * t + each[None, :]
    added = tl.load(bias + head * t * t + tile) + tl.where(side[:, None] != side[None, :], _APART, 0.0)
    place = (row + rows_up) % height * width + (column + columns_left) % width
    inside = (each < rows * columns) & (row < height) & (column < width)
    padding = (each < rows * columns) & ((row >= height) | (column >= width))
    return place[:, None], inside[:, None], padding[:, None], added


@triton.jit
def _load_window(  # type: ignore[no-untyped-def]
    qkv, of_padding, token, channels, inside, padding, heads, d: tl.constexpr
):
    """Queries, keys and values (T, D) of a window; ``qkv`` points at its image."""
    q_at = qkv + token
    k_at = tl.where(padding, of_padding + channels, q_at) + heads * d
    q = tl.load(q_at, mask=inside, other=0.0)
    k = tl.load(k_at, mask=inside | padding, other=0.0)
    v = tl.load(k_at + heads * d, mask=inside | padding, other=0.0)
    return q, k, v


@triton.jit
def _probabilities(q, k, added, scale):  # type: ignore[no-untyped-def]
    """Softmax of the scores of one window and head, T x T float32."""
    scores = tl.dot(q, tl.trans(k)) * scale + added
    weights = tl.exp(scores - tl.max(scores, 1)[:, None])
    return weights / tl.sum(weights, 1)[:, None]


@triton.jit(do_not_specialize=_NUMBERS)
def _forward(  # type: ignore[no-untyped-def]
    qkv,
    of_padding,
    bias,
    shift,
    out,
    images,
    height,
    width,
    down,
    across,
    scale,
    share,
    heads,
    rows: tl.constexpr,
    columns: tl.constexpr,
    d: tl.constexpr,
    t: tl.constexpr,
):
    place, inside, padding, added = _window(bias, shift, height, width, down, across, rows, columns, t)
    channels = tl.program_id(1) * d + tl.arange(0, d)[None, :]
    token = place * (3 * heads * d) + channels
    first = tl.program_id(0) // (down * across) * share
    for image in range(first, tl.minimum(first + share, images)):
        before = tl.cast(image, tl.int64) * height * width * heads * d
        of_image = qkv + 3 * before
        q, k, v = _load_window(of_image, of_padding, token, channels, inside, padding, heads, d)
        p = _probabilities(q, k, added, scale)
        result = tl.dot(p.to(v.dtype), v)
        tl.store(out + before + place * (heads * d) + channels, result.to(v.dtype), mask=inside)


@triton.jit(do_not_specialize=_NUMBERS)
def _backward(  # type: ignore[no-untyped-def]
    qkv,
    of_padding,
    bias,
    shift,
    grad,
    grad_qkv,
    grad_padding,
    grad_bias,
    images,
    height,
    width,
    down,
    across,
    scale,
    share,
    heads,
    rows: tl.constexpr,
    columns: tl.constexpr,
    d: tl.constexpr,
    t: tl.constexpr,
):
    place, inside, padding, added = _window(bias, shift, height, width, down, across, rows, columns, t)
    part, head = tl.program_id(0), tl.program_id(1)
    each = head * d + tl.arange(0, d)
    channels = each[None, :]
    token = place * (3 * heads * d) + channels
    padded = tl.sum(padding.to(tl.int32)) > 0
    of_bias = tl.zeros((t, t), dtype=tl.float32)
    of_padded_k = tl.zeros((d,), dtype=tl.float32)
    of_padded_v = tl.zeros((d,), dtype=tl.float32)
    first = part // (down * across) * share
    for image in range(first, tl.minimum(first + share, images)):
        before = tl.cast(image, tl.int64) * height * width * heads * d
        of_image = qkv + 3 * before
        q, k, v = _load_window(of_image, of_padding, token, channels, inside, padding, heads, d)
        g = tl.load(grad + before + place * (heads * d) + channels, mask=inside, other=0.0)
        p = _probabilities(q, k, added, scale)
        to = grad_qkv + 3 * before + token
        of_v = tl.dot(tl.trans(p.to(q.dtype)), g)
        tl.store(to + 2 * heads * d, of_v.to(q.dtype), mask=inside)
        if padded:
            of_padded_v += tl.sum(tl.where(padding, of_v, 0.0), 0)
        of_p = tl.dot(g, tl.trans(v))
        of_scores = p * (of_p - tl.sum(p * of_p, 1)[:, None])
        of_bias += of_scores
        s = of_scores.to(q.dtype)
        tl.store(to, (tl.dot(s, k) * scale).to(q.dtype), mask=inside)
        of_k = tl.dot(tl.trans(s), q) * scale
        tl.store(to + heads * d, of_k.to(q.dtype), mask=inside)
        if padded:
            of_padded_k += tl.sum(tl.where(padding, of_k, 0.0), 0)
    to_padding = grad_padding + part * 3 * heads * d + each
    tl.store(to_padding, tl.zeros((d,), dtype=tl.float32))  # what padding asks for is not read
    tl.store(to_padding + heads * d, of_padded_k)
    tl.store(to_padding + 2 * heads * d, of_padded_v)
    tile = tl.arange(0, t)[:, None] * t + tl.arange(0, t)[None, :]
    tl.store(grad_bias + (part * heads + head) * t * t + tile, of_bias)


def attend(
    qkv: Tensor, of_padding: Tensor, bias: Tensor, shift: Tensor, window: tuple[int, int], scale: float
) -> Tensor:
    """Softmax(scale q k^T + bias) v of every window, apart where only the shift brings tokens together.

    Args:
        qkv: (B, H, W, 3 h D) contiguous, half precision: queries, keys and values of an image's tokens.
        of_padding: (3 h D), the same type: of those with which images are padded to whole windows.
        bias: (h, T, T) float32, minus infinity in columns that a window does not have.
        shift: (2,) int32, rows and columns by which images are shifted first, up and to the left.
        window: Rows and columns of a window.
        scale: of the scores.

    Returns:
        (B, H, W, h D), of the type of ``qkv``.
    """
    out = qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
    grid, sizes = _sizes(qkv, bias, window)
    _forward[grid](qkv, of_padding, bias, shift, out, scale=scale, **sizes)
    return out


def attend_backward(
    grad: Tensor,
    qkv: Tensor,
    of_padding: Tensor,
    bias: Tensor,
    shift: Tensor,
    window: tuple[int, int],
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients that follow from that of the result of :func:`attend`.

    Returns:
        Of ``qkv``; of ``of_padding`` (P, 3 h D) and of ``bias`` (P, h, T, T), float32, to be summed over the
        programs.
    """
    grid, sizes = _sizes(qkv, bias, window)
    grad_qkv = qkv.new_empty(qkv.shape)
    grad_padding, grad_bias = (bias.new_empty(grid[0], *each.shape) for each in (of_padding, bias))
    given = qkv, of_padding, bias, shift, grad, grad_qkv, grad_padding, grad_bias
    _backward[grid](*given, scale=scale, **sizes)
    return grad_qkv, grad_padding, grad_bias


def _sizes(qkv: Tensor, bias: Tensor, window: tuple[int, int]) -> tuple[tuple[int, int], dict[str, int]]:
    """Programs, and the last arguments of both kernels."""
    images, height, width, channels = qkv.shape
    down, across = windows_of((height, width), window)
    share, programs = division(images, down * across, len(bias))
    return (programs, len(bias)), {
        "images": images,
        "height": height,
        "width": width,
        "down": down,
        "across": across,
        "share": share,
        "heads": len(bias),
        "rows": window[0],
        "columns": window[1],
        "d": channels // 3 // len(bias),
        "t": TOKENS,
    }
