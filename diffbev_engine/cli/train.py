"""``diffbev-engine train``."""

import os
from pathlib import Path

import click

from diffbev_engine.cli.options import config_argument, gpu_ids_option, json_option, set_option


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
    help="Resume from latest.pth in the work dir, or from the checkpoint PATH.",
)
@set_option
@click.option(
    "--detach", is_flag=True, help="Run in the background; training continues when this terminal closes."
)
@json_option
def command(
    config: str,
    work_dir: Path,
    gpu_ids: tuple[int, ...],
    resume: str | None,
    overrides: tuple[str, ...],
    detach: bool,
    as_json: bool,
) -> None:
    """Train the model of CONFIG, with evaluation and checkpoints.

    CONFIG is a configuration file or the name of a preset, such as baseline/lss_swin_nuscenes.
    Without --resume, an earlier run in the work dir is moved to a subdirectory, never overwritten.
    SIGINT or SIGTERM saves a checkpoint and exits with code 5.
    With --detach, `diffbev-engine runs` watches, stops and resumes it; --json prints how it was started.

    Several GPUs: torchrun --nproc-per-node 4 -m diffbev_engine train CONFIG --work-dir DIR,
    or --detach with --gpu-ids 0,1,2,3.
    """
    from diffbev_engine.config.load import load_settings

    settings = load_settings(config, overrides)
    if detach:
        _start_detached(config, work_dir, gpu_ids, resume, overrides, as_json)
        return
    if as_json:
        raise click.UsageError("--json requires --detach; without it, results are written to the work dir")
    from diffbev_engine.evaluate.run import evaluation_in_training
    from diffbev_engine.train.train import TrainingJob, train

    job = TrainingJob(
        settings=settings,
        config_path=config,
        work_dir=work_dir,
        gpu_ids=gpu_ids,
        resume=resume is not None,
        resume_from=Path(resume) if resume not in (None, "latest") else None,
        overrides=overrides,
    )
    train(job, evaluation_in_training)


def _start_detached(
    config: str,
    work_dir: Path,
    gpu_ids: tuple[int, ...],
    resume: str | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    from diffbev_engine.cli.runs import print_started
    from diffbev_engine.runs.actions import start_run
    from diffbev_engine.runs.launch import TrainingArguments

    if "RANK" in os.environ:
        raise click.UsageError(
            "--detach starts torchrun itself: run it without torchrun and pass --gpu-ids 0,1,…"
        )
    arguments = TrainingArguments(
        config, work_dir.resolve(), gpu_ids, overrides, resume, processes=max(1, len(gpu_ids))
    )
    print_started(start_run(arguments), as_json)
