"""Limits of the machine: open files, shared memory, RAM and cores for loaders, a compiler for compile=."""

import resource
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.cores import usable_cores
from diffbev_engine.core.extras import lacking, pip_command
from diffbev_engine.core.format import byte_size
from diffbev_engine.core.grid import LABEL_GRID
from diffbev_engine.core.host_memory import HostMemory, host_memory
from diffbev_engine.findings.compiler import OFF, missing_for_compile, missing_libcuda, why_not_compiled
from diffbev_engine.findings.finding import Finding, Remedy, error, ok, warning
from diffbev_engine.findings.gpu import torch_can_use_cuda
from diffbev_engine.findings.memory.estimate import WORKER_MIB
from diffbev_engine.findings.plan import Plan

SHARED = Path("/dev/shm")
_MIB = 2**20
_PREFETCHED = 4  # batches a loader process keeps ready, see dataset.loader
_TENSORS = 6  # of a batch; each is one open file in the training process while it is on its way
_PIPES = 4  # of a loader process
_FILES_AT_REST = 128  # torch, CUDA, logs, libraries
_TRAINING_MIB = 3500  # resident
_SWAP_USED = 0.5


def open_files(plan: Plan) -> Iterator[Finding]:
    """The limit of open files against the tensors on their way from the loaders."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    data = plan.settings.data
    per_worker = _PIPES + _TENSORS * _PREFETCHED
    need = _FILES_AT_REST + 2 * data.workers_per_gpu * per_worker  # training and evaluation loaders at once
    what = Bilingual(f"上限 {soft}，加载器约需 {need}", f"the limit is {soft}, the loaders need about {need}")
    raised = f"ulimit -n {max(4096, need)}"
    advice = Bilingual(f"在启动的终端运行 {raised}", f"run `{raised}` in the shell that starts the training")
    if hard not in (resource.RLIM_INFINITY, -1) and hard < need:
        advice = Bilingual(
            f"硬上限只有 {hard}：请管理员提高，或减小 data.workers_per_gpu",
            f"the hard limit is {hard}: ask the administrator, or lower data.workers_per_gpu",
        )
    if soft in (resource.RLIM_INFINITY, -1) or soft >= 2 * need:
        yield ok("open_files", what, "ulimit -n")
    elif soft >= need:
        yield warning("open_files", what, "ulimit -n", advice)
    else:
        yield error("open_files", what, "ulimit -n", advice)


def shared_memory(plan: Plan, place: Path = SHARED) -> Iterator[Finding]:
    """Shared memory against the batches that the loaders keep ready."""
    workers = plan.settings.data.workers_per_gpu
    if not workers:
        yield ok("shared_memory", Bilingual("不使用加载进程", "no loader processes"))
        return
    if not place.is_dir():
        yield warning(
            "shared_memory",
            Bilingual(f"没有 {place}", f"there is no {place}"),
            place,
            Bilingual("容器请挂载它", "mount it into the container"),
        )
        return
    need = shared_bytes(plan)
    usage = shutil.disk_usage(place)
    what = Bilingual(
        f"加载器约需 {byte_size(need)}，剩余 {byte_size(usage.free)}/{byte_size(usage.total)}",
        f"the loaders need about {byte_size(need)}, {byte_size(usage.free)} free of {byte_size(usage.total)}",
    )
    advice = Bilingual(
        "容器用 --shm-size=8g 启动，或减小 data.workers_per_gpu",
        "start the container with --shm-size=8g (Kubernetes: an emptyDir of memory), "
        "or lower data.workers_per_gpu",
    )
    if usage.free < need:
        yield error("shared_memory", what, place, advice)
    elif usage.free < 2 * need:
        yield warning("shared_memory", what, place, advice)
    else:
        yield ok("shared_memory", what, place)


def batch_bytes(plan: Plan, batch: int) -> int:
    """Bytes of one batch as the loader makes it."""
    data = plan.settings.data
    height, width = data.image_size
    rows, columns = LABEL_GRID.shape
    image, label, depth = height * width * 3, rows * columns * 4, height * width * 4 * data.load_depth
    return batch * (image + label + depth)


def shared_bytes(plan: Plan) -> int:
    """Bytes of all batches that the loaders of training and evaluation may hold at once."""
    settings = plan.settings
    evaluation = settings.evaluation.samples_per_gpu or settings.data.samples_per_gpu
    batches = settings.data.workers_per_gpu * _PREFETCHED * plan.processes
    return batches * (batch_bytes(plan, settings.data.samples_per_gpu) + batch_bytes(plan, evaluation))


def ram(plan: Plan) -> Iterator[Finding]:
    """Host memory of the training and its loader processes."""
    yield from judge_ram(plan, host_memory())


def judge_ram(plan: Plan, memory: HostMemory) -> Iterator[Finding]:
    """Hold the need against ``memory``."""
    workers = plan.settings.data.workers_per_gpu * plan.processes
    need = _TRAINING_MIB * plan.processes + 2 * workers * WORKER_MIB + shared_bytes(plan) / _MIB
    limit = (
        Bilingual("（受容器或作业限制）", " (limit of the container or job)")
        if memory.limited
        else Bilingual("", "")
    )
    where = f"{byte_size(memory.total * _MIB)} RAM"
    wanted, there = byte_size(need * _MIB), byte_size(memory.available * _MIB)
    what = Bilingual(
        f"训练与加载进程约需 {wanted}，可用 {there}{limit.zh}",
        f"training and loaders need about {wanted}, {there} available{limit.en}",
    )
    advice = Bilingual(
        "减小 data.workers_per_gpu，或结束其他程序", "reduce data.workers_per_gpu, or close other programs"
    )
    if memory.available < need / 2:
        yield error("ram", what, where, advice)
    elif memory.available < need:
        yield warning("ram", what, where, advice)
    else:
        yield ok("ram", what, where)
    if memory.swap_total and memory.swap_used > _SWAP_USED * memory.swap_total:
        yield warning(
            "ram",
            Bilingual(
                f"交换区已用 {byte_size(memory.swap_used * _MIB)}",
                f"{byte_size(memory.swap_used * _MIB)} of swap are in use",
            ),
            f"swap {byte_size(memory.swap_total * _MIB)}",
            Bilingual(
                "使用交换区会使训练变慢，请结束其他程序",
                "swapping slows training down; close other programs",
            ),
        )


def cores(plan: Plan) -> Iterator[Finding]:
    """Loader processes against the cores that this process may use."""
    allowed = usable_cores()
    workers = plan.settings.data.workers_per_gpu * plan.processes
    what = Bilingual(
        f"{workers} 个加载进程，{allowed} 个 CPU 核", f"{workers} loader processes on {allowed} cores"
    )
    if workers > allowed:
        fewer = f"--set data.workers_per_gpu={max(1, allowed // plan.processes)}"
        yield warning("cores", what, "data.workers_per_gpu", Bilingual(fewer, fewer))
    else:
        yield ok("cores", what)


def compiler(plan: Plan) -> Iterator[Finding]:
    """The compiler that ``compile=`` calls."""
    choice = plan.settings.compile
    on_gpu, _ = torch_can_use_cuda()
    if reason := why_not_compiled(plan.settings, on_gpu=on_gpu):
        yield ok("compiler", Bilingual(f"不需要：{reason.zh}", f"not needed: {reason.en}"))
        return
    absent = missing_for_compile(on_gpu=on_gpu) or (missing_libcuda() if on_gpu else None)
    where = f"compile={choice}"
    if absent is None:
        yield ok(
            "compiler", Bilingual("编译器与 Python.h 可用", "compiler and Python.h are available"), where
        )
        return
    what, install = absent
    if choice == "auto":
        slower = Bilingual(f"{what.zh}；训练将不编译", f"{what.en}; training runs uncompiled")
        yield warning("compiler", slower, where, install)
        return
    yield replace(error("compiler", what, where, install), remedies=(install, OFF))


def trackers(plan: Plan) -> Iterator[Finding]:
    """The packages of the trackers that ``log_config.hooks`` names."""
    if not plan.settings.log_config.hooks:
        yield ok("trackers", Bilingual("未使用：log_config.hooks=[]", "none: log_config.hooks=[]"))
    for tracker in plan.settings.log_config.hooks:
        if lacks := lacking([tracker], tracker):
            [lack], command = lacks, pip_command(tracker)
            what = Bilingual(f"未安装 {tracker}", f"{tracker} is not installed")
            if lack.found:
                what = Bilingual(
                    f"{tracker} {lack.found} 版本过旧：需要 {lack.wanted}",
                    f"{tracker} {lack.found} is too old: {lack.wanted} is needed",
                )
            install = Remedy(Bilingual(f"安装：{command}", f"install it: {command}"), shell=command)
            yield error("trackers", what, "log_config.hooks", install)
        else:
            yield ok("trackers", Bilingual(f"{tracker} 已安装", f"{tracker} is installed"))


def schedule(plan: Plan) -> Iterator[Finding]:
    """How often the run sees every image, and whether it will ever evaluate."""
    settings, images = plan.settings, len(plan.used("train"))
    step = settings.data.samples_per_gpu * settings.optimizer_config.cumulative_iters * plan.processes
    epochs = settings.runner.max_iters * step / max(1, images)
    what = Bilingual(
        f"{settings.runner.max_iters} 次迭代 × {step} 张：{images} 张图像各见 {epochs:.1f} 次",
        f"{settings.runner.max_iters} iterations × {step}: "
        f"each of {images} images is seen {epochs:.1f} times",
    )
    yield ok("schedule", what)
    if settings.runner.max_iters < settings.evaluation.interval:
        yield warning(
            "schedule",
            Bilingual(
                "训练结束前不会评估，没有 best_mIoU.pth",
                "max_iters is below evaluation.interval, so the run is never evaluated and writes "
                "no best_mIoU.pth",
            ),
            "evaluation.interval",
            Bilingual(
                f"--set evaluation.interval={settings.runner.max_iters}",
                f"--set evaluation.interval={settings.runner.max_iters}",
            ),
        )
