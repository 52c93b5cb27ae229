"""``diffbev-engine runs``: list, show, stop, resume."""

import json
import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli import runs_notify, runs_slurm, runs_tensorboard
from diffbev_engine.cli.options import anyway_option, json_option, set_option
from diffbev_engine.core.format import ago, duration, points, progress
from diffbev_engine.core.plain_text import plain

if TYPE_CHECKING:
    from diffbev_engine.runs.actions import Started
    from diffbev_engine.runs.inspect import RunReport

_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
_MARKS = {
    **{"running": ("▶", "green"), "finished": ("✓", "green"), "interrupted": ("⏸", "yellow")},
    **{"failed": ("✗", "red"), "oom": ("✗", "red"), "diverged": ("✗", "red"), "dead": ("✗", "red")},
    **{"unknown": ("?", "yellow"), "stalled": ("!", "yellow")},
}
_LONGEST_NOTE = 160


@click.group(short_help="List, show, stop and resume runs.")
def command() -> None:
    """Manage training runs: list their state, stop and resume them.

    A run started with `train --detach` or `runs resume` continues when the terminal or the SSH
    connection closes. Where systemd kills what a user leaves behind (KillUserProcesses=yes), start
    it under `systemd-run --user --scope`, after `loginctl enable-linger`.
    """


@command.command("list")
@click.argument("root", type=click.Path(path_type=Path, exists=True, file_okay=False), default=".")
@click.option(
    "--all",
    "set_aside",
    is_flag=True,
    help="Include earlier runs that were moved to previous_* subdirectories.",
)
@json_option
def list_command(root: Path, set_aside: bool, as_json: bool) -> None:
    """List all runs in ROOT and its subdirectories (default: the current directory)."""
    from diffbev_engine.runs.find import find_runs

    paths = list(find_runs(root, set_aside=set_aside))
    reports = [report for path in paths if (report := _inspected(path))]
    if as_json:
        click.echo(json.dumps([report.to_json() for report in reports], indent=1))
        return
    jobs = runs_slurm.jobs_of(paths)
    if not reports and not jobs:
        click.echo(f"no runs in {root.resolve()}")
    for report in reports:
        name, note = plain(os.path.relpath(report.path, root)), f"{_note(report)} {jobs.pop(report.path, '')}"
        line = f"{_state(report)}  {_progress(report):>17}  {_miou(report):>12}  {name}  {note}"
        click.echo(line.rstrip())
    for path, job in jobs.items():
        click.echo(f"· not started  {'':>31}  {plain(os.path.relpath(path, root))}  {job}")


@command.command()
@_directory
@json_option
def show(directory: Path, as_json: bool) -> None:
    """Show the state of the run in DIR and what to do next."""
    from diffbev_engine.runs.inspect import inspect_run

    report = inspect_run(directory)
    click.echo(json.dumps(report.to_json(), indent=1) if as_json else _describe(report))


@command.command()
@_directory
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0), default=300.0, show_default=True)
@click.option("--kill", is_flag=True, help="End it at once (SIGKILL); needs --yes.")
@click.option("--yes", is_flag=True, help="Confirm --kill; progress since the last checkpoint is lost.")
@json_option
def stop(directory: Path, timeout_s: float, kill: bool, yes: bool, as_json: bool) -> None:
    """Stop the run in DIR after it has saved a checkpoint."""
    from diffbev_engine.core.errors import UsageError
    from diffbev_engine.runs.actions import kill_run, stop_run, what_is_left

    if kill and not yes:
        left = what_is_left(directory)
        raise UsageError(
            f"--kill ends the run immediately. It could resume from "
            f"{left.checkpoint or 'the start'} only, losing at least {left.lost_iterations or 0} "
            f"iteration(s). Confirm with --kill --yes."
        )
    if not as_json:
        click.echo("killing …" if kill else "stopping; waiting for the checkpoint …")
    stopped = (kill_run if kill else stop_run)(directory, timeout_s=timeout_s)
    if as_json:
        left_over = {"checkpoint": stopped.checkpoint, "lost_iterations": stopped.lost_iterations}
        click.echo(json.dumps({**stopped.report.to_json(), **left_over}, indent=1))
        return
    click.echo(str(stopped))
    if stopped.report.resumable:
        click.echo(f"continue with: diffbev-engine runs resume {directory}")


@command.command()
@_directory
@set_option
@anyway_option
@json_option
def resume(directory: Path, overrides: tuple[str, ...], anyway: bool, as_json: bool) -> None:
    """Continue the run in DIR, detached, with the configuration and arguments it was started with.

    The configuration file is read again. Settings that differ from those of the earlier start, by
    --set or because the file was changed, are shown.
    """
    from diffbev_engine.runs.actions import resume_run

    print_started(resume_run(directory, overrides, anyway=anyway), as_json)


@command.command()
@click.argument("directories", metavar="DIR...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(directories: tuple[Path, ...], yes: bool) -> None:
    """Move runs that are over to the .trash directory next to them.

    Moving one back restores it; `rm -r .trash` frees the space.
    """
    from diffbev_engine.core.format import byte_size
    from diffbev_engine.runs.trash import move_to_trash, size_of_run

    for directory in directories:
        size = byte_size(size_of_run(directory))
        if not yes and not click.confirm(f"move {plain(str(directory))} ({size}) to the trash?"):
            continue
        moved = move_to_trash(directory)
        click.echo(f"{plain(str(moved.run))} ({byte_size(moved.size)}) is now {plain(str(moved.path))}")


@command.command("export-curves")
@click.argument("directories", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--columns",
    required=True,
    help="Metrics, separated by commas, such as loss,mIoU,system.csv:gpu0_load.",
)
@click.option("--names", default="", help="Names of the runs, separated by commas. [default: directories]")
@click.option("--steps", default="", metavar="FIRST:LAST", help="Only these iterations.")
@click.option("--smoothing", type=click.FloatRange(0, 0.9999), default=0.0, help="Of losses; 0: as logged.")
@click.option("--log-y", is_flag=True, help="Logarithmic, except scores.")
@click.option(
    "--output", type=click.Path(path_type=Path), required=True, help="File: .csv, .png, .svg or .pdf."
)
def export_curves(
    directories: tuple[Path, ...],
    columns: str,
    names: str,
    steps: str,
    smoothing: float,
    log_y: bool,
    output: Path,
) -> None:
    """Write curves of runs to one file, as the Monitor shows them."""
    from diffbev_engine.core.errors import UsageError
    from diffbev_engine.report import curve_export

    called = names.split(",") if names else [path.name for path in directories]
    if len(called) != len(directories):
        raise UsageError(f"--names gives {len(called)} names for {len(directories)} runs.")
    first, _, last = steps.partition(":")
    try:
        window = (float(first or "-inf"), float(last or "inf"))
    except ValueError:
        raise UsageError("--steps takes two numbers: FIRST:LAST.") from None
    runs = list(zip(called, directories, strict=True))
    choice = curve_export.CurveChoice(runs, columns.split(","), window, smoothing, log_y)
    click.echo(f"written: {curve_export.export_curves(choice, output)}")


command.add_command(runs_tensorboard.command)
command.add_command(runs_notify.command)


def print_started(started: "Started", as_json: bool) -> None:
    """Print a detached start."""
    if as_json:
        click.echo(json.dumps(started.to_json(), indent=1))
        return
    work_dir = plain(str(started.work_dir))
    for change in started.changes:
        click.echo(f"changed: {plain(change)}")
    click.echo(str(started))
    click.echo(f"output: {plain(str(started.console))}")
    click.echo(f"watch:  diffbev-engine runs show {work_dir}")
    click.echo(f"stop:   diffbev-engine runs stop {work_dir}")


def _inspected(path: Path) -> "RunReport | None":
    from diffbev_engine.core.errors import DiffBEVError
    from diffbev_engine.runs.inspect import inspect_run

    try:
        return inspect_run(path)
    except DiffBEVError:  # it was removed a moment ago
        return None


def _describe(report: "RunReport") -> str:
    path, process, running = plain(report.path), report.process, report.state.value == "running"
    lines = [
        ("", report.message),
        ("newest start", f"failed: {report.failed_start}" if report.failed_start else ""),
        ("doing", report.activity or ""),
        ("progress", ", ".join(filter(None, (_progress(report), _age(report))))),
        ("speed", _speed(report)),
        ("mIoU", _scores(report)),
        ("saved", report.last_checkpoint or ""),
        ("config", report.config or ""),
        ("process", f"{plain(str(process))}{', detached' if report.detached else ''}" if process else ""),
        ("started", _when(report.started)),
        ("ended", "" if running else _when(report.ended)),
        ("last heartbeat", _when(report.updated)),
        ("output", report.console or ""),
        ("queue", next(iter(runs_slurm.jobs_of([Path(report.path)]).values()), "")),
        ("last alert", _last_alert(report)),
    ]
    facts = [f"{label:<16}{value}" for label, value in lines if value]
    text = "\n".join([f"{_state(report)} {path}", *facts])
    if running:
        return f"{text}\nstop with:      diffbev-engine runs stop {path}"
    return f"{text}\nresume with:    diffbev-engine runs resume {path}" if report.resumable else text


def _last_alert(report: "RunReport") -> str:
    from diffbev_engine.runs.alerts import alert_words, read_alerts
    from diffbev_engine.runs.folder import RunFolder

    alerts = read_alerts(RunFolder(Path(report.path)).alerts)
    return f"{alert_words(alerts[-1]).en} ({ago(time.time() - alerts[-1].time)})" if alerts else ""


def _state(report: "RunReport") -> str:
    word = "stalled" if report.stalled else report.state.value
    mark, colour = _MARKS[word]
    return click.style(f"{mark} {word:<11}", fg=colour)


def _progress(report: "RunReport") -> str:
    return progress(report.step, report.max_iters) if report.step is not None else ""


def _age(report: "RunReport") -> str:
    return f"last progress {ago(report.age_s)}" if report.age_s is not None else ""


def _speed(report: "RunReport") -> str:
    if report.it_per_s is None:
        return ""
    eta = f", ETA {duration(report.eta_s)}" if report.eta_s is not None else ""
    return f"{report.it_per_s:.2f} it/s{eta}"


def _miou(report: "RunReport") -> str:
    return f"mIoU {points(report.best_miou)}" if report.best_miou is not None else ""


def _scores(report: "RunReport") -> str:
    scores = (
        ("best", report.best_miou, report.best_step),
        ("last", report.last_miou, report.last_miou_step),
    )
    return ", ".join(
        f"{name} {points(value)}" + (f" at iteration {step:,}" if step is not None else "")
        for name, value, step in scores
        if value is not None
    )


def _note(report: "RunReport") -> str:
    """Of a run that runs: what it is doing, how fast, since when; of another one: how it ended."""
    if report.state.value == "running":
        activity = "" if report.stalled else report.activity
        parts = [activity, report.reason, _speed(report), _age(report), *report.damaged]
    else:
        ended = ago(time.time() - report.ended) if report.ended else ""
        parts = [_first_line(report.message), ended, "resumable" if report.resumable else ""]
    note = ", ".join(part for part in parts if part)
    return f"({note})" if note else ""


def _first_line(text: str) -> str:
    line = text.partition("\n")[0].rstrip(".")
    return line if len(line) <= _LONGEST_NOTE else f"{line[: _LONGEST_NOTE - 1]}…"


def _when(seconds: float | None) -> str:
    if seconds is None:
        return ""
    moment = datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M:%S")
    return f"{moment} ({ago(time.time() - seconds)})"
