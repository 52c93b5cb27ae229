"""Weights in half precision, made from the real ones at once.

Autocast converts a weight wherever it is used.  Compiled, that is several hundred small kernels in a step,
each of which the compiler makes, and each of which takes longer to start than to run.
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
    """In the block, linear layers and convolutions of ``network`` have copies of their weights.

    The numbers are autocast's.  A backward pass, which has to be in the block too, adds to the gradients of
    the real weights.

    Args:
        network: its weights are float32.
        precision: of the copies; with float32 nothing is copied.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, _LAYERS)]
    if precision == torch.float32 or not layers:
        yield
        return
    # Not by torch.func.functional_call: blocks that are computed again in the backward pass need them there.
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
    """Tensors to copies in another precision, those of convolutions with channels innermost."""

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
    """All of them, in few kernels where the layout stays."""
    alike = [(a, b) for a, b in zip(to, values, strict=True) if a.stride() == b.stride()]
    if alike:
        torch._foreach_copy_([a for a, _ in alike], [b for _, b in alike])
    for a, b in zip(to, values, strict=True):
        if a.stride() != b.stride():
            a.copy_(b)
