"""Which run the class table is of, and which one it is compared with. Imports nothing heavy."""

from collections.abc import Sequence

from diffbev_engine.runs.inspect import RunReport
from diffbev_tui.snapshot import Snapshot

_COMPARABLE = 10
"""A run of a tenth of the iterations, such as a smoke test, is compared only if asked for."""


class ClassRuns:
    """Follows the current run until another one is chosen; choices are kept by path, as runs come and go."""

    def __init__(self) -> None:
        self._run = ""
        self._other: str | None = None
        """``None``: not chosen; "": none."""

    def shown(self, snapshot: Snapshot) -> RunReport | None:
        """The run that the table is of."""
        return _named(snapshot.runs, self._run) or snapshot.current

    def other(self, snapshot: Snapshot) -> RunReport | None:
        """The run next to it: the newest evaluated one of similar length, unless one was chosen."""
        run = self.shown(snapshot)
        if run is None or self._other == "":
            return None
        chosen = _named(snapshot.runs, self._other or "")
        if chosen is not None and chosen.path != run.path:
            return chosen
        return next(iter(_comparable(run, snapshot.runs)), None)

    def next_run(self, snapshot: Snapshot) -> None:
        """The table of the next run."""
        run, paths = self.shown(snapshot), [one.path for one in snapshot.runs]
        if run is not None:
            self._run = paths[(paths.index(run.path) + 1) % len(paths)]

    def next_other(self, snapshot: Snapshot) -> None:
        """The next run next to it; after the last one none."""
        run, other = self.shown(snapshot), self.other(snapshot)
        choices = [one.path for one in snapshot.runs if run is None or one.path != run.path] + [""]
        self._other = choices[(choices.index(other.path if other else "") + 1) % len(choices)]


def _named(runs: Sequence[RunReport], path: str) -> RunReport | None:
    return next((run for run in runs if run.path == path), None)


def _comparable(run: RunReport, runs: Sequence[RunReport]) -> list[RunReport]:
    least = (run.status.max_iters if run.status else 0) / _COMPARABLE
    others = [(one, one.status) for one in runs if one.path != run.path]
    return [
        one for one, status in others if status and status.best_miou is not None and status.max_iters > least
    ]
