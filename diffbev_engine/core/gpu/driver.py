"""Connection to NVML, the driver's own interface: opened once per process, its failures named."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from diffbev_engine.core.bilingual import Bilingual

_RETRY_AFTER_S = 15.0
"""Searching for a driver in vain takes time: a failure is believed for this long."""


class Trouble(str, Enum):
    """Why NVML cannot be used."""

    NO_BINDING = "no_binding"
    NO_LIBRARY = "no_library"
    NOT_LOADED = "not_loaded"
    NO_GPU = "no_gpu"
    MISMATCH = "mismatch"
    """The library is of another version than the loaded kernel module: after an update, before a reboot."""
    NO_PERMISSION = "no_permission"
    FAILED = "failed"
    """Any other error: typically a container that lost its devices."""

    @property
    def means_no_gpu(self) -> bool:
        """Whether this is what a machine without a GPU says, too; the others mean a broken driver."""
        return self in (Trouble.NO_BINDING, Trouble.NO_LIBRARY, Trouble.NOT_LOADED, Trouble.NO_GPU)


class DriverError(Exception):
    """NVML could not be opened."""

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        super().__init__(detail)
        self.trouble = trouble
        self.problem = _words(trouble, detail)


@dataclass
class _Connection:
    nvml: Any = None
    pid: int = 0
    error: DriverError | None = None
    retry_at: float = 0.0


_connection = _Connection()
_lock = threading.Lock()


def _after_fork() -> None:
    """Another thread of the parent may have held the lock, which nobody would release here."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)


def connect() -> Any:
    """The module ``pynvml``, initialized in this process; connecting takes longer than all questions.

    Raises:
        DriverError: which also says why.
    """
    with _lock:
        try:
            import pynvml
        except ImportError:
            raise DriverError(Trouble.NO_BINDING) from None
        known = _connection.nvml is pynvml and _connection.pid == os.getpid()
        if known and _connection.error is None:
            return pynvml
        if known and _connection.error is not None and time.monotonic() < _connection.retry_at:
            raise _connection.error
        _connection.nvml, _connection.pid, _connection.error = pynvml, os.getpid(), None
        try:
            pynvml.nvmlInit()
        except Exception as error:
            _connection.error = DriverError(trouble_of(error), str(error))
            _connection.retry_at = time.monotonic() + _RETRY_AFTER_S
            raise _connection.error from None
        return pynvml


def disconnect() -> None:
    """Connect again at the next call: the driver was reset or lost its state."""
    with _lock:
        _connection.nvml = None


class Device:
    """One GPU (or MIG instance) of NVML; whatever it does not answer is ``None``."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self.handle = handle
        self.errors: dict[str, str] = {}
        """Name of the error by function; ``Missing`` for one that this driver or nvidia-ml-py lacks."""

    def ask(self, function: str, *arguments: Any, **options: Any) -> Any:
        """The answer of ``function``, called with the handle first."""
        try:
            return getattr(self._nvml, function)(self.handle, *arguments, **options)
        except Exception as error:  # binding, library and driver may be of different ages
            name = error_name(error)
            self.errors[function] = "Missing" if isinstance(error, AttributeError | TypeError) else name
            return None

    @property
    def lost(self) -> bool:
        """Whether an answer was that the GPU has fallen off the bus."""
        return "GpuIsLost" in self.errors.values()


def ask(question: Callable[[], Any]) -> Any:
    """The answer of the driver to a question about no GPU in particular; ``None`` without one."""
    try:
        return question()
    except Exception:  # as above
        return None


def error_name(error: Exception) -> str:
    """``GpuIsLost`` for ``NVMLError_GpuIsLost``."""
    return type(error).__name__.removeprefix("NVMLError_")


def trouble_of(error: Exception) -> Trouble:
    """What an error of ``nvmlInit`` means."""
    by_name = {
        "LibraryNotFound": Trouble.NO_LIBRARY,
        "DriverNotLoaded": Trouble.NOT_LOADED,
        "LibRmVersionMismatch": Trouble.MISMATCH,
        "NoPermission": Trouble.NO_PERMISSION,
    }
    return by_name.get(error_name(error), Trouble.FAILED)


def _words(trouble: Trouble, detail: str) -> Bilingual:
    if trouble is Trouble.NO_LIBRARY and any(map(os.path.exists, ("/dev/nvidia0", "/dev/nvidiactl"))):
        return Bilingual(
            "有 /dev/nvidia*，但未找到 libnvidia-ml.so.1（容器需要 NVIDIA_DRIVER_CAPABILITIES 含 utility）",
            "/dev/nvidia* exists, but libnvidia-ml.so.1 was not found (a container needs "
            "NVIDIA_DRIVER_CAPABILITIES with utility)",
        )
    return {
        Trouble.NO_BINDING: Bilingual("未安装 nvidia-ml-py", "nvidia-ml-py is not installed"),
        Trouble.NO_LIBRARY: Bilingual(
            "没有 NVIDIA 驱动（未找到 libnvidia-ml.so.1）", "no NVIDIA driver (libnvidia-ml.so.1 not found)"
        ),
        Trouble.NOT_LOADED: Bilingual("NVIDIA 内核模块未加载", "the NVIDIA kernel module is not loaded"),
        Trouble.NO_GPU: Bilingual("NVIDIA 驱动未检测到 GPU", "the NVIDIA driver does not detect a GPU"),
        Trouble.MISMATCH: Bilingual(
            f"NVIDIA 驱动与库版本不一致{_loaded('：已加载 {}')}；请重启机器（容器需重建）",
            f"the NVIDIA driver and its library are of different versions{_loaded(' ({} is loaded)')}; "
            "reboot, or recreate the container",
        ),
        Trouble.NO_PERMISSION: Bilingual(
            "没有访问 NVIDIA 设备的权限", "no permission to use the NVIDIA devices"
        ),
        Trouble.FAILED: Bilingual(
            f"NVIDIA 驱动报告错误：{detail}；容器可能已失去 GPU 设备，请重启容器",
            f"the NVIDIA driver fails: {detail}; a container may have lost its GPU devices: restart it",
        ),
    }[trouble]


def _loaded(words: str) -> str:
    """Version of the loaded kernel module, in ``words``; nothing where the system does not tell."""
    try:
        version = Path("/sys/module/nvidia/version").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return words.format(version)
