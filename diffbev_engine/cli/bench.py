"""``diffbev-engine bench``."""

import os
import tempfile
from pathlib import Path

import click

from diffbev_engine.cli import bench_ablation, bench_diffbev, bench_interventions
from diffbev_engine.cli.options import gpu_ids_option, json_option, set_option

_FRAMES = (900, 1600)
"""(height, width) of real nuScenes images, whose decoding the benchmark must pay for."""


@click.group()
def command() -> None:
    """Measure the project's own speed, and compare variants of the model."""


command.add_command(bench_ablation.command, "ablation")
command.add_command(bench_diffbev.command, "diffbev")
command.add_command(bench_interventions.command, "interventions")


@command.command()
@click.argument("config", default="baseline/lss_swin_nuscenes")
@click.option("--iterations", type=click.IntRange(min=1), default=50, show_default=True)
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
    from diffbev_engine.bench.throughput import measure_training
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.train.distributed import join_processes

    with tempfile.TemporaryDirectory() as folder:
        root = data_root or Path(folder) / "nuScenes"
        settings = load_settings(config, ["model.backbone.pretrained=None", *overrides, f"data_root={root}"])
        if data_root is None:
            _make_data(root, settings.data.image_size if settings.data.load_depth else None)
        result = measure_training(settings, join_processes(gpu_ids), iterations=iterations, warmup=warmup)
    click.echo(result.to_json() if as_json else result.to_text())


def _make_data(root: Path, depth_size: tuple[int, int] | None) -> None:
    from diffbev_engine.bench.synthetic import make_data_root
    from diffbev_engine.synth.job import SynthJob

    world = SynthJob(root, image_size=_FRAMES, workers=os.cpu_count() or 1)
    make_data_root(world, depth_size, lambda line: click.echo(line, err=True))
