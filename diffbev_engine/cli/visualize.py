"""``diffbev-engine visualize``."""

import json
from functools import partial
from pathlib import Path
from typing import Literal

import click

from diffbev_engine.cli.options import config_argument, device_option, json_option, set_option
from diffbev_engine.cli.variadic import VariadicCommand, VariadicOption


@click.command(cls=VariadicCommand, short_help="Draw camera image, label and predictions side by side.")
@config_argument
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--diffbev-config", help="Configuration of a second model, drawn next to the first.")
@click.option("--diffbev-checkpoint", type=click.Path(path_type=Path), help="Its checkpoint.")
@click.option(
    "--indices",
    cls=VariadicOption,
    type=click.IntRange(min=0),
    metavar="N...",
    help="Samples of the split, counted from 0 in the order of their tokens.",
)
@click.option(
    "--num",
    "count",
    type=click.IntRange(min=1),
    default=6,
    show_default=True,
    help="Without --indices: how many samples, evenly spaced.",
)
@click.option(
    "--work-dir",
    "--output-dir",
    "work_dir",
    type=click.Path(path_type=Path),
    required=True,
    help="Images go to vis/ in this directory, or into it if it is called vis; created if missing.",
)
@click.option("--split", type=click.Choice(["val", "train"]), default="val", show_default=True)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Average this many maps of a diffusion, and draw where they differ.",
)
@device_option
@click.option(
    "--experiment-names",
    cls=VariadicOption,
    metavar="NAME...",
    help="Titles of the predictions, one per model. [default: Baseline and DiffBEV, by configuration]",
)
@set_option
@json_option
def command(
    config: str,
    checkpoint: Path,
    diffbev_config: str | None,
    diffbev_checkpoint: Path | None,
    indices: tuple[int, ...],
    count: int,
    work_dir: Path,
    split: Literal["train", "val"],
    samples: int,
    device: str,
    experiment_names: tuple[str, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Draw what the model of CONFIG and CHECKPOINT sees, as vis/sample_0000.png and so on.

    Each picture shows the camera image, the ground truth and the prediction, with the IoU of
    every class in this sample. --diffbev-config and --diffbev-checkpoint draw a second model
    next to it. Samples and ignore mask are those of CONFIG; --set changes both configurations.
    """
    if (diffbev_config is None) != (diffbev_checkpoint is None):
        raise click.UsageError("--diffbev-config and --diffbev-checkpoint must be used together.")
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.report.visualize import VisualizeJob, name_models, visualize

    models = [(load_settings(config, overrides), checkpoint)]
    if diffbev_config is not None and diffbev_checkpoint is not None:
        models.append((load_settings(diffbev_config, overrides), diffbev_checkpoint))
    job = VisualizeJob(
        models=name_models(models, experiment_names),
        work_dir=work_dir,
        indices=indices,
        count=count,
        split=split,
        samples=samples,
        device=device,
    )
    say = partial(click.echo, err=as_json)
    drawn = visualize(job, say)
    say("Visualization complete!")
    if as_json:
        click.echo(json.dumps([picture.to_json() for picture in drawn], indent=1))
