"""Fixes for runs that ran out of GPU memory or of host memory, best first.

Settings that change no result come before those that do.  Sharding and offloading of weights are
never proposed: weights, gradients and optimizer together are below half a GiB here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from diffbev_engine.core.bilingual import Bilingual, same
from diffbev_engine.core.format import mib_size, percent
from diffbev_engine.core.gpu.processes import GpuProcess, own_among
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.findings.memory.curve import MemoryLine
from diffbev_engine.findings.memory.estimate import IMAGE_SHARE, RECOMPUTED, WORKER_MIB
from diffbev_engine.findings.oom_message import OutOfMemory

_OTHERS_MATTER = 0.05
_MOST_NAME = 50  # characters of a command line in a title
_FIXED_MIB = 500.0  # weights, gradients and AdamW of Swin-T; measured on an H200
_BF16_SAVES = 0.43  # of 14.5 GiB at batch 8, measured with this engine
_WITHOUT_BATCH_NORMS = ("swin", "convnext", "vit_", "deit", "beit")
"""Families of backbones whose blocks can be computed twice."""
ALLOCATOR_VARIABLES = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
_MEASURED = Bilingual("本机实测", "measured on this machine")
_PER_WORKER = Bilingual("估计：每个加载进程的常驻内存", "estimated: resident memory of a loader process")
_H200 = Bilingual("在 H200 上实测的比例", "share measured on an H200")


@dataclass(frozen=True)
class Circumstances:
    """What is known when memory has run out."""

    config: Mapping[str, Any]
    """The settings as plain values, as in ``run.json``."""
    oom: OutOfMemory | None = None
    phase: str | None = None
    """Where it happened: forward, backward, optimizer, evaluation, …"""
    own_pid: int | None = None
    processes: Sequence[GpuProcess] = ()
    reserved: float | None = None
    """MiB that PyTorch held, from its allocator; ``None`` without it."""
    unified: bool = False
    """Whether the GPU uses host memory."""
    mig: bool = False
    """Whether it is a MIG instance, a part of a GPU."""
    line: MemoryLine | None = None
    """Memory by batch size, if it was measured here."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of the process that failed."""


def rank_remedies(known: Circumstances) -> list[Remedy]:
    """The remedies that apply, in the order in which to try them."""
    rules = (_others, _fragmentation, _evaluation, _precision, _micro_batch, _recompute, _larger_part)
    found = [rule(known) for rule in rules]
    found += [_workers(known.config) if known.unified else None, _image_size(known)]
    return [remedy for remedy in found if remedy]


def rank_host_remedies(config: Mapping[str, Any]) -> list[Remedy]:
    """Fixes after the OOM killer of the host, for the settings of a run; none changes a result."""
    return [remedy for rule in (_workers, _host_evaluation) if (remedy := rule(config))]


def other_processes(known: Circumstances) -> list[tuple[int, float, str]]:
    """(pid, MiB, name) of other processes on the GPU, from the driver or else from the error message."""
    oom = known.oom
    if not known.processes:
        return [(pid, mib, "") for pid, mib in (oom.others if oom else ()) if pid != known.own_pid]
    least = known.reserved if known.reserved is not None else oom.reserved if oom else None
    listed = own_among(known.processes, oom.this_process if oom else None, least)
    others = [each for each in listed if not each.mine and each.pid != known.own_pid]
    return [(each.pid, each.mib or 0.0, each.name or "") for each in others]


def _others(known: Circumstances) -> Remedy | None:
    others = other_processes(known)
    held = sum(mib for _, mib, _ in others)
    capacity = known.oom.capacity if known.oom else None
    if not capacity or held <= _OTHERS_MATTER * capacity:
        return None
    others = [(pid, mib, _short(name)) for pid, mib, name in others]
    zh = "、".join(
        f"进程 {pid}{f'（{name}）' if name else ''} 占用 {mib_size(mib)}" for pid, mib, name in others
    )
    en = ", ".join(
        f"process {pid}{f' ({name})' if name else ''} holds {mib_size(mib)}" for pid, mib, name in others
    )
    return Remedy(
        id="others",
        text=Bilingual(
            f"结束其他进程，或用 --gpu-ids 更换 GPU：{zh}",
            f"Stop other processes, or use another GPU with --gpu-ids: {en}",
        ),
        saving=same(mib_size(held)),
        saving_mib=held,
        saving_known=Bilingual("来自驱动或报错信息", "reported by the driver or the error message"),
        changes=Bilingual("请先确认该进程属于谁", "check who owns them first"),
    )


def _short(command: str) -> str:
    line = " ".join(command.split())
    return line if len(line) <= _MOST_NAME else f"{line[:_MOST_NAME]}…"


def _fragmentation(known: Circumstances) -> Remedy | None:
    oom = known.oom
    set_already = any(
        "expandable_segments:true" in known.environment.get(name, "").lower() for name in ALLOCATOR_VARIABLES
    )
    if oom is None or not oom.fragmented or set_already:
        return None
    unused = oom.reserved_unallocated or 0.0
    return Remedy(
        id="expandable_segments",
        text=Bilingual(
            "启用 expandable_segments，消除显存碎片", "Enable expandable segments to avoid fragmentation"
        ),
        saving=Bilingual(f"最多 {mib_size(unused)}", f"up to {mib_size(unused)}"),
        saving_mib=unused,
        saving_known=Bilingual("已保留但未分配的部分", "what was reserved but unallocated"),
        changes=Bilingual("无；须在程序启动前设置", "none; it must be set before the program starts"),
        environment=dict.fromkeys(ALLOCATOR_VARIABLES, "expandable_segments:True"),
    )


def _evaluation(known: Circumstances) -> Remedy | None:
    batch = _value(known, "evaluation", "samples_per_gpu") or _batch(known)
    if known.phase != "evaluation" or batch <= 1:
        return None
    return Remedy(
        id="evaluation_batch",
        text=Bilingual("减小评估批大小", "Evaluate in smaller batches"),
        saving=Bilingual("评估所用的约一半", "about half of what evaluation takes"),
        changes=Bilingual("评估稍慢；结果不变", "a slower evaluation; the same results"),
        overrides=(f"evaluation.samples_per_gpu={batch // 2}",),
    )


def _precision(known: Circumstances) -> Remedy | None:
    if known.config.get("precision") != "fp32":
        return None
    return Remedy(
        id="bf16",
        text=Bilingual("使用 bf16", "Use bf16"),
        saving=_share(_BF16_SAVES, known),
        saving_mib=_of_allocated(_BF16_SAVES, known),
        saving_known=_H200,
        changes=Bilingual(
            "无，且速度更快（计算能力 8.0 及以上）", "none, and faster (compute capability 8.0 and newer)"
        ),
        overrides=("precision=bf16",),
    )


def _micro_batch(known: Circumstances) -> Remedy | None:
    batch, accumulated = _batch(known), _value(known, "optimizer_config", "cumulative_iters") or 1
    if batch <= 1 or known.phase == "evaluation":
        return None
    whole = batch * accumulated
    smaller = next(size for size in range(batch // 2, 0, -1) if whole % size == 0)
    per_sample = _per_sample(known)
    saved = per_sample * (batch - smaller) if per_sample else None
    return Remedy(
        id="micro_batch",
        text=Bilingual(
            f"批大小 {batch} → {smaller}，梯度累积 {accumulated} → {whole // smaller} 次",
            f"Batch size {batch} → {smaller}, gradient accumulation {accumulated} → {whole // smaller}",
        ),
        saving=same(f"≈ {mib_size(saved)}") if saved else Bilingual("约一半", "about half"),
        saving_mib=saved,
        saving_known=_MEASURED
        if known.line
        else Bilingual("按已分配量估计", "estimated from what was allocated"),
        changes=Bilingual(
            "每次迭代稍慢；每步图像数与优化不变",
            "slower iterations; same images per step and same optimization",
        ),
        overrides=(
            f"data.samples_per_gpu={smaller}",
            f"optimizer_config.cumulative_iters={whole // smaller}",
        ),
    )


def _recompute(known: Circumstances) -> Remedy | None:
    name = str((_value(known, "model", "backbone") or {}).get("name"))
    parts = ["backbone"] * name.startswith(_WITHOUT_BATCH_NORMS)
    parts += ["diffusion"] * bool(_value(known, "model", "diffusion")) + ["head"]
    already = known.config.get("recompute") or ()
    new = [part for part in parts if part not in already]
    if not new or known.phase == "evaluation":
        return None
    share = sum(RECOMPUTED[part] for part in new)
    return Remedy(
        id="recompute",
        text=Bilingual("反向传播时重新计算激活", "Recompute activations in the backward pass"),
        saving=_share(share, known),
        saving_mib=_of_allocated(share, known),
        saving_known=Bilingual("按各运算保留的张量估计", "estimated from the tensors that operations keep"),
        changes=Bilingual(
            "每次迭代慢约三分之一；结果不变", "iterations about a third slower; the same results"
        ),
        overrides=(f"recompute={sorted({*already, *parts})}",),
    )


def _larger_part(known: Circumstances) -> Remedy | None:
    if not known.mig:
        return None
    return Remedy(
        id="larger_instance",
        text=Bilingual("使用更大的 MIG 实例或整块 GPU", "Use a larger MIG instance or a whole GPU"),
        saving=Bilingual("取决于实例大小", "depends on the instance"),
        changes=Bilingual("需要另行申请资源；结果不变", "another allocation; the same results"),
    )


def _image_size(known: Circumstances) -> Remedy | None:
    size = _value(known, "data", "image_size")
    if _batch(known) > 1 or known.phase == "evaluation" or not size:
        return None
    height, width = (max(32, int(side * 0.75) // 32 * 32) for side in size)
    share = IMAGE_SHARE * (1 - height * width / (size[0] * size[1]))
    depth = _value(known, "data", "load_depth")
    again_zh = "；须用新尺寸重新运行 prepare-depth" if depth else ""
    again_en = "; rerun prepare-depth for the new size" if depth else ""
    return Remedy(
        id="image_size",
        text=Bilingual(f"输入图像缩小为 {height}×{width}", f"Smaller images: {height} × {width}"),
        saving=_share(share, known),
        saving_mib=_of_allocated(share, known),
        saving_known=Bilingual(
            "估计值：约 40% 的显存随图像像素数变化，其余为 BEV 部分",
            "estimated: about 40% scales with the image size, the rest is BEV",
        ),
        changes=Bilingual(f"结果会改变{again_zh}", f"this changes the results{again_en}"),
        overrides=(f"data.image_size=({height},{width})",),
        changes_results=True,
    )


def _workers(config: Mapping[str, Any]) -> Remedy | None:
    workers = int(config.get("data", {}).get("workers_per_gpu") or 0)
    if workers == 0:
        return None
    fewer = workers // 2
    # Training and evaluation have loaders of their own.
    saved = 2 * (workers - fewer) * WORKER_MIB
    return Remedy(
        id="workers",
        text=Bilingual(f"加载进程 {workers} → {fewer} 个", f"Loader processes {workers} → {fewer}"),
        saving=same(f"≈ {mib_size(saved)}"),
        saving_mib=saved,
        saving_known=_PER_WORKER,
        changes=Bilingual("可能要等待数据；结果不变", "training may wait for data; the same results"),
        overrides=(f"data.workers_per_gpu={fewer}",),
    )


def _host_evaluation(config: Mapping[str, Any]) -> Remedy | None:
    training = int(config.get("data", {}).get("samples_per_gpu") or 1)
    batch = int(config.get("evaluation", {}).get("samples_per_gpu") or training)
    if batch <= 1:
        return None
    return Remedy(
        id="evaluation_batch",
        text=Bilingual(f"评估批大小 {batch} → {batch // 2}", f"Evaluation batch size {batch} → {batch // 2}"),
        saving=Bilingual("评估时预取数据的一半", "half of the data prefetched for evaluation"),
        changes=Bilingual("评估稍慢；结果不变", "a slower evaluation; the same results"),
        overrides=(f"evaluation.samples_per_gpu={batch // 2}",),
    )


def _value(known: Circumstances, group: str, key: str) -> Any:
    return (known.config.get(group) or {}).get(key)


def _batch(known: Circumstances) -> int:
    return int(_value(known, "data", "samples_per_gpu") or 1)


def _per_sample(known: Circumstances) -> float | None:
    """MiB of one image of a batch."""
    if known.line:
        return known.line.per_sample
    allocated = _allocated(known)
    return None if allocated is None else (allocated - _FIXED_MIB) / _batch(known)


def _allocated(known: Circumstances) -> float | None:
    """What the step would have needed at least: allocated and asked for."""
    oom = known.oom
    if oom is None or oom.allocated is None or oom.allocated + oom.requested <= _FIXED_MIB:
        return None
    return oom.allocated + oom.requested


def _of_allocated(share: float, known: Circumstances) -> float | None:
    allocated = _allocated(known)
    return None if allocated is None else share * allocated


def _share(share: float, known: Circumstances) -> Bilingual:
    size = _of_allocated(share, known)
    shown = f" (≈ {mib_size(size)})" if size else ""
    return Bilingual(f"约 {percent(share, 0)}{shown}", f"about {percent(share, 0)}{shown}")
