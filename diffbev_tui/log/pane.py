"""The log of the run or step that is in progress."""

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input, Static

from diffbev_engine.core.format import byte_size
from diffbev_tui.i18n import tr
from diffbev_tui.lines import ago
from diffbev_tui.log.lines import LogLines
from diffbev_tui.log.view import LEVELS, LogView, pattern_of
from diffbev_tui.log_tail import LogTail, logs_of
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.choose_one import ChooseOne
from diffbev_tui.widgets.pane import Pane

Seen = tuple[list[Path], LogTail | None]


class LogPane(Pane, can_focus=False):
    """Follows the newest log; scrolling up stops that, end continues."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "log.key_find"),
        Binding("n", "hit(1)", "log.key_next"),
        Binding("N", "hit(-1)", "log.key_previous", show=False),
        Binding("f", "level", "log.key_level"),
        Binding("w", "wrap", "log.key_wrap"),
        Binding("o", "other(1)", "log.key_other"),
        Binding("i", "choose", "log.key_choose"),
        Binding("O", "other(-1)", "log.key_other_newer", show=False),
        Binding("end,G", "follow", "log.key_follow"),
        Binding("home,g", "top", "log.key_top", show=False),
        Binding("j", "scroll_lines(1)", show=False),
        Binding("k", "scroll_lines(-1)", show=False),
        Binding("escape", "close_find", show=False),
    ]

    @dataclass
    class Read(Message):
        """The log was read."""

        seen: Seen

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._logs: list[Path] = []
        self._chosen: Path | None = None
        self._tail: LogTail | None = None
        self._view: LogView | None = None
        self._level = "all"
        self._wrap = True
        self._needle = ""
        self._hit: int | None = None
        """The line that was gone to."""
        self._new = 0
        """Lines that came while a reader had scrolled up."""

    def compose(self) -> ComposeResult:
        """Name of the log, the log, a line to search."""
        yield Static(id="log-name", markup=False)
        yield LogLines(id="log-lines")
        find = Input(id="log-find", placeholder=tr("log.find"), compact=True)
        find.display = False
        yield find

    @property
    def _log(self) -> LogLines:
        return self.query_one(LogLines)

    def on_resize(self) -> None:
        """Fold lines again."""
        self.call_after_refresh(self._fold_anew)

    def _fold_anew(self) -> None:
        if self._view is not None and self._view.width != self._width and self.ready:
            self._lay_out()

    @property
    def _width(self) -> int:
        return max(self._log.scrollable_content_region.width, 1)

    # reading -------------------------------------------------------------------------------------

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Read on."""
        if snapshot.roots is None:
            return
        run = Path(snapshot.current.path) if snapshot.current else None
        workspace = snapshot.roots.workspace
        self.run_in_thread("read", partial(self._read, run, workspace), self.Read)

    def _read(self, run: Path | None, workspace: Path) -> Seen:
        logs = logs_of(run, workspace)
        path = self._chosen if self._chosen in logs else (logs[0] if logs else None)
        tail = self._tail if self._tail is not None and self._tail.path == path else None
        tail = tail or (LogTail(path) if path else None)
        if tail is not None:
            tail.look()
        return logs, tail

    def on_log_pane_read(self, message: Read) -> None:
        """Show it."""
        if self.ready:
            self._show(message.seen)

    def _show(self, seen: Seen) -> None:
        self._logs, tail = seen
        changed, self._tail = tail is not self._tail, tail
        if tail is None:
            self.query_one("#log-name", Static).update(tr("log.none"))
            return
        view, following = self._view, self._log.is_vertical_scroll_end
        if changed or view is None or view.begun_anew or view.is_too_long(following=following):
            self._lay_out(at_end=changed or following)
        else:
            count, rows = view.advance()
            self._new = 0 if following else self._new + count
            self._log.write_rows(rows, follow=following)
        self._show_name()

    def _lay_out(self, *, at_end: bool | None = None) -> None:
        """Everything again, at the line that was at the top of the screen or at the end."""
        if self._tail is None:
            return
        log = self._log
        at_end = log.is_vertical_scroll_end if at_end is None else at_end
        top = self._view.line_at(round(log.scroll_y)) if self._view else 0
        self._view = LogView(self._tail, self._width, level=self._level, wrap=self._wrap)
        self._hit, self._new, log.here = None, 0, range(0)
        log.clear()
        log.write_rows(self._view.rows, follow=at_end)
        if at_end:
            log.scroll_end(animate=False, immediate=True, x_axis=False)
        elif top < len(self._view.lines):
            log.scroll_to(y=self._view.rows_of(top).start, animate=False)

    def _show_name(self) -> None:
        if self._tail is None or self._view is None:
            return
        path, text = self._tail.path, Text()
        number = self._logs.index(path) + 1 if path in self._logs else 1
        text.append(f"{path.name}  ", "bold")
        text.append(f"{number}/{len(self._logs)}  {tr('log.level_' + self._level)}")
        if self._level != "all":
            text.append(f" {len(self._view.lines):,}/{len(self._tail.lines):,}")
        text.append("" if self._wrap else f"  {tr('log.not_wrapped')}")
        text.append(f"  {tr('log.begun_anew')}" if self._tail.starts else "")
        if self._tail.skipped:
            end = byte_size(self._tail.size - self._tail.skipped)
            text.append(f"  {tr('log.only_the_end', end=end, size=byte_size(self._tail.size))}", "bold")
        pattern = pattern_of(self._needle)
        if pattern is not None:
            hits = self._view.find(pattern)
            place = f"{hits.index(self._hit) + 1}/" if self._hit in hits else ""
            text.append(f"   /{self._needle}  {place}{len(hits)}", "bold")
        if not self._log.is_vertical_scroll_end:
            text.append("   ")
            text.append(tr("log.not_following", count=f"{self._new:,}"), "reverse")
        self.query_one("#log-name", Static).update(text)

    # keys ----------------------------------------------------------------------------------------

    def action_level(self) -> None:
        """All, warnings, errors."""
        self._level = LEVELS[(LEVELS.index(self._level) + 1) % len(LEVELS)]
        self._lay_out(at_end=True)
        self._show_name()

    def action_wrap(self) -> None:
        """Fold long lines, or leave them to be scrolled sideways."""
        self._wrap = not self._wrap
        self._lay_out()
        self._show_name()

    def action_other(self, by: int) -> None:
        """Another log."""
        if self._logs and self._tail is not None:
            here = self._logs.index(self._tail.path) if self._tail.path in self._logs else 0
            self._chosen = self._logs[min(max(here + by, 0), len(self._logs) - 1)]
            self.update_snapshot(self.snapshot)

    def action_choose(self) -> None:
        """One of all logs."""
        now = time.time()
        options = [(str(path), _described(path, now)) for path in self._logs]
        self.app.push_screen(ChooseOne(tr("log.choose"), options), self._log_chosen)

    def _log_chosen(self, path: str | None) -> None:
        if path:
            self._chosen = Path(path)
            self.update_snapshot(self.snapshot)

    def action_follow(self) -> None:
        """To the end, and on with what comes."""
        self._new = 0
        self._log.scroll_end(animate=False, immediate=True, x_axis=False)
        self._show_name()

    def action_top(self) -> None:
        """To the first line."""
        self._log.scroll_home(animate=False, x_axis=False)
        self.call_after_refresh(self._show_name)

    def action_scroll_lines(self, by: int) -> None:
        """A line down or up."""
        self._log.scroll_relative(y=by, animate=False)
        self.call_after_refresh(self._show_name)

    # search --------------------------------------------------------------------------------------

    def action_find(self) -> None:
        """Search."""
        find = self.query_one("#log-find", Input)
        find.value, find.display = "", True
        find.focus()

    def action_close_find(self) -> None:
        """Away with the search."""
        self.query_one("#log-find", Input).display = False
        self._search("")
        self._log.focus()

    def _search(self, needle: str) -> None:
        self._needle, self._hit = needle, None
        self._log.here = range(0)
        self._log.search(pattern_of(needle))
        self._show_name()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Mark hits while typing."""
        if event.input.display:
            self._search(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go to the last hit."""
        event.input.display = False
        self._log.focus()
        if event.value:
            self._search(event.value)
            self.action_hit(-1)

    def action_hit(self, by: int) -> None:
        """The next or the previous hit."""
        pattern, view = pattern_of(self._needle), self._view
        if pattern is None or view is None:
            self.action_find()
            return
        at = len(view.lines) if self._hit is None else self._hit
        beyond = [line for line in view.find(pattern) if (line > at if by > 0 else line < at)]
        if not beyond:
            self.say(tr("log.no_hit", text=self._needle))
            return
        self._hit = beyond[0] if by > 0 else beyond[-1]
        log = self._log
        log.here = view.rows_of(self._hit)
        log.scroll_to(y=max(log.here.start - log.size.height // 3, 0), animate=False)
        log.refresh()
        self.call_after_refresh(self._show_name)

    def copy_text(self) -> str | None:
        """The found line, else what is on the screen."""
        view, log = self._view, self._log
        if view is None:
            return None
        if self._hit is not None:
            return view.lines[self._hit]
        first, last = (view.line_at(round(log.scroll_y) + row) for row in (0, max(log.size.height - 1, 0)))
        return "\n".join(view.lines[first : last + 1]) or None


def _described(path: Path, now: float) -> str:
    """``train_20261127_101500.log  baseline  1.2 MiB  12 min ago``."""
    try:
        stat = path.stat()
    except OSError:
        return path.name
    return f"{path.name}  {path.parent.name}  {byte_size(stat.st_size)}  {ago(stat.st_mtime, now)}"
