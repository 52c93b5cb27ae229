"""Open the run directory for a start that has been built: move an earlier run away, tidy up, record."""

from datetime import datetime

from diffbev_engine.core.files import sweep_temporaries
from diffbev_engine.core.format import byte_size
from diffbev_engine.findings.preflight import Preconditions
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.launch import own_launch_files
from diffbev_engine.runs.manifest import TrainingData, write_manifest
from diffbev_engine.train.distributed import Processes, device_name
from diffbev_engine.train.job import TrainingJob
from diffbev_engine.train.recorder import Recorder, RunLog, logger
from diffbev_engine.train.resume import Start
from diffbev_engine.train.saving import copy_checkpoint


def sweep_remnants(folder: RunFolder) -> str:
    """Remove what killed starts left of files that they were writing; returns what was done, in words."""
    count, size = sweep_temporaries(folder.path, folder.is_written_by_training)
    return (
        f"removed {count} incomplete files ({byte_size(size)}) that killed starts had left" if count else ""
    )


def open_run(
    job: TrainingJob,
    folder: RunFolder,
    processes: Processes,
    start: Start,
    met: Preconditions,
    log: RunLog,
    data: TrainingData,
) -> Recorder:
    """Make the run directory that of this start, and write down what was started.

    An earlier run is moved away unless this start resumes; ``log`` stays where it is.
    """
    moved = None
    if not job.resuming and folder.holds_a_run():
        moved = folder.set_aside(datetime.now(), keep=(*own_launch_files(folder), log.path))
    branch = [*_set_directories_aside(folder), *_leave_branch(job, folder, start)]
    checkpoint = start.checkpoint
    recorder = Recorder(
        folder,
        max_iters=job.settings.runner.max_iters,
        start=start.iteration,
        best=checkpoint.best if checkpoint else None,
    )
    write_manifest(
        folder.manifest,
        config_path=job.config_path,
        config=job.settings.model_dump(mode="json"),
        seed=job.settings.seed,
        devices=[device_name(processes.device)],
        world_size=processes.shard.world_size,
        resumed_from=str(start.path) if start.path else None,
        data=data,
        arguments=_arguments(job),
        overruled=[finding.to_json() for finding in met.failed] if job.anyway else None,
    )
    folder.failed_start.unlink(missing_ok=True)
    if checkpoint and folder.oom_report.exists():  # it told of an earlier start
        folder.oom_report.replace(folder.oom_report.with_suffix(".previous.json"))
    if moved:
        logger.warning(
            f"the earlier run was moved to {moved}; use --resume to continue a run instead of "
            f"starting a new one"
        )
    for note in (*start.notes, *branch, *met.notes(overruled=job.anyway)):
        logger.warning(note)
    if checkpoint:
        logger.info(f"resuming after iteration {start.iteration}, from {start.path}")
    elif job.resume:
        logger.info(f"nothing to resume in {folder.path}; starting from iteration 0")
    return recorder


def _set_directories_aside(folder: RunFolder) -> list[str]:
    """Rename directories that have the name of a file that training replaces; it never could.

    Returns what was done, in words.
    """
    notes = []
    for path in sorted(folder.path.iterdir()):
        if folder.is_written_by_training(path.name) and path.is_dir() and not path.is_symlink():
            aside = path.with_name(f"{path.name}.directory_{datetime.now():%Y%m%d_%H%M%S}")
            path.rename(aside)
            notes.append(f"{path.name} is a directory; renamed to {aside.name}")
    return notes


def _leave_branch(job: TrainingJob, folder: RunFolder, start: Start) -> list[str]:
    """Rename checkpoints beyond the one that was chosen by hand, so that no later resume takes them.

    Their rows of ``metrics.csv`` are dropped too.  Returns what was done, in words.
    """
    later = [path for iteration, path in folder.checkpoints() if iteration > start.iteration]
    if job.resume_from is None or not (later or folder.latest.exists()):
        return []
    if not (folder.latest.exists() and folder.latest.samefile(job.resume_from)):
        copy_checkpoint(job.resume_from, folder.latest)
    for path in later:
        path.replace(path.with_suffix(".superseded.pth"))
    if not later:
        return []
    names = ", ".join(path.name for path in later)
    return [f"{names}: beyond the checkpoint that is resumed from; renamed to iter_<n>.superseded.pth"]


def _arguments(job: TrainingJob) -> dict[str, object] | None:
    if job.overrides is None:
        return None
    return {
        "config": job.config_path,
        "gpu_ids": list(job.gpu_ids),
        "overrides": list(job.overrides),
        "anyway": job.anyway,
    }
