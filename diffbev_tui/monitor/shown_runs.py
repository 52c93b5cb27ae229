"""Which runs the charts overlay, and the letter that each keeps. Imports nothing heavy."""

from collections.abc import Sequence
from pathlib import Path

from diffbev_engine.runs.inspect import RunReport
from diffbev_tui.charts.chart import LETTERS
from diffbev_tui.snapshot import Snapshot

_FIRST = 4
_COMPARABLE = 10
"""A run of a tenth of the iterations, such as a smoke test, is not overlaid unless asked for."""


class ShownRuns:
    """Up to six runs by letter; a letter stays with its run while that is shown."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}
        """Path of the run directory by letter, in the order of letters."""
        self._chosen = False
        self._focus: str | None = None

    def follow(self, snapshot: Snapshot) -> None:
        """Unless runs were chosen: the current one and those that compare with it, the oldest first."""
        there = {run.path for run in snapshot.runs}
        if self._chosen:
            return
        wanted = _comparable(snapshot)
        gone = any(path not in there for path in self.letters.values())
        if gone or not set(wanted) <= set(self.letters.values()):
            self._assign(wanted)

    def choose(self, paths: Sequence[str]) -> None:
        """Show just these."""
        self._chosen = True
        self._assign(paths)

    def _assign(self, paths: Sequence[str]) -> None:
        kept = {letter: path for letter, path in self.letters.items() if path in paths}
        free = [letter for letter in LETTERS if letter not in kept]
        new = [path for path in paths if path not in kept.values()]
        kept.update(zip(free, new, strict=False))
        self.letters = dict(sorted(kept.items()))

    def letter_of(self, path: str) -> str:
        """The letter of a run; "" if it is not shown."""
        return next((letter for letter, shown in self.letters.items() if shown == path), "")

    def names(self) -> dict[str, str]:
        """A short name by letter; with its folder where two would be the same."""
        return dict(zip(self.letters, _names(list(self.letters.values())), strict=True))

    def named_runs(self, snapshot: Snapshot | None) -> list[tuple[RunReport, str]]:
        """Every run there is and a short name for it, the newest first."""
        runs = snapshot.runs if snapshot else ()
        return list(zip(runs, _names([run.path for run in runs]), strict=True))

    def focused(self, snapshot: Snapshot) -> RunReport | None:
        """The run whose figures are shown: the one that was asked for, else the current one."""
        asked = next((run for run in snapshot.runs if run.path == self._focus), None)
        return asked or snapshot.current

    def focus(self, path: str) -> None:
        """Show the figures of this run."""
        self._focus = path
        if path not in self.letters.values():
            self.choose([*self.letters.values(), path][-len(LETTERS) :])

    def focus_next(self, snapshot: Snapshot | None) -> None:
        """The next run that is shown."""
        if snapshot is None or not self.letters:
            return
        paths = list(self.letters.values())
        now = self.focused(snapshot)
        place = paths.index(now.path) if now and now.path in paths else -1
        self._focus = paths[(place + 1) % len(paths)]


def _comparable(snapshot: Snapshot) -> list[str]:
    current = snapshot.current
    if current is None:
        return []
    least = (current.status.max_iters if current.status else 0) / _COMPARABLE
    others = [
        run
        for run in snapshot.runs
        if run.path != current.path and run.status and run.status.step and run.status.max_iters >= least
    ]
    shown = [current, *others[: _FIRST - 1]]
    return [run.path for run in sorted(shown, key=lambda run: run.started or 0.0)]


def _names(paths: Sequence[str]) -> list[str]:
    names = [Path(path).name for path in paths]
    return [
        "/".join(Path(path).parts[-2:]) if names.count(name) > 1 else name
        for path, name in zip(paths, names, strict=True)
    ]
