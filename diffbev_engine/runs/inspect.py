"""What a run is doing, since when, and how it ended: told here and nowhere else; see ``verdict``.

Files say it, processes prove it.  Nothing is written, no lock is touched, and nothing is
believed that a killed process could no longer correct: a status of "training" counts only
while its process lives.
"""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from diffbev_engine.core.bilingual import Bilingual
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.evidence import Evidence, gather
from diffbev_engine.runs.failed_start import why_start_failed
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.process import ProcessIdentity
from diffbev_engine.runs.slurm import read_job
from diffbev_engine.runs.stall import no_progress_for, why_stalled
from diffbev_engine.runs.status import RunState, RunStatus
from diffbev_engine.runs.verdict import Cause, RunCondition, judge

STALLED = "stalled"
"""The activity of a run that makes no progress."""


@dataclass(frozen=True)
class RunReport:
    """One run; ``None`` where a value is not known.  Times are Unix times."""

    path: str
    """Absolute."""
    state: RunCondition
    resumable: bool
    """Whether ``runs resume`` can continue it: it is over, not finished, and left a checkpoint."""
    cause: Cause | None
    message: str
    """How it ended, or what it is doing, in words."""
    activity: str | None
    """Of a running run: starting, training, evaluating, stopping or stalled."""
    process: ProcessIdentity | None
    """The training: the process to signal while the run is running."""
    detached: bool
    config: str | None
    started: float | None
    """The newest start."""
    ended: float | None
    updated: float | None
    """The last heartbeat in status.json."""
    exit_code: int | None
    signal: str | None
    """The signal that ended it, such as SIGTERM, where that is known."""
    console: str | None
    """File name of what the newest detached start wrote to stdout and stderr."""
    status: RunStatus | None
    """What the run said last, also where it is no longer true."""
    reason: str = ""
    """Why it failed, was ended or stalled: its own words, else the signal, else the last error logged."""
    stalled: bool = False
    """Whether it runs without progress; also while it is asked to stop."""
    stall: Bilingual | None = None
    """Why it stalls, where it does; ``reason`` has the English words."""
    trouble: str = ""
    """What is wrong although it continues."""
    suspended: bool = False
    """Whether its process was stopped by SIGSTOP: it is stalled, too."""
    age_s: float | None = None
    """Of a running run: seconds since its last progress (an iteration, an evaluated batch)."""
    step: int | None = None
    max_iters: int | None = None
    it_per_s: float | None = None
    """The current speed; ``None`` unless the run makes progress, as the following three."""
    images_per_s: float | None = None
    data_wait: float | None = None
    eta_s: float | None = None
    """Seconds to the end, as of the last iteration."""
    best_miou: float | None = None
    best_step: int | None = None
    last_miou: float | None = None
    last_miou_step: int | None = None
    last_checkpoint: str | None = None
    """The newest checkpoint in the directory."""
    failed_start: str | None = None
    """Why the newest start failed before training began; all else is of the start before it."""
    slurm_job: str | None = None
    """The SLURM job that trains here, or did."""
    slurm: Bilingual | None = None
    """What the scheduler says of it, for those who have asked; ``inspect_run`` does not."""
    damaged: tuple[str, ...] = ()
    """Problems of its state files, such as "status.json is damaged: …"."""

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; ``status`` stays nested."""
        return asdict(self)


def inspect_run(path: Path) -> RunReport:
    """What has become of the run in ``path``; damaged files are problems of the run, not errors.

    Raises:
        DiffBEVError: if there is no run.
    """
    folder = RunFolder(path)
    if not any(map(os.path.lexists, (folder.manifest, folder.status, folder.launch, folder.lock))):
        raise DiffBEVError(f"there is no run in {path}: neither run.json, status.json nor launch.json.")
    return _report(gather(folder))


def _report(evidence: Evidence) -> RunReport:
    launch, status = evidence.newest_launch, evidence.status
    process = evidence.living_process()
    judged = judge(evidence, process)
    running = judged.state is RunCondition.RUNNING
    ended = launch.ended if launch else None
    if ended is None and not running and evidence.last_word:
        ended = evidence.last_word.updated
    checkpoint = _newest_checkpoint(evidence.folder)
    over = judged.state not in (RunCondition.RUNNING, RunCondition.FINISHED, RunCondition.UNKNOWN)
    process = process or next(iter(evidence.processes()), None)
    damage = f" ({'; '.join(evidence.damaged)})" if evidence.damaged else ""
    message = plain(judged.message + damage, keep="\n").strip()
    report = RunReport(
        path=str(evidence.folder.path.resolve()),
        state=judged.state,
        resumable=checkpoint is not None and over,
        cause=judged.cause,
        message=message,
        activity=None,
        process=process,
        detached=launch is not None,
        config=plain(evidence.manifest.config_path) if evidence.manifest.config_path else None,
        started=evidence.newest_start or evidence.manifest.started_at or None,
        ended=ended,
        updated=status.updated if status else None,
        exit_code=launch.exit_code if launch else None,
        signal=plain(judged.signal) if judged.signal else None,
        console=plain(launch.console) if launch else None,
        status=status,
        reason="" if running or judged.state is RunCondition.FINISHED else message,
        last_checkpoint=checkpoint,
        failed_start=why_start_failed(evidence.folder),
        slurm_job=plain(job.job) if (job := read_job(evidence.folder)) else None,
        damaged=tuple(map(plain, evidence.damaged)),
    )
    report = _with_progress(report)
    return _with_activity(report, evidence) if running else report


def _with_progress(report: RunReport) -> RunReport:
    status = report.status
    if status is None:
        return report
    return replace(
        report,
        step=status.step,
        max_iters=status.max_iters,
        best_miou=status.best_miou,
        best_step=status.best_step,
        last_miou=status.last_miou,
        last_miou_step=status.last_miou_step,
    )


def _with_activity(report: RunReport, evidence: Evidence) -> RunReport:
    """What a run that runs is doing, and how fast."""
    status, process = evidence.current_status, evidence.living_process()
    ended_before = status is None or evidence.last_word is not None
    activity = RunState.STARTING.value if ended_before or status is None else status.state.value
    why = why_stalled(None if ended_before else status, process, evidence.manifest)
    trouble = plain(status.trouble or "") if status and not ended_before else ""
    stopping = evidence.stop_requested(process)
    report = replace(
        report,
        activity="stopping" if stopping else STALLED if why else activity,
        stalled=bool(why),
        suspended=process is not None and process.suspended,
        stall=why or None,
        trouble=trouble,
        reason="; ".join(filter(None, (why.en, trouble))),
        message=f"{why.en}; {report.message}" if why else report.message,
        age_s=None if ended_before or status is None else no_progress_for(status),
    )
    if why or ended_before or status is None:
        return report
    return replace(
        report,
        it_per_s=status.it_per_s,
        images_per_s=status.images_per_s,
        data_wait=status.data_wait,
        eta_s=status.eta_s,
    )


def _newest_checkpoint(folder: RunFolder) -> str | None:
    saved = folder.checkpoints()
    if saved:
        return saved[-1][1].name
    files = folder.checkpoint_files()
    return files[0].name if files else None
