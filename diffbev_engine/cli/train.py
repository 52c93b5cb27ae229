"""``diffbev-engine train``."""

from pathlib import Path

import click

from diffbev_engine.cli.options import config_argument, gpu_ids_option, set_option


@click.command(short_help="Train, with evaluation and checkpoints.")
@config_argument
@click.option(
    "--work-dir", type=click.Path(path_type=Path), required=True, help="Run directory; made if missing."
)
@gpu_ids_option
@click.option(
    "--resume",
    is_flag=False,
    flag_value="latest",
    default=None,
    metavar="[PATH]",
    help="Continue from latest.pth of the work dir, or from the checkpoint PATH.",
)
@set_option
def command(
    config: str, work_dir: Path, gpu_ids: tuple[int, ...], resume: str | None, overrides: tuple[str, ...]
) -> None:
    """Train the model of CONFIG, with evaluation and checkpoints.

    CONFIG is a configuration file or the name of a preset, such as baseline/lss_swin_nuscenes.
    Without --resume an earlier run in the work dir is moved into a subfolder, never overwritten.
    SIGINT or SIGTERM saves a checkpoint and leaves with exit code 5.

    Several GPUs: torchrun --nproc-per-node 4 -m diffbev_engine train CONFIG --work-dir DIR
    """
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.evaluate.run import evaluation_in_training
    from diffbev_engine.train.experiment import TrainingJob, train

    job = TrainingJob(
        settings=load_settings(config, overrides),
        config_path=config,
        work_dir=work_dir,
        gpu_ids=gpu_ids,
        resume=resume is not None,
        resume_from=Path(resume) if resume not in (None, "latest") else None,
    )
    train(job, evaluation_in_training)
