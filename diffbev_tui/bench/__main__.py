"""``python -m diffbev_tui.bench [NAME…]``: measures what the terminal UI promises, names what is missed."""

import json
import os
import platform
import sys
from importlib import import_module

import click

from diffbev_tui.bench.figure import Figure, table

PARTS = ("first_paint", "large_run", "large_app", "keys", "idle", "watched")
"""The modules that measure, in the order of the table."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("parts", nargs=-1, type=click.Choice(PARTS), metavar="[NAME…]")
@click.option("--quick", is_flag=True, help="Little work: shows that it runs; the figures mean nothing.")
@click.option("--json", "as_json", is_flag=True, help="Figures and limits as JSON.")
def main(parts: tuple[str, ...], quick: bool, as_json: bool) -> None:
    """Measure all, or only: first_paint, large_run, large_app, keys, idle, watched. Takes six minutes.

    Exits with 1 if a limit is missed (never with --quick).
    """
    figures: list[Figure] = []
    for part in parts or PARTS:
        click.echo(f"{part} …", err=True)
        figures += import_module(f"diffbev_tui.bench.{part}").measure(quick=quick)
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
