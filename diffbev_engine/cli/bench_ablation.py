"""``diffbev-engine bench ablation``."""

import json
import shlex
import sys
from math import inf
from pathlib import Path

import click

from diffbev_engine.bench.variants import DEFAULT_VARIANTS, VARIANTS
from diffbev_engine.cli.options import gpu_ids_option, json_option, read_seeds, set_option
from diffbev_engine.core.secrets import masked_command


@click.command()
@click.argument("config", default="diffbev/diffbev_lss_swin_synth")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for data, runs and the table."
)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Prepared data with depth; default: a synthetic world of --frames frames, made in --out.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=24),
    default=2400,
    show_default=True,
    help="Frames of the synthetic world, rounded to scenes of 12.",
)
@click.option(
    "--variants",
    default=",".join(DEFAULT_VARIANTS),
    metavar="A,B,…",
    help=f"Of {', '.join(VARIANTS)}; default: {', '.join(DEFAULT_VARIANTS)}.",
)
@click.option("--seeds", default="0,1,2", show_default=True, callback=read_seeds, metavar="A,B,…")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Concurrent training runs per GPU in --gpu-ids.",
)
@gpu_ids_option
@click.option(
    "--deadline",
    type=click.FloatRange(min=0),
    default=inf,
    metavar="SECONDS",
    help="Stop after this time; runs in progress save a checkpoint and continue on the next call.",
)
@click.option("--no-speed", is_flag=True, help="Skip the timing of the networks.")
@set_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    config: str,
    out: Path,
    data_root: Path | None,
    frames: int,
    variants: str,
    seeds: tuple[int, ...],
    jobs: int,
    gpu_ids: tuple[int, ...],
    deadline: float,
    no_speed: bool,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Train variants of CONFIG under several seeds and compare their mIoU.

    Every training is a `diffbev-engine train` of its own with the same data, iterations and
    seeds, in OUT/VARIANT/seed_N.  OUT/ablation.md and OUT/ablation.json are written after each.
    Run the same command again to continue: finished runs are skipped, others are resumed.

    Exit codes: 0 all runs finished; 1 a run failed (the others continued); 5 stopped, resumable.
    """
    if data_root and ctx.get_parameter_source("frames") is not click.core.ParameterSource.DEFAULT:
        raise click.UsageError("--frames is the size of the synthetic world; with --data-root there is none.")

    from diffbev_engine.bench.ablation import AblationJob, run_ablation

    job = AblationJob(
        config=config,
        out=out,
        command=shlex.join(masked_command(["diffbev-engine", *sys.argv[1:]])),
        variants=tuple(variants.split(",")),
        seeds=seeds,
        overrides=overrides,
        data_root=data_root,
        frames=frames,
        jobs=jobs,
        gpu_ids=gpu_ids,
        deadline_s=deadline,
        speed=not no_speed,
    )
    result = run_ablation(job, lambda line: click.echo(line, err=True))
    click.echo(json.dumps(result.content) if as_json else result.markdown)
    ctx.exit(result.exit_code)
