"""Speed of the real training path: loader, transfer, augmentation, step; nothing is skipped."""

import itertools
import json
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from statistics import median

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.dataset.loader import BEVDataset, training_batches
from diffbev_engine.dataset.order import TrainingOrder
from diffbev_engine.dataset.records import read_records
from diffbev_engine.models.flops import count_flops
from diffbev_engine.models.model import build_model
from diffbev_engine.train.clock import StepClock
from diffbev_engine.train.distributed import Processes, device_name
from diffbev_engine.train.meter import Meter
from diffbev_engine.train.objective import AUTOCAST_DTYPES, loss_names
from diffbev_engine.train.train import build_step

_MATMUL_SIZE = {"cuda": 8192, "cpu": 1024}
_MATMUL_REPEATS = 10


@dataclass(frozen=True)
class TrainingSpeed:
    """What one setting reaches on one device."""

    device: str
    torch: str
    batch: int
    precision: str
    compile: str
    iterations: int
    """Of each round."""
    images_per_s: float
    """Median of the rounds."""
    rounds_images_per_s: tuple[float, ...]
    step_ms: float
    """Of the median round."""
    data_wait: float
    """Share of the time that the training process waited for the loader; median of the rounds."""
    tflops: float
    """Floating-point operations of the network, forward and backward, in 1e12 a second."""
    mfu: float
    """``tflops`` over what a large matrix product reaches on this device in the same precision."""
    matmul_tflops: float
    peak_gib: float | None
    warmup_s: float
    """Time from building the model until the first iterations are done, compilation included."""

    @property
    def spread(self) -> str:
        """The slowest and the fastest round, images/s."""
        return f"{min(self.rounds_images_per_s):.1f}–{max(self.rounds_images_per_s):.1f}"

    def to_text(self) -> str:
        """One block for people."""
        peak = "" if self.peak_gib is None else f", peak {self.peak_gib:.1f} GiB"
        return (
            f"{self.device}, torch {self.torch}\n"
            f"  {self.precision}, compile {self.compile}, batch {self.batch}; "
            f"median of {len(self.rounds_images_per_s)} rounds of {self.iterations} iterations\n"
            f"  {self.images_per_s:.1f} images/s ({self.spread}), {self.step_ms:.1f} ms a step{peak}\n"
            f"  MFU {self.mfu:.1%}: {self.tflops:.2f} of the {self.matmul_tflops:.2f} TFLOP/s of a matmul\n"
            f"  data wait {self.data_wait:.1%}, warm-up {self.warmup_s:.0f} s"
        )

    def to_json(self) -> str:
        """One line for programs."""
        return json.dumps(asdict(self))


def measure_training(
    settings: Settings, processes: Processes, *, iterations: int, warmup: int, rounds: int
) -> TrainingSpeed:
    """Train for ``warmup`` steps, then time ``rounds`` times ``iterations`` of them.

    Raises:
        DiffBEVError: unusable data, or pretrained weights that cannot be had.
    """
    device = processes.device
    records = read_records(settings.data_root, "train", settings.data.cameras)
    order = TrainingOrder(len(records), settings.data.samples_per_gpu, settings.seed)
    uncompiled = build_model(settings.model.without_pretrained(), settings.data.image_size)
    flops = count_flops(uncompiled, settings.data.image_size)
    started, warmup_s = time.perf_counter(), 0.0
    step = build_step(settings, processes, resuming=False)
    meter = Meter(loss_names(settings.model), device, guard_grad_norm=settings.precision != "fp16")
    clock = StepClock()
    timed: list[dict[str, float]] = []
    with closing(
        training_batches(BEVDataset(records, settings.data), order, settings.data.workers_per_gpu)
    ) as batches:
        for iteration in range(warmup + rounds * iterations):
            if iteration == warmup:
                _wait_for(device)
                clock, warmup_s = StepClock(), time.perf_counter() - started
            with clock.waiting():
                drawn = list(itertools.islice(batches, settings.optimizer_config.cumulative_iters))
            losses, grad_norm = step.run(iteration, [batch.to(device) for batch in drawn])
            meter.add(iteration + 1, losses, grad_norm)
            clock.count(sum(len(batch.tokens) for batch in drawn))
            if iteration >= warmup and (iteration + 1 - warmup) % iterations == 0:
                _wait_for(device)
                timed.append(clock.read())
    meter.check()
    matmul = matmul_tflops(device, settings.precision)
    images_per_s = median(speeds["images_per_s"] for speeds in timed)
    tflops = images_per_s * flops.training / 1e12
    return TrainingSpeed(
        device=device_name(device),
        torch=torch.__version__,
        batch=settings.data.samples_per_gpu,
        precision=settings.precision,
        compile=settings.compile,
        iterations=iterations,
        images_per_s=images_per_s,
        rounds_images_per_s=tuple(speeds["images_per_s"] for speeds in timed),
        step_ms=1000 / median(speeds["it_per_s"] for speeds in timed),
        data_wait=median(speeds["data_wait"] for speeds in timed),
        tflops=tflops,
        mfu=tflops / matmul,
        matmul_tflops=matmul,
        peak_gib=torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else None,
        warmup_s=warmup_s,
    )


def matmul_tflops(device: torch.device, precision: str) -> float:
    """The rate of a large square matrix product of random numbers, in 1e12 operations a second."""
    size = _MATMUL_SIZE[device.type]
    a, b = (torch.randn(size, size, device=device, dtype=AUTOCAST_DTYPES[precision]) for _ in range(2))
    a @ b
    _wait_for(device)
    started = time.perf_counter()
    for _ in range(_MATMUL_REPEATS):
        a @ b
    _wait_for(device)
    return 2 * size**3 * _MATMUL_REPEATS / (time.perf_counter() - started) / 1e12


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
