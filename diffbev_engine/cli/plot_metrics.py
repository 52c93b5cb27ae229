"""``diffbev-engine plot-metrics``."""

import json
from functools import partial
from pathlib import Path

import click

from diffbev_engine.cli.options import json_option
from diffbev_engine.cli.variadic import VariadicCommand, VariadicOption
from diffbev_engine.core.plain_text import plain_json


@click.command(cls=VariadicCommand, short_help="Compare runs: seven figures and a summary.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder for plots/ and summary.md; made if missing.",
)
@click.option(
    "--experiment-names",
    cls=VariadicOption,
    metavar="NAME...",
    help="Names for legends and tables, one per run in the same order. [default: directory names]",
)
@click.option(
    "--format",
    "formats",
    cls=VariadicOption,
    type=click.Choice(["png", "pdf", "svg"]),
    metavar="[pdf|svg|png]...",
    help="Also write vector figures; PNG files are always written.",
)
@json_option
def command(
    runs: tuple[Path, ...],
    output_dir: Path,
    experiment_names: tuple[str, ...],
    formats: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare the metrics.csv of each RUN directory.

    Writes plots/NAME_comparison.png for loss, mIoU, Lwce, Ldepth, Ldiff, lr and class_IoU, and
    summary.md: best mIoU with its step and checkpoint, last losses, IoU by class, and what
    differs between the runs, settings included. Runs that are still training can be included.
    """
    say = partial(click.echo, err=as_json)
    for run in runs:
        say(f"Loading metrics from {run}")
    from diffbev_engine.report.experiment import load_experiments

    experiments = load_experiments(runs, experiment_names)
    from diffbev_engine.report.plot_metrics import plot_metrics
    from diffbev_engine.report.summary import summary_json

    for experiment in experiments:
        for note in experiment.notes:
            say(f"note: {experiment.name}: {note}")
    say("Generating plots...")
    written = plot_metrics(experiments, output_dir, formats, say)
    say(f"✓ All plots and summary generated in {output_dir}")
    if as_json:
        files = [str(path) for path in written]
        click.echo(
            plain_json(
                json.dumps({**summary_json(experiments), "files": files}, indent=1, ensure_ascii=False)
            )
        )
