"""``diffbev-engine bench diffbev``."""

import click

from diffbev_engine.cli.options import gpu_ids_option, json_option, rounds_option, set_option


@click.command()
@click.argument("config", default="diffbev/diffbev_lss_swin_nuscenes")
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--iterations",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Training steps and inference batches a round.",
)
@rounds_option
@click.option(
    "--compiled", is_flag=True, help="Time inference with compiled kernels, as `predict --compile` uses them."
)
@gpu_ids_option
@set_option
@json_option
def command(
    config: str,
    batch: int,
    iterations: int,
    rounds: int,
    compiled: bool,
    gpu_ids: tuple[int, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Time and memory of CONFIG against its own baseline, the same network without DiffBEV's parts.

    Both take turns on one device, with random batches that are there already: real training
    steps, and inference with 1, 3 and 5 DDIM steps.
    """
    from diffbev_engine.bench.diffbev import measure_cost
    from diffbev_engine.train.distributed import join_processes

    overrides = ("model.backbone.pretrained=None", *overrides, f"data.samples_per_gpu={batch}")
    processes = join_processes(gpu_ids)
    cost = measure_cost(config, overrides, processes, iterations=iterations, rounds=rounds, compiled=compiled)
    click.echo(cost.to_json() if as_json else cost.to_text())
