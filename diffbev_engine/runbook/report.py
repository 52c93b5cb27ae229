"""The report of a runbook: its content, for :mod:`report_markdown` and :mod:`report_html`."""

import platform
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine import __version__
from diffbev_engine.core.bilingual import Language
from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import make_writable_dir, write_text
from diffbev_engine.core.gpu.reading import read_gpus
from diffbev_engine.core.image_header import image_header
from diffbev_engine.core.regular_file import open_regular
from diffbev_engine.runbook.model import Runbook
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.view import RunbookView, view_runbook
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.inspect import inspect_run
from diffbev_engine.runs.manifest import git_state, package_versions
from diffbev_engine.runs.metrics.file import read_metrics

_FIGURES = (
    "reports/comparison/plots/mIoU*.png",
    "reports/comparison/plots/*.png",
    "reports/**/*.png",
    "runs/*/vis/*.png",
    "runs/diagnose/**/*.png",
)
_MOST_FIGURES = 60
_LARGEST_FIGURE = 5 * 1024 * 1024


@dataclass(frozen=True)
class RunSummary:
    """One run directory, in a line."""

    name: str
    state: str
    step: int | None
    best_miou: float | None
    best_step: int | None


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report shows."""

    roots: WorkspacePaths
    view: RunbookView
    language: Language
    written: float
    environment: tuple[tuple[str, str], ...]
    runs: tuple[RunSummary, ...]
    figures: tuple[Path, ...]
    left_out: int = 0
    """Figures beyond the most that one report holds."""


def read_content(runbook: Runbook, roots: WorkspacePaths, language: Language) -> ReportContent:
    """Check everything; nothing is changed."""
    view = view_runbook(runbook, StateStore(roots).read(), roots)
    figures = _figures(roots)
    return ReportContent(
        roots=roots,
        view=view,
        language=language,
        written=time.time(),
        environment=_environment(roots, language),
        runs=tuple(_runs(roots)),
        figures=tuple(figures[:_MOST_FIGURES]),
        left_out=max(0, len(figures) - _MOST_FIGURES),
    )


def write_report(content: ReportContent, folder: Path) -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.html`` into ``folder``.

    Raises:
        DiffBEVError: the folder cannot be written.
    """
    from diffbev_engine.runbook.report_html import to_html
    from diffbev_engine.runbook.report_markdown import to_markdown

    make_writable_dir(folder, "folder of the report")
    markdown, html = folder / "report.md", folder / "report.html"
    write_text(markdown, to_markdown(content, folder))
    write_text(html, to_html(content))
    return markdown, html


def _environment(roots: WorkspacePaths, language: Language) -> tuple[tuple[str, str], ...]:
    found = read_gpus()
    names = "; ".join(gpu.problem[language] or gpu.label for gpu in found.gpus)
    git = git_state(Path(__file__).parent)
    commit = f"{git['commit'][:12]}{' + changes' if git['dirty'] else ''}" if git else "–"
    return (
        ("workspace", str(roots.workspace)),
        ("nuScenes", str(roots.nuscenes_root)),
        ("host", f"{socket.gethostname()}, {platform.platform()}"),
        ("GPU", names or found.problem[language]),
        ("driver", found.driver or "–"),
        ("Python", f"{platform.python_version()} ({sys.prefix})"),
        ("diffbev", f"{__version__}, commit {commit}"),
        *package_versions().items(),
    )


def _runs(roots: WorkspacePaths) -> Sequence[RunSummary]:
    found = []
    for folder in sorted((roots.workspace / "runs").glob("*")):
        if not (folder / "metrics.csv").exists() and not (folder / "status.json").exists():
            continue
        try:
            metrics = read_metrics(folder / "metrics.csv", columns=())
            miou, step = metrics.series("mIoU"), metrics.last_step
        except DiffBEVError:
            miou, step = None, None
        best = max(zip(miou.values, miou.steps, strict=True), default=None) if miou else None
        found.append(
            RunSummary(
                folder.name,
                _state(folder),
                step,
                best[0] if best else None,
                best[1] if best else None,
            )
        )
    return found


def _state(folder: Path) -> str:
    try:
        run = inspect_run(folder)
    except DiffBEVError:  # a metrics.csv alone
        return "–"
    return run.activity or run.state.value


def _figures(roots: WorkspacePaths) -> list[Path]:
    found: dict[Path, None] = {}
    for pattern in _FIGURES:
        for path in sorted(roots.workspace.glob(pattern)):
            if _is_figure(path, roots):
                found[path] = None
    return list(found)


def _is_figure(path: Path, roots: WorkspacePaths) -> bool:
    """Whether it is a PNG of the workspace: a link could carry any file of a reader into the report."""
    try:
        with open_regular(path) as file:
            return (
                path.stat().st_size <= _LARGEST_FIGURE
                and roots.holds(path)
                and image_header(file) is not None
            )
    except OSError:
        return False
