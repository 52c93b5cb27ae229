"""``python -m tests.benchmarks.tui [NAME…]``: measures the limits that the terminal UI promises to keep."""

import json
import os
import platform
import sys
from importlib import import_module
from pathlib import Path

import click

from diffbev_engine.core.errors import UsageError
from tests.benchmarks.tui.figure import Figure, table
from tests.benchmarks.tui.training import measure as measure_training

PARTS = ("first_paint", "large_run", "large_app", "keys", "idle", "watched")
"""The modules that measure, in the order of the table."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[NAME…]")
@click.option("--quick", is_flag=True, help="Little work: shows that it runs; the figures mean nothing.")
@click.option("--json", "as_json", is_flag=True, help="Figures and limits as JSON.")
@click.option(
    "--training",
    metavar="RUN_DIR",
    type=click.Path(path_type=Path),
    help="Only what watching costs this training, which is going on in a workspace. Takes four minutes.",
)
def main(parts: tuple[str, ...], quick: bool, as_json: bool, training: Path | None) -> None:
    """Measure all, or only: first_paint, large_run, large_app, keys, idle, watched. Takes six minutes.

    Exits with 1 if a limit is missed (never with --quick).
    """
    figures: list[Figure] = []
    for part in parts or (PARTS if training is None else ()):
        click.echo(f"{part} …", err=True)
        figures += import_module(f"tests.benchmarks.tui.{part}").measure(quick=quick)
    if training is not None:
        click.echo("training …", err=True)
        try:
            figures += measure_training(training, quick=quick)
        except UsageError as error:
            raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(
            json.dumps({"machine": machine(), "figures": [one.to_json() for one in figures]}, indent=1)
        )
    else:
        click.echo(f"{machine()}\n{table(figures)}")
    sys.exit(1 if not quick and any(one.met is False for one in figures) else 0)


def machine() -> str:
    """What it was measured on, and how busy that was."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{os.cpu_count()} CPU cores{load}, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
