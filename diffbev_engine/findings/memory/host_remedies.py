"""Fixes for runs killed by the OOM killer, best first."""

from collections.abc import Mapping
from typing import Any

from diffbev_engine.core.bilingual import Bilingual, same
from diffbev_engine.findings.memory.estimate import WORKER_MIB
from diffbev_engine.findings.memory.remedies import MemoryRemedy

_ESTIMATED = Bilingual("估计：每个加载进程的常驻内存", "estimated: resident memory of a loader process")


def rank_host_remedies(config: Mapping[str, Any]) -> list[MemoryRemedy]:
    """The remedies that apply to the settings of a run, as plain values; neither changes a result."""
    return [remedy for rule in (_workers, _evaluation) if (remedy := rule(config))]


def _workers(config: Mapping[str, Any]) -> MemoryRemedy | None:
    workers = int(config.get("data", {}).get("workers_per_gpu") or 0)
    if workers == 0:
        return None
    fewer = workers // 2
    # Training and evaluation have loaders of their own.
    saved = 2 * (workers - fewer) * WORKER_MIB
    return MemoryRemedy(
        "workers",
        Bilingual(f"加载进程 {workers} → {fewer} 个", f"Loader processes {workers} → {fewer}"),
        saving=same(f"≈ {saved / 1024:.1f} GiB"),
        saving_mib=saved,
        saving_known=_ESTIMATED,
        cost=Bilingual("可能要等待数据；结果不变", "training may wait for data; the same results"),
        overrides=(f"data.workers_per_gpu={fewer}",),
    )


def _evaluation(config: Mapping[str, Any]) -> MemoryRemedy | None:
    training = int(config.get("data", {}).get("samples_per_gpu") or 1)
    batch = int(config.get("evaluation", {}).get("samples_per_gpu") or training)
    if batch <= 1:
        return None
    return MemoryRemedy(
        "evaluation_batch",
        Bilingual(f"评估批大小 {batch} → {batch // 2}", f"Evaluation batch size {batch} → {batch // 2}"),
        saving=Bilingual("评估时预取数据的一半", "half of the data prefetched for evaluation"),
        cost=Bilingual("评估稍慢；结果不变", "a slower evaluation; the same results"),
        overrides=(f"evaluation.samples_per_gpu={batch // 2}",),
    )
