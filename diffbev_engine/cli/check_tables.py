"""``diffbev-engine check-tables``."""

from pathlib import Path

import click

from diffbev_engine.cli.options import nuscenes_root_option, version_option
from diffbev_engine.core.errors import ExitCode


@click.command(short_help="Compare our table index with the devkit.")
@nuscenes_root_option
@version_option
@click.option("--samples", type=click.IntRange(min=1), help="Samples to compare; default: all of them.")
@click.pass_context
def command(ctx: click.Context, nuscenes_root: Path, version: str | None, samples: int | None) -> None:
    """Compare our table index with nuscenes-devkit, on your data.

    Poses, calibrations, paths and boxes of every camera key-frame must agree.  The devkit loads
    its tables for this, which takes about 30 s and 8 GB for v1.0-trainval.
    """
    from diffbev_engine.nuscenes.devkit_check import check_against_devkit

    report = check_against_devkit(nuscenes_root, version, samples)
    click.echo(report.to_text())
    if not report.agrees:
        ctx.exit(ExitCode.FAILED)
