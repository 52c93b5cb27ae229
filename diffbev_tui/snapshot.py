"""What the screens show, taken together in a thread about once a second. No I/O happens elsewhere for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.gpu.reading import GpuReading
from diffbev_engine.runbook.load import load_runbook
from diffbev_engine.runbook.model import Runbook
from diffbev_engine.runbook.prediction import predicted_seconds
from diffbev_engine.runbook.state import StateStore
from diffbev_engine.runbook.timeline import Timeline, timeline
from diffbev_engine.runbook.view import RunbookView, view_runbook
from diffbev_engine.runbook.workspace_paths import WorkspacePaths
from diffbev_engine.runs.find import find_runs
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.verdict import RunCondition
from diffbev_tui.alert_log import AlertLog, RunAlert
from diffbev_tui.gpu_history import GpuHistory
from diffbev_tui.run_book import BookPage, RunBook
from diffbev_tui.run_reports import RunReports

_FIND_RUNS_EVERY_S = 5.0
_LARGEST_SHARE = 0.1
"""Of the time that reading the runbook's files may take."""

_Taken = TypeVar("_Taken")


@dataclass(frozen=True)
class Snapshot:
    """A workspace at one moment."""

    taken: float
    """Unix time."""
    roots: WorkspacePaths | None = None
    runbook: Runbook | None = None
    view: RunbookView | None = None
    runs: tuple[RunReport, ...] = ()
    """The newest start first."""
    timeline: Timeline | None = None
    """The timeline; not yet in the first snapshot, which is not to wait for configurations."""
    gpus: GpuReading = field(default_factory=GpuReading)
    gpu_history: GpuHistory = field(default_factory=GpuHistory, compare=False)
    book: BookPage = field(default_factory=BookPage)
    """Letters, tags, notes and settings of the runs."""
    alerts: tuple[RunAlert, ...] = ()
    """Of all runs, the newest first."""
    read_only: bool = True
    """Whether nothing may be started, stopped or written from here."""
    lock_owner: str = ""
    """Who controls the workspace, if not this UI."""
    trouble: tuple[str, ...] = ()
    """What could not be read, in words."""

    @property
    def current(self) -> RunReport | None:
        """The run that is in progress, else the newest."""
        alive = (run for run in self.runs if run.state is RunCondition.RUNNING)
        return next(alive, self.runs[0] if self.runs else None)


class Sampler:
    """Takes snapshots of one workspace; to be called from one thread at a time."""

    def __init__(self, roots: WorkspacePaths | None) -> None:
        self.roots = roots
        self._runbook: Runbook | None = None
        self._view: RunbookView | None = None
        self._view_due = 0.0
        self._state_stamp: object = None
        self._runs: tuple[Path, ...] = ()
        self._reports = RunReports()
        self._alerts = AlertLog()
        self._book = RunBook(roots.state_folder) if roots is not None else None
        self._runs_due = 0.0

    def take(self, *, may_write: bool = False) -> Snapshot:
        """Check files and processes; never raises for what they hold.

        Args:
            may_write: give new runs a letter in their directory.
        """
        trouble: list[str] = []
        first = self._view is None
        if self.roots is None or self._book is None:
            return Snapshot(time.time())
        _try(self._read_runbook, trouble)
        runs = _try(self._read_runs, trouble) or ()
        now = time.time()
        times = None if first else _try(partial(self._read_times, runs, now), trouble)
        return Snapshot(
            now,
            self.roots,
            self._runbook,
            self._view,
            runs,
            times,
            book=self._book.read(runs, may_write=may_write),
            alerts=self._alerts.read(run.path for run in runs),
            trouble=tuple(trouble),
        )

    def _read_runbook(self) -> None:
        assert self.roots is not None
        stamp = _stamp(self.roots.state_folder)
        now = time.monotonic()
        if self._view is not None and stamp == self._state_stamp and now < self._view_due:
            return
        self._runbook = self._runbook or load_runbook(self.roots)
        self._view = view_runbook(self._runbook, StateStore(self.roots).read(), self.roots)
        self._state_stamp = stamp
        self._view_due = time.monotonic() + (time.monotonic() - now) / _LARGEST_SHARE

    def _read_times(self, runs: tuple[RunReport, ...], now: float) -> Timeline | None:
        if self._view is None or self.roots is None:
            return None
        return timeline(self._view, self.roots, runs, predicted_seconds(self._view, self.roots, runs), now)

    def _read_runs(self) -> tuple[RunReport, ...]:
        assert self.roots is not None
        if time.monotonic() >= self._runs_due:
            self._runs = tuple(path for folder in self.roots.run_folders for path in find_runs(folder))
            self._runs_due = time.monotonic() + _FIND_RUNS_EVERY_S
        return self._reports.look(self._runs)


def _stamp(folder: Path) -> object:
    try:
        return tuple(sorted((entry.name, entry.stat().st_mtime_ns) for entry in folder.glob("*.json")))
    except OSError:
        return None


def _try(read: Callable[[], _Taken], trouble: list[str]) -> _Taken | None:
    try:
        return read()
    except (DiffBEVError, OSError) as error:
        trouble.append(str(error))
        return None
