"""The gradients of ``norm_kernels``: what is kept of the forward pass is the input, and the result at most.

Dimension letters: B batch, C channels, S parts of the places.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from diffbev_engine.models.norm import Activation
from diffbev_engine.models.norm_kernels import AHEAD, CODES, Size, kernel, of_channels, summed, tile


@triton.jit
def _through_activation(  # type: ignore[no-untyped-def]
    grad, x, out, place, inside, scale, shift, added, activation
):
    """X and the gradient of z, at some places."""
    value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    of_z = tl.load(grad + place, mask=inside, other=0.0).to(tl.float32)
    if activation == 1:
        signed = value * scale + shift
        if added != 0:  # what was added is not kept: the result tells the sign
            signed = tl.load(out + place, mask=inside, other=0.0).to(tl.float32)
        of_z = tl.where(signed > 0, of_z, 0.0)
    if activation == 2:
        z = value * scale + shift
        share = 1 / (1 + tl.exp(-z))
        of_z = of_z * share * (1 + z * (1 - share))
    return value, of_z


@kernel("places", "share", "added", "activation")
def _gradient_sums(  # type: ignore[no-untyped-def]
    grad,
    x,
    out,
    found,
    parts,
    of_add,
    places,
    share,
    added,
    activation,
    c: tl.constexpr,
    rows: tl.constexpr,
    width: tl.constexpr,
):
    """Sums of the gradient of z, and of it times x, over a part of the places, to ``parts`` (B, S, 2, C).

    The gradient of z is that of what was added, and is written where something was.
    """
    image, part, images = tl.program_id(0), tl.program_id(1), tl.num_programs(0)
    channels = tl.arange(0, width)
    scale = of_channels(found, 0, image, images, c, width)
    shift = of_channels(found, 1, image, images, c, width)
    once = tl.zeros((rows, width), dtype=tl.float32)
    twice = tl.zeros((rows, width), dtype=tl.float32)
    for first in tl.range(part * share, tl.minimum(part * share + share, places), rows, num_stages=AHEAD):
        place, inside = tile(image, first, places, c, rows, width)
        value, of_z = _through_activation(grad, x, out, place, inside, scale, shift, added, activation)
        once += of_z
        twice += of_z * value
        if added != 0:
            tl.store(of_add + place, of_z.to(of_add.dtype.element_ty), mask=inside)
    to = parts + ((image * tl.num_programs(1) + part) * 2) * c + channels
    tl.store(to, tl.sum(once, 0), mask=channels < c)
    tl.store(to + c, tl.sum(twice, 0), mask=channels < c)


@kernel("number", "count", "filmed", "group")
def _coefficients(  # type: ignore[no-untyped-def]
    parts,
    weight,
    bias,
    film,
    found,
    coefficients,
    of_affine,
    of_film,
    number,
    count,
    filmed,
    c: tl.constexpr,
    group,
    width: tl.constexpr,
    several: tl.constexpr,
):
    """The gradient of x is that of z times the scale, plus x times a, plus b: ``coefficients`` (2, B, C).

    And the gradients of weight and bias for each image (2, B, C), and of the film (B, 2C).
    """
    image, images = tl.program_id(0), tl.num_programs(0)
    offsets = tl.arange(0, width)
    inside = offsets < group
    channels = tl.program_id(1) * group + offsets
    once, twice = summed(parts, image, number, channels, inside, c, several)
    at = image * c + channels
    mean = tl.load(found + 2 * images * c + at, mask=inside, other=0.0)
    rstd = tl.load(found + 3 * images * c + at, mask=inside, other=0.0)
    gain = tl.load(weight + channels, mask=inside, other=0.0).to(tl.float32)
    offset = tl.load(bias + channels, mask=inside, other=0.0).to(tl.float32)
    normalised = rstd * (twice - mean * once)  # sum of the gradient of z times what is normalised
    factor = tl.zeros_like(gain) + 1
    if filmed != 0:
        of = film + image * 2 * c + channels
        factor += tl.load(of, mask=inside, other=0.0).to(tl.float32)
        to = of_film + image * 2 * c + channels
        tl.store(to, (gain * normalised + offset * once).to(of_film.dtype.element_ty), mask=inside)
        tl.store(to + c, once.to(of_film.dtype.element_ty), mask=inside)
    tl.store(of_affine + at, factor * normalised, mask=inside)
    tl.store(of_affine + images * c + at, factor * once, mask=inside)
    along_one = tl.sum(factor * gain * once, 0) / count
    along_x = tl.sum(factor * gain * normalised, 0) / count
    a = -rstd * rstd * along_x
    tl.store(coefficients + at, a, mask=inside)
    tl.store(coefficients + images * c + at, -rstd * along_one - a * mean, mask=inside)


@kernel("places", "activation")
def _apply_backward(  # type: ignore[no-untyped-def]
    grad,
    x,
    found,
    coefficients,
    of_x,
    places,
    activation,
    c: tl.constexpr,
    rows: tl.constexpr,
    width: tl.constexpr,
):
    image, images = tl.program_id(1), tl.num_programs(1)
    place, inside = tile(image, tl.program_id(0) * rows, places, c, rows, width)
    scale = of_channels(found, 0, image, images, c, width)
    shift = of_channels(found, 1, image, images, c, width)
    a = of_channels(coefficients, 0, image, images, c, width)
    b = of_channels(coefficients, 1, image, images, c, width)
    value, of_z = _through_activation(grad, x, x, place, inside, scale, shift, 0, activation)
    tl.store(of_x + place, (of_z * scale + value * a + b).to(of_x.dtype.element_ty), mask=inside)


def normalise_backward(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    found: Tensor,
    weight: Tensor,
    bias: Tensor,
    film: Tensor | None,
    groups: int,
    activation: Activation,
    *,
    added: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients that follow from that of the result of :func:`normalise`.

    Args:
        grad: Like ``x``.
        x: As it was given.
        out: The result; read where something was added.
        found: What :func:`normalise` found.
        weight: As it was given.
        bias: As it was given.
        film: As it was given; where there was none, its gradient is empty.
        groups: As given.
        activation: As given.
        added: Whether something was; where not, its gradient is empty.

    Returns:
        The gradients of x, of weight and bias (2, C) float32, of film and of what was added.
    """
    size = Size(x, groups)
    parts, coefficients = size.parts(x), torch.empty_like(found[:2])
    of_affine, of_x = torch.empty_like(found[:2]), torch.empty_like(x)
    of_film = x.new_empty(0) if film is None else torch.empty_like(film)
    of_add = torch.empty_like(x) if added else x.new_empty(0)
    how = {"added": int(added), "activation": CODES[activation], **size.tile()}
    _gradient_sums[size.summing](grad, x, out, found, parts, of_add, size.places, size.share, **how)
    given = weight, bias, weight if film is None else film
    _coefficients[size.grouping](
        *(parts, *given, found, coefficients, of_affine, of_film, size.number, size.count),
        filmed=int(film is not None),
        **size.group(),
    )
    last = {"activation": CODES["none" if added else activation], **size.tile()}
    of_z = of_add if added else grad
    _apply_backward[size.applying](of_z, x, found, coefficients, of_x, size.places, **last)
    return of_x, of_affine.sum(1), of_film, of_add
