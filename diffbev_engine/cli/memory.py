"""``diffbev-engine memory``."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli.options import config_argument, gpu_ids_option, json_option, separated, set_option
from diffbev_engine.core.errors import ExitCode
from diffbev_engine.core.format import mib_size, percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffbev_engine.findings.memory.curve import MemoryCurve, MemoryPoint


def _read_limits(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[float, ...]:
    if value is None:
        return ()
    limits = separated(value, float)
    if not limits or not all(0 < limit < math.inf for limit in limits):
        raise click.BadParameter("give GiB above 0, such as 12, or 8,12,16,24")
    return tuple(dict.fromkeys(limits))


@click.command(short_help="Peak memory against batch size; the largest that fits.")
@config_argument
@click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    help="Largest batch size to try. [default: 512 on a GPU, 8 on a CPU]",
)
@click.option(
    "--limit",
    "limits",
    callback=_read_limits,
    metavar="GIB[,GIB…]",
    help="Measure as on a GPU with this much memory, on one that has more and is otherwise idle. Several "
    "values give a table of what fits on each.",
)
@click.option(
    "--work-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Run directory to save the result to (memory.json); preflight and out-of-memory reports use it.",
)
@gpu_ids_option
@set_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    config: str,
    max_batch: int | None,
    limits: tuple[float, ...],
    work_dir: Path | None,
    gpu_ids: tuple[int, ...],
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure the memory of real training steps of CONFIG at batch sizes 1, 2, 4, 8 and so on.

    Each size trains and evaluates random images in a process of its own, so running out of
    memory harms nothing. A line through the points gives what a network and what an image needs;
    the largest batch it predicts, with 8 % to spare, is then measured too. Where training is
    compiled, so is each size, for a minute or two; sizes 1 and 4 then give the line. Without a GPU
    the resident memory of the process on the host is measured.
    """
    from diffbev_engine.bench.memory import measure_memory
    from diffbev_engine.core.files import make_writable_dir, write_text
    from diffbev_engine.findings.memory.curve import MEMORY_FILE

    if limits and work_dir:
        raise click.UsageError("--limit is about another GPU: what --work-dir keeps is taken for this one.")
    folder = make_writable_dir(work_dir, "work dir") if work_dir else None
    show = (lambda _point, _free: None) if as_json else _show_point
    curves: list[MemoryCurve] = []
    for limit in sorted(limits, reverse=True) or (None,):
        if len(limits) > 1 and not as_json:
            click.echo(f"as on a GPU of {limit:g} GiB")
        like = curves[0] if curves else None
        curve = measure_memory(
            config,
            overrides,
            gpu_ids=gpu_ids,
            max_batch=max_batch,
            limit=limit,
            like=like,
            begin=lambda batch: click.echo(f"measuring batch {batch}", err=True),
            show=show,
        )
        curves.append(curve)
    values = [curve.to_json() for curve in curves]
    text = json.dumps(values if len(curves) > 1 else values[0], indent=1)
    if folder:
        write_text(folder / MEMORY_FILE, text + "\n")
    if as_json:
        click.echo(text)
    elif len(curves) > 1:
        _show_table(curves)
    else:
        _show_result(curves[0])
    if any(curve.largest is None for curve in curves):
        ctx.exit(ExitCode.FAILED)


def _show_point(point: "MemoryPoint", free: float) -> None:
    from diffbev_engine.findings.memory.curve import MARGIN

    if point.peak is None:
        click.secho(f"batch {point.batch:>4}  does not fit: {point.problem}", fg="red")
        return
    reserved = "" if point.reserved is None else f", reserved {mib_size(point.reserved, 2)}"
    tight = "  too tight: less than 8% headroom" if point.peak > free * (1 - MARGIN) else ""
    tight = "  too tight: only after emptying caches" if point.retries else tight
    share = f"{percent(point.peak / free, 0)} of free memory" if free else ""
    click.echo(f"batch {point.batch:>4}  peak {mib_size(point.peak, 2)}{reserved}, {share}{tight}")


def _show_table(curves: "Sequence[MemoryCurve]") -> None:
    click.echo(f"\n{curves[0].device}, {curves[0].precision}, compile {curves[0].compile}")
    click.echo("    memory  largest batch       peak")
    for curve in curves:
        peaks = {point.batch: mib_size(point.peak, 2) for point in curve.points if point.peak is not None}
        largest, taken = ("none", "") if curve.largest is None else (curve.largest, peaks[curve.largest])
        click.echo(f"{mib_size(curve.total):>10}{largest:>15}{taken:>11}")


def _show_result(curve: "MemoryCurve") -> None:
    what = "memory of the GPU" if curve.kind == "gpu" else "resident memory of the process (no GPU)"
    click.echo(f"\n{curve.device}, {curve.precision}, compile {curve.compile}: {what}")
    click.echo(f"free {mib_size(curve.free, 2)} of {mib_size(curve.total, 2)}")
    line = curve.line
    if line:
        click.echo(
            f"peak ≈ {mib_size(line.fixed, 2)} + {mib_size(line.per_sample, 2)} × batch "
            f"(R² {line.r2:.4f}, at most {mib_size(line.worst)} off)"
        )
    if curve.largest is None:
        click.secho(
            "even batch size 1 does not fit with headroom; free some memory or reduce data.image_size",
            fg="red",
        )
        return
    capped = curve.largest == curve.limit
    note = f" (the largest size tried; the fit predicts {curve.predicted})" if capped else ""
    click.secho(f"largest batch that fits: {curve.largest}{note}", bold=True)
    if curve.planned > curve.largest:
        click.secho(
            f"the configuration's batch of {curve.planned} does not fit or was not tried"
            if capped
            else f"the configuration's batch of {curve.planned} does not fit",
            fg="yellow",
        )
