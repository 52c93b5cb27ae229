"""``diffbev-engine evaluate``."""

import json
from pathlib import Path
from typing import Literal

import click

from diffbev_engine.cli.options import config_argument, gpu_ids_option, json_option, set_option


@click.command(short_help="Per-class IoU and mIoU of a checkpoint.")
@config_argument
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--split", type=click.Choice(["val", "train"]), default="val", show_default=True)
@gpu_ids_option
@set_option
@click.option("--out", type=click.Path(path_type=Path), help="Also write the JSON result to this file.")
@json_option
def command(
    config: str,
    checkpoint: Path,
    split: Literal["train", "val"],
    gpu_ids: tuple[int, ...],
    overrides: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> None:
    """Score CHECKPOINT: per-class IoU and mIoU, under both ignore masks."""
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.evaluate.run import evaluate_checkpoint
    from diffbev_engine.files import write_text
    from diffbev_engine.train.processes import join_processes, leave_processes

    settings = load_settings(config, overrides)
    processes = join_processes(gpu_ids)
    try:
        result = evaluate_checkpoint(settings, checkpoint, split, processes)
    finally:
        leave_processes()
    text = json.dumps({"config": config, "checkpoint": str(checkpoint), **result.to_json()}, indent=1)
    if not processes.is_main:
        return
    if out:
        write_text(out, text + "\n")
    click.echo(text if as_json else result.to_text())
