"""The training step as CUDA graphs: at small batches launching its thousands of kernels takes longest.

The first steps run plainly: kernels are compiled and tuned, and the optimizer makes its state.  Then what
the GPU does in a backward pass and in an update is recorded once and replayed ever after, on memory of its
own.  A graph replays the kernels that were recorded, so the numbers are those of the plain step.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from diffbev_engine.core.errors import first_line
from diffbev_engine.models.cuda_graph import CapturedCall, GraphMemory
from diffbev_engine.train.objective import Inputs
from diffbev_engine.train.recorder import logger

PLAIN_STEPS = 3
"""Steps before a capture: the first makes the optimizer's state, compiled parts settle in the second."""

Backward = Callable[[Inputs, Callable[[], None]], Tensor]
"""Adds the gradients of one pass; calls back between forward and backward; returns the losses."""


class GraphedStep:
    """Calls the two halves of a step: plainly, or replayed once they are captured.

    Args:
        model: Whose gradients they are.
        backward: One backward pass.
        update: Applies the gradients; returns their norm.
        drop: Forgets the gradients of an unfinished step.

    Attributes:
        wanted: Whether to capture steps; off until someone sets it.
        may_retry: Asked about an error of a first backward pass: whether to try it again.
    """

    def __init__(
        self, model: nn.Module, backward: Backward, update: Callable[[], Tensor], drop: Callable[[], None]
    ) -> None:
        self._model = model
        self._backward = backward
        self._update = update
        self._drop = drop
        self.wanted = False
        self.may_retry: Callable[[Exception], bool] = _never
        self._steps = 0
        self._graphs: _Graphs | None = None
        self._replays = False
        """In this step."""

    @property
    def captured(self) -> bool:
        """Whether steps are replayed."""
        return self._graphs is not None

    @property
    def memory(self) -> GraphMemory | None:
        """Where replayed steps compute, for what runs between steps; ``None`` as long as none is replayed."""
        return self._graphs.memory if self._graphs else None

    def begin(self, passes: list[Inputs]) -> None:
        """A step begins: capture it if it is time to."""
        if self.wanted and self._graphs is None and self._steps >= PLAIN_STEPS:
            self._capture(passes)
        self._steps += 1
        self._replays = self._graphs is not None and all(map(self._graphs.takes, passes))

    def backward(self, inputs: Inputs, number: int, went_forward: Callable[[], None]) -> Tensor:
        """Backward pass ``number`` of the step."""
        if not self._replays:
            return self._plain(inputs, number, went_forward)
        assert self._graphs is not None
        losses = self._graphs.backward(inputs, number)
        went_forward()
        return losses

    def gradients(self) -> list[Tensor]:
        """The gradients of this step, which may be changed in place."""
        if not self._replays:
            return _gradients(self._model)
        assert self._graphs is not None
        return self._graphs.gradients

    def update(self) -> Tensor:
        """Apply the gradients; returns their norm."""
        if not self._replays:
            return self._update()
        assert self._graphs is not None
        return self._graphs.update()

    def _plain(self, inputs: Inputs, number: int, went_forward: Callable[[], None]) -> Tensor:
        try:
            return self._backward(inputs, went_forward)
        except Exception as error:
            if number or self._steps > PLAIN_STEPS or not self.may_retry(error):
                raise
        self._drop()
        return self._backward(inputs, went_forward)

    def _capture(self, passes: list[Inputs]) -> None:
        try:
            self._graphs = _Graphs(self._model, self._backward, self._update, passes)
            logger.info("the training step is replayed as a CUDA graph from here on")
        except Exception as error:  # whatever a driver or a library objects to, the plain step remains
            self.wanted = False
            self._drop()
            torch.cuda.empty_cache()
            logger.warning(f"the training step runs without a CUDA graph: {first_line(error)}")


class _Graphs:
    """A step, captured for one number of passes and one shape of inputs."""

    def __init__(
        self, model: nn.Module, backward: Backward, update: Callable[[], Tensor], passes: list[Inputs]
    ) -> None:
        self.memory = GraphMemory(next(model.parameters()).device)
        self._inputs = passes[0].clone()
        # The first pass makes the gradients, every further one adds to them: two graphs are enough.
        self._passes = [
            CapturedCall(lambda: backward(self._inputs, nothing), self.memory) for _ in passes[:2]
        ]
        self.gradients = _gradients(model)
        self._update = CapturedCall(update, self.memory)

    def takes(self, inputs: Inputs) -> bool:
        """Whether ``inputs`` have the shape that was captured."""
        own, others = list(self._inputs.tensors()), list(inputs.tensors())
        return len(own) == len(others) and all(a.shape == b.shape for a, b in zip(own, others, strict=True))

    def backward(self, inputs: Inputs, number: int) -> Tensor:
        for own, new in zip(self._inputs.tensors(), inputs.tensors(), strict=True):
            own.copy_(new, non_blocking=True)
        return self._passes[min(number, 1)].replay().clone()

    def update(self) -> Tensor:
        return self._update.replay().clone()


def _gradients(model: nn.Module) -> list[Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


def nothing() -> None:
    """For a pass that nobody notes: not the last of its step, or captured."""


def _never(_error: Exception) -> bool:
    """An error of a first step is one like any other."""
    return False
