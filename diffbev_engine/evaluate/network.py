"""A model behind its input pipeline: a batch on the device to everything that it says about it."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import first_line
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.models.cuda_graph import CapturedCall, GraphMemory
from diffbev_engine.models.draws import Draws
from diffbev_engine.models.model import BEVModel, ModelOutput
from diffbev_engine.models.photometric import normalise
from diffbev_engine.train.objective import autocast
from diffbev_engine.train.recorder import logger

DEFAULT_SEED = 0
"""Seed of the denoising noise wherever nobody chooses one, evaluation in training included."""

Network = Callable[[Batch], ModelOutput]
"""A batch on the device to everything that the network says about it."""
Predict = Callable[[Batch], Tensor]
"""A batch on the device to its logits, (B, 14, Z, X)."""


def network(
    model: BEVModel,
    precision: str,
    device: torch.device,
    seed: int = DEFAULT_SEED,
    samples: int = 1,
    *,
    graphs: bool = True,
    memory: GraphMemory | None = None,
    uncompiled: bool = False,
) -> Network:
    """The model behind its input pipeline; the noise of each image is fixed by its token and ``seed``.

    On a GPU batches of a shape that comes again are computed by a CUDA graph: the same kernels, the same
    numbers, without the time that launching them takes.  It reads the weights where they are.

    Args:
        model: in evaluation mode; its ``diffusion.steps`` may be changed between batches.
        precision: of the network.
        device: where it is.
        seed: of the noise.
        samples: how many maps to average; no two seeds have one in common.
        graphs: whether to use CUDA graphs where there is a GPU.
        memory: where these compute; its own by default.
        uncompiled: whether to leave out what is compiled in the model.
    """

    def forward(inputs: _Inputs) -> ModelOutput:
        images = normalise(inputs.images, model.pixel_mean, model.pixel_std)
        draws = [Draws(start=start) for start in inputs.starts]
        plainly = torch.compiler.set_stance("force_eager") if uncompiled else nullcontext()
        with autocast(device, precision), plainly:
            if len(draws) > 1:
                return model.sample(images, inputs.intrinsics, draws, inputs.depth)
            output: ModelOutput = model(images, inputs.intrinsics, draws[0] if draws else None, inputs.depth)
        return output

    diffusion = model.diffusion
    replayed = None
    if graphs and device.type == "cuda":
        replayed = _Replayed(forward, memory or GraphMemory(device))

    def run(batch: Batch) -> ModelOutput:
        starts: tuple[Tensor, ...] = ()
        if diffusion is not None:
            noises = range(seed * samples, (seed + 1) * samples)
            starts = tuple(diffusion.evaluation_draws(batch.tokens, noise, device).start for noise in noises)
        inputs = _Inputs(batch.images, batch.intrinsics, batch.depth, starts)
        if replayed is None:
            return forward(inputs)
        return replayed(inputs, diffusion.steps if diffusion is not None else 0)

    return run


def evaluated(
    model: BEVModel,
    settings: Settings,
    device: torch.device,
    seed: int = DEFAULT_SEED,
    samples: int = 1,
    *,
    compiled: bool = False,
    memory: GraphMemory | None = None,
) -> Network:
    """The network as an evaluation under ``settings`` runs it; see :func:`network`.

    Without what ``compile=auto`` compiled in it for training, unless ``compiled``: so an evaluation within
    a training gives the numbers of ``evaluate``, and has nothing to compile.
    """
    auto = settings.compile == "auto"
    uncompiled = auto and not compiled
    return network(
        model, settings.precision, device, seed, samples, graphs=auto, memory=memory, uncompiled=uncompiled
    )


class _Inputs(NamedTuple):
    """What the output depends on besides the weights."""

    images: Tensor
    intrinsics: Tensor
    depth: Tensor | None
    starts: tuple[Tensor, ...]

    def tensors(self) -> list[Tensor]:
        given = [self.images, self.intrinsics, self.depth, *self.starts]
        return [each for each in given if each is not None]

    def clone(self) -> "_Inputs":
        depth = None if self.depth is None else self.depth.clone()
        starts = tuple(start.clone() for start in self.starts)
        return _Inputs(self.images.clone(), self.intrinsics.clone(), depth, starts)


class _Replayed:
    """Computes ``forward`` plainly for the first batch of a shape, and by a graph for those after it."""

    def __init__(self, forward: Callable[[_Inputs], ModelOutput], memory: GraphMemory) -> None:
        self._forward = forward
        self._memory = memory
        self._seen: set[Any] = set()
        self._captured: dict[Any, tuple[_Inputs, CapturedCall[ModelOutput]]] = {}
        self._works = True

    def __call__(self, inputs: _Inputs, steps: int) -> ModelOutput:
        key = (steps, *(tensor.shape for tensor in inputs.tensors()))
        if self._works and key in self._seen and key not in self._captured:
            self._capture(key, inputs)
        self._seen.add(key)
        if key in self._captured:
            own, call = self._captured[key]
            for place, value in zip(own.tensors(), inputs.tensors(), strict=True):
                place.copy_(value, non_blocking=True)
            output = call.replay()
        else:
            output = self._memory.run(lambda: self._forward(inputs))
        # Copies, since what runs next computes in the same place.
        return output._replace(**{name: x.clone() for name, x in output._asdict().items() if x is not None})

    def _capture(self, key: Any, inputs: _Inputs) -> None:
        own = inputs.clone()
        try:
            self._captured[key] = own, CapturedCall(lambda: self._forward(own), self._memory)
        except Exception as error:  # whatever a driver or a library objects to, the plain way remains
            self._works = False
            logger.warning(f"batches are computed without a CUDA graph: {first_line(error)}")
