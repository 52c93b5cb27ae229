"""What has become of each run, checked again only where something can have changed."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import file_stamp
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport, inspect_run
from diffbev_engine.runs.slurm import JobState, job_words, states_of
from diffbev_engine.runs.verdict import RunCondition

_CHANGING = (RunCondition.RUNNING, RunCondition.UNKNOWN)
"""What time alone can change: a process ends, a machine falls silent."""
_ASK_EVERY_S = 15.0
_SLURM_WITHIN_S = 2.0
"""It is asked only where a run waits in its queue, and not waited for."""


class RunReports:
    """Remembers the reports of runs that are over; all calls from one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[object, RunReport]] = {}
        self.inspected = 0
        """How many runs were looked into so far."""
        self._jobs: dict[str, JobState] = {}
        self._jobs_due = 0.0

    def look(self, paths: Iterable[Path]) -> tuple[RunReport, ...]:
        """The reports, the newest start first."""
        found = {path: self._report(path) for path in paths if path.is_dir()}
        self._known = {path: report for path, report in found.items() if report is not None}
        reports = [report for _, report in self._known.values()]
        newest_first = sorted(reports, key=lambda run: run.started or run.updated or 0.0, reverse=True)
        return tuple(self._with_jobs(newest_first))

    def _with_jobs(self, reports: Sequence[RunReport]) -> Sequence[RunReport]:
        """What SLURM says of the jobs of runs that are neither running nor finished."""
        out_of_it = (RunCondition.RUNNING, RunCondition.FINISHED)
        waiting = {run.path: run.slurm_job for run in reports if run.slurm_job and run.state not in out_of_it}
        if not waiting:
            return reports
        if time.monotonic() >= self._jobs_due:
            self._jobs = states_of(waiting.values(), within_s=_SLURM_WITHIN_S) or {}
            self._jobs_due = time.monotonic() + _ASK_EVERY_S
        words = {path: job_words(job, self._jobs[job]) for path, job in waiting.items() if job in self._jobs}
        return [replace(run, slurm=words[run.path]) if run.path in words else run for run in reports]

    def _report(self, path: Path) -> tuple[object, RunReport] | None:
        stamp = _stamp(RunFolder(path))
        known = self._known.get(path)
        if known is not None and known[0] == stamp and known[1].state not in _CHANGING:
            return known
        self.inspected += 1
        try:
            return stamp, inspect_run(path)
        except DiffBEVError:  # it was removed a moment ago
            return None


def _stamp(folder: RunFolder) -> object:
    """What is different as soon as one of the files is that a report is made of."""
    files = (folder.path, folder.manifest, folder.status, folder.launch, folder.lock)  # its checkpoints, too
    return tuple(map(file_stamp, files))
