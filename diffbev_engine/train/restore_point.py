"""The last whole iteration of a training, for whoever saves after an error or a lost process.

Between two optimizer steps, weights and optimizer belong to an iteration, the same one in all processes.
An error comes in the middle of the next: its optimizer step has not started, but its forward pass has
drawn random numbers already, and moved the running averages of batch norm.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.train import random_state

_LONGEST_STEP_S = 20.0
_POLL_S = 0.02
_BEHIND = 2
"""Iterations that a GPU may be behind its host."""


@dataclass(frozen=True)
class Snapshot:
    """The state after ``iteration``, on the CPU."""

    iteration: int
    state: dict[str, Any]
    """As of ``TrainingStep.state``."""
    random: dict[str, Any]


@dataclass
class _Mark:
    """What an iteration leaves apart from weights and optimizer."""

    iteration: int
    random: dict[str, Any]
    averages: dict[str, Tensor]
    """Of batch norm."""
    reached: torch.cuda.Event | None
    """When the GPU comes here."""
    left: torch.cuda.Event | bool = False
    """When the next optimizer step begins."""

    def is_current(self) -> bool:
        """Whether weights and optimizer are those of this iteration."""
        reached = self.reached is None or self.reached.query()
        return reached and not (self.left if isinstance(self.left, bool) else self.left.query())


class RestorePoint:
    """Follows the optimizer steps of one process of several."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        """Watch ``model``, which is on ``device``."""
        self._device = device
        self._averages = running_averages(model)
        self._marks: deque[_Mark] = deque(maxlen=_BEHIND + 1)
        self._forward: torch.cuda.Event | bool = False
        self._taken: Snapshot | None = None
        self._lock = threading.Lock()

    def mark(self, iteration: int) -> None:
        """Note that ``iteration`` is done, on a GPU as soon as it comes here."""
        averages = {name: buffer.clone() for name, buffer in self._averages.items()}
        self._marks.append(_Mark(iteration, random_state.capture(), averages, self._event()))

    def began(self) -> None:
        """Note that an iteration begins."""
        self._forward = False

    def went_forward(self) -> None:
        """Note that the last forward pass of an iteration is done; gradients come from all processes."""
        self._forward = self._event() or True

    def has_computed(self) -> bool:
        """Whether this process has done its own part of the iteration, up to the backward pass."""
        forward = self._forward
        return forward if isinstance(forward, bool) else forward.query()

    @contextmanager
    def updating(self, iteration: int) -> Iterator[None]:
        """The block makes weights and optimizer those of ``iteration``, from gradients that all share.

        Afterwards this waits for a GPU that is too far behind.
        """
        with self._lock:  # which is held for good once the state was taken
            if self._marks:  # none where nobody would save, as in a benchmark
                self._marks[-1].left = self._event() or True
            yield
            self.mark(iteration)
        late = self._marks[0].reached
        if late is not None and len(self._marks) > _BEHIND:
            late.synchronize()

    def take(self, state: Callable[[], dict[str, Any]]) -> Snapshot:
        """The last state that all processes had; no optimizer step may follow.

        A GPU whose gradients never arrive still copies: on another stream.

        Args:
            state: ``TrainingStep.state``.

        Raises:
            DiffBEVError: weights are between two iterations, and stay there.
        """
        if self._taken:
            return self._taken
        on_gpu = self._device.type == "cuda"
        if not self._lock.acquire(timeout=_POLL_S if on_gpu else _LONGEST_STEP_S) and not on_gpu:
            raise DiffBEVError("an optimizer step does not end.")
        deadline = time.monotonic() + _LONGEST_STEP_S
        while time.monotonic() < deadline:
            mark = next((mark for mark in reversed(self._marks) if mark.is_current()), None)
            if mark is not None:
                taken = self._on_cpu(state, mark.averages) if on_gpu else state()
                if mark.is_current():  # still: what was copied belongs together
                    taken["model"] |= mark.averages
                    self._taken = Snapshot(mark.iteration, taken, mark.random)
                    return self._taken
            time.sleep(_POLL_S)
        raise DiffBEVError("the weights belong to no iteration: an optimizer step did not end.")

    def _on_cpu(self, state: Callable[[], dict[str, Any]], averages: dict[str, Tensor]) -> dict[str, Any]:
        with torch.cuda.device(self._device), torch.cuda.stream(torch.cuda.Stream(self._device)):
            averages |= {name: tensor.cpu() for name, tensor in averages.items()}
            copied: dict[str, Any] = copied_to_host(state())
        return copied

    def _event(self) -> torch.cuda.Event | None:
        if self._device.type != "cuda":
            return None
        event = torch.cuda.Event(blocking=True)  # whoever waits for it leaves the core to the loader
        event.record()
        return event


def running_averages(model: nn.Module) -> dict[str, Tensor]:
    """The buffers of batch norms by name: what a forward pass changes."""
    return {
        f"{name}.{key}": buffer
        for name, norm in model.named_modules()
        if isinstance(norm, nn.modules.batchnorm._NormBase)
        for key, buffer in norm.named_buffers(recurse=False)
    }


def copied_to_host(value: Any) -> Any:
    """A state of model or optimizer on the CPU, which later iterations do not change."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: copied_to_host(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied_to_host(part) for part in value)
    return value
