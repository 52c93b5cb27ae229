"""The log of the run or step that is going on."""

import re
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Log, Static

from diffbev_tui.core.log_tail import MOST_LINES, LogTail, logs_of
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.i18n import tr
from diffbev_tui.widgets.pane import Pane

_LEVELS = ("all", "warnings", "errors")
_LOUD = {
    "warnings": re.compile(r" [WE] |warning|error|traceback", re.I),
    "errors": re.compile(r" E |error|traceback", re.I),
}


class LogPane(Pane, can_focus=False):
    """Follows the newest log; scrolling up stops that, end goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "log.key_find"),
        Binding("n", "hit(1)", "log.key_next"),
        Binding("N", "hit(-1)", "log.key_previous", show=False),
        Binding("f", "level", "log.key_level"),
        Binding("left", "other(-1)", "log.key_other_newer", show=False, priority=True),
        Binding("right", "other(1)", "log.key_other", priority=True),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._logs: list[Path] = []
        self._chosen: Path | None = None
        self._tail: LogTail | None = None
        self._shown: list[str] = []
        self._level = "all"
        self._needle = ""
        self._at = -1

    def compose(self) -> ComposeResult:
        """Name of the log, the log, a line to search."""
        yield Static(id="log-name")
        yield Log(id="log-lines", max_lines=MOST_LINES)
        find = Input(id="log-find", placeholder=tr("log.find"))
        find.display = False
        yield find

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Read on."""
        if snapshot.roots is None:
            return
        run = Path(snapshot.current.path) if snapshot.current else None
        workspace = snapshot.roots.workspace
        self.beside(lambda: self._look(run, workspace), self._show)

    def _look(self, run: Path | None, workspace: Path) -> tuple[list[Path], LogTail | None, bool]:
        logs = logs_of(run, workspace)
        path = self._chosen if self._chosen in logs else (logs[0] if logs else None)
        tail = self._tail if self._tail is not None and self._tail.path == path else None
        tail = tail or (LogTail(path) if path else None)
        return logs, tail, bool(tail and tail.look())

    def _show(self, seen: tuple[list[Path], LogTail | None, bool]) -> None:
        self._logs, tail, news = seen
        changed = tail is not self._tail
        self._tail = tail
        if tail is None:
            self.query_one("#log-name", Static).update(tr("log.none"))
            return
        if changed or news or not self._shown:
            self._draw()
        number = self._logs.index(tail.path) + 1 if tail.path in self._logs else 1
        words = tr("log.level_" + self._level)
        begun = tr("log.begun_anew") if tail.starts else ""
        follow = "" if self.query_one(Log).is_vertical_scroll_end else tr("log.not_following")
        self.query_one("#log-name", Static).update(
            f"{tail.path.name}  {number}/{len(self._logs)}  {words}  {begun} {follow}"
        )

    def _draw(self) -> None:
        assert self._tail is not None
        lines = list(self._tail.lines)
        if self._level != "all":
            lines = [line for line in lines if _LOUD[self._level].search(line)]
        log = self.query_one(Log)
        follow = log.is_vertical_scroll_end
        if self._shown and lines[: len(self._shown)] == self._shown:
            log.write_lines(lines[len(self._shown) :], scroll_end=follow)
        else:
            log.clear()
            log.write_lines(lines, scroll_end=True)
        self._shown = lines

    def action_level(self) -> None:
        """All, warnings, errors."""
        self._level = _LEVELS[(_LEVELS.index(self._level) + 1) % len(_LEVELS)]
        if self._tail is not None:
            self._shown = []
            self._draw()
            self._show((self._logs, self._tail, False))

    def action_other(self, by: int) -> None:
        """Another log."""
        if self._logs and self._tail is not None:
            here = self._logs.index(self._tail.path) if self._tail.path in self._logs else 0
            self._chosen = self._logs[min(max(here + by, 0), len(self._logs) - 1)]
            self._shown = []
            self.update_snapshot(self.ui.snapshot)

    def action_find(self) -> None:
        """Search."""
        find = self.query_one("#log-find", Input)
        find.display = True
        find.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the last hit."""
        self._needle, self._at = event.value, len(self._shown)
        event.input.display = False
        self.query_one(Log).focus()
        self.action_hit(-1)

    def action_hit(self, by: int) -> None:
        """The next or the previous hit."""
        if not self._needle:
            self.action_find()
            return
        try:
            pattern = re.compile(self._needle, re.I)
        except re.error:
            pattern = re.compile(re.escape(self._needle), re.I)
        places = [number for number, line in enumerate(self._shown) if pattern.search(line)]
        behind = [place for place in places if (place > self._at if by > 0 else place < self._at)]
        if not behind:
            self.ui.say(tr("log.no_hit", text=self._needle))
            return
        self._at = behind[0] if by > 0 else behind[-1]
        self.query_one(Log).scroll_to(y=self._at, animate=False)
        self.ui.say(tr("log.hit", number=places.index(self._at) + 1, count=len(places)))

    def copy_text(self) -> str | None:
        """The found line, else the last screenful."""
        if 0 <= self._at < len(self._shown):
            return self._shown[self._at]
        return "\n".join(self._shown[-self.query_one(Log).size.height :]) or None
