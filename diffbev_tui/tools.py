"""Engine commands that the palette offers, and each step of the runbook that needs them. No Textual."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from diffbev_engine.findings.command import PROGRAM
from diffbev_engine.runbook.model import Step
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_engine.workspace.workspace import BASELINE_CONFIG, BASELINE_RUN, DIFFBEV_CONFIG, DIFFBEV_RUN
from diffbev_tui.fixes import Fix, command_fix
from diffbev_tui.i18n import language, tr
from diffbev_tui.snapshot import Snapshot

_METHODS = (("Baseline", BASELINE_CONFIG, BASELINE_RUN), ("DiffBEV", DIFFBEV_CONFIG, DIFFBEV_RUN))
_OUTPUT = "reports/palette"
_NAMED = re.compile(r"diffbev-engine ([a-z]+(?:-[a-z]+)*)")
_NEED_A_GPU = ("memory", "visualize")


def tools(snapshot: Snapshot) -> list[Fix]:
    """Every command that can be run in this workspace now."""
    if snapshot.roots is None:
        return []
    found = [prepare(snapshot.roots), _preview(snapshot.roots)]
    for method, config, run in _METHODS:
        if (snapshot.roots.workspace / config).is_file():
            found += _checks(method, config, run)
    return [_sharing(one, snapshot) for one in (*found, *_plots(snapshot), *_pictures(snapshot.roots))]


def tools_of(step: Step, snapshot: Snapshot) -> list[Fix]:
    """Those that help with a step: by what it reads and writes."""
    if snapshot.roots is None:
        return []
    files, found = (*step.inputs, *step.outputs), []
    if any("{data_root}" in name for name in files) and not step.run_dir:
        found += [prepare(snapshot.roots), _preview(snapshot.roots)]
    configs = [Path(name) for name in step.inputs if name.endswith(".py")]
    if step.run_dir and len(configs) == 1:
        found += _checks(Path(step.run_dir).name, configs[0], Path(step.run_dir))
    if any("metrics.csv" in name or "reports/comparison" in name for name in files) and not step.run_dir:
        found += _plots(snapshot)
    if any("best_mIoU.pth" in name or "vis_comparison" in name for name in files) and not step.run_dir:
        found += _pictures(snapshot.roots)
    return [_sharing(one, snapshot) for one in found]


def tools_named(text: str, snapshot: Snapshot) -> list[Fix]:
    """Those that an advice names; only the name is taken from it, as it may come from a file of a run."""
    names = set(_NAMED.findall(text))
    return [fix for fix in tools(snapshot) if fix.argv[0] in names]


def diagnosed_with(step: Step, snapshot: Snapshot) -> RunReport | None:
    """The run that the step is about, where it has a checkpoint to diagnose."""
    names = {step.run_dir, *("/".join(name.split("/")[:2]) for name in step.inputs)} - {""}
    about = [
        run for run in snapshot.runs if run.last_checkpoint and run.path.endswith(tuple(names or ("/",)))
    ]
    return about[0] if len(about) == 1 else None


def prepare(roots: WorkspacePaths) -> Fix:
    """Images and labels of nuScenes."""
    options = ("--nuscenes-root", str(roots.nuscenes_root), "--output-dir", str(roots.data_root))
    return command_fix(tr("app.tool_prepare"), (PROGRAM, "prepare", *options))


def _preview(roots: WorkspacePaths) -> Fix:
    argv = (PROGRAM, "preview-labels", "--data-root", str(roots.data_root), "--out", f"{_OUTPUT}/labels")
    return command_fix(tr("app.tool_labels"), argv)


def _checks(method: str, config: Path, run: Path) -> Iterator[Fix]:
    options = (str(config), "--work-dir", str(run))
    yield command_fix(
        tr("app.tool_preflight", method=method), (PROGRAM, "preflight", *options, "--lang", language())
    )
    yield command_fix(tr("app.tool_memory", method=method), (PROGRAM, "memory", *options))


def _plots(snapshot: Snapshot) -> Iterator[Fix]:
    runs = [run.path for run in snapshot.runs if RunFolder(Path(run.path)).metrics.exists()]
    if runs:
        argv = (PROGRAM, "plot-metrics", *runs, "--output-dir", _OUTPUT)
        yield command_fix(tr("app.tool_plot_metrics", count=len(runs)), argv)


def _pictures(roots: WorkspacePaths) -> Iterator[Fix]:
    """Of the best checkpoints of the two methods, next to each other where there are both."""
    best = [
        (method, str(config), str(checkpoint))
        for method, config, run in _METHODS
        if (roots.workspace / (checkpoint := run / "best_mIoU.pth")).is_file()
    ]
    if not best:
        return
    argv: tuple[str, ...] = (PROGRAM, "visualize", *best[0][1:], "--work-dir", _OUTPUT)
    if len(best) > 1:
        argv += ("--diffbev-config", best[1][1], "--diffbev-checkpoint", best[1][2])
    yield command_fix(tr("app.tool_visualize", methods=", ".join(name for name, *_ in best)), argv)


def _sharing(fix: Fix, snapshot: Snapshot) -> Fix:
    """What uses the GPU leaves it to a training that runs, where it can; else that is said before."""
    busy = [Path(run.path).name for run in snapshot.runs if run.state is RunCondition.RUNNING]
    if not busy or fix.argv[0] not in _NEED_A_GPU:
        return fix
    if fix.argv[0] == "visualize":
        return command_fix(fix.text, (PROGRAM, *fix.argv, "--device", "cpu"))
    return replace(fix, changes=f"{fix.changes}\n{tr('app.tool_shares', runs=', '.join(busy))}")
