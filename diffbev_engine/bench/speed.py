"""Time and memory of one network on one device: real training steps and inference, no loader.

Batches of random numbers are on the device already, so that the network alone is timed; the
step is the one that training runs: augmentation, network, losses, backward, optimizer.
"""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.errors import OutOfGPUMemoryError
from diffbev_engine.evaluate.network import evaluated
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.random_batch import random_batch
from diffbev_engine.train.train import build_step

_WARM_UP = 3
_GIB = 2**30


@dataclass(frozen=True)
class Speed:
    """What one network takes; a step is one optimizer step."""

    parameters: int
    batch: int
    """Images of an optimizer step, and of one inference batch when nothing is accumulated."""
    training_ms: float
    """Median over the rounds of the mean step."""
    training_rounds_ms: tuple[float, ...]
    training_peak_gib: float | None
    """Largest memory allocated for this network alone; ``None`` on a CPU."""
    inference_ms: dict[int, float]
    """DDIM steps to the time of a batch; under 0 for a network without diffusion."""
    inference_rounds_ms: dict[int, tuple[float, ...]]
    inference_peak_gib: float | None

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Speed":
        """From what ``json`` made of ``asdict``, where keys are strings."""
        times = {int(steps): time for steps, time in values["inference_ms"].items()}
        rounds = {int(steps): tuple(all_times) for steps, all_times in values["inference_rounds_ms"].items()}
        return cls(**{**values, "inference_ms": times, "inference_rounds_ms": rounds})


class Subject:
    """A network on its device, to be timed in turns with others."""

    def __init__(
        self,
        settings: Settings,
        processes: Processes,
        ddim_steps: Sequence[int] = (),
        *,
        compiled: bool = False,
    ) -> None:
        """Build and warm up the network of ``settings``, and read its memory.

        Args:
            settings: the experiment.
            processes: the device.
            ddim_steps: numbers of DDIM steps to time inference with; empty for the configured one.
            compiled: whether inference uses what ``compile=auto`` compiles, as ``predict --compile`` does;
                otherwise it runs as ``evaluate`` does.

        Raises:
            UsageError: settings that do not fit together.
            OutOfGPUMemoryError: the batch is too large.
        """
        self._device = processes.device
        self._held = self._allocated()
        self._step = build_step(settings, processes, resuming=False)
        self._model = self._step.model
        batch = random_batch(settings, self._device)
        self._batches = [batch] * settings.optimizer_config.cumulative_iters
        self._evaluated = evaluated(self._model, settings, self._device, compiled=compiled)
        self._iteration = 0
        diffusion = self._model.diffusion
        self.inference_steps = (tuple(ddim_steps) or (diffusion.steps,)) if diffusion else (0,)
        self._training_ms: list[float] = []
        self._inference_ms: dict[int, list[float]] = {steps: [] for steps in self.inference_steps}
        self._training_peak = self._peak(self._train_once)
        self._inference_peak = self._peak(partial(self._infer_once, max(self.inference_steps)))

    def round(self, iterations: int) -> None:
        """Time ``iterations`` training steps, and as many inference batches for each number of DDIM steps."""
        self._training_ms.append(self._mean_ms(self._train_once, iterations))
        for steps in self.inference_steps:
            self._inference_ms[steps].append(self._mean_ms(partial(self._infer_once, steps), iterations))

    def result(self) -> Speed:
        """What all rounds so far found."""
        return Speed(
            parameters=sum(parameter.numel() for parameter in self._model.parameters()),
            batch=sum(len(batch.tokens) for batch in self._batches),
            training_ms=median(self._training_ms),
            training_rounds_ms=tuple(self._training_ms),
            training_peak_gib=self._training_peak,
            inference_ms={steps: median(times) for steps, times in self._inference_ms.items()},
            inference_rounds_ms={steps: tuple(times) for steps, times in self._inference_ms.items()},
            inference_peak_gib=self._inference_peak,
        )

    def _train_once(self) -> None:
        self._model.train()
        self._step.run(self._iteration, self._batches)
        self._iteration += 1

    @torch.inference_mode()
    def _infer_once(self, steps: int) -> None:
        self._model.eval()
        if self._model.diffusion is not None:
            self._model.diffusion.steps = steps
        self._evaluated(self._batches[0])

    def _mean_ms(self, work: Callable[[], None], iterations: int) -> float:
        """Milliseconds of one ``work``; the device queue is empty before and after."""
        for _ in range(_WARM_UP):  # compilation and the memory of the other network's turn
            work()
        self._wait()
        started = time.perf_counter()
        for _ in range(iterations):
            work()
        self._wait()
        return 1000 * (time.perf_counter() - started) / iterations

    def _peak(self, work: Callable[[], None]) -> float | None:
        """GiB that ``work`` and this network need at most, without what was there before the network."""
        try:
            for _ in range(_WARM_UP):
                work()
            if self._device.type != "cuda":
                return None
            self._wait()
            torch.cuda.reset_peak_memory_stats(self._device)
            work()
            self._wait()
        except torch.OutOfMemoryError as error:
            raise OutOfGPUMemoryError(f"out of GPU memory: {error} Use a smaller batch size.") from error
        return (torch.cuda.max_memory_allocated(self._device) - self._held) / _GIB

    def _allocated(self) -> int:
        return torch.cuda.memory_allocated(self._device) if self._device.type == "cuda" else 0

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def measure_speed(settings: Settings, processes: Processes, *, iterations: int, rounds: int) -> Speed:
    """Time one network alone on the device, and leave the device's memory as it was.

    Raises:
        OutOfGPUMemoryError: the batch is too large.
    """
    subject = Subject(settings, processes)
    for _ in range(rounds):
        subject.round(iterations)
    result = subject.result()
    del subject
    release_memory(processes.device)
    return result


def release_memory(device: torch.device) -> None:
    """Give the memory of networks that are no longer referred to back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
