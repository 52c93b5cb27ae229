"""One batch size, measured in this process; ``bench.memory`` starts one of these a size.

Reads the request from stdin (JSON), writes the answer to stdout (one line of JSON).
"""

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MIB = 2**20
_STEPS = {"gpu": 5, "host": 3}
"""The first makes the optimizer's state; on a GPU the last two are replayed as a CUDA graph."""
ANSWER = "memory: "


@dataclass(frozen=True)
class Request:
    """What to measure."""

    config: str
    overrides: tuple[str, ...]
    gpu_ids: tuple[int, ...]
    limit: float | None
    """GiB of the GPU to pretend to have; ``None``: all of it."""
    batch: int


def main() -> None:
    """Measure what stdin asks for."""
    _first_to_go()
    request = Request(**json.load(sys.stdin))
    print(ANSWER + json.dumps(_measure(request)), flush=True)


def _first_to_go() -> None:
    """If the host runs out of memory, the kernel shall end this process and no other."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _measure(request: Request) -> dict[str, Any]:
    import torch

    from diffbev_engine.config.load import load_settings
    from diffbev_engine.evaluate.network import evaluated
    from diffbev_engine.train.distributed import device_name, join_processes
    from diffbev_engine.train.out_of_memory import is_out_of_gpu_memory
    from diffbev_engine.train.random_batch import random_batch
    from diffbev_engine.train.train import build_step

    started = time.perf_counter()
    batch_size = f"data.samples_per_gpu={request.batch}"
    settings = load_settings(request.config, (*request.overrides, batch_size))
    processes = join_processes(request.gpu_ids)
    on_gpu = processes.device.type == "cuda"
    if request.limit and not on_gpu:
        return {"refused": "--limit is about the memory of a GPU, and there is none."}
    meter = _GpuMeter(processes.device, request.limit) if on_gpu else _HostMeter()
    device = {"device": device_name(processes.device), "kind": meter.kind, **meter.room()}
    try:
        step = build_step(settings, processes, resuming=True)
        batch = random_batch(settings, processes.device)
        # Gradients of the first batch are there while the second one runs; more change nothing.
        batches = [batch] * min(2, settings.optimizer_config.cumulative_iters)
        for iteration in range(_STEPS[meter.kind]):
            step.run(iteration, batches)
        training = meter.read(graphs=step.graphs.captured)
        meter.reset()
        size = settings.evaluation.samples_per_gpu or request.batch
        data = settings.data.model_copy(update={"samples_per_gpu": size})
        batch = random_batch(settings.model_copy(update={"data": data}), processes.device)
        step.model.eval()
        run = evaluated(step.model, settings, processes.device, memory=step.graphs.memory)
        with torch.inference_mode():
            for _ in range(2):  # the second by a graph
                run(batch)
        evaluation = meter.read(graphs=step.graphs.captured)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_gpu_memory(error) and not isinstance(error, MemoryError):
            raise
        return {**device, "problem": f"out of memory: {str(error).splitlines()[0][:300]}"}
    return {
        **device,
        "peak": max(training["peak"], evaluation["peak"]),
        "reserved": max(
            (each["reserved"] for each in (training, evaluation) if each["reserved"]), default=None
        ),
        "evaluation": evaluation["peak"] if meter.kind == "gpu" else None,
        "retries": evaluation["retries"],
        "seconds": time.perf_counter() - started,
    }


class _GpuMeter:
    """Memory of this process on one GPU, MiB."""

    kind = "gpu"

    def __init__(self, device: Any, limit: float | None) -> None:
        """Begin to watch ``device``, which offers at most ``limit`` GiB from now on, the context included."""
        import torch

        self._cuda, self._device = torch.cuda, device
        torch.zeros(1, device=device)  # makes the context, which is no longer free for the run
        self._free, total = torch.cuda.mem_get_info(device)
        self._free += torch.cuda.memory_reserved(device)
        self._total = min(total, limit * 1024 * _MIB) if limit else total
        self._room = max(0.0, self._free - (total - self._total))
        if limit:
            torch.cuda.set_per_process_memory_fraction(self._room / total, device)

    def room(self) -> dict[str, float]:
        """Memory that is free besides the CUDA context, and the total of the GPU."""
        return {"free": self._room / _MIB, "total": self._total / _MIB}

    def reset(self) -> None:
        self._cuda.reset_peak_memory_stats(self._device)

    def read(self, *, graphs: bool) -> dict[str, Any]:
        """Peaks since the last reset; libraries that load kernels outside of torch count too.

        What ``graphs`` compute in is held by them, though nothing is allocated there between replays.
        """
        self._cuda.synchronize(self._device)
        stats = self._cuda.memory_stats(self._device)
        free, _ = self._cuda.mem_get_info(self._device)
        outside = max(0, self._free - free - self._cuda.memory_reserved(self._device))
        allocated = stats["allocated_bytes.all.peak"]
        held = stats["reserved_bytes.all.current"] if graphs else 0
        return {
            "peak": (max(allocated, held) + outside) / _MIB,
            "reserved": (stats["reserved_bytes.all.peak"] + outside) / _MIB,
            "retries": stats["num_alloc_retries"],
        }


class _HostMeter:
    """Resident memory of this process, MiB."""

    kind = "host"

    def room(self) -> dict[str, float]:
        """Nothing: the parent looked before there was this process."""
        return {}

    def reset(self) -> None:
        """Peaks of the host cannot be reset; evaluation counts only if it needs more."""

    def read(self, *, graphs: bool) -> dict[str, Any]:  # noqa: ARG002
        return {"peak": _peak_of_process(), "reserved": None, "retries": 0}


def _peak_of_process() -> float:
    """MiB.  Not ``ru_maxrss``: after ``exec`` that still counts the process which started this one."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
    except (OSError, StopIteration):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB


if __name__ == "__main__":
    main()
