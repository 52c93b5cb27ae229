"""Group norm that stays in the precision of its input.

Autocast runs group norm in float32, and every activation behind it too, until the next convolution:
twice the memory traffic, on a device that waits for memory.  The kernel sums in float32 in any case.
"""

import torch
from torch import Tensor, nn

from diffbev_engine.models.compiled import is_compiled


class GroupNorm(nn.GroupNorm):
    """``nn.GroupNorm`` whose output has the type of its input, also under autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, …) to the same shape and type."""
        if is_compiled(input):
            return self._by_channel_sums(input)
        with torch.autocast(input.device.type, enabled=False):
            weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
            return nn.functional.group_norm(input, self.num_groups, weight, bias, self.eps)

    def _by_channel_sums(self, input: Tensor) -> Tensor:
        """The same from sums over each channel, which a compiled kernel reads at the memory's full rate.

        Sums over a group of channels are not contiguous where channels are innermost, as convolutions
        have them, and Inductor's kernels for them reach a fifth of that rate.
        """
        places = tuple(range(2, input.ndim))
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        sums = torch.stack([x.sum(places), (x * x).sum(places)])  # 2 x B x C
        count = input[0, 0].numel() * (self.num_channels // self.num_groups)
        mean, square = sums.unflatten(2, (self.num_groups, -1)).sum(3) / count  # each B x groups
        inverse = (square - mean * mean).clamp(min=0).add(self.eps).rsqrt()
        per_group = (self.num_groups, -1)
        weight, bias = self.weight.unflatten(0, per_group), self.bias.unflatten(0, per_group)
        scale = inverse[:, :, None] * weight  # B x groups x channels of one
        shift = bias - mean[:, :, None] * scale
        shape = (*scale.flatten(1).shape, *(1 for _ in places))
        return (x * scale.reshape(shape) + shift.reshape(shape)).to(input.dtype)
