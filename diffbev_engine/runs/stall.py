"""When a running run is stalled: its process is alive, but it makes no progress."""

from diffbev_engine.core.bilingual import EMPTY, Bilingual
from diffbev_engine.core.format import duration
from diffbev_engine.runs.manifest import Manifest
from diffbev_engine.runs.process import ProcessIdentity
from diffbev_engine.runs.status import Phase, RunState, RunStatus

NEVER_BEFORE_S = 60.0
STEPS = 10
"""Usual iteration times without an iteration."""
_ROWS = 3
_USUAL_INTERVAL = 50


def longest_iteration_s(usual_s: float) -> float:
    """An iteration that takes longer is no slow one but a stall, where one usually takes ``usual_s``."""
    return max(NEVER_BEFORE_S, STEPS * usual_s)


def why_stalled(status: RunStatus | None, process: ProcessIdentity | None, manifest: Manifest) -> Bilingual:
    """Why the run is stalled, in words; empty if it is not.

    Start-up, compilation, evaluations and checkpoints take the time they take.

    Args:
        status: what the newest start said, ``None`` if nothing yet.
        process: the training, where it runs on this machine.
        manifest: shows how often a run of an older version reports a step.
    """
    if process is not None and process.suspended:
        return Bilingual("已暂停 (SIGSTOP)", "suspended (SIGSTOP)")
    if status is None or status.state is not RunState.TRAINING or status.phase not in (None, Phase.STEPPING):
        return EMPTY
    usual = status.median_step_s or (1 / status.it_per_s if status.it_per_s else None)
    if usual is None:
        return EMPTY
    limit = longest_iteration_s(usual)
    if status.phase is None:  # it says a step only with each row
        interval = manifest.setting("log_config.interval")
        rows = interval if isinstance(interval, int) and 0 < interval < 10**6 else _USUAL_INTERVAL
        limit = max(limit, _ROWS * rows * usual)
    silence = no_progress_for(status)
    if silence <= limit:
        return EMPTY
    return Bilingual(
        f"已有 {duration(silence, 'zh')}没有新的迭代；通常每次迭代 {usual:.2g} 秒",
        f"no iteration for {duration(silence)}; usually one takes {usual:.2g} s",
    )


def no_progress_for(status: RunStatus) -> float:
    """Seconds without an iteration, an evaluated batch or another phase."""
    return status.age_s + (status.idle_s or 0.0)
