"""``diffbev-engine demo``."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli.runbook_shared import language_option, or_default
from diffbev_engine.core.format import points

if TYPE_CHECKING:
    from diffbev_engine.core.bilingual import Language


@click.command(short_help="Run the whole runbook on synthetic data.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("diffbev_demo"),
    show_default=True,
    help="Directory for the synthetic dataset, the workspace and the reports.",
)
@click.option(
    "--setup-only",
    is_flag=True,
    help="Only create the dataset, labels and workspace and run phases 0 and 1; do not train.",
)
@language_option
def command(out: Path, setup_only: bool, language: "Language | None") -> None:
    """Run the whole runbook on a small synthetic dataset; takes minutes on a CPU.

    Environment and data checks, a smoke test, the baseline, DiffBEV with depth supervision,
    comparison plots, pictures, the final checklist, and a report of it all.  Needs no data set,
    no GPU and no network.  Run it again to continue where it stopped; completed steps are kept.
    """
    from diffbev_engine.cli.runbook_terminal import terminal_reporter
    from diffbev_engine.demo import SETUP_PHASES, run_demo, set_up_demo
    from diffbev_engine.runbook.load import load_runbook

    started, spoken = time.monotonic(), or_default(language)
    roots = set_up_demo(out.absolute(), click.echo)
    reporter = terminal_reporter(load_runbook(roots), roots, spoken, to_stderr=False)
    summary = run_demo(roots, reporter, spoken, SETUP_PHASES if setup_only else None)
    click.echo(f"\nfinished in {time.monotonic() - started:.0f} s; workspace: {roots.workspace}")
    if setup_only:
        return
    scores = ", ".join(f"{name} {points(score, 2)}" for name, score in summary.scores.items())
    click.echo(f"mIoU on the validation scene: {scores}")
    click.echo(f"pictures: {roots.workspace / 'runs/vis_comparison/vis'}")
    click.echo(f"report: {summary.reports[1]}")
