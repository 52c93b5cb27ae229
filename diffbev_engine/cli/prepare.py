"""``diffbev-engine prepare``."""

import json
from pathlib import Path

import click

from diffbev_engine.cli.options import json_option, nuscenes_root_option, version_option, workers_option
from diffbev_engine.core.errors import ExitCode


@click.command(short_help="Raw nuScenes to images, BEV labels, index.")
@nuscenes_root_option
@version_option
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    help="Data root to write; default: the nuScenes root itself.",
)
@click.option(
    "--cameras",
    type=click.Choice(["front", "all"]),
    default="all",
    show_default=True,
    help="CAM_FRONT only, or every camera (as published numbers use them).",
)
@click.option(
    "--split",
    default="pon",
    show_default=True,
    help="pon, official, or scenes by hand: scene-0523=train,scene-0916=val",
)
@click.option(
    "--raster",
    type=click.Choice(["exact", "pon"]),
    default="exact",
    show_default=True,
    help="True polygon fill, or the fill of PON's published labels to the bit.",
)
@workers_option
@click.option(
    "--overwrite", is_flag=True, help="Make all labels anew; other settings than before are then allowed."
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
    workers: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn raw nuScenes into a data root: images, BEV labels, intrinsics, index.

    A second run does only what is missing.  Damaged or missing files are named, one line each,
    and the rest goes on; the exit code is then 1.
    """
    from diffbev_engine.prepare.pipeline import PrepareJob, prepare

    summary = prepare(
        PrepareJob(
            nuscenes_root=nuscenes_root,
            version=version,
            output_dir=output_dir,
            cameras=("CAM_FRONT",) if cameras == "front" else None,
            split=split,
            raster=raster,
            workers=workers,
            overwrite=overwrite,
        )
    )
    click.echo(json.dumps(summary.to_dict(), indent=1) if as_json else summary.to_text())
    if summary.failed:
        ctx.exit(ExitCode.FAILED)
