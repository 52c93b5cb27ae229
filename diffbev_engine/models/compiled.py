"""Where torch.compile traces a network for a GPU: what its kernels want otherwise than PyTorch's own.

Convolutions want channels innermost; PyTorch's group norm wants them outermost, compiled sums do not care.
Between compiled parts tensors keep the layout that they leave with: one that changes is copied each time.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_forced: bool | None = None


def is_compiled(x: Tensor) -> bool:
    """Whether what happens to ``x`` becomes kernels of the compiler, for a GPU."""
    return x.is_cuda and (torch.compiler.is_compiling() if _forced is None else _forced)


@contextmanager
def as_if_compiled(compiled: bool = True) -> Iterator[None]:
    """Do in the block what is done where it is compiled, or what is done where it is not.

    To see with which tensors compiled parts are called; or to export what any runtime can compute.
    """
    global _forced
    _forced = compiled
    try:
        yield
    finally:
        _forced = None


def innermost(x: Tensor) -> Tensor:
    """``x`` (B, C, Z, X) with its channels innermost in memory, where that is compiled."""
    if not is_compiled(x):
        return x
    if len(x) == 1:
        # contiguous() ignores the stride of a dimension of size 1; convolutions infer the layout from it.
        return x.clone(memory_format=torch.channels_last)
    return x.contiguous(memory_format=torch.channels_last)
