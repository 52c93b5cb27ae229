"""Whether a ``metrics.csv`` can be trusted: one answer for the checks of a step and for the doctor."""

from pathlib import Path

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.runs.metrics_reader import Metrics
from diffbev_engine.runs.status import RunState, read_status


def damage_of(metrics: Metrics) -> Bilingual | None:
    """What is wrong with a file that can be read: most of its rows cannot, or it ends before its run did."""
    path, rows = metrics.path, len(metrics.training) + len(metrics.evaluation)
    bad = len(metrics.unreadable)
    if bad > rows:
        return Bilingual(f"{path} 已损坏：{bad} 行不可读", f"{path} is damaged: {bad} rows cannot be read")
    status = read_status(path.parent / "status.json")
    done = status.step if status and status.state is RunState.FINISHED else 0
    if metrics.last_step < done:
        return Bilingual(
            f"{path} 被截断：到第 {metrics.last_step} 次迭代为止，而训练完成了 {done} 次",
            f"{path} is truncated: it ends at iteration {metrics.last_step}, but the run completed {done}",
        )
    return None


def why_unreadable(path: Path, error: DiffBEVError) -> Bilingual:
    """The error of the reader, which speaks English."""
    return Bilingual(f"{path} 无法使用：{error}", str(error))
