"""``diffbev-engine init``."""

import json
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from diffbev_engine.cli.options import json_option
from diffbev_engine.core.plain_text import plain_json
from diffbev_engine.nuscenes.versions import RUNBOOK_VERSION

if TYPE_CHECKING:
    from diffbev_engine.workspace.init import FileReport, InitReport
    from diffbev_engine.workspace.workspace import Workspace


@click.command(short_help="Create a workspace for the runbook.")
@click.argument("workspace", type=click.Path(path_type=Path))
@click.option(
    "--nuscenes-root",
    type=click.Path(path_type=Path),
    help="nuScenes directory (with samples/, maps/ and v1.0-…/). Optional for an existing workspace.",
)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path),
    help="Directory for prepared images, labels and depth, if the nuScenes directory is read-only or shared. "
    "[default: the nuScenes directory]",
)
@click.option("--demo", is_flag=True, help="Small images, model and iteration counts that run on a CPU.")
@click.option(
    "--upgrade",
    is_flag=True,
    help="Update an existing workspace and show a diff of the files you changed.",
)
@json_option
def command(
    workspace: Path,
    nuscenes_root: Path | None,
    data_root: Path | None,
    demo: bool,
    upgrade: bool,
    as_json: bool,
) -> None:
    """Create WORKSPACE, a directory in which every runbook command runs as written.

    Configurations, training scripts, tools and run folders; the nuScenes root is entered in
    configs/_base_/datasets/nuscene.py. Files you changed are listed and never overwritten.
    """
    from diffbev_engine.workspace.init import init_workspace

    report = init_workspace(workspace, nuscenes_root, data_root=data_root, demo=demo, upgrade=upgrade)
    if as_json:
        click.echo(plain_json(json.dumps(_to_dict(report), indent=1, ensure_ascii=False)))
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
    _show_data(report.workspace)
    for path in dict.fromkeys(
        (str(place), str(report.workspace.nuscenes_root), str(report.workspace.data_root))
    ):
        if shlex.quote(path) != path:
            click.echo(
                f"note: {path} must be quoted in the runbook commands; a path without special "
                f"characters avoids this"
            )
    if not report.existed:
        click.echo(
            "cameras: this workspace uses the front camera (data.cameras='front'); the presets use all"
        )
        click.echo(f"next: cd {shlex.quote(str(place))}")


def _show_data(workspace: "Workspace") -> None:
    """Which tables and cameras the runbook will use, and what is left to do."""
    from diffbev_engine.nuscenes.versions import is_annotated, versions_in

    root = workspace.nuscenes_root
    usable = [name for name in versions_in(root) if is_annotated(root / name)]
    if usable and RUNBOOK_VERSION not in usable:
        click.echo(
            f"workspace uses {', '.join(usable)}: the tools run step 4.0 with it where the runbook says "
            f"{RUNBOOK_VERSION}"
        )
    if workspace.separate_data_root:
        click.echo(f"prepared data goes to {workspace.data_root}; {root} is only read")
    elif not os.access(root, os.W_OK):
        click.echo(f"note: {root} is read-only; keep prepared data elsewhere with --data-root DIR")
    if not (workspace.data_root / "img_dir").is_dir():
        raw, data = shlex.quote(str(root)), shlex.quote(str(workspace.data_root))
        output = f" --output-dir {data}" if workspace.separate_data_root else ""
        click.echo(f"{data} is not prepared yet. Run `diffbev-engine prepare --nuscenes-root {raw}{output}`")


def _with_counts(file: "FileReport") -> str:
    added, removed = file.lines
    return f"{file.path}  +{added} -{removed}"


def _to_dict(report: "InitReport") -> dict[str, object]:
    return {
        "workspace": str(report.workspace.root),
        "nuscenes_root": str(report.workspace.nuscenes_root),
        "data_root": str(report.workspace.data_root),
        "demo": report.workspace.demo,
        "existed": report.existed,
        "files": [
            {"path": file.path, "outcome": file.outcome.value, "news": file.news, "diff": file.diff}
            for file in report.files
        ],
    }
