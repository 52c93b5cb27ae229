"""One reading of every GPU through NVML, the driver's own interface."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from diffbev_engine.findings.memory.gpu_processes import GpuProcess, gpu_processes

_MIB = 2**20
_HOT = 0x8 | 0x20 | 0x40
"""NVML's bits for hardware, software thermal and hardware thermal slowdown."""
_LOOK_AGAIN_S = 15.0


@dataclass(frozen=True)
class GpuSample:
    """One GPU; ``None`` where the driver does not say."""

    index: int
    name: str
    uuid: str
    used_mib: float | None = None
    reserved_mib: float | None = None
    """Taken by the driver itself."""
    total_mib: float | None = None
    utilisation: float | None = None
    """Per cent of the time in which at least one kernel ran."""
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    clock_mhz: float | None = None
    clock_limit_mhz: float | None = None
    too_hot: bool = False
    """Whether the driver slows it down for its temperature or its power supply."""
    processes: tuple[GpuProcess, ...] = ()


@dataclass(frozen=True)
class GpuReading:
    """All GPUs, or why there is none."""

    gpus: tuple[GpuSample, ...]
    message: str


class _Absent:
    """Why there was no GPU, and until when that is believed: looking for a driver in vain takes time."""

    until = 0.0
    reading = GpuReading((), "")


def sample_gpus() -> GpuReading:
    """Read NVML; never raises, may block: to be called from threads only."""
    import pynvml

    if time.monotonic() < _Absent.until:
        return _Absent.reading
    try:
        _connect()
        found = tuple(_sample(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as error:
        _Absent.until, _Absent.reading = time.monotonic() + _LOOK_AGAIN_S, GpuReading((), str(error))
        return _Absent.reading
    return GpuReading(tuple(replace(gpu, processes=gpu_processes(gpu.uuid)[0]) for gpu in found), "")


@cache
def _connect() -> None:
    """Once for the life of the program: connecting takes longer than all the questions."""
    import pynvml

    pynvml.nvmlInit()


def _sample(pynvml: Any, index: int) -> GpuSample:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)

    def ask(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except pynvml.NVMLError:
            return None

    memory = ask(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2))
    memory = memory or ask(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    rates = ask(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
    return GpuSample(
        index,
        _text(pynvml.nvmlDeviceGetName(handle)),
        _text(pynvml.nvmlDeviceGetUUID(handle)),
        used_mib=_over(getattr(memory, "used", None), _MIB),
        reserved_mib=_over(getattr(memory, "reserved", None), _MIB),
        total_mib=_over(getattr(memory, "total", None), _MIB),
        utilisation=getattr(rates, "gpu", None),
        power_w=_over(ask(lambda: pynvml.nvmlDeviceGetPowerUsage(handle)), 1000),
        power_limit_w=_over(ask(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)), 1000),
        temperature_c=ask(lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)),
        clock_mhz=ask(lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
        clock_limit_mhz=ask(lambda: pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM)),
        too_hot=bool((ask(lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0) & _HOT),
    )


def _over(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
