"""What ``runs list`` and ``runs show`` say of SLURM jobs."""

from collections.abc import Iterable
from pathlib import Path


def jobs_of(paths: Iterable[Path]) -> dict[str, str]:
    """By absolute path of a run directory: its job, and what the scheduler says of it; asked once for all."""
    from diffbev_engine.runs.folder import RunFolder
    from diffbev_engine.runs.slurm import job_name, job_words, read_job, states_of

    known = {str(path.resolve()): job for path in paths if (job := read_job(RunFolder(path)))}
    states = states_of(job.job for job in known.values())
    if states is None:
        return {path: f"{job_name(job.job).en} (squeue does not answer here)" for path, job in known.items()}
    return {path: job_words(job.job, states.get(job.job)).en for path, job in known.items()}
