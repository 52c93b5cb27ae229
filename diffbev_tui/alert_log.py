"""The alerts of all runs, as their files tell them. No Textual."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diffbev_engine.core.files import file_stamp
from diffbev_engine.core.plain_text import plain
from diffbev_engine.runs.alerts import GOOD, Alert, AlertKind, alert_words, read_alerts
from diffbev_engine.runs.folder import RunFolder
from diffbev_tui.i18n import language

KEPT = 300
GLYPHS = {
    AlertKind.NEW_BEST: "✓",
    AlertKind.FINISHED: "✓",
    AlertKind.CONTINUES: "●",
    AlertKind.INTERRUPTED: "○",
}


@dataclass(frozen=True)
class RunAlert:
    """An alert and whose it is."""

    run: str
    """Path of the run directory."""
    alert: Alert

    @property
    def name(self) -> str:
        """The name of the run."""
        return plain(Path(self.run).name)

    @property
    def good(self) -> bool:
        """Whether there is no reason to act."""
        return self.alert.kind in GOOD

    @property
    def glyph(self) -> str:
        """What kind it is, for terminals without colour."""
        bad_end = self.alert.kind in (AlertKind.FAILED, AlertKind.OOM, AlertKind.DIVERGED, AlertKind.DEAD)
        return GLYPHS.get(self.alert.kind, "✗" if bad_end else "!")

    @property
    def words(self) -> str:
        """One sentence in the language of the screen."""
        colon = "：" if language() == "zh" else ": "
        return f"{self.name}{colon}{alert_words(self.alert)[language()]}"


class AlertLog:
    """Reads files that have changed; all calls from one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, tuple[Alert, ...]]] = {}

    def read(self, runs: Iterable[str]) -> tuple[RunAlert, ...]:
        """The alerts of these runs, the newest first."""
        self._known = {run: self._read(run) for run in runs}
        every = [RunAlert(run, alert) for run, (_, alerts) in self._known.items() for alert in alerts]
        return tuple(sorted(every, key=lambda one: -one.alert.time)[:KEPT])

    def _read(self, run: str) -> tuple[object, tuple[Alert, ...]]:
        path = RunFolder(Path(run)).alerts
        stamp = file_stamp(path)
        known = self._known.get(run)
        return known if known and known[0] == stamp else (stamp, read_alerts(path) if stamp else ())


def new_alerts(before: tuple[RunAlert, ...], now: tuple[RunAlert, ...], since: float) -> tuple[RunAlert, ...]:
    """Those that came after ``since`` (Unix time) and were not known before, the oldest first."""
    known = set(before)
    return tuple(reversed([one for one in now if one.alert.time >= since and one not in known]))
