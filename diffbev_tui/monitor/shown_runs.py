"""Which runs the charts overlay. Imports nothing heavy."""

from collections.abc import Sequence

from diffbev_engine.runs.inspect import RunReport
from diffbev_tui.monitor.text import run_steps
from diffbev_tui.run_book import MOST, short_names
from diffbev_tui.run_state import run_state
from diffbev_tui.snapshot import Snapshot

_FIRST = 4
_COMPARABLE = 10
"""A run of a tenth of the iterations, such as a smoke test, is not overlaid unless asked for."""


class ShownRuns:
    """Up to six runs by the letter that each keeps."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}
        """Path of the run directory by letter, in the order of letters."""
        self._focus: str | None = None

    def follow(self, snapshot: Snapshot, chosen: Sequence[str]) -> None:
        """Those that were chosen; else the current one and those that compare with it."""
        there = {run.path for run in snapshot.runs}
        wanted = [path for path in chosen if path in there] or _comparable(snapshot)
        lettered = ((snapshot.book.letter(path), path) for path in wanted[:MOST])
        self.letters = dict(sorted((letter, path) for letter, path in lettered if letter))

    def letter_of(self, path: str) -> str:
        """The letter of a run; "" if it is not shown."""
        return next((letter for letter, shown in self.letters.items() if shown == path), "")

    def names(self) -> dict[str, str]:
        """A short name by letter; with its folder where two would be the same."""
        return dict(zip(self.letters, short_names(list(self.letters.values())), strict=True))

    def choices(self, snapshot: Snapshot) -> list[tuple[str, str]]:
        """All runs by path, with the words to choose them by."""
        names = short_names([run.path for run in snapshot.runs])
        return [
            (run.path, f"{snapshot.book.letter(run.path)} {name}  {run_state(run)}  {run_steps(run)}")
            for run, name in zip(snapshot.runs, names, strict=True)
        ]

    def focused(self, snapshot: Snapshot) -> RunReport | None:
        """The run whose figures are shown: the one that was asked for, else the current one."""
        asked = next((run for run in snapshot.runs if run.path == self._focus), None)
        return asked or snapshot.current

    def focus(self, path: str) -> None:
        """Show the figures of this run."""
        self._focus = path

    def focus_next(self, snapshot: Snapshot) -> None:
        """The next run that is shown."""
        if not self.letters:
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
