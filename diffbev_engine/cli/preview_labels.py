"""``diffbev-engine preview-labels``."""

import json
from pathlib import Path

import click

from diffbev_engine.cli.options import data_root_option, json_option
from diffbev_engine.core.errors import ExitCode


@click.command(short_help="Draw labels in colour and check that they are valid.")
@data_root_option
@click.option("--split", type=click.Choice(["train", "val"]), default="train", show_default=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("label_preview"),
    show_default=True,
    help="Folder of the pictures.",
)
@click.option("--count", type=click.IntRange(min=0), default=8, show_default=True, help="Pictures to draw.")
@click.option("--token", "tokens", multiple=True, help="Draw this sample; may be repeated.")
@click.option(
    "--sample", type=click.IntRange(min=1), help="Number of labels to check for the report. [default: all]"
)
@click.option("--seed", type=int, default=0, show_default=True)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    data_root: Path,
    split: str,
    out: Path,
    count: int,
    tokens: tuple[str, ...],
    sample: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Draw labels in colour and report whether they are plausible.

    The report compares class frequencies with the published ones, and finds labels that are
    damaged, 8-bit, or without image, intrinsics or index entry; the exit code is then 1.
    """
    from diffbev_engine.prepare.preview import preview_labels
    from diffbev_engine.prepare.validity import check_labels

    report = check_labels(data_root, split, sample, seed)
    pictures = preview_labels(data_root, split, out, count, tokens or None, seed)
    if as_json:
        click.echo(json.dumps({**report.to_dict(), "pictures": [str(path) for path in pictures]}, indent=1))
    else:
        click.echo(report.to_text())
        click.echo(f"{len(pictures)} pictures in {out}")
    if report.problems:
        ctx.exit(ExitCode.FAILED)
