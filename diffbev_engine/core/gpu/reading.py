"""The GPUs of this machine as the NVIDIA driver reports them, read without PyTorch.

Every question is guarded on its own: what one GPU does not answer (unified memory, MIG in a
container, a lost GPU) is ``None`` there and hides nothing else.
"""

from dataclasses import dataclass, field
from typing import Any

from diffbev_engine.core.bilingual import EMPTY, Bilingual
from diffbev_engine.core.format import gib
from diffbev_engine.core.gpu.driver import Device, DriverError, Trouble, ask, connect, disconnect, error_name
from diffbev_engine.core.gpu.processes import GpuProcess, describe
from diffbev_engine.core.host_memory import host_memory

_MIB = 2**20
Version = tuple[int, int]

_THROTTLE = {
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x20: "sw_thermal",
    0x40: "hw_thermal",
    0x80: "hw_power_brake",
}
_COMPUTE_MODES = {0: "default", 1: "exclusive", 2: "prohibited", 3: "exclusive"}


@dataclass(frozen=True)
class Gpu:
    """One GPU or MIG instance; ``None`` where the driver does not answer."""

    index: int
    """As nvidia-smi counts; of a MIG instance: within its GPU."""
    name: str = ""
    uuid: str = ""
    total_mib: float | None = None
    used_mib: float | None = None
    free_mib: float | None = None
    reserved_mib: float | None = None
    """Taken by the driver itself."""
    unified: bool = False
    """Whether the GPU uses host memory; the figures above are then those of the host."""
    utilization: float | None = None
    """Per cent of the time in which at least one kernel ran."""
    power_w: float | None = None
    power_limit_w: float | None = None
    temperature_c: float | None = None
    clock_mhz: float | None = None
    clock_limit_mhz: float | None = None
    throttle: tuple[str, ...] = ()
    """Why the clock is below its limit: ``sw_power_cap``, ``hw_slowdown``, ``sw_thermal``, …"""
    capability: Version | None = None
    """CUDA compute capability."""
    compute_mode: str | None = None
    """``default``, ``exclusive`` (one process at a time) or ``prohibited``."""
    ecc_errors: int | None = None
    """Uncorrectable memory errors since the driver was loaded."""
    needs_reset: bool = False
    """Whether damaged memory waits for a reset to be replaced by spare rows."""
    worn_out: bool = False
    """Whether there are no spare rows left for damaged memory."""
    processes: tuple[GpuProcess, ...] | None = None
    """The largest first."""
    mig: bool = False
    """Whether it is split into MIG instances."""
    instances: tuple["Gpu", ...] = ()
    lost: bool = False
    """Whether it has fallen off the bus; it works again after a reset or reboot."""
    problem: Bilingual = EMPTY
    """Why it cannot be used at all."""

    @property
    def slowed(self) -> bool:
        """Whether it is throttled for its temperature or power supply; the usual power limit aside."""
        return any(reason != "sw_power_cap" for reason in self.throttle)

    @property
    def label(self) -> str:
        """For one line: the name with free and total memory where they are known."""
        name = self.name or f"GPU {self.index}"
        if self.total_mib is None or self.free_mib is None:
            return name
        unified = " unified" if self.unified else ""
        return f"{name}, {gib(self.free_mib)}/{gib(self.total_mib)} GiB{unified}"


@dataclass(frozen=True)
class GpuReading:
    """All GPUs at one moment, or why there is none."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda: Version | None = None
    """Newest CUDA that the driver runs."""
    trouble: Trouble | None = None
    problem: Bilingual = field(default=EMPTY)
    """Why NVML shows no GPU."""

    @property
    def broken(self) -> bool:
        """Whether the driver does not work, which is not the same as no GPU."""
        return self.trouble is not None and not self.trouble.means_no_gpu

    @property
    def usable(self) -> tuple[Gpu, ...]:
        """Those that are not lost or refused."""
        return tuple(gpu for gpu in self.gpus if not gpu.problem)


def read_gpus() -> GpuReading:
    """Ask NVML; never raises, may block: for threads and commands."""
    try:
        nvml = connect()
    except DriverError as error:
        return GpuReading(trouble=error.trouble, problem=error.problem)
    driver = ask(nvml.nvmlSystemGetDriverVersion)
    cuda = ask(nvml.nvmlSystemGetCudaDriverVersion)
    try:
        count = int(nvml.nvmlDeviceGetCount())
    except Exception as error:  # the driver was unloaded, or a container lost its devices
        disconnect()
        failure = DriverError(Trouble.FAILED, str(error))
        return GpuReading((), _text(driver), _version(cuda), failure.trouble, failure.problem)
    if not count:
        none = DriverError(Trouble.NO_GPU)
        return GpuReading((), _text(driver), _version(cuda), none.trouble, none.problem)
    return GpuReading(tuple(_gpu(nvml, index) for index in range(count)), _text(driver), _version(cuda))


def _gpu(nvml: Any, index: int) -> Gpu:
    try:
        device = Device(nvml, nvml.nvmlDeviceGetHandleByIndex(index))
    except Exception as error:  # a lost GPU refuses even its handle
        name = error_name(error)
        return Gpu(index, lost=name == "GpuIsLost", problem=_problem(index, name, str(error)))
    mode = device.ask("nvmlDeviceGetMigMode")
    mig = bool(mode and mode[0])
    return _read(nvml, device, index, mig=mig, instances=_instances(nvml, device) if mig else ())


def _instances(nvml: Any, device: Device) -> tuple[Gpu, ...]:
    found = []
    for number in range(device.ask("nvmlDeviceGetMaxMigDeviceCount") or 0):
        handle = device.ask("nvmlDeviceGetMigDeviceHandleByIndex", number)
        if handle is not None:
            found.append(_read(nvml, Device(nvml, handle), number))
    return tuple(found)


def _read(
    nvml: Any, device: Device, index: int, *, mig: bool = False, instances: tuple[Gpu, ...] = ()
) -> Gpu:
    name, uuid = _text(device.ask("nvmlDeviceGetName")), _text(device.ask("nvmlDeviceGetUUID"))
    capability = device.ask("nvmlDeviceGetCudaComputeCapability")
    reasons = device.ask("nvmlDeviceGetCurrentClocksThrottleReasons")
    if reasons is None:  # its newer name
        reasons = device.ask("nvmlDeviceGetCurrentClocksEventReasons") or 0
    rows = device.ask("nvmlDeviceGetRemappedRows")
    values: dict[str, Any] = {
        **_memory(nvml, device, mig),
        "utilization": getattr(device.ask("nvmlDeviceGetUtilizationRates"), "gpu", None),
        "power_w": _over(device.ask("nvmlDeviceGetPowerUsage"), 1000),
        "power_limit_w": _over(device.ask("nvmlDeviceGetEnforcedPowerLimit"), 1000),
        "temperature_c": device.ask("nvmlDeviceGetTemperature", 0),
        "clock_mhz": device.ask("nvmlDeviceGetClockInfo", 1),
        "clock_limit_mhz": device.ask("nvmlDeviceGetMaxClockInfo", 1),
        "throttle": tuple(word for bit, word in _THROTTLE.items() if reasons & bit),
        "capability": tuple(capability) if capability else None,
        "compute_mode": _COMPUTE_MODES.get(device.ask("nvmlDeviceGetComputeMode")),
        "ecc_errors": device.ask("nvmlDeviceGetTotalEccErrors", 1, 0),
        "worn_out": bool(rows and rows[3]),
        "needs_reset": bool(rows and rows[2]) or bool(device.ask("nvmlDeviceGetRetiredPagesPendingStatus")),
        "processes": _processes(device),
    }
    problem = _problem(index, "GpuIsLost", "") if device.lost else EMPTY
    return Gpu(
        index,
        name or "",
        uuid or "",
        **values,
        mig=mig,
        instances=instances,
        lost=device.lost,
        problem=problem,
    )


def _memory(nvml: Any, device: Device, mig: bool) -> dict[str, Any]:
    """Figures in MiB; those of the host where the GPU has no memory of its own (GB10, Jetson)."""
    memory = device.ask("nvmlDeviceGetMemoryInfo", version=getattr(nvml, "nvmlMemory_v2", 0x2000028))
    memory = memory or device.ask("nvmlDeviceGetMemoryInfo")
    if memory is not None and memory.total:
        return {
            "total_mib": memory.total / _MIB,
            "used_mib": memory.used / _MIB,
            "free_mib": memory.free / _MIB,
            "reserved_mib": _over(getattr(memory, "reserved", None), _MIB),
        }
    own_memory_unknown = device.errors.get("nvmlDeviceGetMemoryInfo", "NotSupported") != "NotSupported"
    if mig or own_memory_unknown:
        return {}
    host = host_memory()
    return {
        "total_mib": host.total,
        "used_mib": host.total - host.available,
        "free_mib": host.available,
        "unified": True,
    }


def _processes(device: Device) -> tuple[GpuProcess, ...] | None:
    """Compute and graphics processes, each once; ``None`` where the driver lists none at all."""
    kinds = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")
    lists = [device.ask(kind) for kind in kinds]
    if all(found is None for found in lists):
        return None
    used = {each.pid: each.usedGpuMemory for found in lists for each in found or ()}
    processes = (describe(pid, size) for pid, size in used.items())
    return tuple(sorted(processes, key=lambda process: -(process.mib or 0.0)))


def _problem(index: int, name: str, detail: str) -> Bilingual:
    if name == "GpuIsLost":
        return Bilingual(
            f"GPU {index} 已丢失（从总线掉线，参见 dmesg 中的 Xid）；请重置或重启机器",
            f"GPU {index} is lost (it has fallen off the bus; see Xid in dmesg); reset it or reboot",
        )
    if name == "NoPermission":
        return Bilingual(f"没有访问 GPU {index} 的权限", f"no permission to use GPU {index}")
    return Bilingual(
        f"GPU {index} 无法访问：{detail or name}", f"GPU {index} cannot be used: {detail or name}"
    )


def _over(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _version(cuda: int | None) -> Version | None:
    return None if cuda is None else (cuda // 1000, cuda % 1000 // 10)


def _text(value: str | bytes | None) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
