"""``diffbev-engine prepare``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli.options import (
    cameras_option,
    json_option,
    nuscenes_root_option,
    version_option,
    workers_option,
)
from diffbev_engine.core.cameras import channels_of
from diffbev_engine.core.errors import ExitCode

if TYPE_CHECKING:
    from diffbev_engine.prepare.images import ImageMode


@click.command(short_help="Create images, BEV labels and an index from nuScenes.")
@nuscenes_root_option
@version_option
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    help="Output data root, e.g. for a read-only nuScenes root. [default: the nuScenes root]",
)
@cameras_option
@click.option(
    "--split",
    default="pon",
    show_default=True,
    help="pon, official, or an explicit list: scene-0523=train,scene-0916=val",
)
@click.option(
    "--raster",
    type=click.Choice(["exact", "pon"]),
    default="exact",
    show_default=True,
    help="exact: exact polygon fill; pon: bit-identical to PON's published labels.",
)
@click.option(
    "--images",
    type=click.Choice(["link", "copy", "symlink"]),
    default="link",
    show_default=True,
    help="Put images into the data root as hard links (copies on another file system), as copies, or as "
    "symbolic links, which need the nuScenes root to stay where it is.",
)
@click.option(
    "--skip-missing",
    is_flag=True,
    help="Continue with a partial download: leave out images whose files do not exist, and record them.",
)
@workers_option
@click.option(
    "--overwrite",
    is_flag=True,
    help="Recreate all labels; allows settings that differ from the existing ones.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    nuscenes_root: Path,
    version: str | None,
    output_dir: Path | None,
    cameras: str,
    split: str,
    raster: str,
    images: "ImageMode",
    skip_missing: bool,
    workers: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn raw nuScenes into a data root: images, BEV labels, intrinsics, index.

    Run it again to process only what is missing. Missing files are listed per scene, damaged files one
    per line, and their images are skipped; the exit code is then 1.
    """
    from diffbev_engine.prepare.pipeline import PrepareJob, prepare

    summary = prepare(
        PrepareJob(
            nuscenes_root=nuscenes_root,
            version=version,
            output_dir=output_dir,
            cameras=channels_of(cameras),
            split=split,
            raster=raster,
            images=images,
            skip_missing=skip_missing,
            workers=workers,
            overwrite=overwrite,
        )
    )
    click.echo(json.dumps(summary.to_dict(), indent=1) if as_json else summary.to_text())
    if summary.failed:
        ctx.exit(ExitCode.FAILED)
