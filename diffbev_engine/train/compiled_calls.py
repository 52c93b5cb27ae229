"""The calls of the compiled parts within a training step: recorded, and repeated on their own.

torch.compile compiles a part at its first call; repeating a recorded call does so ahead of the first step.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map

from diffbev_engine.core.garbage import collector_paused
from diffbev_engine.models.compiled import as_if_compiled
from diffbev_engine.models.half_weights import half_weights
from diffbev_engine.models.regions import regions
from diffbev_engine.train.objective import AUTOCAST_DTYPES, COMPILED_FUNCTIONS, Objective
from diffbev_engine.train.random_batch import random_batch


@dataclass(frozen=True)
class Described:
    """A tensor without its values."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    requires_grad: bool

    @classmethod
    def of(cls, x: Tensor) -> "Described":
        """What ``x`` is like."""
        return cls(tuple(x.shape), x.stride(), x.dtype, x.device, x.requires_grad)

    def made(self) -> Tensor:
        """One like it, of ones where it holds numbers and zeros where it holds indices."""
        x = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)
        return x.fill_(1 if self.dtype.is_floating_point else 0).requires_grad_(self.requires_grad)


class Call(NamedTuple):
    """How training calls one of the compiled parts."""

    name: str
    """Of a function of the objective; of a module its class."""
    module: nn.Module | None
    arguments: tuple[Any, ...]
    """Tensors are described."""
    named: dict[str, Any]
    with_gradients: bool
    with_autocast: bool

    @property
    def kind(self) -> tuple[Any, ...]:
        """Equal where the same kernels come out: copies of a module, and functions, on inputs alike."""
        weights = () if self.module is None else self.module.named_parameters()
        alike = tuple((name, Described.of(x)) for name, x in weights)
        return self.name, alike, self.arguments, *self.named.items(), *self[4:]

    @property
    def weight(self) -> int:
        """Grows with the time that it takes to compile."""
        return 1 if self.module is None else sum(1 for _ in self.module.modules())


def distinct_calls(objective: Objective, *, really: bool = False) -> list[Call]:
    """How a pass of training calls its parts: equal calls once, those that take longest to compile first.

    Args:
        objective: with a model that is not compiled yet.
        really: compute the pass, instead of following the shapes of its tensors alone.
    """
    calls: list[Call] = []

    def note(name: str, module: nn.Module | None, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        described = tree_map(_describe, arguments), tree_map(_describe, named)
        kind = objective.device.type
        calls.append(Call(name, module, *described, torch.is_grad_enabled(), torch.is_autocast_enabled(kind)))

    inputs = objective.inputs(random_batch(objective.settings, objective.device), 0)
    mode = nullcontext() if really else FakeTensorMode(allow_non_fake_inputs=True)
    precision = AUTOCAST_DTYPES[objective.settings.precision]
    with _noting(objective, note), as_if_compiled(), mode, half_weights(objective.model, precision):
        objective.losses(inputs)
    return sorted({call.kind: call for call in calls}.values(), key=lambda call: -call.weight)


@contextmanager
def _noting(objective: Objective, note: Callable[..., None]) -> Iterator[None]:
    """Tell ``note`` of every call of a part."""

    def before(name: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        note(name, None, arguments, named)
        return function(*arguments, **named)

    def forward(module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        note(type(module).__name__, module, arguments, named)

    functions = {name: getattr(objective, name) for name in COMPILED_FUNCTIONS}
    hooks = [
        region.register_forward_pre_hook(forward, with_kwargs=True) for region in regions(objective.model)
    ]
    for name, function in functions.items():
        setattr(objective, name, partial(before, name, function))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for name, function in functions.items():
            setattr(objective, name, function)


def make(call: Call, objective: Objective) -> None:
    """Compile what ``call`` calls, forward and backward, and choose its kernels, by doing it."""
    precision = AUTOCAST_DTYPES[objective.settings.precision]
    part = call.module or getattr(objective, call.name)
    arguments, named = tree_map(_made, call.arguments), tree_map(_made, call.named)
    autocast = torch.autocast(objective.device.type, precision, enabled=call.with_autocast)
    halves = half_weights(call.module, precision) if call.module else nullcontext()
    with halves, collector_paused():
        with torch.set_grad_enabled(call.with_gradients), autocast:
            output = part(*arguments, **named)
        results = [x for x in tree_leaves(output) if isinstance(x, Tensor) and x.requires_grad]
        if results:
            torch.autograd.backward(results, [torch.ones_like(x) for x in results])
    objective.model.zero_grad(set_to_none=True)
    if objective.device.type == "cuda":
        torch.cuda.empty_cache()


def _describe(value: Any) -> Any:
    return Described.of(value) if isinstance(value, Tensor) else value


def _made(value: Any) -> Any:
    return value.made() if isinstance(value, Described) else value
