"""What the command palette offers in addition to keys: steps, runs, commands. No Textual."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.workspace.workspace import BASELINE_CONFIG, BASELINE_RUN, DIFFBEV_CONFIG, DIFFBEV_RUN
from diffbev_tui.engine import engine_command
from diffbev_tui.i18n import tr
from diffbev_tui.lines import say
from diffbev_tui.run_book import short_names
from diffbev_tui.snapshot import Snapshot


@dataclass(frozen=True)
class Entry:
    """One line of the palette."""

    title: str
    kind: Literal["step", "run", "compare", "diagnose", "tool"]
    target: tuple[str, ...]
    """A step; a run, to show or to diagnose; runs to overlay; or the name of a tool and its command."""


def entries(snapshot: Snapshot, *, read_only: bool) -> list[Entry]:
    """In the language of the screen."""
    found: list[Entry] = []
    if snapshot.view is not None:
        for one in snapshot.view.steps:
            title = tr("app.go_to_step", step=one.step.id, title=say(one.step.title, snapshot.roots))
            found.append(Entry(title, "step", (one.step.id,)))
    paths = [run.path for run in snapshot.runs]
    names = dict(zip(paths, short_names(paths), strict=True))
    found += [Entry(tr("app.open_run", run=name), "run", (path,)) for path, name in names.items()]
    pinned = snapshot.book.pinned
    if pinned in names:
        others = ((path, name) for path, name in names.items() if path != pinned)
        found += [
            Entry(tr("app.compare_runs", run=name, other=names[pinned]), "compare", (pinned, path))
            for path, name in others
        ]
    if snapshot.roots is not None and not read_only:
        found += [
            Entry(tr("app.tool_diagnose", method=names[run.path]), "diagnose", (run.path,))
            for run in snapshot.runs
            if run.last_checkpoint
        ]
        found += _tools(snapshot.roots, [path for path in names if RunFolder(Path(path)).metrics.exists()])
    return found


def _tools(roots: WorkspacePaths, runs: list[str]) -> list[Entry]:
    """Commands that only read, or write next to the runs; each with its log."""
    found = []
    for method, config, run in (
        ("Baseline", BASELINE_CONFIG, BASELINE_RUN),
        ("DiffBEV", DIFFBEV_CONFIG, DIFFBEV_RUN),
    ):
        if not (roots.workspace / config).is_file():
            continue
        check = ("preflight", str(config), "--work-dir", str(run))
        found.append(_tool("preflight", check, method=method))
        found.append(_tool("memory", ("memory", str(config)), method=method))
    if runs:
        plots = ("plot-metrics", *runs, "--output-dir", "reports/palette")
        found.append(_tool("plot_metrics", plots, count=len(runs)))
    if not (roots.data_root / "index.jsonl").exists():
        found.append(_tool("prepare", ("prepare", "--nuscenes-root", str(roots.nuscenes_root))))
    return found


def _tool(name: str, arguments: tuple[str, ...], **values: object) -> Entry:
    title = tr(f"app.tool_{name}", **values)
    log = f"{name}_{values['method']}" if "method" in values else name
    return Entry(title, "tool", (log.lower(), *engine_command(*arguments)))
