"""What DiffBEV costs: the same network with and without its parts, in turns on one device."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from diffbev_engine.bench.speed import Speed, Subject, release_memory
from diffbev_engine.bench.variants import BASELINE_OVERRIDES
from diffbev_engine.config.load import load_settings
from diffbev_engine.core.errors import UsageError
from diffbev_engine.findings.compiler import why_not_compiled
from diffbev_engine.train.distributed import Processes, device_name

DDIM_STEPS = (1, 3, 5)
TRAINING_LIMIT = 1.6
"""Largest ratio of the training step; set for batch 8, 600x800, bf16 on one NVIDIA H200."""
INFERENCE_LIMIT = 2.0
"""Largest ratio of inference with as many DDIM steps as the configuration has; set for the same."""


@dataclass(frozen=True)
class Cost:
    """DiffBEV next to its baseline, measured in one run."""

    config: str
    device: str
    torch: str
    precision: str
    compile: str
    compiled_inference: bool
    """Whether inference used compiled kernels, as ``predict --compile``; otherwise those of ``evaluate``."""
    steps: int
    """DDIM steps of the configuration."""
    image_size: tuple[int, int]
    iterations: int
    rounds: int
    baseline: Speed
    diffbev: Speed

    @property
    def training_ratio(self) -> float:
        """DiffBEV's training step over the baseline's."""
        return self.diffbev.training_ms / self.baseline.training_ms

    @property
    def inference_ratios(self) -> dict[int, float]:
        """DDIM steps to DiffBEV's inference over the baseline's."""
        [reference] = self.baseline.inference_ms.values()
        return {steps: time / reference for steps, time in self.diffbev.inference_ms.items()}

    def to_text(self) -> str:
        """A table for people, with the ratios against their limits."""
        height, width = self.image_size
        [reference] = self.baseline.inference_ms.values()
        rows: list[tuple[str, float, float, float | None]] = [
            ("training step", self.baseline.training_ms, self.diffbev.training_ms, TRAINING_LIMIT)
        ]
        rows += [
            (f"inference, {steps} DDIM", reference, time, INFERENCE_LIMIT if steps == self.steps else None)
            for steps, time in self.diffbev.inference_ms.items()
        ]
        return "\n".join(
            [
                f"{self.config} on {self.device}, torch {self.torch}",
                f"batch {self.baseline.batch}, {height}x{width}, {self.precision}, compile {self.compile}"
                f"{', inference compiled' if self.compiled_inference else ''}; "
                f"median of {self.rounds} rounds of {self.iterations} iterations",
                f"{'':<20}{'baseline':>12}{'DiffBEV':>12}{'ratio':>8}  limit",
                *(_ratio_row(*row) for row in rows),
                _memory_row("training peak", self.baseline.training_peak_gib, self.diffbev.training_peak_gib),
                _memory_row(
                    "inference peak", self.baseline.inference_peak_gib, self.diffbev.inference_peak_gib
                ),
                f"{'parameters':<20}{self.baseline.parameters / 1e6:>10.2f} M"
                f"{self.diffbev.parameters / 1e6:>10.2f} M",
                "limits are for batch 8, 600x800, bf16 on one NVIDIA H200",
            ]
        )

    def to_json(self) -> str:
        """One line for programs."""
        ratios: dict[str, Any] = {
            "training": self.training_ratio,
            "inference": self.inference_ratios,
        }
        limits = {"training": TRAINING_LIMIT, "inference": {self.steps: INFERENCE_LIMIT}}
        return json.dumps({**asdict(self), "ratios": ratios, "limits": limits})


def measure_cost(
    config: str,
    overrides: Sequence[str],
    processes: Processes,
    *,
    iterations: int,
    rounds: int,
    compiled: bool = False,
) -> Cost:
    """Time ``config`` and its baseline, alternating, so that a drift of the device meets both.

    ``compiled`` is about inference; see :class:`Subject`.

    Raises:
        UsageError: a configuration without diffusion, or one that does not fit together.
        OutOfGPUMemoryError: the batch is too large.
    """
    settings = load_settings(config, overrides)
    if settings.model.diffusion is None:
        raise UsageError(f"{config} has model.diffusion=None: there is nothing to compare its baseline with.")
    if compiled and settings.compile != "auto":
        raise UsageError("--compiled is about what compile=auto compiles. Leave one of them out.")
    if compiled and (why := why_not_compiled(settings, on_gpu=processes.device.type == "cuda")):
        raise UsageError(f"--compiled: {why.en}.")
    without = load_settings(config, [*overrides, *BASELINE_OVERRIDES])
    baseline = Subject(without, processes, compiled=compiled)
    steps = sorted({*DDIM_STEPS, settings.model.diffusion.steps})
    diffbev = Subject(settings, processes, steps, compiled=compiled)
    for _ in range(rounds):
        baseline.round(iterations)
        diffbev.round(iterations)
    result = Cost(
        config=config,
        device=device_name(processes.device),
        torch=torch.__version__,
        precision=settings.precision,
        compile=settings.compile,
        compiled_inference=compiled,
        steps=settings.model.diffusion.steps,
        image_size=settings.data.image_size,
        iterations=iterations,
        rounds=rounds,
        baseline=baseline.result(),
        diffbev=diffbev.result(),
    )
    del baseline, diffbev
    release_memory(processes.device)
    return result


def _ratio_row(name: str, baseline_ms: float, diffbev_ms: float, limit: float | None) -> str:
    ratio = diffbev_ms / baseline_ms
    verdict = "" if limit is None else f"  {limit:.1f} {'kept' if ratio <= limit else 'EXCEEDED'}"
    return f"{name:<20}{baseline_ms:>9.1f} ms{diffbev_ms:>9.1f} ms{ratio:>8.2f}{verdict}"


def _memory_row(name: str, baseline: float | None, diffbev: float | None) -> str:
    if baseline is None or diffbev is None:
        return f"{name:<20}{'–':>12}{'–':>12}"
    return f"{name:<20}{baseline:>8.2f} GiB{diffbev:>8.2f} GiB{diffbev / baseline:>8.2f}"
