"""Floating-point operations of a network, counted without running it.

A multiplication and an addition count as two operations; element-wise operations count as none.
"""

import copy
from typing import NamedTuple

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode


class Flops(NamedTuple):
    """Operations for one image."""

    forward: int
    """Forward pass."""
    training: int
    """Forward and backward pass."""


def count_flops(model: nn.Module, image_size: tuple[int, int]) -> Flops:
    """Count the operations of ``model(images, intrinsics)`` for one image of (height, width).

    Runs on fake tensors: no memory, no arithmetic, and the model and its gradients stay as they
    are.  Give the model itself, not what ``torch.compile`` made of it.
    """
    height, width = image_size
    mode = FakeTensorMode()
    with FakeCopyMode(mode):
        fake_model = copy.deepcopy(model)
    with mode, FlopCounterMode(display=False) as counter:
        images = torch.empty(1, 3, height, width)
        intrinsics = torch.empty(1, 3, 3)
        output = fake_model(images, intrinsics)
        forward = counter.get_total_flops()
        sum(tensor.float().sum() for tensor in output).backward()
        return Flops(forward, counter.get_total_flops())
