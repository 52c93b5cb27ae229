"""``diffbev-engine prepare``."""

import json
from pathlib import Path

import click

from diffbev_engine.cli.options import json_option, nuscenes_root_option, version_option, workers_option
from diffbev_engine.core.errors import ExitCode


@click.command(short_help="Create images, BEV labels and an index from nuScenes.")
@nuscenes_root_option
@version_option
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    help="Output data root. [default: the nuScenes root]",
)
@click.option(
    "--cameras",
    type=click.Choice(["front", "all"]),
    default="all",
    show_default=True,
    help="Use CAM_FRONT only, or all six cameras (as in published results).",
)
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
    workers: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Turn raw nuScenes into a data root: images, BEV labels, intrinsics, index.

    Run it again to process only what is missing. Damaged or missing files are listed, one per line,
    and skipped; the exit code is then 1.
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
