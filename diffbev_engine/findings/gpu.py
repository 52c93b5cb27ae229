"""Whether PyTorch can train on the chosen GPUs: driver, CUDA, architecture, and the state of each GPU."""

import os
import warnings
from collections.abc import Iterator
from functools import cache

from diffbev_engine.core.bilingual import EMPTY, Bilingual
from diffbev_engine.core.gpu.reading import Gpu, GpuProcess, GpuReading, Version, read_gpus
from diffbev_engine.core.gpu.select import ORDER, VISIBLE, VisibleGpus, visible
from diffbev_engine.findings.finding import Finding, Remedy, Severity, error, ok, warning
from diffbev_engine.findings.plan import Plan

_BF16_SINCE = (8, 0)
_TORCH = Bilingual(
    "安装与驱动匹配的 PyTorch（见 pytorch.org），或更新驱动",
    "install a PyTorch build that matches the driver (see pytorch.org), or update the driver",
)
_ON_PURPOSE = ("", "-1", "none", "None", "NoDevFiles")
"""Values of ``CUDA_VISIBLE_DEVICES`` by which users hide all GPUs."""
_CPU_ANYWAY = Remedy(
    Bilingual(
        f"修复后重试；若确实要用 CPU 训练，请设置 {VISIBLE}=",
        f"fix this; to train on the CPU, set {VISIBLE}=",
    ),
    environment={VISIBLE: ""},
)


def cuda(plan: Plan) -> Iterator[Finding]:
    """A working driver, and a PyTorch that can use the chosen GPUs."""
    import torch

    found = read_gpus()
    usable, why = torch_can_use_cuda()
    where = f"torch {torch.__version__}, driver {found.driver or '–'}, CUDA {_shown(found.cuda)}"
    hidden = os.environ.get(VISIBLE)
    if hidden is not None and hidden.strip() in _ON_PURPOSE and (found.gpus or found.broken):
        yield _hidden_on_purpose(hidden, where)
        return
    if not found.gpus:
        yield judge_driver(found, where, usable=usable)
        return
    seen = visible(found.gpus)
    if not seen.gpus:
        yield from judge_hidden(found, seen, where)
        return
    problems = [*_bystanders(found, seen, where), *judge_cuda(torch.version.cuda, found.cuda, where, usable)]
    for number in wanted(plan):
        if missing := seen.problem(number):
            problems.append(error("cuda", missing, where, Bilingual("修改 --gpu-ids", "change --gpu-ids")))
            continue
        gpu = seen.gpus[number]
        problems += judge_gpu(gpu, where)
        if gpu.capability and torch.version.cuda:
            known = torch.cuda.get_arch_list()
            problems += judge_architecture(number, gpu.capability, known, plan.settings.precision, where)
    if not usable and not any(each.severity is Severity.ERROR for each in problems):
        what = Bilingual(
            f"驱动能识别 GPU，但 PyTorch 无法使用{why and '：' + why}",
            f"the driver sees a GPU, but PyTorch cannot use it{why and ': ' + why}",
        )
        problems.append(error("cuda", what, where, _CPU_ANYWAY))
    yield from problems
    if not problems:
        names = ", ".join(seen.gpus[number].name for number in wanted(plan))
        yield ok("cuda", Bilingual(f"GPU 可用：{names}", f"PyTorch can use the GPU: {names}"), where)


def wanted(plan: Plan) -> tuple[int, ...]:
    """CUDA's numbers of the GPUs that the run would use on this machine."""
    return plan.gpu_ids or tuple(range(int(os.environ.get("LOCAL_WORLD_SIZE", "1"))))


@cache
def torch_can_use_cuda() -> tuple[bool, str]:
    """Whether PyTorch finds a GPU, and what it says if not."""
    import torch

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        usable = torch.cuda.is_available()
    words = " ".join(" ".join(str(each.message).split()) for each in said)
    return usable, words.split(" (Triggered internally")[0]


def judge_driver(found: GpuReading, where: str, *, usable: bool) -> Finding:
    """The driver shows no GPU: none is there, or the driver does not work."""
    why = found.problem
    if usable:
        what = Bilingual(
            f"PyTorch 可以使用 GPU，但无法读取其状态：{why.zh}",
            f"PyTorch can use a GPU, but its state cannot be read: {why.en}",
        )
        return warning("cuda", what, where, EMPTY)
    if not found.broken:
        what = Bilingual(
            f"没有可用的 GPU：{why.zh}；将使用 CPU 训练", f"no GPU: {why.en}; training would run on the CPU"
        )
        advice = Bilingual(
            "可用于演示；正式训练需要 NVIDIA GPU 及其驱动（nvidia-smi）",
            "fine for the demo; real training needs an NVIDIA GPU and driver (nvidia-smi)",
        )
        return warning("cuda", what, where, advice)
    what = Bilingual(f"GPU 驱动工作异常：{why.zh}", f"the GPU driver does not work: {why.en}")
    return error("cuda", what, where, _CPU_ANYWAY)


def _hidden_on_purpose(value: str, where: str) -> Finding:
    what = Bilingual(
        f"{VISIBLE}={value} 隐藏了所有 GPU；将使用 CPU 训练",
        f"{VISIBLE}={value} hides all GPUs; training would run on the CPU",
    )
    return warning("cuda", what, where, Bilingual(f"取消设置 {VISIBLE}", f"unset {VISIBLE}"))


def judge_hidden(found: GpuReading, seen: VisibleGpus, where: str) -> Iterator[Finding]:
    """No GPU is left for CUDA: all are lost, MIG has no instance, or the variable names none of them."""
    if not found.usable:
        yield from (error("cuda", gpu.problem, where, _CPU_ANYWAY) for gpu in found.gpus)
    elif seen.variable is None:
        what = Bilingual("GPU 已启用 MIG，但没有 MIG 实例", "the GPU is in MIG mode but has no MIG instance")
        create = Remedy(
            Bilingual("创建 MIG 实例", "create MIG instances"), shell="sudo nvidia-smi mig -cgi 0 -C"
        )
        yield error("cuda", what, where, create)
    else:
        there = ", ".join(str(gpu.index) for gpu in found.usable)
        what = Bilingual(
            f"{VISIBLE}={seen.variable} 没有指向本机的 GPU（{there}）",
            f"{VISIBLE}={seen.variable} names no GPU of this machine ({there})",
        )
        yield error("cuda", what, where, Bilingual(f"修改 {VISIBLE}", f"change {VISIBLE}"))


def _bystanders(found: GpuReading, seen: VisibleGpus, where: str) -> Iterator[Finding]:
    """Lost GPUs that CUDA leaves out, ignored parts of the variable, and an order that nobody can tell."""
    for gpu in found.gpus:
        if gpu.problem:
            yield warning("cuda", gpu.problem, where, EMPTY)
    if seen.ignored and seen.ignored.strip() not in _ON_PURPOSE:
        what = Bilingual(
            f"CUDA 忽略 {VISIBLE} 中从 {seen.ignored} 起的部分", f"CUDA ignores {seen.ignored} in {VISIBLE}"
        )
        yield warning("cuda", what, where, Bilingual(f"修改 {VISIBLE}", f"change {VISIBLE}"))
    if not seen.certain and ORDER not in os.environ and len(found.usable) > 1:
        what = Bilingual(
            "GPU 型号不同：CUDA 的编号可能与 nvidia-smi 不同",
            "different GPU models: CUDA may number them differently from nvidia-smi",
        )
        advice = Bilingual(
            f"设置 {ORDER}=PCI_BUS_ID，或使用 --gpu-ids", f"set {ORDER}=PCI_BUS_ID, or use --gpu-ids"
        )
        yield warning("cuda", what, where, Remedy(advice, environment={ORDER: "PCI_BUS_ID"}))


def judge_cuda(built_for: str | None, driver: Version | None, where: str, usable: bool) -> Iterator[Finding]:
    """The CUDA of PyTorch against the newest that the driver runs; its major version must not be newer."""
    if usable and built_for is None:
        return  # built for another kind of GPU
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
    if driver is None or driver >= (major, minor):
        return
    if driver < (major, 0) and not usable:  # with CUDA's compatibility package it is usable all the same
        old = Bilingual(f"NVIDIA 驱动过旧：{what.zh}", f"the NVIDIA driver is too old: {what.en}")
        yield error("cuda", old, where, _TORCH)
    else:
        yield warning("cuda", what, where, _TORCH)


def judge_gpu(gpu: Gpu, where: str) -> Iterator[Finding]:
    """One GPU that CUDA shows: compute mode, other processes in exclusive mode, damaged memory."""
    name = f"GPU {gpu.index}"
    if gpu.compute_mode == "prohibited":
        what = Bilingual(
            f"{name} 的计算模式为 Prohibited，不允许计算",
            f"{name} is in compute mode Prohibited: nothing may run on it",
        )
        yield error("cuda", what, where, _default_mode(gpu))
    others = others_on(gpu)
    if gpu.compute_mode == "exclusive" and others:
        pids = ", ".join(f"{each.pid} {each.name or ''}".strip() for each in others[:3])
        what = Bilingual(
            f"{name} 为独占模式，已被进程 {pids} 占用",
            f"{name} is in exclusive mode and in use by process {pids}",
        )
        yield error("cuda", what, where, _default_mode(gpu))
    if gpu.worn_out:
        what = Bilingual(
            f"{name} 的显存损坏，且无法再替换", f"the memory of {name} is damaged and cannot be remapped"
        )
        yield error(
            "cuda",
            what,
            where,
            Bilingual("使用其他 GPU，并更换此卡", "use another GPU, and have this one replaced"),
        )
    elif gpu.needs_reset or gpu.ecc_errors:
        count = gpu.ecc_errors or 0
        what = Bilingual(
            f"{name} 出现过无法纠正的 ECC 错误（{count} 次）",
            f"{name} had uncorrectable ECC errors ({count})",
        )
        reset = Remedy(
            Bilingual("空闲时重置此 GPU，或重启机器", "reset the GPU while it is idle, or reboot"),
            shell=f"sudo nvidia-smi --gpu-reset -i {gpu.index}",
        )
        yield warning("cuda", what, where, reset)


def others_on(gpu: Gpu) -> list[GpuProcess]:
    """Processes that are surely others: a container hides which is this one, once it uses CUDA."""
    import torch

    unsure = torch.cuda.is_initialized()
    return [each for each in gpu.processes or () if each.mine is False or (each.mine is None and not unsure)]


def _default_mode(gpu: Gpu) -> Remedy:
    text = Bilingual(
        "使用其他 GPU，或恢复默认计算模式", "use another GPU, or restore the default compute mode"
    )
    return Remedy(text, shell=f"sudo nvidia-smi -i {gpu.index} -c DEFAULT")


def judge_architecture(
    index: int, capability: Version, known: list[str], precision: str, where: str
) -> Iterator[Finding]:
    """The kernels in PyTorch (``sm_90``, ``compute_90``, …) against the GPU."""
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
        setting = "precision=fp16"
        yield warning(
            "cuda",
            what,
            where,
            Remedy(Bilingual(f"--set {setting}", f"--set {setting}"), overrides=(setting,)),
        )


def _shown(version: Version | None) -> str:
    return "–" if version is None else f"{version[0]}.{version[1]}"
