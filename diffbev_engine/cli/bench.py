"""``diffbev-engine bench``."""

import tempfile
from pathlib import Path

import click

from diffbev_engine.cli import bench_ablation, bench_diffbev, bench_interventions, bench_speed
from diffbev_engine.cli.options import gpu_ids_option, json_option, rounds_option, set_option


@click.group()
def command() -> None:
    """Measure the project's own speed, and compare variants of the model."""


command.add_command(bench_ablation.command, "ablation")
command.add_command(bench_diffbev.command, "diffbev")
command.add_command(bench_interventions.command, "interventions")
command.add_command(bench_speed.command, "speed")


@command.command()
@click.argument("config", default="baseline/lss_swin_nuscenes")
@click.option(
    "--iterations", type=click.IntRange(min=1), default=30, show_default=True, help="Timed steps a round."
)
@rounds_option
@click.option("--warmup", type=click.IntRange(min=1), default=10, show_default=True)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Prepared data; default: a synthetic world with images of nuScenes' size, made for the occasion.",
)
@gpu_ids_option
@set_option
@json_option
def train(
    config: str,
    iterations: int,
    rounds: int,
    warmup: int,
    data_root: Path | None,
    gpu_ids: tuple[int, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Images per second, MFU and data wait of training CONFIG.

    Weights are random unless --set model.backbone.pretrained=… says otherwise: speed does not
    depend on them.
    """
    from diffbev_engine.bench.synthetic import make_frames
    from diffbev_engine.bench.throughput import measure_training
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.train.distributed import join_processes

    with tempfile.TemporaryDirectory() as folder:
        root = data_root or Path(folder) / "nuScenes"
        settings = load_settings(config, ["model.backbone.pretrained=None", *overrides, f"data_root={root}"])
        if data_root is None:
            depth_size = settings.data.image_size if settings.data.load_depth else None
            make_frames(root, depth_size, lambda line: click.echo(line, err=True))
        result = measure_training(
            settings, join_processes(gpu_ids), iterations=iterations, warmup=warmup, rounds=rounds
        )
    click.echo(result.to_json() if as_json else result.to_text())
