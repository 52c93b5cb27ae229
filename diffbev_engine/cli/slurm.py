"""``diffbev-engine slurm``."""

from pathlib import Path

import click

from diffbev_engine.cli.options import config_argument, read_seeds, set_option


@click.command(short_help="Print or submit a SLURM batch script for a training.")
@config_argument
@click.option("--work-dir", type=click.Path(path_type=Path), required=True, help="Run directory.")
@click.option("--gpus", type=click.IntRange(min=0), default=1, show_default=True, help="On each host.")
@click.option("--nodes", type=click.IntRange(min=1), default=1, show_default=True, help="Hosts.")
@click.option("--cpus", type=click.IntRange(min=1), help="A process. [default: loader processes and one]")
@click.option("--time", "time_limit", default="", help="Limit, as sbatch takes it: 1-00:00:00.")
@click.option("--seeds", callback=read_seeds, metavar="A,B,…", help="An array of jobs, one per seed.")
@click.option(
    "--sbatch", "further", multiple=True, metavar="OPTION", help="Such as --partition=gpu; may be repeated."
)
@click.option("--submit", "submits", is_flag=True, help="Submit it instead of printing it.")
@set_option
def command(
    config: str,
    work_dir: Path,
    gpus: int,
    nodes: int,
    cpus: int | None,
    time_limit: str,
    seeds: tuple[int, ...],
    further: tuple[str, ...],
    submits: bool,
    overrides: tuple[str, ...],
) -> None:
    """Print the batch script that trains CONFIG in a work dir, or submit it with --submit.

    The job saves a checkpoint two minutes before its time limit, goes back into the queue and resumes, until
    the training is finished; also after it was preempted. `scancel` ends it for good. Check the script's
    first lines against your site's rules; `runs list` and `runs show` know its job.
    """
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.core.errors import UsageError
    from diffbev_engine.runs.slurm import Request, batch_script, submit

    settings = load_settings(config, overrides)
    odd = next((text for text in (*further, time_limit) if not text.isprintable()), None)
    if odd is not None:
        raise UsageError(f"{odd!r}: an option of sbatch is one line.")
    path = Path(config)
    request = Request(
        config=str(path.absolute()) if path.is_file() else config,
        work_dir=work_dir,
        overrides=overrides,
        gpus=gpus,
        nodes=nodes,
        cpus=cpus or settings.data.workers_per_gpu + 1,
        time_limit=time_limit,
        seeds=seeds,
        further=further,
    )
    if not submits:
        click.echo(batch_script(request), nl=False)
        if not work_dir.is_dir():
            click.echo(f"note: create {work_dir} first; SLURM writes its log there.", err=True)
        return
    job = submit(request)
    click.echo(f"✓ submitted job {job}: diffbev-engine runs list {work_dir}")
