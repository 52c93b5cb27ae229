"""Half-precision copies of the weights, made once per pass.

Autocast converts a weight wherever it is used.  Under torch.compile this adds several hundred small kernels
to a step; each is compiled separately and takes longer to launch than to run.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
"""Whose arithmetic autocast does in half precision."""


@contextmanager
def half_weights(network: nn.Module, precision: torch.dtype) -> Iterator[None]:
    """Within the block, linear layers and convolutions of ``network`` use copies of their weights.

    Results are those of autocast.  The backward pass must run within the block too; gradients accumulate on
    the original weights.

    Args:
        network: with float32 weights.
        precision: of the copies; float32 copies nothing.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _LAYERS)]
    if precision == torch.float32 or not layers:
        yield
        return
    # torch.func.functional_call would restore the weights before the backward pass, in which activation
    # checkpointing runs the forward pass of its blocks again.
    places = [
        (layer._parameters, name) for layer in layers for name, _ in layer.named_parameters(recurse=False)
    ]
    real = [parameters[name] for parameters, name in places]
    for (parameters, name), copy in zip(places, _Copies.apply(precision, *real), strict=True):
        parameters[name] = copy
    try:
        yield
    finally:
        for (parameters, name), weight in zip(places, real, strict=True):
            parameters[name] = weight


class _Copies(torch.autograd.Function):
    """Copies of weights in another precision; those of convolutions are channels-last."""

    @staticmethod
    def forward(ctx: Any, precision: torch.dtype, *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*weights)
        copies = [
            torch.empty_like(weight, dtype=precision, memory_format=_layout(weight)) for weight in weights
        ]
        _copy(copies, weights)
        return tuple(copies)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        result = [
            None if grad is None else torch.empty_like(weight)
            for weight, grad in zip(ctx.saved_tensors, grads, strict=True)
        ]
        _copy([x for x in result if x is not None], [grad for grad in grads if grad is not None])
        return None, *result


def _layout(weight: Tensor) -> torch.memory_format:
    return torch.channels_last if weight.dim() == 4 else torch.contiguous_format


def _copy(to: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy each value, in few kernels where memory layouts agree."""
    alike = [(a, b) for a, b in zip(to, values, strict=True) if a.stride() == b.stride()]
    if alike:
        torch._foreach_copy_([a for a, _ in alike], [b for _, b in alike])
    for a, b in zip(to, values, strict=True):
        if a.stride() != b.stride():
            a.copy_(b)
