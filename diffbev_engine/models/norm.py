"""Group norm that stays in the precision of its input, and what follows it.

Autocast runs group norm in float32, and every activation behind it too, until the next convolution:
twice the memory traffic, on a device that waits for memory.  The kernels sum in float32 in any case.

Dimension letters: B batch, C channels.
"""

from contextlib import nullcontext
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffbev_engine.models.compiled import innermost, is_compiled

Activation = Literal["none", "relu", "silu"]
_PLAIN = {"none": lambda x: x, "relu": F.relu, "silu": F.silu}


class GroupNorm(nn.GroupNorm):
    """``nn.GroupNorm`` and an activation; the output has the type of the input, also under autocast.

    Where it is compiled for a GPU, it runs as kernels of its own.

    Args:
        groups: Of channels.
        channels: Of the input.
        activation: Of the output.
    """

    def __init__(self, groups: int, channels: int, activation: Activation = "none") -> None:
        super().__init__(groups, channels)
        self.activation: Activation = activation

    def forward(self, input: Tensor, add: Tensor | None = None, film: Tensor | None = None) -> Tensor:
        """(B, C, Z, X) to the same shape and type.

        Args:
            input: What is normalised.
            add: Like ``input``, added before the activation.
            film: (B, 2C), factor less 1 and offset of each image's normalised channels (Perez et al.,
                AAAI 2018).

        Raises:
            ValueError: something to add before a SiLU, whose gradient the kernels do not know.
        """
        if add is not None and self.activation == "silu":
            raise ValueError("nothing is added before a SiLU")
        if is_compiled(input):
            return self._by_kernels(input, add, film)
        device = input.device.type
        # Entered only where it changes something: torch 2.6 cannot save an exported program that enters it.
        with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext():
            weight, bias = self.weight.to(input.dtype), self.bias.to(input.dtype)
            normalised = F.group_norm(input, self.num_groups, weight, bias, self.eps)
        if film is not None:
            scale, shift = film[:, :, None, None].chunk(2, dim=1)  # B x C x 1 x 1
            normalised = normalised * (1 + scale) + shift
        if add is not None:
            normalised = normalised + add
        return _PLAIN[self.activation](normalised)

    def _by_kernels(self, input: Tensor, add: Tensor | None, film: Tensor | None) -> Tensor:
        add = None if add is None else innermost(add.to(input.dtype))
        given = innermost(input), self.weight, self.bias, film, add
        out, _ = torch.ops.diffbev.group_norm(*given, self.num_groups, self.eps, self.activation)
        return out


@torch.library.custom_op("diffbev::group_norm", mutates_args=(), device_types="cuda")
def _normalise(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    film: Tensor | None,
    add: Tensor | None,
    groups: int,
    eps: float,
    activation: str,
) -> tuple[Tensor, Tensor]:
    from diffbev_engine.models.norm_kernels import normalise

    film = None if film is None else film.contiguous()
    add = None if add is None else _innermost(add)
    return normalise(_innermost(x), weight, bias, film, add, groups, eps, activation)  # type: ignore[arg-type]


@torch.library.custom_op("diffbev::group_norm_backward", mutates_args=(), device_types="cuda")
def _normalise_backward(
    grad: Tensor,
    x: Tensor,
    out: Tensor,
    found: Tensor,
    weight: Tensor,
    bias: Tensor,
    film: Tensor | None,
    groups: int,
    activation: str,
    added: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    from diffbev_engine.models.norm_backward_kernels import normalise_backward

    given = _innermost(grad.to(x.dtype)), _innermost(x), _innermost(out), found, weight, bias
    film = None if film is None else film.contiguous()
    return normalise_backward(*given, film, groups, activation, added=added)  # type: ignore[arg-type]


@_normalise.register_fake
def _(x: Tensor, *_others: Any) -> tuple[Tensor, Tensor]:
    return _like(x), x.new_empty(4, *x.shape[:2], dtype=torch.float32)


@_normalise_backward.register_fake
def _(
    _grad: Tensor,
    x: Tensor,
    _out: Tensor,
    _found: Tensor,
    weight: Tensor,
    _bias: Tensor,
    film: Tensor | None,
    _groups: int,
    _activation: str,
    added: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    of_film = x.new_empty(0 if film is None else film.shape)
    of_affine = weight.new_empty(2, *weight.shape, dtype=torch.float32)
    return _like(x), of_affine, of_film, _like(x) if added else x.new_empty(0)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    x, weight, bias, film, add, ctx.groups, _, ctx.activation = inputs
    out, found = output
    ctx.added = add is not None
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, out if ctx.added else x, found, weight, bias, film)


def _differentiate(ctx: Any, grad: Tensor, _of_found: None) -> tuple[Tensor | None, ...]:
    kept = ctx.saved_tensors
    given = *kept, ctx.groups, ctx.activation, ctx.added
    of_x, of_affine, of_film, of_add = torch.ops.diffbev.group_norm_backward(grad, *given)
    optional = None if kept[-1] is None else of_film, of_add if ctx.added else None
    return of_x, *of_affine.unbind(), *optional, None, None, None


_normalise.register_autograd(_differentiate, setup_context=_remember)


def _innermost(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _like(x: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=torch.channels_last)
