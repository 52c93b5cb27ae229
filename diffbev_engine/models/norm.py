"""Group norm that stays in the precision of its input.

Autocast runs group norm in float32, and every activation behind it too, until the next convolution:
twice the memory traffic, on a device that waits for memory.  The kernel sums in float32 in any case.
"""

import torch
from torch import Tensor, nn


class GroupNorm(nn.GroupNorm):
    """``nn.GroupNorm`` whose output has the type of its input, also under autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, …) to the same shape and type."""
        with torch.autocast(input.device.type, enabled=False):
            weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
            return nn.functional.group_norm(input, self.num_groups, weight, bias, self.eps)
