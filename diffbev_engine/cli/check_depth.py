"""``diffbev-engine check-depth``."""

import json
from typing import Literal

import click

from diffbev_engine.cli.options import config_argument, json_option, set_option
from diffbev_engine.core.errors import ExitCode


@click.command(short_help="Check the depth that the data loader outputs.")
@config_argument
@click.option("--split", type=click.Choice(["train", "val"]), default="train", show_default=True)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=20,
    show_default=True,
    help="Samples to look at, evenly spaced over the split; the first is shown.",
)
@set_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    config: str,
    split: Literal["train", "val"],
    samples: int,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Check the depth ground truth as training with CONFIG would get it.

    Shows gt_depth and gt_depth_mask of one batch of size 1. The exit code is 1 when files are
    missing or have the wrong size, no pixel is valid, or depths are outside 1 to 50 m.
    """
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.dataset.check_depth import check_depth
    from diffbev_engine.dataset.records import read_records

    settings = load_settings(config, overrides)
    records = read_records(settings.data_root, split, settings.data.cameras)
    check = check_depth(records, settings.data, samples)
    click.echo(json.dumps(check.to_dict(), indent=1) if as_json else check.to_text())
    if check.problem:
        ctx.exit(ExitCode.FAILED)
