"""A small NVML for tests: GPUs as tables of answers; an answer that is an exception is raised."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


def error(name: str, words: str = "") -> NVMLError:
    """An error as nvidia-ml-py names it: ``NVMLError_GpuIsLost``."""
    return type(f"NVMLError_{name}", (NVMLError,), {})(words or name)


GIB = 2**30


def card(number: int = 0, **answers: Any) -> dict[str, Any]:
    """A GPU that answers everything, but for what ``answers`` say; ``lost`` alone replaces all."""
    known = {
        "Name": "NVIDIA H100 80GB HBM3",
        "UUID": f"GPU-{number}a{number}a0000-1111-2222-3333-444444444444",
        "MemoryInfo": SimpleNamespace(total=80 * GIB, used=10 * GIB, free=70 * GIB, reserved=GIB // 2),
        "UtilizationRates": SimpleNamespace(gpu=50),
        "PowerUsage": 300_000,
        "EnforcedPowerLimit": 700_000,
        "Temperature": 61,
        "ClockInfo": 1700,
        "MaxClockInfo": 1980,
        "CurrentClocksThrottleReasons": 0,
        "CudaComputeCapability": (9, 0),
        "ComputeMode": 0,
        "TotalEccErrors": 0,
        "RemappedRows": (0, 0, 0, 0),
        "RetiredPagesPendingStatus": error("NotSupported"),
        "MigMode": [0, 0],
        "ComputeRunningProcesses": [],
        "GraphicsRunningProcesses": [],
    }
    assert not set(answers) - set(known) - {"handle", "instances"}
    return known | answers


def process(pid: int, gib: float | None = 1.0) -> SimpleNamespace:
    """One entry of a list of processes."""
    return SimpleNamespace(pid=pid, usedGpuMemory=None if gib is None else int(gib * GIB))


@dataclass
class FakeNvml:
    """What ``install`` puts in the place of ``pynvml``."""

    cards: list[dict[str, Any]] = field(default_factory=list)
    init: Exception | None = None
    inits: int = 0

    def module(self) -> ModuleType:
        module = ModuleType("pynvml")
        module.NVMLError = NVMLError
        module.nvmlInit = self._init
        module.nvmlDeviceGetCount = lambda: len(self.cards)
        module.nvmlDeviceGetHandleByIndex = self._handle
        module.nvmlSystemGetDriverVersion = lambda: b"580.95.05"
        module.nvmlSystemGetCudaDriverVersion = lambda: 13000
        module.nvmlDeviceGetMaxMigDeviceCount = lambda handle: len(handle.get("instances", ()))
        module.nvmlDeviceGetMigDeviceHandleByIndex = lambda handle, number: _answer(
            handle["instances"][number]
        )
        for name in card():
            setattr(module, f"nvmlDeviceGet{name}", _question(name))
        return module

    def _init(self) -> None:
        self.inits += 1
        if self.init:
            raise self.init

    def _handle(self, index: int) -> dict[str, Any]:
        handle = self.cards[index]
        if "handle" in handle:
            raise handle["handle"]
        return handle


def _question(name: str) -> Callable[..., Any]:
    return lambda handle, *_arguments, **_options: _answer(handle[name])


def _answer(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer


def install(monkeypatch: Any, *cards: dict[str, Any], init: Exception | None = None) -> FakeNvml:
    """Let ``import pynvml`` find GPUs as described."""
    import sys

    fake = FakeNvml(list(cards), init)
    monkeypatch.setitem(sys.modules, "pynvml", fake.module())
    return fake
