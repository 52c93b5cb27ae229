"""One of the processes that compile the parts of a training step before training needs them.

``compile_ahead`` starts them; what they compile goes to torch's cache on the disk, where training finds it.
Each reads its request from stdin (one line of JSON), and ends when stdin does: with the process that
started it.
"""

import fcntl
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_leaves, tree_map

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import first_line
from diffbev_engine.dataset.order import ALONE
from diffbev_engine.models.compiled import as_if_compiled
from diffbev_engine.models.regions import regions
from diffbev_engine.train.compile_ahead import Request
from diffbev_engine.train.compiling import compile_parts
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.objective import AUTOCAST_DTYPES, COMPILED_FUNCTIONS, Objective
from diffbev_engine.train.random_batch import random_batch
from diffbev_engine.train.step import TrainingStep
from diffbev_engine.train.train import build_step


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
        kept = () if self.module is None else (*self.module.named_parameters(), *self.module.named_buffers())
        state = tuple((name, Described.of(x)) for name, x in kept)
        return self.name, state, self.arguments, *self.named.items(), *self[4:]

    @property
    def weight(self) -> int:
        """Grows with the time that it takes to compile."""
        return 1 if self.module is None else sum(1 for _ in self.module.modules())


def main() -> None:
    """Compile what stdin asks for, together with other such processes."""
    request = Request(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_starter, daemon=True).start()
    device = torch.device(request.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    _measure_one_at_a_time(Path(request.claims) / "measuring")
    settings = Settings.model_validate(request.settings)
    step = step_to_compile(settings, device)
    calls = sorted(distinct_calls(step.objective), key=lambda call: -call.weight)
    compile_parts(step)
    failed = 0
    for number, call in enumerate(calls):
        if not _claim(Path(request.claims) / str(number)):
            continue
        try:
            make(call, step.objective, AUTOCAST_DTYPES[settings.precision])
        except Exception as error:  # training compiles it itself, and tells what is wrong
            failed += 1
            print(f"{call.name}: {first_line(error)}", file=sys.stderr)
        if device.type == "cuda":
            torch.cuda.empty_cache()
    os._exit(1 if failed else 0)  # threads of the compiler would be waited for


def step_to_compile(settings: Settings, device: torch.device) -> TrainingStep:
    """A step of these sizes, as training makes it."""
    plain = settings.model_copy(update={"compile": "off", "load_from": None})
    return build_step(plain, Processes(device, ALONE), resuming=True)


def distinct_calls(objective: Objective, *, really: bool = False) -> list[Call]:
    """How a pass of training calls its parts, equal calls once.

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
    with _noting(objective, note), as_if_compiled(), mode:
        objective.losses(inputs)
    return list({call.kind: call for call in calls}.values())


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


def make(call: Call, objective: Objective, precision: torch.dtype) -> None:
    """Compile what ``call`` calls, forward and backward, and choose its kernels, by doing it."""
    part = call.module or getattr(objective, call.name)
    arguments, named = tree_map(_made, call.arguments), tree_map(_made, call.named)
    autocast = torch.autocast(objective.device.type, precision, enabled=call.with_autocast)
    with torch.set_grad_enabled(call.with_gradients), autocast:
        output = part(*arguments, **named)
    results = [x for x in tree_leaves(output) if isinstance(x, Tensor) and x.requires_grad]
    if results:
        torch.autograd.backward(results, [torch.ones_like(x) for x in results])
    objective.model.zero_grad(set_to_none=True)


def _describe(value: Any) -> Any:
    return Described.of(value) if isinstance(value, Tensor) else value


def _made(value: Any) -> Any:
    return value.made() if isinstance(value, Described) else value


def _claim(path: Path) -> bool:
    """Whether no other process has taken this on."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _measure_one_at_a_time(path: Path) -> None:
    """Kernels are chosen by measuring them, which another process that measures would disturb."""
    from torch._inductor.runtime import benchmarking

    benchmarker = getattr(benchmarking, "benchmarker", None)
    if benchmarker is None or not hasattr(benchmarker, "benchmark_gpu"):
        return
    measure, lock = benchmarker.benchmark_gpu, path.open("w")

    def alone(*arguments: Any, **named: Any) -> Any:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            return measure(*arguments, **named)
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)

    benchmarker.benchmark_gpu = alone


def _end_with_starter() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
