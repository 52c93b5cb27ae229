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
from diffbev_engine.runbook.model import Step
from diffbev_engine.runbook.prediction import Prediction, config_of, predict
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_tui.engine import ask_engine
from diffbev_tui.format import duration
from diffbev_tui.i18n import language, tr

_PREFLIGHT_S = 120.0
_SHOWN_FINDINGS = 3


@dataclass(frozen=True)
class Outlook:
    """What is worth knowing before a long training."""

    lines: tuple[str, ...] = ()
    """Duration, disk, memory, preflight; what is not known is left out."""
    remedies: tuple[Remedy, ...] = ()
    """Of what preflight found, errors first."""


def outlook(step: Step, roots: WorkspacePaths, runs: Sequence[RunReport]) -> Outlook:
    """What earlier runs, the disk and ``preflight`` show."""
    config, prediction = config_of(step, roots), predict(step, roots, runs)
    if config is None or prediction is None:
        return Outlook()
    run = prediction.measured
    lines = [_duration(prediction), _disk(config[1], run, roots.workspace / step.run_dir)]
    if run and run.status and run.status.gpu_mem_mb:
        lines.append(tr("runbook.outlook_memory", run=_name(run), size=mib_size(run.status.gpu_mem_mb)))
    found = _preflight(config[0], roots, step)
    return Outlook((*(line for line in lines if line), *found.lines), found.remedies)


def _name(run: RunReport) -> str:
    return plain(Path(run.path).name)


def _duration(prediction: Prediction) -> str:
    count, took = f"{prediction.iterations:,}", prediction.seconds()
    if took is None or prediction.measured is None:
        return tr("runbook.outlook_iterations", count=count)
    speed, run = f"{prediction.it_per_s:.3g}", _name(prediction.measured)
    return tr("runbook.outlook_time", count=count, took=duration(took), speed=speed, run=run)


def _disk(settings: Mapping[str, Any], run: RunReport | None, run_dir: Path) -> str:
    existing = next(folder for folder in (run_dir, *run_dir.parents) if folder.exists())
    free, checkpoint = free_bytes(existing), size_of(RunFolder(Path(run.path)).latest) if run else None
    if free is None or checkpoint is None:
        return "" if free is None else tr("runbook.outlook_free", free=byte_size(free))
    need = checkpoints_at_once(settings["checkpoint_config"]["max_keep_ckpts"]) * checkpoint
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
