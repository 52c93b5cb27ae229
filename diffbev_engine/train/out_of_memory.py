"""Out-of-memory handling: which memory, in which phase, and the report."""

import os
import types
from typing import Any

import torch

from diffbev_engine.config.settings import Settings
from diffbev_engine.core.gpu.reading import GpuReading, read_gpus
from diffbev_engine.core.gpu.select import by_uuid
from diffbev_engine.dataset.sample import Batch
from diffbev_engine.findings.catalogue import Strength, says
from diffbev_engine.findings.memory.oom_report import MemoryFailure, write_oom_report
from diffbev_engine.findings.memory.remedies import ALLOCATOR_VARIABLES
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.train.distributed import Processes
from diffbev_engine.train.loop import TrainingLoop
from diffbev_engine.train.objective import Objective
from diffbev_engine.train.recorder import logger
from diffbev_engine.train.step import TrainingStep

_MIB = 2**20
_NEARLY_FULL = 0.05
"""Share of a GPU below which a library's vague error is taken for a lack of memory."""


def is_out_of_gpu_memory(error: BaseException) -> bool:
    """Whether the GPU had no memory left: by type, by wording, or by a vague wording while it is full."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    if says("gpu-memory", str(error)):
        return True
    return says("gpu-memory", str(error), Strength.OFTEN) and _nearly_full()


def _nearly_full() -> bool:
    """Whether the current GPU has hardly any memory left; after a fault of the GPU nobody can tell."""
    if not torch.cuda.is_initialized():
        return False
    try:
        free, total = torch.cuda.mem_get_info()
    except RuntimeError:
        return False
    return free < _NEARLY_FULL * total


def is_out_of_host_memory(error: BaseException) -> bool:
    """Whether the host refused an allocation; mostly it kills the process instead."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, Exception) and says("host-memory", str(error))


def phase_of(error: BaseException) -> str:
    """Where in training ``error`` was raised; ``unknown`` outside of the phases."""
    phases: dict[types.CodeType, str] = {
        TrainingStep._apply_gradients.__code__: "optimizer",
        Objective.losses.__code__: "forward",
        torch.Tensor.backward.__code__: "backward",
        Batch.to.__code__: "transfer",
        TrainingLoop._evaluate_if_due.__code__: "evaluation",
        TrainingLoop._save.__code__: "checkpoint",
        TrainingLoop.restore.__code__: "setup",
    }
    found, trace = "unknown", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        # Evaluation also transfers batches; report the outer phase.
        if found != "evaluation":
            found = phases.get(code, "setup" if code.co_name == "build_step" else found)
        trace = trace.tb_next
    return found


def leave_oom_report(
    folder: RunFolder,
    error: BaseException,
    settings: Settings,
    processes: Processes,
    *,
    step: int,
    started_at: int,
) -> None:
    """Write ``oom_report.json`` and log the first remedies; whatever fails here is only logged."""
    try:
        on_gpu = processes.device.type == "cuda"
        reading = read_gpus() if on_gpu else GpuReading()
        gpu = by_uuid(reading.gpus, _uuid(processes.device)) if on_gpu else None
        failure = MemoryFailure(
            message=str(error),
            phase=phase_of(error),
            step=step,
            started_at=started_at,
            config=settings.model_dump(mode="json"),
            device=torch.cuda.get_device_name(processes.device) if on_gpu else "CPU",
            pid=os.getpid(),
            rank=processes.shard.rank,
            allocator=_allocator(processes.device) if on_gpu else None,
            gpu=gpu,
            gpu_problem=reading.problem.en if on_gpu else "training on the CPU",
            environment={name: os.environ[name] for name in ALLOCATOR_VARIABLES if name in os.environ},
        )
        report = write_oom_report(folder, failure)
    except Exception as problem_of_report:  # the run must still end with its own error
        logger.warning(f"no oom_report.json: {type(problem_of_report).__name__}: {problem_of_report}")
        return
    logger.error(f"out of GPU memory at step {step}, phase {failure.phase}; see {folder.oom_report}")
    for remedy in report["remedies"]:
        how = remedy["arguments"] or " ".join(f"{k}={v}" for k, v in remedy["environment"].items())
        how = f" [{how}]" if how else ""
        logger.error(f"  {remedy['rank']}. {remedy['title']['en']}{how}: saves {remedy['saving']['en']}")


def _allocator(device: torch.device) -> dict[str, float]:
    """Figures of torch's allocator: MiB, and counts since the start."""
    stats: dict[str, Any] = torch.cuda.memory_stats(device)
    free, total = torch.cuda.mem_get_info(device)
    return {
        "allocated_mib": stats["allocated_bytes.all.current"] / _MIB,
        "allocated_peak_mib": stats["allocated_bytes.all.peak"] / _MIB,
        "reserved_mib": stats["reserved_bytes.all.current"] / _MIB,
        "reserved_peak_mib": stats["reserved_bytes.all.peak"] / _MIB,
        "inactive_split_mib": stats["inactive_split_bytes.all.current"] / _MIB,
        "free_mib": free / _MIB,
        "total_mib": total / _MIB,
        "num_alloc_retries": stats["num_alloc_retries"],
        "num_ooms": stats["num_ooms"],
    }


def _uuid(device: torch.device) -> str | None:
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if uuid is None else str(uuid)
