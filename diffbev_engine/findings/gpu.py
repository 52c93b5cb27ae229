"""Driver, CUDA and torch against each other, and the memory of the GPU against the batch."""

from collections.abc import Callable, Iterator
from typing import Any

from diffbev_engine.core.bilingual import EMPTY, Bilingual, same
from diffbev_engine.core.gpu import Gpu, Gpus, gpus
from diffbev_engine.findings.finding import Finding, error, gib, ok, warning
from diffbev_engine.findings.memory.curve import MARGIN, MEMORY_FILE, MemoryCurve, read_curve
from diffbev_engine.findings.memory.estimate import estimate_memory
from diffbev_engine.findings.memory.gpu_processes import gpu_processes
from diffbev_engine.findings.plan import Plan

Version = tuple[int, int]
_MIB, _GIB = 2**20, 2**30
_BF16_SINCE = (8, 0)
_TORCH = Bilingual(
    "安装与驱动匹配的 PyTorch（见 pytorch.org），或更新驱动",
    "install a PyTorch build that matches the driver (see pytorch.org), or update the driver",
)


def cuda(plan: Plan) -> Iterator[Finding]:
    """A driver that answers, and a torch that can use it."""
    import torch

    found = gpus()
    if found.problem:
        yield warning(
            "cuda",
            Bilingual(
                f"没有可用的 GPU：{found.problem.zh}；将使用 CPU 训练",
                f"no GPU: {found.problem.en}; training would run on the CPU",
            ),
            f"torch {torch.__version__}",
            Bilingual(
                "可用于演示；正式训练需要 NVIDIA GPU 及其驱动（nvidia-smi）",
                "fine for the demo; real training needs an NVIDIA GPU and driver (nvidia-smi)",
            ),
        )
        return
    driver_cuda, capabilities = ask_nvml(_cuda_version), ask_nvml(_capabilities)
    where = f"torch {torch.__version__}, driver {found.driver}, CUDA {_shown(driver_cuda)}"
    problems = [*judge_cuda(torch.version.cuda, driver_cuda, where)]
    for index in plan.gpu_ids or (0,):
        if index >= len(capabilities):
            what = Bilingual(
                f"GPU {index} 不存在（共 {len(capabilities)} 块）",
                f"there is no GPU {index}: this machine has {len(capabilities)}",
            )
            problems.append(error("cuda", what, where, Bilingual("修改 --gpu-ids", "change --gpu-ids")))
        elif torch.version.cuda:
            known, precision = torch.cuda.get_arch_list(), plan.settings.precision
            problems += judge_architecture(index, capabilities[index], known, precision, where)
    if not problems and not torch.cuda.is_available():
        what = Bilingual(
            "驱动能识别 GPU，但 PyTorch 无法使用", "the driver sees a GPU, but PyTorch cannot use it"
        )
        advice = Bilingual(
            "检查 CUDA_VISIBLE_DEVICES 与驱动版本", "check CUDA_VISIBLE_DEVICES and the driver version"
        )
        problems.append(error("cuda", what, where, advice))
    yield from problems
    if not problems:
        name = found.gpus[0].name
        yield ok("cuda", Bilingual(f"GPU可用：{name}", f"torch can use the GPU: {name}"), where)


def judge_cuda(built_for: str | None, driver: Version, where: str) -> Iterator[Finding]:
    """The CUDA of torch against the newest that the driver runs; its major version must not be newer."""
    if built_for is None:
        what = Bilingual(
            "当前 PyTorch 不支持 CUDA，不会使用 GPU",
            "PyTorch was built without CUDA; the GPU would not be used",
        )
        yield error("cuda", what, where, _TORCH)
        return
    major, minor = map(int, built_for.split(".")[:2])
    what = Bilingual(
        f"PyTorch 基于 CUDA {built_for} 编译，驱动最高支持 {_shown(driver)}",
        f"PyTorch was built for CUDA {built_for}, but the driver supports up to {_shown(driver)}",
    )
    if driver < (major, 0):
        yield error("cuda", what, where, _TORCH)
    elif driver < (major, minor):
        yield warning("cuda", what, where, _TORCH)


def judge_architecture(
    index: int, capability: Version, known: list[str], precision: str, where: str
) -> Iterator[Finding]:
    """The kernels in torch (``sm_90``, ``compute_90``, …) against the GPU."""
    major, minor = capability
    # Binaries run within their major version; code for compute_XY is compiled for anything newer.
    versions = [(name.split("_")[0], int(name.split("_")[1].rstrip("af"))) for name in known]
    runs = any(
        number <= major * 10 + minor and (kind == "compute" or number // 10 == major)
        for kind, number in versions
    )
    if known and not runs:
        name = f"GPU {index} (sm_{major}{minor})"
        what = Bilingual(f"当前 PyTorch 不支持 {name}", f"this PyTorch build does not support {name}")
        yield error("cuda", what, where, _TORCH)
    if precision == "bf16" and capability < _BF16_SINCE:
        what = Bilingual(
            f"GPU {index} 不原生支持 bf16，速度会很慢",
            f"GPU {index} has no native bf16 support and will be slow",
        )
        yield warning("cuda", what, where, same("--set precision=fp16"))


def gpu_memory(plan: Plan) -> Iterator[Finding]:
    """Free memory of each GPU against the batch: measured where `memory` left it, else estimated."""
    found = gpus()
    if not found.problem:
        for index in plan.gpu_ids or (0,):
            if index < len(found.gpus):
                yield judge_room(plan, found, index)
        return
    batch = plan.settings.data.samples_per_gpu
    need, source = planned_memory(plan)
    if need is None:
        what = Bilingual("没有 GPU，跳过显存检查", "no GPU: GPU memory not checked")
    else:
        what = Bilingual(
            f"没有GPU；批大小 {batch} 在GPU上约需 {gib(need * _MIB)}（{source.zh}）",
            f"no GPU; on one, a batch of {batch} would take about {gib(need * _MIB)} ({source.en})",
        )
    yield ok("gpu_memory", what)


def planned_memory(plan: Plan) -> tuple[float | None, Bilingual]:
    """MiB that the planned batch takes on a GPU, and how that is known."""
    settings, curve = plan.settings, read_curve(plan.folder.path / MEMORY_FILE)
    if curve and curve.kind == "gpu" and curve.line and _same_network(curve, plan):
        return curve.line.at(settings.data.samples_per_gpu), Bilingual("本机实测", "measured here")
    estimate = estimate_memory(settings)
    if estimate is None:
        return None, Bilingual("未知", "unknown")
    return estimate.at(settings.data.samples_per_gpu), Bilingual(
        "按 H200 实测值估计", "estimated from an H200"
    )


def _same_network(curve: MemoryCurve, plan: Plan) -> bool:
    settings = plan.settings
    measured = (curve.config, curve.precision, curve.compile, curve.image_size)
    return measured == (plan.config, settings.precision, settings.compile, settings.data.image_size)


def judge_room(plan: Plan, found: Gpus, index: int) -> Finding:
    """Hold the planned batch against what is free on one GPU."""
    gpu, batch = found.gpus[index], plan.settings.data.samples_per_gpu
    need, source = planned_memory(plan)
    free, held = gpu.free_gib * _GIB, _held(gpu)
    where = f"GPU {index} {gpu.name}"
    if need is None:
        what = Bilingual(
            f"剩余 {gib(free)}；批大小 {batch} 所需未知",
            f"{gib(free)} free; what a batch of {batch} takes is not known",
        )
        measure = Bilingual("用 diffbev-engine memory 实测", "measure it with `diffbev-engine memory`")
        return warning("gpu_memory", what, where, measure)
    wanted, room = gib(need * _MIB), f"{gib(free)} / {gpu.total_gib:.1f} GiB"
    what = Bilingual(
        f"批大小 {batch} 约需 {wanted}（{source.zh}），剩余 {room}{held.zh}",
        f"batch size {batch} needs about {wanted} ({source.en}), {room} free{held.en}",
    )
    smaller = Bilingual(
        "减小 data.samples_per_gpu 并按倍数提高 optimizer_config.cumulative_iters，或换GPU；"
        "可先用 diffbev-engine memory 实测",
        "reduce data.samples_per_gpu and increase optimizer_config.cumulative_iters by the same "
        "factor, or use another GPU; `diffbev-engine memory` measures what fits",
    )
    if need * _MIB > free:
        return error("gpu_memory", what, where, smaller)
    if need * _MIB > free * (1 - MARGIN):
        return warning("gpu_memory", what, where, smaller)
    return ok("gpu_memory", what, where)


def _held(gpu: Gpu) -> Bilingual:
    """Who else is on the GPU."""
    processes, _ = gpu_processes(index=gpu.index)
    if not processes:
        return EMPTY
    names = ", ".join(f"{each.pid} {each.name or ''}".strip() for each in processes[:3])
    return Bilingual(f"；已有进程 {names}", f"; processes on it: {names}")


def ask_nvml(question: Callable[[Any], Any]) -> Any:
    """The answer of the driver to ``question``, which gets the module ``pynvml``."""
    import pynvml

    pynvml.nvmlInit()
    try:
        return question(pynvml)
    finally:
        pynvml.nvmlShutdown()


def _cuda_version(nvml: Any) -> Version:
    """Newest CUDA that the driver can run."""
    version = int(nvml.nvmlSystemGetCudaDriverVersion())
    return version // 1000, version % 1000 // 10


def _capabilities(nvml: Any) -> list[Version]:
    """Compute capability of each GPU; asking the driver makes no context on it."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    return [tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)) for handle in handles]


def _shown(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
