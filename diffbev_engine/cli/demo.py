"""``diffbev-engine demo``."""

from pathlib import Path

import click


@click.command(short_help="The whole procedure, synthetic, in minutes.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("diffbev_demo"),
    show_default=True,
    help="Folder for the world, the run and the picture.",
)
def command(out: Path) -> None:
    """Run the whole procedure on a small synthetic world, on a CPU, in minutes.

    synth, prepare, prepare-depth, train (300 iterations), evaluate, and a picture of what the
    model predicts.  Needs no data set, no GPU and no network.
    """
    from diffbev_engine.demo import run_demo

    summary = run_demo(out, click.echo)
    before, after = summary.untrained.main.miou, summary.trained.main.miou
    click.echo(
        f"\nmIoU on validation scenes: {100 * before:.2f} untrained, {100 * after:.2f} after training "
        f"({summary.seconds:.0f} s in all)\nlook at {summary.picture}"
    )
