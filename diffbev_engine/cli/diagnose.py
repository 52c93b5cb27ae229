"""``diffbev-engine diagnose``."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from diffbev_engine.cli.options import device_option, json_option, set_option
from diffbev_engine.cli.runbook_shared import language_option, or_default
from diffbev_engine.core.plain_text import plain_json

if TYPE_CHECKING:
    from diffbev_engine.core.bilingual import Language


@click.command(short_help="Find out why the mIoU is low.")
@click.option("--config", required=True, metavar="CONFIG", help="Configuration of the training.")
@click.option("--checkpoint", type=click.Path(path_type=Path), required=True, help="Weights to diagnose.")
@click.option(
    "--num-samples",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Images drawn at random from the split.",
)
@click.option(
    "--vis-num",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of samples to draw, as vis/sample_0000.png and so on.",
)
@click.option("--seed", type=int, default=42, show_default=True, help="Seed for choosing the samples.")
@click.option(
    "--output-dir",
    "--out-dir",
    "output_dir",
    type=click.Path(path_type=Path),
    default=Path("runs/diagnose"),
    show_default=True,
    help="Output directory for summary.txt and summary.json; created if missing.",
)
@click.option("--split", type=click.Choice(["val", "train"]), default="val", show_default=True)
@click.option("--camera", default="", metavar="NAME", help="Only images of this camera, e.g. CAM_FRONT.")
@device_option
@language_option
@set_option
@json_option
def command(
    config: str,
    checkpoint: Path,
    num_samples: int,
    vis_num: int,
    seed: int,
    output_dir: Path,
    split: Literal["train", "val"],
    camera: str,
    device: str,
    language: "Language | None",
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Find the cause of a low mIoU, with evidence and the next step.

    Labels and calibration are checked first, then the model is run: distributions of ground truth
    and prediction next to the published priors, TP, FP, FN and IoU of every class, mIoU, overall
    accuracy, collapse. Whatever the verdict, the exit code is 0.
    """
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.findings.prediction.run import DiagnoseJob, diagnose

    job = DiagnoseJob(
        settings=load_settings(config, overrides),
        config=config,
        checkpoint=checkpoint,
        output_dir=output_dir,
        samples=num_samples,
        pictures=vis_num,
        seed=seed,
        split=split,
        camera=camera,
        device=device,
        language=or_default(language),
    )
    say = partial(click.echo, err=as_json)
    diagnosis = diagnose(job, say)
    if as_json:
        click.echo(plain_json(json.dumps(diagnosis.to_json(), indent=1, ensure_ascii=False)))
    else:
        click.echo(diagnosis.to_text(job.language))
        click.echo(f"✓ {output_dir / 'summary.txt'}")
