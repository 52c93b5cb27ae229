"""Which processes hold memory of a GPU, as the driver tells it; never raises."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_MIB = 2**20


@dataclass(frozen=True)
class GpuProcess:
    """One process that uses a GPU."""

    pid: int
    """As the driver counts: in a container this may be the pid on the host."""
    mib: float | None
    """``None`` where the driver does not tell (Windows, some containers)."""
    name: str | None
    """Command line, or ``None`` for a process that is not visible from here."""
    user: str | None
    mine: bool | None
    """Whether it is this process; ``None`` when a container hides that."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def gpu_processes(uuid: str | None = None, index: int = 0) -> tuple[tuple[GpuProcess, ...], str]:
    """Ask NVML.

    Args:
        uuid: of the GPU, as torch gives it (with or without ``GPU-``); it names the right one also
            under ``CUDA_VISIBLE_DEVICES``.
        index: of the GPU in the driver's order, without ``uuid``.

    Returns:
        The processes, largest first, and why there are none when the driver could not be asked.
    """
    try:
        import pynvml
    except ImportError:
        return (), "nvidia-ml-py is not installed"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), f"no NVIDIA driver answers: {error}"
    try:
        handle = _handle(pynvml, uuid, index)
        found = [_process(each.pid, each.usedGpuMemory) for each in _running(pynvml, handle)]
    except pynvml.NVMLError as error:
        return (), f"the NVIDIA driver reports: {error}"
    finally:
        pynvml.nvmlShutdown()
    return tuple(sorted(found, key=lambda process: -(process.mib or 0.0))), ""


def _handle(pynvml: Any, uuid: str | None, index: int) -> Any:
    if uuid is None:
        return pynvml.nvmlDeviceGetHandleByIndex(index)
    return pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}")


def _running(pynvml: Any, handle: Any) -> list[Any]:
    """Compute and graphics processes, each once."""
    both = [*pynvml.nvmlDeviceGetComputeRunningProcesses(handle)]
    both += pynvml.nvmlDeviceGetGraphicsRunningProcesses(handle)
    return list({each.pid: each for each in both}.values())


def _process(pid: int, used: int | None) -> GpuProcess:
    import psutil

    mib = None if used is None else used / _MIB
    if pid == os.getpid():
        return GpuProcess(pid, mib, _command(psutil.Process()), _user(psutil.Process()), True)
    try:
        process = psutil.Process(pid)
        name, user = _command(process), _user(process)
    except (psutil.Error, ValueError):
        # Not visible from here: another container, or this very process under its host pid.
        return GpuProcess(pid, mib, None, None, None)
    return GpuProcess(pid, mib, name, user, None if _in_container() else False)


def _command(process: Any) -> str | None:
    import psutil

    try:
        return " ".join(process.cmdline())[:200] or process.name()
    except psutil.Error:
        return None


def _user(process: Any) -> str | None:
    import psutil

    try:
        return str(process.username())
    except (psutil.Error, KeyError):
        return None


def _in_container() -> bool:
    """Whether pids of the driver may be those of an outer pid namespace."""
    try:
        first = Path("/proc/1/cmdline").read_bytes()
    except OSError:
        return False
    return not any(name in first for name in (b"init", b"systemd"))
