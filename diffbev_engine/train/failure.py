"""What ends a run, as one message with its exit code, and the record of a start that failed."""

from contextlib import suppress

import torch

from diffbev_engine.core.errors import DiffBEVError, OutOfGPUMemoryError
from diffbev_engine.findings.catalogue import LogText, Strength, kinds, signs_of
from diffbev_engine.findings.compiler import missing_for_compile
from diffbev_engine.runs.failed_start import write_failed_start
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.status import RunState, StatusWriter
from diffbev_engine.train.out_of_memory import is_out_of_gpu_memory, is_out_of_host_memory
from diffbev_engine.train.recorder import RunLog

_ENVIRONMENT = {
    "compiler": "Install a compiler and the Python headers, or use --set compile=off",
    "cuda-mismatch": "Install a PyTorch build that matches the GPU and its driver, see pytorch.org",
    "gpu-hardware": "Check dmesg for Xid messages, reset the GPU or reboot, then continue with --resume",
    "gpu-unavailable": "Check nvidia-smi and `diffbev-engine preflight`, then continue with --resume",
}
"""Kinds of failure outside the program; their tracebacks tell users nothing."""
_STATES = {3: RunState.OOM, 4: RunState.DIVERGED, 5: RunState.INTERRUPTED}


def as_failure(error: BaseException) -> DiffBEVError:
    """``error`` in words for the user; itself where it has them."""
    if isinstance(error, DiffBEVError):
        return error
    if is_out_of_gpu_memory(error):
        return OutOfGPUMemoryError(
            f"out of GPU memory: {error} Lower data.samples_per_gpu and raise "
            "optimizer_config.cumulative_iters by the same factor; then --resume."
        )
    if is_out_of_host_memory(error):
        return DiffBEVError(
            f"out of host memory (RAM, not GPU memory): {error} Reduce data.workers_per_gpu or "
            f"data.samples_per_gpu, or close other programs, then continue with --resume."
        )
    if isinstance(error, OSError):
        return DiffBEVError(f"training stopped: {error}. Fix this, then continue with --resume.")
    return DiffBEVError(_environment_problem(error) or f"{type(error).__name__}: {error}")


def is_known(error: BaseException) -> bool:
    """Whether ``error`` is something that happens to users, rather than a defect of the program."""
    return (
        is_out_of_gpu_memory(error)
        or is_out_of_host_memory(error)
        or isinstance(error, OSError | DiffBEVError)
        or _environment_problem(error) is not None
    )


def _environment_problem(error: BaseException) -> str | None:
    """An error of compiler, driver or GPU in one line, with what to do; ``None`` for any other."""
    log = LogText(f"{type(error).__name__}: {error}")
    for kind, advice in _ENVIRONMENT.items():
        for sign in signs_of(kinds()[kind], log):
            if sign.strength is Strength.CERTAIN:
                missing = kind == "compiler" and missing_for_compile(on_gpu=torch.cuda.is_available())
                if missing:
                    return f"{missing[0].en}. To fix it, {missing[1].text.en}, or use --set compile=off."
                return f"{sign.text}. {advice}."
    return None


def state_after(failure: DiffBEVError) -> RunState:
    """The final state of a run that ended with ``failure``."""
    return _STATES.get(failure.exit_code, RunState.FAILED)


def record_failed_start(folder: RunFolder, failure: DiffBEVError, log: RunLog, max_iters: int) -> None:
    """Write down a start that failed before training began.

    The files of an earlier run stay as they are: the log of this start and ``failed_start.json``
    tell of it.  Where there was no run, ``status.json`` does too.
    """
    log.note(f"cannot start training: {failure}")
    with suppress(OSError):  # the failure itself must reach the user
        write_failed_start(folder, str(failure), int(failure.exit_code), log.path.name)
        if not folder.holds_a_run() and not folder.manifest.exists():
            StatusWriter(folder.status, max_iters).update(state=state_after(failure), message=str(failure))
