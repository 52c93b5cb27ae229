"""Which GPUs the driver knows, without torch."""

from dataclasses import dataclass

from diffbev_engine.core.bilingual import EMPTY, Bilingual


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    index: int
    name: str
    total_gib: float
    free_gib: float


@dataclass(frozen=True)
class Gpus:
    """The GPUs of this machine, or why none answers."""

    gpus: tuple[Gpu, ...]
    driver: str = ""
    problem: Bilingual = EMPTY


def gpus() -> Gpus:
    """Ask NVML; never raises."""
    try:
        import pynvml
    except ImportError:
        return Gpus((), problem=Bilingual("没有安装 nvidia-ml-py", "nvidia-ml-py is not installed"))
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        problem = Bilingual(f"NVIDIA 驱动无响应：{error}", f"no NVIDIA driver answers: {error}")
        return Gpus((), problem=problem)
    try:
        found = tuple(_gpu(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError as error:
        problem = Bilingual(f"NVIDIA 驱动报错：{error}", f"the NVIDIA driver reports: {error}")
        return Gpus((), problem=problem)
    finally:
        pynvml.nvmlShutdown()
    none = Bilingual("NVIDIA 驱动未检测到 GPU", "the NVIDIA driver does not detect a GPU")
    return Gpus(found, driver, EMPTY if found else none)


def _gpu(pynvml: object, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)  # type: ignore[attr-defined]
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)  # type: ignore[attr-defined]
    name = _text(pynvml.nvmlDeviceGetName(handle))  # type: ignore[attr-defined]
    return Gpu(index, name, memory.total / 2**30, memory.free / 2**30)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
