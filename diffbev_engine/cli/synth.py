"""``diffbev-engine synth``."""

import os
from pathlib import Path

import click

from diffbev_engine.cli.options import workers_option


@click.command(short_help="Create a small synthetic dataset in nuScenes format.")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--version", default="v1.0-mini", show_default=True, help="Name of the table folder.")
@click.option("--scenes", type=click.IntRange(min=2), default=8, show_default=True)
@click.option("--samples-per-scene", type=click.IntRange(min=1), default=6, show_default=True)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Random seed; the same seed produces identical files.",
)
@workers_option
def command(
    out: Path, version: str, scenes: int, samples_per_scene: int, seed: int, workers: int | None
) -> None:
    """Write a small synthetic world to OUT, in the nuScenes format.

    nuscenes-devkit loads it like the real data; scenes carry names of the PON split, so that
    `prepare` finds a train and a val part.
    """
    from diffbev_engine.synth.job import SynthJob
    from diffbev_engine.synth.synthesize import synthesize

    summary = synthesize(
        SynthJob(
            out=out,
            version=version,
            scenes=scenes,
            samples_per_scene=samples_per_scene,
            seed=seed,
            workers=os.cpu_count() or 1 if workers is None else workers,
        )
    )
    click.echo(summary.to_text())
