"""``diffbev-engine train``."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli.options import (
    anyway_option,
    config_argument,
    gpu_ids_option,
    json_option,
    set_option,
)

if TYPE_CHECKING:
    from diffbev_engine.train.job import TrainingJob


@click.command(short_help="Train, with evaluation and checkpoints.")
@config_argument
@click.option(
    "--work-dir", type=click.Path(path_type=Path), required=True, help="Run directory; created if missing."
)
@gpu_ids_option
@click.option(
    "--resume",
    is_flag=False,
    flag_value="latest",
    default=None,
    metavar="[PATH]",
    help="Resume from the newest usable checkpoint in the work dir, or from the checkpoint PATH.",
)
@click.option(
    "--requeue",
    is_flag=True,
    help="Under SLURM: resume, and requeue the job when SIGUSR1 or SIGUSR2 announces its end.",
)
@set_option
@click.option(
    "--detach", is_flag=True, help="Run in the background; training continues when this terminal closes."
)
@anyway_option
@json_option
def command(
    config: str,
    work_dir: Path,
    gpu_ids: tuple[int, ...],
    resume: str | None,
    requeue: bool,
    overrides: tuple[str, ...],
    detach: bool,
    anyway: bool,
    as_json: bool,
) -> None:
    """Train the model of CONFIG, with evaluation and checkpoints.

    CONFIG is a configuration file or the name of a preset, such as baseline/lss_swin_nuscenes.
    Without --resume, an earlier run in the work dir is moved to a subdirectory, never overwritten.
    With it, nothing is moved: damaged checkpoints are passed over, and that is said.
    What `diffbev-engine preflight` finds at error level is refused before anything is written.
    SIGINT, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2 saves a checkpoint and exits with code 5.
    A job with `#SBATCH --signal=USR1@120` and --requeue continues by itself until it is finished.
    With --detach, `diffbev-engine runs` watches, stops and resumes it; --json prints how it was started.

    Several GPUs: torchrun --nproc-per-node 4 -m diffbev_engine train CONFIG --work-dir DIR,
    or --detach with --gpu-ids 0,1,2,3. If one process ends or hangs, all end within
    dist_params.timeout seconds, and the iteration that was reached is saved.
    """
    from diffbev_engine.train.requeue import require_slurm, starting_up
    from diffbev_engine.train.signals import stop_on_signals

    if requeue:
        require_slurm()
        if detach:
            raise click.UsageError("--requeue is for a job that SLURM runs; leave out --detach")
        resume = resume or "latest"
    with stop_on_signals() as stop, starting_up(stop, requeues=requeue):  # imports take seconds
        from diffbev_engine.config.load import load_settings

        settings = load_settings(config, overrides)
        if as_json and not detach:
            raise click.UsageError(
                "--json requires --detach; without it, results are written to the work dir"
            )
        if detach and "RANK" in os.environ:
            raise click.UsageError(
                "--detach starts torchrun itself: run it without torchrun and pass --gpu-ids 0,1,…"
            )
        from diffbev_engine.evaluate.run import evaluation_in_training
        from diffbev_engine.train.job import TrainingJob
        from diffbev_engine.train.train import train

    job = TrainingJob(
        settings=settings,
        config_path=config,
        work_dir=work_dir,
        gpu_ids=gpu_ids,
        resume=resume is not None,
        resume_from=Path(resume) if resume not in (None, "latest") else None,
        overrides=overrides,
        anyway=anyway,
        requeue=requeue,
        watched=True,
    )
    if detach:
        _start_detached(job, resume, as_json)
    else:
        train(job, evaluation_in_training)


def _start_detached(job: "TrainingJob", resume: str | None, as_json: bool) -> None:
    """Refuse here what the training would refuse, where the message is seen; then start it."""
    from diffbev_engine.cli.runs import print_started
    from diffbev_engine.runs.actions import start_run
    from diffbev_engine.runs.folder import RunFolder
    from diffbev_engine.runs.launch import TrainingArguments
    from diffbev_engine.runs.lock import refuse_if_held
    from diffbev_engine.train.resume import find_start
    from diffbev_engine.train.train import check_job

    folder, processes = RunFolder(job.work_dir.resolve()), max(1, len(job.gpu_ids))
    refuse_if_held(folder)
    check_job(job)
    find_start(job, folder, processes)
    arguments = TrainingArguments(
        job.config_path,
        folder.path,
        tuple(job.gpu_ids),
        tuple(job.overrides or ()),
        resume,
        processes=processes,
        anyway=job.anyway,
    )
    print_started(start_run(arguments), as_json)
