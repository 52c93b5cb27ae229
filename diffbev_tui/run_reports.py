"""What has become of each run, checked again only where something can have changed."""

from collections.abc import Iterable
from pathlib import Path

from diffbev_engine.core.errors import DiffBEVError
from diffbev_engine.core.files import file_stamp
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport, inspect_run
from diffbev_engine.runs.verdict import RunCondition

_CHANGING = (RunCondition.RUNNING, RunCondition.UNKNOWN)
"""What time alone can change: a process ends, a machine falls silent."""


class RunReports:
    """Remembers the reports of runs that are over; all calls from one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[object, RunReport]] = {}
        self.inspected = 0
        """How many runs were looked into so far."""

    def look(self, paths: Iterable[Path]) -> tuple[RunReport, ...]:
        """The reports, the newest start first."""
        found = {path: self._report(path) for path in paths if path.is_dir()}
        self._known = {path: report for path, report in found.items() if report is not None}
        reports = [report for _, report in self._known.values()]
        return tuple(sorted(reports, key=lambda run: run.started or run.updated or 0.0, reverse=True))

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
