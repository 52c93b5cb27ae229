"""What a training that is about to start will take: checks, time, disk, memory. No Textual; for threads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from diffbev_engine.core.disk import checkpoints_at_once, free_bytes, size_of
from diffbev_engine.core.format import byte_size, mib_size
from diffbev_engine.core.plain_text import plain
from diffbev_engine.findings.finding import Remedy
from diffbev_engine.runbook.files import settings_of
from diffbev_engine.runbook.model import Step
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_tui.engine import ask_engine
from diffbev_tui.format import duration
from diffbev_tui.i18n import language, tr

_PREFLIGHT_S = 120.0
_SHOWN_FINDINGS = 3


@dataclass(frozen=True)
class _Measured:
    """What an earlier run shows of how a training goes here."""

    name: str
    it_per_s: float | None
    gpu_mem_mb: float | None
    checkpoint: int | None


@dataclass(frozen=True)
class Outlook:
    """What is worth knowing before a long training."""

    lines: tuple[str, ...] = ()
    """Duration, disk, memory, preflight; what is not known is left out."""
    remedies: tuple[Remedy, ...] = ()
    """Of what preflight found, errors first."""


def outlook(step: Step, roots: WorkspacePaths, runs: Sequence[RunReport]) -> Outlook:
    """What earlier runs, the disk and ``preflight`` show."""
    configs = [roots.path(name) for name in step.inputs if name.endswith(".py")]
    settings = settings_of(configs[0]) if len(configs) == 1 else None
    if settings is None:
        return Outlook()
    measured = _measured(step, roots, runs)
    lines = [_duration(settings, measured), _disk(settings, measured, roots.workspace / step.run_dir)]
    if measured and measured.gpu_mem_mb:
        peak = mib_size(measured.gpu_mem_mb)
        lines.append(tr("runbook.outlook_memory", run=measured.name, size=peak))
    found = _preflight(configs[0], roots, step)
    return Outlook((*(line for line in lines if line), *found.lines), found.remedies)


def _measured(step: Step, roots: WorkspacePaths, runs: Sequence[RunReport]) -> _Measured | None:
    """Of the run that the step wrote before, else of the newest run with a speed."""
    own = str((roots.workspace / step.run_dir).resolve())
    known = [run for run in runs if run.status and run.status.it_per_s]
    run = next((one for one in known if one.path == own), known[0] if known else None)
    if run is None or run.status is None:
        return None
    latest = RunFolder(Path(run.path)).latest
    return _Measured(Path(run.path).name, run.status.it_per_s, run.status.gpu_mem_mb, size_of(latest))


def _duration(settings: Mapping[str, Any], measured: _Measured | None) -> str:
    iterations = settings["runner"]["max_iters"]
    if measured is None or not measured.it_per_s:
        return tr("runbook.outlook_iterations", count=f"{iterations:,}")
    took = duration(iterations / measured.it_per_s)
    speed = f"{measured.it_per_s:.3g}"
    return tr("runbook.outlook_time", count=f"{iterations:,}", took=took, speed=speed, run=measured.name)


def _disk(settings: Mapping[str, Any], measured: _Measured | None, run_dir: Path) -> str:
    existing = next(folder for folder in (run_dir, *run_dir.parents) if folder.exists())
    free = free_bytes(existing)
    if free is None or measured is None or measured.checkpoint is None:
        return "" if free is None else tr("runbook.outlook_free", free=byte_size(free))
    need = checkpoints_at_once(settings["checkpoint_config"]["max_keep_ckpts"]) * measured.checkpoint
    return tr("runbook.outlook_disk", need=byte_size(need), free=byte_size(free))


def _preflight(config: Path, roots: WorkspacePaths, step: Step) -> Outlook:
    """The counts of ``preflight``, what it warns of, and what to do about that."""
    run_dir = roots.workspace / step.run_dir
    try:
        answer = ask_engine(
            *("preflight", config, "--work-dir", run_dir, "--json"),
            cwd=roots.workspace,
            timeout_s=_PREFLIGHT_S,
        )
        result = json.loads(answer.output[answer.output.index("{") :])
    except (SubprocessError, OSError, ValueError):
        return Outlook((tr("runbook.outlook_no_preflight"),))
    counts = result["counts"]
    lines = [
        tr("runbook.outlook_preflight", ok=counts["ok"], warnings=counts["warning"], errors=counts["error"])
    ]
    bad = [one for one in result["findings"] if one["level"] != "ok"]
    bad.sort(key=lambda one: one["level"] != "error")
    for one in bad[:_SHOWN_FINDINGS]:
        mark = "✗" if one["level"] == "error" else "!"
        lines.append(f"  {mark} {plain(one['what'][language()])}")
    remedies = {one.command or one.text: one for one in map(Remedy.from_json, _remedies(bad))}
    return Outlook(tuple(lines), tuple(remedies.values()))


def _remedies(findings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [remedy for finding in findings for remedy in finding["remedies"]]
