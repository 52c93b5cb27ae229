"""``diffbev-engine evaluate``."""

import json
from pathlib import Path
from typing import Literal

import click

from diffbev_engine.cli.options import WholeNumbers, config_argument, gpu_ids_option, json_option, set_option


@click.command(short_help="Per-class IoU and mIoU of a checkpoint.")
@config_argument
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["val", "train"]), default="val", show_default=True)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Evaluate with noise seeds 0 to N-1; report mean and standard deviation.",
)
@click.option(
    "--steps",
    type=WholeNumbers(1, "a number of steps or a comma-separated list of them"),
    default=(),
    help="Denoising steps, e.g. 3, or 1,3,5,10 for a quality/cost table. [default: model.diffusion.steps]",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    help="Average this many maps of the diffusion, and score how well uncertainty tells errors.",
)
@click.option("--no-ema", is_flag=True, help="Evaluate the last weights instead of their moving average.")
@gpu_ids_option
@set_option
@click.option("--out", type=click.Path(path_type=Path), help="Also write the JSON result to this file.")
@json_option
def command(
    config: str,
    checkpoint: Path,
    split: Literal["train", "val"],
    seeds: int,
    steps: tuple[int, ...],
    samples: int | None,
    no_ema: bool,
    gpu_ids: tuple[int, ...],
    overrides: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Evaluate CHECKPOINT: per-class IoU and mIoU under both ignore masks.

    The denoising noise of each image is fixed by its token and a seed (0 unless --seeds says
    more), so a second evaluation gives the same numbers. Depth is evaluated too if
    `prepare-depth` has written ground truth at the image size.
    """
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.core.files import write_text
    from diffbev_engine.evaluate.run import evaluate_checkpoint
    from diffbev_engine.train.distributed import join_processes, taking_part

    settings = load_settings(config, overrides)
    with taking_part(join_processes(gpu_ids), settings.dist_params.timeout) as processes:
        result = evaluate_checkpoint(
            settings, checkpoint, split, processes, seeds=seeds, steps=steps, samples=samples, ema=not no_ema
        )
    text = json.dumps({"config": config, "checkpoint": str(checkpoint), **result.to_json()}, indent=1)
    if not processes.is_main:
        return
    if out:
        write_text(out, text + "\n")
    click.echo(text if as_json else result.to_text())
