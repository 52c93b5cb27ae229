"""``diffbev-engine init``."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli.options import json_option

if TYPE_CHECKING:
    from diffbev_engine.workspace.init import FileReport, InitReport


@click.command(short_help="Create a workspace for the runbook.")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option(
    "--nuscenes-root",
    type=click.Path(path_type=Path),
    help="nuScenes directory (with samples/, maps/ and v1.0-…/). Optional for an existing workspace.",
)
@click.option("--demo", is_flag=True, help="Small images, model and iteration counts that run on a CPU.")
@click.option(
    "--upgrade",
    is_flag=True,
    help="Update an existing workspace and show a diff of the files you changed.",
)
@json_option
def command(workspace: Path, nuscenes_root: Path | None, demo: bool, upgrade: bool, as_json: bool) -> None:
    """Create WORKSPACE, a directory in which every runbook command runs as written.

    Configurations, training scripts, tools and run folders; the nuScenes root is entered in
    configs/_base_/datasets/nuscene.py. Files you changed are listed and never overwritten.
    """
    from diffbev_engine.workspace.init import init_workspace

    report = init_workspace(workspace, nuscenes_root, demo=demo, upgrade=upgrade)
    if as_json:
        click.echo(json.dumps(_to_dict(report), indent=1, ensure_ascii=False))
        return
    _show(report, diffs=upgrade)


def _show(report: "InitReport", *, diffs: bool) -> None:
    from diffbev_engine.workspace.init import Outcome

    place = report.workspace.root
    counts = [f"{len(report.of(outcome))} {outcome.value}" for outcome in Outcome if report.of(outcome)]
    kind = "demo workspace" if report.workspace.demo else "workspace"
    click.echo(f"{kind} {place}: {len(report.files)} files, {', '.join(counts)}")
    for file in report.of(Outcome.UPDATED):
        click.echo(f"  updated  {_with_counts(file)}")
    for file in report.of(Outcome.KEPT):
        why = "changed by you" if not file.news else "changed by you; differs from the packaged version"
        click.echo(f"  kept     {_with_counts(file)}  ({why})")
    if diffs:
        for file in report.of(Outcome.KEPT):
            if file.news:
                click.echo(f"\n{file.diff}", nl=False)
    elif any(file.news for file in report.of(Outcome.KEPT)):
        click.echo(f"To see the differences, run `diffbev-engine init {shlex.quote(str(place))} --upgrade`")
    if not (report.workspace.nuscenes_root / "img_dir").is_dir():
        root = shlex.quote(str(report.workspace.nuscenes_root))
        click.echo(f"{root} is not prepared yet. Run `diffbev-engine prepare --nuscenes-root {root}`")
    for path in (str(place), str(report.workspace.nuscenes_root)):
        if shlex.quote(path) != path:
            click.echo(
                f"note: {path} must be quoted in the runbook commands; a path without special "
                f"characters avoids this"
            )
    if not report.existed:
        click.echo(f"next: cd {shlex.quote(str(place))}")


def _with_counts(file: "FileReport") -> str:
    added, removed = file.lines
    return f"{file.path}  +{added} -{removed}"


def _to_dict(report: "InitReport") -> dict[str, object]:
    return {
        "workspace": str(report.workspace.root),
        "nuscenes_root": str(report.workspace.nuscenes_root),
        "demo": report.workspace.demo,
        "existed": report.existed,
        "files": [
            {"path": file.path, "outcome": file.outcome.value, "news": file.news, "diff": file.diff}
            for file in report.files
        ],
    }
