"""Where torch.compile traces a network for a GPU: what its kernels want otherwise than PyTorch's own.

Convolutions want channels innermost; PyTorch's group norm wants them outermost, compiled sums do not care.
Between compiled parts tensors keep the layout that they leave with: one that changes is copied each time.
"""

import torch
from torch import Tensor


def is_compiled(x: Tensor) -> bool:
    """Whether what happens to ``x`` becomes kernels of the compiler, for a GPU."""
    return torch.compiler.is_compiling() and x.is_cuda


def innermost(x: Tensor) -> Tensor:
    """``x`` (B, C, Z, X) with its channels innermost in memory, where that is compiled."""
    return x.contiguous(memory_format=torch.channels_last) if is_compiled(x) else x
