"""Floating-point operations of a network, counted without running it.

A multiplication and an addition count as two operations; element-wise operations count as none.
"""

import copy
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from diffbev_engine.models.draws import Draws
from diffbev_engine.models.model import BEVModel


class Flops(NamedTuple):
    """Operations for one image."""

    forward: int
    """Forward pass."""
    training: int
    """Forward and backward pass."""


def count_flops(model: BEVModel, image_size: tuple[int, int]) -> Flops:
    """Count the operations of ``model`` for one image of (height, width).

    Runs on fake tensors: no memory, no arithmetic, and the model and its gradients stay as they
    are.  Give the model itself, not what ``torch.compile`` made of it.
    """
    mode = FakeTensorMode()
    with FakeCopyMode(mode):
        fake_model = copy.deepcopy(model)
    diffusion = fake_model.diffusion
    with mode:
        images, intrinsics = torch.empty(1, 3, *image_size), torch.empty(1, 3, 3)
        noise = torch.empty(1, *diffusion.shape) if diffusion else None
        with FlopCounterMode(display=False) as inference:
            fake_model.eval()(images, intrinsics, Draws(noise) if noise is not None else None)
        with FlopCounterMode(display=False) as training:
            times = torch.ones(1, dtype=torch.int64)
            draws = Draws(noise, times, noise, times, noise, noise) if noise is not None else None
            output = fake_model.train()(images, intrinsics, draws)
            sum(tensor.float().sum() for tensor in output if tensor is not None).backward()
    return Flops(inference.get_total_flops(), training.get_total_flops())
