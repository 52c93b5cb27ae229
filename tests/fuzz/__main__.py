"""``python -m tests.fuzz``: every reader of files from outside against damaged and hostile ones."""

import sys
import time
from pathlib import Path

import click

from tests.fuzz.found import keep
from tests.fuzz.readers import READERS
from tests.fuzz.side_by_side import fuzz_all
from tests.fuzz.watch import Outcome


@click.command()
@click.argument("names", metavar="[READER]...", nargs=-1)
@click.option("--cases", type=click.IntRange(min=1), default=20_000, show_default=True, help="Per reader.")
@click.option("--seconds", type=float, default=3600.0, show_default=True, help="At most, in all.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes at a time.")
@click.option("--seed", type=int, default=0, show_default=True, help="Other seeds give other cases.")
@click.option(
    "--cheap/--expensive",
    "cheap",
    default=None,
    help="Only readers of less than a millisecond, or the others.",
)
@click.option("--markdown", type=click.Path(path_type=Path), help="Write the table there, too.")
@click.option("--keep", "kept", is_flag=True, help="Write cases that failed to tests/fuzz/found.")
@click.option("--list", "listed", is_flag=True, help="List the readers.")
def main(
    names: tuple[str, ...],
    cases: int,
    seconds: float,
    jobs: int,
    seed: int,
    cheap: bool | None,
    markdown: Path | None,
    kept: bool,
    listed: bool,
) -> None:
    """Give each READER (default: all) files that are damaged or hostile, and report what goes wrong.

    Wrong is an exception that its caller does not expect, a case that takes more than a second of processor
    time, text that a terminal would obey, and memory that grows. Exit code 1 if there is any.
    """
    unknown = set(names) - {reader.name for reader in READERS}
    if unknown:
        raise click.UsageError(f"unknown: {', '.join(sorted(unknown))}; --list shows the readers")
    chosen = [one for one in READERS if (not names or one.name in names) and cheap in (None, one.cheap)]
    if listed:
        click.echo("\n".join(f"{one.name:<24}{'cheap' if one.cheap else 'expensive'}" for one in chosen))
        return
    lines = [
        "| reader | cases | refused | seconds | per second | exceptions | hangs | growth | most memory |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    begun = time.monotonic()
    outcomes = fuzz_all(chosen, cases, seconds, seed, jobs)
    lines += [_row(outcome) for outcome in outcomes]
    click.echo("\n".join(lines))
    for outcome in outcomes:
        for key, failure in outcome.failures.items():
            click.echo(f"    {failure['kind']}: {failure['words']}", err=True)
            if kept:
                keep(outcome.reader, key, bytes.fromhex(failure["case"]))
    click.echo(f"\n{time.monotonic() - begun:.0f} s")
    if markdown:
        markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.exit(0 if all(outcome.clean for outcome in outcomes) else 1)


def _row(one: Outcome) -> str:
    speed = one.cases / one.seconds if one.seconds else 0.0
    counts = f"{one.count('exception')} | {one.count('hang')} | {_mib(one.growth)}"
    facts = f"{one.cases:,} | {one.refused:,} | {one.seconds:.0f} | {speed:,.0f}"
    return f"| {one.reader} | {facts} | {counts} | {_mib(one.peak)} |"


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


if __name__ == "__main__":
    main()
