"""``diffbev-engine runs``: list, show, stop, resume."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from diffbev_engine.cli.options import json_option, set_option

if TYPE_CHECKING:
    from diffbev_engine.runs.folder import RunFolder
    from diffbev_engine.runs.inspect import RunReport
    from diffbev_engine.runs.launch import Launch, TrainingArguments

_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
_MARKS = {
    **{"running": ("▶", "green"), "finished": ("✓", "green"), "interrupted": ("⏸", "yellow")},
    **{"failed": ("✗", "red"), "oom": ("✗", "red"), "diverged": ("✗", "red"), "dead": ("✗", "red")},
    "unknown": ("?", "yellow"),
}


@click.group(short_help="List, show, stop and resume trainings.")
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
    from diffbev_engine.runs.inspect import inspect_run

    reports = [inspect_run(path) for path in find_runs(root, set_aside=set_aside)]
    if as_json:
        click.echo(json.dumps([report.to_json() for report in reports], indent=1))
        return
    if not reports:
        click.echo(f"no runs in {root.resolve()}")
    for report in reports:
        name = os.path.relpath(report.path, root)
        click.echo(f"{_state(report)}  {_progress(report):>17}  {_miou(report):>12}  {name}  {_note(report)}")


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
    from diffbev_engine.runs.actions import stop_run, what_is_left

    if kill and not yes:
        left = what_is_left(directory)
        raise UsageError(
            f"--kill ends the run immediately. It could resume from "
            f"{left.checkpoint or 'the start'} only, losing at least {left.lost_iterations or 0} "
            f"iteration(s). Confirm with --kill --yes."
        )
    if not as_json:
        click.echo("killing …" if kill else "stopping; waiting for the checkpoint …")
    stopped = stop_run(directory, kill=kill, timeout_s=timeout_s)
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
@json_option
def resume(directory: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Continue the run in DIR, detached, with the configuration and arguments it was started with.

    The configuration file is read again. Settings that differ from those of the earlier start, by
    --set or because the file was changed, are shown.
    """
    from diffbev_engine.config.load import load_settings
    from diffbev_engine.core.errors import DiffBEVError
    from diffbev_engine.runs.folder import RunFolder
    from diffbev_engine.runs.inspect import RunCondition, inspect_run, read_manifest
    from diffbev_engine.runs.launch import read_launch, start_detached
    from diffbev_engine.runs.lock import refuse_if_held

    folder = RunFolder(directory.resolve())
    report, manifest = inspect_run(folder.path), read_manifest(folder)
    refuse_if_held(folder)
    if report.state is RunCondition.RUNNING:
        raise DiffBEVError(f"{directory} is running: {report.message}.")
    if report.state is RunCondition.FINISHED and not overrides:
        raise DiffBEVError(
            f"{directory} has already finished. To train longer, use --set runner.max_iters=N."
        )
    if not folder.latest.exists():
        raise DiffBEVError(f"{directory} has no latest.pth to resume from. Start a new run with `train`.")
    cwd = _enter(manifest)
    arguments = _recorded_arguments(folder, manifest, overrides)
    changes = _changes(
        manifest["config"], load_settings(arguments.config, arguments.overrides).model_dump(mode="json")
    )
    earlier = read_launch(folder)
    started = start_detached(
        folder,
        arguments.command(),
        cwd=cwd,
        environment={
            name: value
            for name, value in (earlier.environment if earlier else {}).items()
            if name not in os.environ
        },
    )
    report_launch(started, folder.path, as_json, changes)


def report_launch(launch: "Launch", work_dir: Path, as_json: bool, changes: list[str] | None = None) -> None:
    """Print a detached start."""
    if as_json:
        click.echo(
            json.dumps({**asdict(launch), "work_dir": str(work_dir), "changes": changes or []}, indent=1)
        )
        return
    for change in changes or []:
        click.echo(f"changed: {change}")
    pid = launch.process.pid if launch.process else "?"
    click.echo(f"started in the background, pid {pid}")
    click.echo(f"output: {work_dir / launch.console}")
    click.echo(f"watch:  diffbev-engine runs show {work_dir}")
    click.echo(f"stop:   diffbev-engine runs stop {work_dir}")


def _enter(manifest: Mapping[str, Any]) -> Path:
    """Go to the folder of the earlier start, which its relative paths mean."""
    from diffbev_engine.core.errors import DiffBEVError

    cwd = Path(manifest.get("cwd", "."))
    try:
        os.chdir(cwd)
    except OSError as error:
        raise DiffBEVError(
            f"the run was started in {cwd}: {error.strerror}. Use `train --resume`."
        ) from error
    return cwd


def _recorded_arguments(
    folder: "RunFolder", manifest: Mapping[str, Any], overrides: tuple[str, ...]
) -> "TrainingArguments":
    """The arguments of the earlier start; its recorded settings where it was not started by `train`."""
    from diffbev_engine.config.load import dump_config
    from diffbev_engine.config.settings import Settings
    from diffbev_engine.core.errors import DiffBEVError
    from diffbev_engine.core.files import write_text
    from diffbev_engine.runs.launch import TrainingArguments

    if "config" not in manifest:
        raise DiffBEVError(f"{folder.manifest} is missing or damaged; continue with `train --resume`.")
    arguments = manifest.get("arguments")
    if arguments is None:
        recorded = folder.path / "recorded_config.py"
        write_text(recorded, dump_config(Settings.model_validate(manifest["config"])))
        arguments = {"config": str(recorded), "gpu_ids": [], "overrides": []}
    return TrainingArguments(
        config=arguments["config"],
        work_dir=folder.path,
        gpu_ids=tuple(arguments["gpu_ids"]),
        overrides=(*arguments["overrides"], *overrides),
        resume="latest",
        processes=manifest.get("world_size", 1),
    )


def _changes(before: Any, after: Any, key: str = "") -> list[str]:
    """``a.b: old → new`` for every setting that differs."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = list(dict.fromkeys([*before, *after]))
        return [
            line
            for name in names
            for line in _changes(before.get(name), after.get(name), f"{key}.{name}".lstrip("."))
        ]
    return [] if before == after else [f"{key}: {before} → {after}"]


def _describe(report: "RunReport") -> str:
    status, process = report.status, report.process
    lines = [
        ("", report.message),
        ("progress", _progress(report)),
        ("mIoU", _miou(report)),
        ("saved", status.last_checkpoint if status and status.last_checkpoint else ""),
        ("config", report.config or ""),
        ("process", f"{process}{', detached' if report.detached else ''}" if process else ""),
        ("started", _when(report.started)),
        ("ended", _when(report.ended)),
        ("last heartbeat", _when(report.updated)),
        ("output", report.console or ""),
    ]
    text = "\n".join(
        [f"{_state(report)} {report.path}", *(f"{label:<14}{value}" for label, value in lines if value)]
    )
    if report.state.value == "running":
        return f"{text}\nstop with:    diffbev-engine runs stop {report.path}"
    return f"{text}\nresume with:  diffbev-engine runs resume {report.path}" if report.resumable else text


def _state(report: "RunReport") -> str:
    mark, colour = _MARKS[report.state.value]
    return click.style(f"{mark} {report.state.value:<11}", fg=colour)


def _progress(report: "RunReport") -> str:
    status = report.status
    return f"{status.step}/{status.max_iters}" if status else ""


def _miou(report: "RunReport") -> str:
    status = report.status
    return f"mIoU {status.best_miou:.4f}" if status and status.best_miou is not None else ""


def _note(report: "RunReport") -> str:
    status = report.status
    if report.state.value != "running":
        note = "resumable" if report.resumable else report.message
        return f"({note})" if note else ""
    if report.activity == "training" and status and status.eta_s:
        return f"({status.it_per_s:.2f} it/s, ETA {timedelta(seconds=round(status.eta_s))})"
    return f"({report.activity})"


def _when(seconds: float | None) -> str:
    if seconds is None:
        return ""
    ago = timedelta(seconds=max(0, round(time.time() - seconds)))
    return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S} ({ago} ago)"
