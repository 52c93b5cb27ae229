"""``diffbev-engine bench interventions``."""

import json
from pathlib import Path
from typing import Literal

import click

from diffbev_engine.cli.options import config_argument, gpu_ids_option, json_option, set_option


@click.command()
@config_argument
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["val", "train"]), default="val", show_default=True)
@gpu_ids_option
@set_option
@json_option
def command(
    config: str,
    checkpoint: Path,
    split: Literal["train", "val"],
    gpu_ids: tuple[int, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score CHECKPOINT with its denoised feature replaced, to see whether the diffusion matters.

    A perfect denoiser shows what a better one could gain; zeros, noise and another image's feature
    show whether the head uses it, and another condition whether the denoiser looks at the image.
    """
    from diffbev_engine.bench.interventions import intervene
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.train.distributed import join_processes

    settings = load_settings(config, overrides)
    result = intervene(settings, checkpoint, split, join_processes(gpu_ids))
    click.echo(json.dumps(result.to_json(), indent=1) if as_json else result.to_text())
