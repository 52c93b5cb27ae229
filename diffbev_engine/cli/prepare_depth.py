"""``diffbev-engine prepare-depth``."""

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from diffbev_engine.cli.options import (
    cameras_option,
    json_option,
    nuscenes_root_option,
    version_option,
    workers_option,
)
from diffbev_engine.core.cameras import channels_of
from diffbev_engine.core.errors import ExitCode, UsageError


@click.command(short_help="LiDAR depth ground truth for every image.")
@nuscenes_root_option
@version_option
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Data root created by `prepare`. [default: the nuScenes root]",
)
@click.option("--output-dir", type=click.Path(path_type=Path), help="Default: ann_bev_dir of the data root.")
@click.option("--split", type=click.Choice(["train", "val", "both"]), default="both", show_default=True)
@click.option(
    "--img-dir",
    type=click.Path(path_type=Path),
    help="Images to create depth for. [default: img_dir/<split> in the data root]",
)
@cameras_option
@click.option("--height", type=click.IntRange(min=1), default=600, show_default=True, help="Pixels.")
@click.option("--width", type=click.IntRange(min=1), default=800, show_default=True, help="Pixels.")
@click.option("--min-depth", type=float, default=1.0, show_default=True, help="Metres.")
@click.option("--max-depth", type=float, default=50.0, show_default=True, help="Metres.")
@click.option("--overwrite", is_flag=True, help="Replace depth of another size or other limits.")
@workers_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    nuscenes_root: Path,
    version: str | None,
    data_root: Path | None,
    output_dir: Path | None,
    split: str,
    img_dir: Path | None,
    cameras: str,
    height: int,
    width: int,
    min_depth: float,
    max_depth: float,
    overwrite: bool,
    workers: int | None,
    as_json: bool,
) -> None:
    """Project LiDAR points into the images and write sparse depth ground truth, one .npz per image.

    --height and --width must match data.image_size of the training config.
    """
    from diffbev_engine.prepare.prepare_depth import DepthJob, prepare_depth

    root = data_root or nuscenes_root
    if img_dir is not None and split == "both":
        raise click.UsageError("--img-dir requires --split train or --split val.")
    summaries, stopped = [], None
    for part in ("train", "val") if split == "both" else (split,):
        job = DepthJob(
            nuscenes_root=nuscenes_root,
            output_dir=output_dir or root / "ann_bev_dir",
            split=part,
            img_dir=img_dir or root / "img_dir" / part,
            cameras=channels_of(cameras),
            version=version,
            height=height,
            width=width,
            min_depth=min_depth,
            max_depth=max_depth,
            workers=os.cpu_count() or 1 if workers is None else workers,
            overwrite=overwrite,
        )
        try:
            summaries.append(prepare_depth(job))
        except UsageError as error:  # the summary of the other part comes first
            stopped = stopped or UsageError(f"{part}: {error}")
    if as_json:
        click.echo(json.dumps([asdict(summary) for summary in summaries], indent=1, default=str))
    else:
        for summary in summaries:
            click.echo(summary.to_text())
    if stopped:
        raise stopped
    if any(summary.failed for summary in summaries):
        ctx.exit(ExitCode.FAILED)
