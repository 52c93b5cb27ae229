"""Facts about a failure: log, run directory, exit status."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffbev_engine.core.errors import UsageError
from diffbev_engine.runbook.model import Step
from diffbev_engine.runbook.workspace_paths import WorkspacePaths

_TAIL = 4 * 1024 * 1024


@dataclass(frozen=True)
class Case:
    """Everything that a diagnosis may look at."""

    roots: WorkspacePaths | None
    log: str = ""
    """The end of the output."""
    log_path: Path | None = None
    run_dir: Path | None = None
    exit_code: int | None = None
    step: Step | None = None
    """The step that failed."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """``status.json``."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """``run.json``."""
    oom_report: Mapping[str, Any] = field(default_factory=dict)


def case_of(target: Path, roots: WorkspacePaths | None) -> Case:
    """The case of a run directory or a log.

    Raises:
        UsageError: there is no such file or folder.
    """
    if target.is_dir():
        return case_of_run(target, roots)
    if not target.is_file():
        raise UsageError(f"no run directory or log {target}. `diffbev-engine runs list` names the runs.")
    run_dir = target.parent if (target.parent / "status.json").exists() else None
    about = case_of_run(run_dir, roots) if run_dir else Case(roots)
    return Case(
        roots,
        log=read_tail(target),
        log_path=target,
        run_dir=run_dir,
        status=about.status,
        manifest=about.manifest,
        oom_report=about.oom_report,
    )


def case_of_run(run_dir: Path, roots: WorkspacePaths | None, step: Step | None = None) -> Case:
    """The case of a run directory, with its newest log."""
    logs = sorted(
        (path for pattern in ("train_*.log", "console_*.log", "*.log") for path in run_dir.glob(pattern)),
        key=lambda path: path.stat().st_mtime,
    )
    newest = logs[-1] if logs else None
    launch = read_json(run_dir / "launch.json")
    code = 137 if launch.get("signal") == "SIGKILL" else launch.get("exit_code")  # as a shell counts it
    return Case(
        roots,
        log="".join(read_tail(path) for path in dict.fromkeys(logs[-2:])),
        log_path=newest,
        run_dir=run_dir,
        exit_code=code if isinstance(code, int) else None,
        step=step,
        status=read_json(run_dir / "status.json"),
        manifest=read_json(run_dir / "run.json"),
        oom_report=read_json(run_dir / "oom_report.json"),
    )


def read_tail(path: Path, most: int = _TAIL) -> str:
    """The end of a text file; empty when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - most))
            return file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
