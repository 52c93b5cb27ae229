"""``diffbev-engine bench speed``."""

import json
from pathlib import Path

import click

from diffbev_engine.cli.options import WholeNumbers, gpu_ids_option, json_option, rounds_option, set_option
from diffbev_engine.core.errors import ExitCode


@click.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for the results.")
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Prepared data with depth; default: a synthetic world with images of nuScenes' size, made in --out.",
)
@click.option("--baseline", default="baseline/lss_swin_nuscenes", show_default=True, metavar="CONFIG")
@click.option("--diffbev", default="diffbev/diffbev_lss_swin_nuscenes", show_default=True, metavar="CONFIG")
@click.option(
    "--batches",
    type=WholeNumbers(1, "a list of whole numbers from 1 on, such as 4,8,16"),
    default="4,8,16,32",
    show_default=True,
    metavar="A,B,…",
    help="Batch sizes of the baseline.",
)
@click.option("--diffbev-batch", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--iterations", type=click.IntRange(min=1), default=30, show_default=True, help="Of each round."
)
@rounds_option
@click.option(
    "--cold", is_flag=True, help="Also time how long compiled runs take to start with an empty cache."
)
@gpu_ids_option
@set_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    out: Path,
    data_root: Path | None,
    baseline: str,
    diffbev: str,
    batches: tuple[int, ...],
    diffbev_batch: int,
    iterations: int,
    rounds: int,
    cold: bool,
    gpu_ids: tuple[int, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """The speed table: training and inference by the plain and the fast path (compile=off and auto).

    Every case is a `bench train` or `bench diffbev` of its own.  Run the same command again to
    continue: what --out holds is not measured again.
    """
    import torch

    from diffbev_engine.bench.speed_table import cases_of, measure, table
    from diffbev_engine.bench.synthetic import make_frames
    from diffbev_engine.config.load import load_settings

    def say(line: str) -> None:
        click.echo(line, err=True)

    root = data_root or out / "nuScenes"
    if data_root is None:
        make_frames(root, load_settings(diffbev, [*overrides, f"data_root={root}"]).data.image_size, say)
    options = ["--iterations", str(iterations), "--rounds", str(rounds)]
    options += [part for each in overrides for part in ("--set", each)]
    options += ["--gpu-ids", ",".join(map(str, gpu_ids))] if gpu_ids else []
    cases = cases_of(baseline, diffbev, batches, diffbev_batch, on_gpu=torch.cuda.is_available())
    results = list(measure(cases, out, root, options, cold=cold, show=say))
    if as_json:
        click.echo(json.dumps([{**vars(case), **figures} for case, figures in results]))
    else:
        click.echo(table(results))
    if any("problem" in figures for _, figures in results):
        ctx.exit(ExitCode.FAILED)
