"""Group norm with what follows it as Triton kernels; for CUDA, channels innermost.

Whatever is done to a feature between convolutions is bound by memory: here it is read twice and written once,
however many operations that comprises.

    z = (scale_f + 1) * (weight * (x - mean) * rstd + bias) + shift_f + add,   y = activation(z)

Dimension letters: B batch, C channels, P places (rows and columns of the map), S parts of the places.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from diffbev_engine.models.norm import Activation

CODES: dict[Activation, int] = {"none": 0, "relu": 1, "silu": 2}
TILE = 4096
"""Elements of a feature that a program holds."""
AHEAD = tl.constexpr(3)
"""Tiles that a loop has on their way from memory, with the one that it sums."""
_NARROWEST = 32
"""Channels that a kernel is made for, at least."""
_WARPS = 4
_PROGRAMS = 1024
"""About as many as a large GPU runs at a time."""


def kernel(*numbers: str) -> Any:
    """Make a function a kernel that is compiled once for all values of ``numbers``."""
    return triton.jit(do_not_specialize=list(numbers))


@triton.jit
def _activated(z, activation):  # type: ignore[no-untyped-def]
    if activation == 1:
        z = tl.maximum(z, 0.0)
    if activation == 2:
        z = z / (1 + tl.exp(-z))
    return z


@triton.jit
def tile(image, first, places, c: tl.constexpr, rows: tl.constexpr, width: tl.constexpr):  # type: ignore[no-untyped-def]
    """Offsets and mask (rows, width) of the channels of ``rows`` places of an image, from ``first`` on."""
    channels = tl.arange(0, width)[None, :]
    at = first + tl.arange(0, rows)[:, None]
    return (image.to(tl.int64) * places + at) * c + channels, (at < places) & (channels < c)


@triton.jit
def of_channels(numbers, row, image, images, c: tl.constexpr, width: tl.constexpr):  # type: ignore[no-untyped-def]
    """A row of ``numbers`` (R, B, C), for the channels of an image."""
    channels = tl.arange(0, width)[None, :]
    return tl.load(numbers + (row * images + image) * c + channels, mask=channels < c, other=0.0)


@kernel("places", "share")
def _sums(x, parts, places, share, c: tl.constexpr, rows: tl.constexpr, width: tl.constexpr):  # type: ignore[no-untyped-def]
    """Sums of x and of its square over a part of the places, to ``parts`` (B, S, 2, C)."""
    image, part = tl.program_id(0), tl.program_id(1)
    channels = tl.arange(0, width)
    once = tl.zeros((rows, width), dtype=tl.float32)
    twice = tl.zeros((rows, width), dtype=tl.float32)
    for first in tl.range(part * share, tl.minimum(part * share + share, places), rows, num_stages=AHEAD):
        place, inside = tile(image, first, places, c, rows, width)
        value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
        once += value
        twice += value * value
    to = parts + ((image * tl.num_programs(1) + part) * 2) * c + channels
    tl.store(to, tl.sum(once, 0), mask=channels < c)
    tl.store(to + c, tl.sum(twice, 0), mask=channels < c)


@triton.jit
def summed(parts, image, number, channels, inside, c: tl.constexpr, several: tl.constexpr):  # type: ignore[no-untyped-def]
    """Both sums of ``parts`` over its ``number`` parts, for some channels of an image."""
    once = tl.zeros_like(channels).to(tl.float32)
    twice = tl.zeros_like(channels).to(tl.float32)
    for first in range(0, number, several):
        part = first + tl.arange(0, several)[:, None]
        of = parts + ((image * number + part) * 2) * c + channels[None, :]
        known = (part < number) & inside[None, :]
        once += tl.sum(tl.load(of, mask=known, other=0.0), 0)
        twice += tl.sum(tl.load(of + c, mask=known, other=0.0), 0)
    return once, twice


@kernel("number", "count", "filmed", "group")
def _statistics(  # type: ignore[no-untyped-def]
    parts,
    weight,
    bias,
    film,
    found,
    number,
    count,
    eps,
    filmed,
    c: tl.constexpr,
    group,
    width: tl.constexpr,
    several: tl.constexpr,
):
    """What a channel is scaled by and shifted by, its group's mean and 1 / deviation: ``found`` (4, B, C)."""
    image, images = tl.program_id(0), tl.num_programs(0)
    offsets = tl.arange(0, width)
    inside = offsets < group
    channels = tl.program_id(1) * group + offsets
    once, twice = summed(parts, image, number, channels, inside, c, several)
    mean = tl.sum(once, 0) / count
    variance = tl.maximum(tl.sum(twice, 0) / count - mean * mean, 0.0)
    rstd = 1 / tl.sqrt(variance + eps)
    scale = tl.load(weight + channels, mask=inside, other=0.0).to(tl.float32) * rstd
    shift = tl.load(bias + channels, mask=inside, other=0.0).to(tl.float32) - mean * scale
    if filmed != 0:
        of = film + image * 2 * c + channels
        factor = 1 + tl.load(of, mask=inside, other=0.0).to(tl.float32)
        scale = scale * factor
        shift = shift * factor + tl.load(of + c, mask=inside, other=0.0).to(tl.float32)
    to = found + image * c + channels
    tl.store(to, scale, mask=inside)
    tl.store(to + images * c, shift, mask=inside)
    tl.store(to + 2 * images * c, tl.zeros_like(scale) + mean, mask=inside)
    tl.store(to + 3 * images * c, tl.zeros_like(scale) + rstd, mask=inside)


@kernel("places", "added", "activation")
def _apply(  # type: ignore[no-untyped-def]
    x,
    add,
    found,
    out,
    places,
    added,
    activation,
    c: tl.constexpr,
    rows: tl.constexpr,
    width: tl.constexpr,
):
    image, images = tl.program_id(1), tl.num_programs(1)
    place, inside = tile(image, tl.program_id(0) * rows, places, c, rows, width)
    scale = of_channels(found, 0, image, images, c, width)
    shift = of_channels(found, 1, image, images, c, width)
    z = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) * scale + shift
    if added != 0:
        z += tl.load(add + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, _activated(z, activation).to(out.dtype.element_ty), mask=inside)


def normalise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    film: Tensor | None,
    add: Tensor | None,
    groups: int,
    eps: float,
    activation: Activation,
) -> tuple[Tensor, Tensor]:
    """Group norm of x, modulated, added to and activated.

    Args:
        x: (B, C, Z, X), channels innermost.
        weight: (C,).
        bias: (C,).
        film: (B, 2C) scale and shift of each image's channels, contiguous.
        add: Like ``x``, added before the activation.
        groups: Of channels; divides C.
        eps: Added to the variance.
        activation: Of the sum.

    Returns:
        The result, like ``x``; and (4, B, C) float32 for :func:`normalise_backward`: scale and shift of x,
        mean and inverse deviation of its group.
    """
    size = Size(x, groups)
    parts, out = size.parts(x), torch.empty_like(x)
    found = x.new_empty(4, *size.channels, dtype=torch.float32)
    _sums[size.summing](x, parts, size.places, size.share, **size.tile())
    given = weight, bias, weight if film is None else film
    _statistics[size.grouping](
        parts, *given, found, size.number, size.count, eps, filmed=int(film is not None), **size.group()
    )
    how = {"added": int(add is not None), "activation": CODES[activation], **size.tile()}
    _apply[size.applying](x, x if add is None else add, found, out, size.places, **how)
    return out, found


class Size:
    """How the kernels divide a feature among their programs."""

    def __init__(self, x: Tensor, groups: int) -> None:
        images, c, *map_size = x.shape
        self.channels = (images, c)
        self._groups = groups
        self.places = map_size[0] * map_size[1]
        self.count = self.places * (c // groups)
        rows = self.tile()["rows"]
        wanted = triton.cdiv(_PROGRAMS, images)
        self.share = rows * triton.cdiv(triton.cdiv(self.places, wanted), rows)
        self.number = triton.cdiv(self.places, self.share)
        self.summing = images, self.number
        self.grouping = images, groups
        self.applying = triton.cdiv(self.places, rows), images

    def parts(self, x: Tensor) -> Tensor:
        """Room for the sums of each part."""
        return x.new_empty(self.channels[0], self.number, 2, self.channels[1], dtype=torch.float32)

    def tile(self) -> dict[str, int]:
        """The tile of a kernel that goes over the feature."""
        width = max(_NARROWEST, triton.next_power_of_2(self.channels[1]))
        rows = max(1, TILE // width)
        return {"c": self.channels[1], "rows": rows, "width": width, "num_warps": _WARPS}

    def group(self) -> dict[str, int]:
        """The tile of a kernel that goes over a group's sums."""
        group = self.channels[1] // self._groups
        width = max(_NARROWEST, triton.next_power_of_2(group))
        return {"c": self.channels[1], "group": group, "width": width, "several": max(1, 1024 // width)}
