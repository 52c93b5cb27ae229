"""Free memory of the chosen GPUs against the batch."""

from collections.abc import Iterator

from diffbev_engine.core.bilingual import EMPTY, Bilingual
from diffbev_engine.core.format import byte_size
from diffbev_engine.core.gpu.reading import Gpu, read_gpus
from diffbev_engine.core.gpu.select import visible
from diffbev_engine.findings.command import PROGRAM
from diffbev_engine.findings.finding import Finding, Remedy, error, ok, warning
from diffbev_engine.findings.gpu import others_on, wanted
from diffbev_engine.findings.memory.curve import MARGIN, MEMORY_FILE, MemoryCurve, read_curve
from diffbev_engine.findings.memory.estimate import estimate_memory
from diffbev_engine.findings.plan import Plan

_MIB = 2**20


def gpu_memory(plan: Plan) -> Iterator[Finding]:
    """Free memory of each GPU against the batch: measured where `memory` left it, else estimated."""
    gpus = visible(read_gpus().gpus).gpus
    if gpus:
        for number in wanted(plan):
            if number < len(gpus):
                yield judge_room(plan, gpus[number])
        return
    batch = plan.settings.data.samples_per_gpu
    need, source = planned_memory(plan)
    if need is None:
        what = Bilingual("没有 GPU，跳过显存检查", "no GPU: GPU memory not checked")
    else:
        what = Bilingual(
            f"没有 GPU；批大小 {batch} 在 GPU 上约需 {byte_size(need * _MIB)}（{source.zh}）",
            f"no GPU; batch size {batch} would need about {byte_size(need * _MIB)} on one ({source.en})",
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


def judge_room(plan: Plan, gpu: Gpu) -> Finding:
    """Hold the planned batch against what is free on one GPU."""
    batch, where = plan.settings.data.samples_per_gpu, f"GPU {gpu.index} {gpu.name}"
    need, source = planned_memory(plan)
    argv = (PROGRAM, "memory", plan.config, "--work-dir", str(plan.folder.path.absolute()))
    measure = Remedy(
        Bilingual("用 diffbev-engine memory 实测", "measure it with `diffbev-engine memory`"), argv=argv
    )
    wanted_zh, wanted_en = f"批大小 {batch} 所需未知", f"what batch size {batch} needs is unknown"
    if need is not None:
        size = byte_size(need * _MIB)
        wanted_zh = f"批大小 {batch} 约需 {size}（{source.zh}）"
        wanted_en = f"batch size {batch} needs about {size} ({source.en})"
    if gpu.free_mib is None or gpu.total_mib is None:
        zh, en = "无法读取剩余显存", "free memory cannot be read"
        return warning("gpu_memory", Bilingual(f"{wanted_zh}，{zh}", f"{wanted_en}, {en}"), where, measure)
    held, free = _held(gpu), gpu.free_mib * _MIB
    room = f"{byte_size(free)} / {byte_size(gpu.total_mib * _MIB)}"
    what = Bilingual(f"{wanted_zh}，剩余 {room}{held.zh}", f"{wanted_en}, {room} free{held.en}")
    if need is None:
        return warning("gpu_memory", what, where, measure)
    smaller = Remedy(
        Bilingual(
            "减小 data.samples_per_gpu 并按相同倍数增大 optimizer_config.cumulative_iters，或更换 GPU；"
            "可先用 diffbev-engine memory 实测",
            "reduce data.samples_per_gpu and increase optimizer_config.cumulative_iters by the same "
            "factor, or use another GPU; `diffbev-engine memory` measures what fits",
        ),
        argv=argv,
    )
    if need * _MIB > free:
        return error("gpu_memory", what, where, smaller)
    if need * _MIB > free * (1 - MARGIN):
        return warning("gpu_memory", what, where, smaller)
    return ok("gpu_memory", what, where)


def _held(gpu: Gpu) -> Bilingual:
    """Where the memory is, if it is the host's, and who else uses the GPU."""
    zh, en = (
        ("（统一内存，与主机共用）", " (unified memory, shared with the host)") if gpu.unified else ("", "")
    )
    others = others_on(gpu)
    if others:
        names = ", ".join(f"{each.pid} {each.name or ''}".strip() for each in others[:3])
        zh, en = f"{zh}；已有进程 {names}", f"{en}; in use by {names}"
    return Bilingual(zh, en) if zh else EMPTY
