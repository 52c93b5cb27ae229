"""Photometric distortion and normalisation of a batch on its own device, without a host sync.

The distortion is the one of SSD (Liu et al., ECCV 2016) as segmentation tool boxes run it on
8-bit images: brightness, contrast, saturation and hue, each with probability one half, contrast
before or after the other two.  Here it runs in float32: every step clips to [0, 255] like the
8-bit version but nothing is rounded in between, and hue moves in the same 2-degree steps.

The random draws are made apart from the pixels, so that one (seed, iteration) gives the same
distortion on every device.  Dimension letters: B batch, H W image rows and columns.
"""

from typing import NamedTuple

import torch
from torch import Tensor

_BRIGHTNESS = 32.0  # grey levels
_FACTOR = (0.5, 1.5)  # contrast and saturation
_HUE = 18  # steps of 2 degrees, upper end excluded
_HUE_STEP = 2.0 / 60.0  # one step on a hue circle of length 6


class Distortion(NamedTuple):
    """Random draws for one batch; every field is (B,) and identity where a step is not taken."""

    brightness: Tensor
    """Grey levels added; 0 is identity."""
    contrast: Tensor
    """Factor on all channels; 1 is identity."""
    saturation: Tensor
    """Factor on the HSV saturation; 1 is identity."""
    hue: Tensor
    """Whole steps of 2 degrees; 0 is identity."""
    contrast_first: Tensor
    """bool: contrast comes before saturation and hue, else after."""


def draw_distortion(batch: int, generator: torch.Generator) -> Distortion:
    """Draw the steps and strengths for ``batch`` images, on the generator's device."""
    uniform = torch.rand(9, batch, generator=generator, device=generator.device)
    strength, taken = uniform[:4], uniform[4:8] < 0.5  # each 4 x B
    low, high = _FACTOR
    factors = low + (high - low) * strength[1:3]  # 2 x B
    return Distortion(
        brightness=taken[0] * (2 * strength[0] - 1) * _BRIGHTNESS,
        contrast=torch.where(taken[1], factors[0], 1.0),
        saturation=torch.where(taken[2], factors[1], 1.0),
        hue=taken[3] * (2 * _HUE * strength[3] - _HUE).floor(),
        contrast_first=uniform[8] < 0.5,
    )


def distort(images: Tensor, distortion: Distortion) -> Tensor:
    """Apply ``distortion`` to RGB images (B, 3, H, W) in [0, 255], uint8 or float, as float32.

    Images whose draws are all identity come back unchanged to the last bit.
    """
    draws = (draw.to(images.device, non_blocking=True)[:, None, None, None] for draw in distortion)
    brightness, contrast, saturation, hue, contrast_first = draws  # each B x 1 x 1 x 1
    x = (images.float() + brightness).clamp(0, 255)
    x = (x * torch.where(contrast_first, contrast, 1.0)).clamp(0, 255)
    coloured = _change_saturation_and_hue(x, saturation, hue * _HUE_STEP)
    x = torch.where((saturation != 1) | (hue != 0), coloured, x)
    return (x * torch.where(contrast_first, 1.0, contrast)).clamp(0, 255)


def normalise(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """(x - mean) / std of RGB images (B, 3, H, W) in [0, 255]; mean and std are (1, 3, 1, 1)."""
    return (images.float() - mean) / std


def _change_saturation_and_hue(rgb: Tensor, factor: Tensor, turn: Tensor) -> Tensor:
    """Scale the HSV saturation, clipped to 1, and turn the hue on its circle of length 6."""
    value = rgb.amax(dim=1, keepdim=True)  # B x 1 x H x W
    chroma = value - rgb.amin(dim=1, keepdim=True)
    hue = _hue(rgb, value, chroma) + turn
    # V * min(S * factor, 1) with S = chroma / V: no division, and black stays black.
    chroma = torch.minimum(chroma * factor, value)
    # Each channel dips by up to the chroma, at its own place on the circle: Smith, SIGGRAPH 1978.
    place = torch.arange(5, 0, -2, device=rgb.device)[:, None, None]  # 5, 3, 1 for R, G, B
    k = torch.remainder(hue + place, 6.0)  # B x 3 x H x W
    return value - chroma * torch.minimum(k, 4.0 - k).clamp(0, 1)


def _hue(rgb: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    """Hue on a circle of length 6, red 0, green 2, blue 4; 0 for grey."""
    red, green, blue = rgb.unbind(dim=1)  # B x H x W
    red, green, blue = red[:, None], green[:, None], blue[:, None]  # B x 1 x H x W
    scale = chroma.clamp(min=1e-6)
    hue = torch.where(value == green, 2 + (blue - red) / scale, 4 + (red - green) / scale)
    hue = torch.where(value == red, (green - blue) / scale, hue)
    return torch.where(chroma > 0, hue, 0.0)
