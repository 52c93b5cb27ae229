"""``diffbev-engine runs export-tensorboard``."""

from pathlib import Path

import click


@click.command("export-tensorboard")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(directories: tuple[Path, ...]) -> None:
    """Write the metrics of finished runs for TensorBoard, into DIR/tensorboard.

    What is there of an earlier export, or of the training itself, is replaced. Of a run that has not
    finished, all that its metrics.csv holds is written; log_config.hooks writes while it trains.
    """
    from contextlib import suppress

    from diffbev_engine.core.errors import DiffBEVError, UsageError
    from diffbev_engine.core.extras import require
    from diffbev_engine.runs.folder import RunFolder
    from diffbev_engine.runs.inspect import inspect_run
    from diffbev_engine.runs.trackers.feed import export_run
    from diffbev_engine.runs.verdict import RunCondition

    require("export to TensorBoard", ["tensorboard"], "tensorboard")
    for directory in directories:
        report = None
        with suppress(DiffBEVError):  # the metrics of another program come without the files of a run
            report = inspect_run(directory)
        if report is not None and report.state is RunCondition.RUNNING:
            raise UsageError(f"{directory} is still being trained. Wait for its end, or stop it.")
        try:
            rows = export_run(RunFolder(directory))
        except OSError as error:
            raise DiffBEVError(
                f"cannot write {directory / 'tensorboard'}: {error.strerror or error}."
            ) from error
        click.echo(f"✓ {directory / 'tensorboard'} ({rows:,} rows): tensorboard --logdir {directory}")
