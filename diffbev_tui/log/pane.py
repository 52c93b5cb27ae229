"""The log of the run or step that is in progress."""

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input, Static

from diffbev_engine.core.format import byte_size, count
from diffbev_tui.i18n import tr
from diffbev_tui.lines import ago, cut
from diffbev_tui.log.lines import LogLines
from diffbev_tui.log.open_log import OpenLog
from diffbev_tui.log.scan import FileScan, Window
from diffbev_tui.log.text import about_file, about_search, in_rows
from diffbev_tui.log.view import LogView
from diffbev_tui.log.wanted import LEVELS, Wanted, pattern_of
from diffbev_tui.log_tail import logs_of
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.choose_one import ChooseOne
from diffbev_tui.widgets.find_line import FindLine, is_typing
from diffbev_tui.widgets.pane import Pane

Place = Literal["top", "middle", "above", "below"]
"""Where in the screen a line is put; above and below: just outside."""


class LogPane(Pane, can_focus=False):
    """Follows the newest log; scrolling up stops that, end continues."""

    BINDINGS: ClassVar[list[BindingType]] = [
        # These two first of all, before the next key is handed on: to the line that they open.
        Binding("slash", "find", "log.key_find", priority=True),
        Binding("n", "hit(1)", "log.key_next"),
        Binding("N", "hit(-1)", "log.key_previous", show=False),
        Binding("f", "level", "log.key_level"),
        Binding("ampersand", "only", "log.key_only", priority=True),
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
        """The end of the log was read; all logs, and the one that is shown."""

        seen: tuple[list[Path], OpenLog | None]

    @dataclass
    class Scanned(Message):
        """A part of the file was searched."""

        scan: FileScan

    @dataclass
    class WindowRead(Message):
        """Another part of the file is there."""

        of: object
        """What it was read for: not shown if that has changed."""
        offset: int
        place: Place
        window: Window

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._logs: list[Path] = []
        self._chosen: Path | None = None
        self._open: OpenLog | None = None
        self._view: LogView | None = None
        self._wanted, self._needle, self._wrap = Wanted(), "", True
        self._typing: Literal["find", "only"] = "find"
        self._hit: int | None = None
        """Byte at which the line begins that was gone to."""
        self._going: list[int] = []
        """Directions of the matches to go to as soon as they are found, one after the other."""
        self._jumps = self._followed = 0
        """Those of the tail that are laid out; ``new`` of the log when its end was last in view."""

    def compose(self) -> ComposeResult:
        """What is shown, the log, its unfinished last line, a line to type in."""
        yield Static(id="log-name", markup=False)
        yield LogLines(id="log-lines")
        yield Static(id="log-unfinished", markup=False)
        yield FindLine(id="log-find")

    @property
    def _log(self) -> LogLines:
        return self.query_one(LogLines)

    @property
    def _width(self) -> int:
        return max(self._log.scrollable_content_region.width, 1)

    @property
    def _following(self) -> bool:
        return self._log.following and (self._open is None or self._open.window is None)

    def on_resize(self) -> None:
        """Fold lines again."""
        self.call_after_refresh(self._fold_anew)

    def _fold_anew(self) -> None:
        if self.ready and self._view is not None and self._view.width != self._width:
            self._lay_out()
            self._show_name()

    def retranslate(self) -> None:
        """Everything again, in the other language."""
        self._view = None
        super().retranslate()

    # reading -------------------------------------------------------------------------------------

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Read on."""
        if snapshot.roots is None:
            return
        run = Path(snapshot.current.path) if snapshot.current else None
        workspace = snapshot.roots.workspace
        self.run_in_thread("read", partial(self._read, run, workspace), self.Read)

    def _read(self, run: Path | None, workspace: Path) -> tuple[list[Path], OpenLog | None]:
        logs = logs_of(run, workspace)
        path = self._chosen if self._chosen in logs else (logs[0] if logs else None)
        if path is None:
            return logs, None
        known = self._open
        log = known if known is not None and known.path == path else OpenLog(path, self._wanted, self._needle)
        log.tail.look()
        return logs, log

    def on_log_pane_read(self, message: Read) -> None:
        """Show it, and search what is new."""
        self._logs, log = message.seen
        if not self.ready:
            return
        if log is None:
            self._open = None
            self.query_one("#log-name", Static).update(tr("log.none"))
            return
        if log is not self._open or log.tail.jumps != self._jumps:
            self._open, self._view, self._hit, self._jumps = log, None, None, log.tail.jumps
            log.want(self._wanted, self._needle)
        if log.only is None:
            self._show_end()
        self._scan()
        self._show_name()

    def _scan(self) -> None:
        for name, scan in self._open.scans.items() if self._open is not None else ():
            self.run_in_thread(f"scan {name}", scan.step, self.Scanned)

    def on_log_pane_scanned(self, message: Scanned) -> None:
        """Go on with what is still wanted; show what was found."""
        log, scan = self._open, message.scan
        if not self.ready or log is None or scan not in (log.only, log.search):
            return
        if not scan.finished and self.display:  # else when this screen is shown again
            self._scan()
        if scan is log.only and log.window is None:
            self._show_end(complete=scan.finished)
        going, self._going = self._going, []
        for by in going:
            self.action_hit(by)
        self._show_name()

    def _show_end(self, *, complete: bool = False) -> None:
        """What is new; everything again where lines before the first one are known now."""
        log, view, following = self._open, self._view, self._following
        if log is None or log.window is not None:
            return
        held = log.lines() if complete else []
        earlier = bool(held and view is not None and view.offsets and held[0][0] < view.offsets[0])
        if view is None or earlier or view.is_too_long(following=following):
            self._lay_out(at_end=view is None or following)
        else:
            self._log.write_rows(view.append(log.lines_after(view.end)), follow=following)

    def _lay_out(self, *, at_end: bool | None = None) -> None:
        """Everything again, at the line that was at the top of the screen or at the end."""
        log, lines = self._open, self._log
        if log is None:
            return
        at_end = self._following if at_end is None else at_end
        top = self._top
        self._view = LogView(log.lines(), self._width, wrap=self._wrap)
        lines.clear()
        lines.write_rows(self._view.rows, follow=at_end)
        self._mark()
        if at_end:
            lines.scroll_end(animate=False, immediate=True, x_axis=False)
        else:
            self._put_line(top, "top")

    @property
    def _top(self) -> int:
        """Byte at which the first visible line begins."""
        view = self._view
        return view.offsets[view.line_at(round(self._log.scroll_y))] if view and view.offsets else 0

    @property
    def _bottom(self) -> int:
        """The same of the last one."""
        view, lines = self._view, self._log
        row = round(lines.scroll_y) + max(lines.size.height - 1, 0)
        return view.offsets[view.line_at(row)] if view and view.offsets else 0

    def _put_line(self, offset: int, place: Place) -> None:
        view, lines = self._view, self._log
        if view is None or not view.lines:
            return
        row = view.rows_of(view.line_near(offset)).start
        height = lines.size.height
        y = {"top": row, "middle": row - height // 3, "above": row - height, "below": row + 1}[place]
        lines.scroll_to(y=max(y, 0), animate=False, immediate=True)
        lines.following = lines.is_vertical_scroll_end

    def _show_name(self) -> None:
        log = self._open
        if log is None:
            return
        if self._following:
            self._followed = log.new
        number = self._logs.index(log.path) + 1 if log.path in self._logs else 1
        file = about_file(log, f"{number}/{len(self._logs)}", self._top, wrap=self._wrap)
        paused = Text()
        if not self._following:
            new = log.new - self._followed
            words = tr("log.not_following", count=count(new)) if new > 0 else tr("log.paused")
            paused.append(words, "reverse")
        rows = in_rows([file, about_search(log, self._hit), paused], self.size.width - 2)
        self.query_one("#log-name", Static).update(rows)
        unfinished = self.query_one("#log-unfinished", Static)
        unfinished.display = bool(log.tail.unfinished) and log.window is None
        unfinished.update(cut(log.tail.unfinished, self._width))

    # another part of the file --------------------------------------------------------------------

    def _go_to(self, offset: int, place: Place) -> None:
        """Show a line of the file: of what is shown, of its end, or of a part that is read first."""
        log, view = self._open, self._view
        if log is None or view is None:
            return
        if place == "middle" and view.line_with(offset) is not None:
            self._put_line(offset, place)
        elif log.end_has(offset):
            if log.window is not None:
                log.window = None
                self._lay_out(at_end=False)
            self._put_line(offset, place)
        else:
            answer = partial(self.WindowRead, (log, log.wanted), offset, place)
            self.run_in_thread("window", partial(log.read, offset), answer)
        self._mark()
        self.call_after_refresh(self._show_name)

    def on_log_pane_window_read(self, message: WindowRead) -> None:
        """Show it."""
        log = self._open
        if self.ready and log is not None and message.of == (log, log.wanted):
            log.window = message.window
            self._lay_out(at_end=False)
            self._put_line(message.offset, message.place)
            self._show_name()

    def on_log_lines_beyond(self, message: LogLines.Beyond) -> None:
        """Read on where what is held of the file ends."""
        log, view = self._open, self._view
        if log is None or view is None or not view.offsets:
            return
        if message.by < 0 and view.offsets[0] > 0:
            before = view.offsets[0] if log.only is None else log.only.before(view.offsets[0])
            if before is not None:
                self._go_to(before, "above")
        elif message.by > 0 and log.window is not None:
            self._go_to(view.end, "below")

    # keys ----------------------------------------------------------------------------------------

    def _want(self, wanted: Wanted) -> None:
        self._wanted, self._hit, self._view = wanted, None, None
        if self._open is not None:
            self._open.want(wanted, self._needle)
            self._log.clear()
            self._show_end()
            self._scan()
            self._show_name()

    def action_level(self) -> None:
        """All, warnings, errors."""
        level = LEVELS[(LEVELS.index(self._wanted.level) + 1) % len(LEVELS)]
        self._want(replace(self._wanted, level=level))

    def action_wrap(self) -> None:
        """Fold long lines, or leave them to be scrolled sideways."""
        self._wrap = not self._wrap
        self._lay_out()
        self._show_name()

    def action_other(self, by: int) -> None:
        """Another log."""
        if self._logs and self._open is not None:
            here = self._logs.index(self._open.path) if self._open.path in self._logs else 0
            self._log_chosen(str(self._logs[min(max(here + by, 0), len(self._logs) - 1)]))

    def action_choose(self) -> None:
        """One of all logs."""
        now = time.time()
        options = [(str(path), _described(path, now)) for path in self._logs]
        self.app.push_screen(ChooseOne(tr("log.choose"), options), self._log_chosen)

    def go_to_run(self, run: str) -> None:
        """Follow the log that is meant; of a run it is the newest that is followed anyway."""
        if run.endswith(".log"):
            self._chosen = Path(run)

    def _log_chosen(self, path: str | None) -> None:
        if path:
            self._chosen = Path(path)
            self.update_snapshot(self.snapshot)

    def action_follow(self) -> None:
        """To the end, and on with what comes."""
        if self._open is not None and self._open.window is not None:
            self._open.window = None
            self._lay_out(at_end=True)
        self._log.scroll_end(animate=False, immediate=True, x_axis=False)
        self._show_name()

    def action_top(self) -> None:
        """To the first line of the file."""
        log = self._open
        if log is not None:
            first = 0 if log.only is None else log.only.after(-1)
            self._go_to(first or 0, "top")

    def action_scroll_lines(self, by: int) -> None:
        """A line down or up."""
        self._log.action_scroll_down() if by > 0 else self._log.action_scroll_up()
        self.call_after_refresh(self._show_name)

    # search --------------------------------------------------------------------------------------

    def action_find(self) -> None:
        """Search."""
        self._type("find", "")

    def action_only(self) -> None:
        """Show only lines with a text."""
        self._type("only", " ".join(self._wanted.texts))

    def _type(self, what: Literal["find", "only"], value: str) -> None:
        self._typing = what
        self.query_one(FindLine).open(tr(f"log.{what}"), value, then=self._log)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """While typing, their keys are letters."""
        return action not in ("find", "only") or not is_typing(self)

    def action_close_find(self) -> None:
        """Away with the search; without one, with the text that lines must have."""
        if not self._needle and self._wanted.texts:
            self._want(replace(self._wanted, texts=()))
        self._search("")
        self._log.focus()

    def _search(self, needle: str) -> None:
        self._needle, self._hit, self._going = needle, None, []
        if self._open is not None:
            self._open.look_for(needle)
        self._log.search(pattern_of(needle))
        self._mark()
        self._scan()
        self._show_name()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Mark matches while typing."""
        if self._typing == "find":
            self._search(event.value)

    def on_find_line_left(self, message: FindLine.Left) -> None:
        """Go to the last match, or show only lines with the text; Escape: neither."""
        if not message.take:
            self.action_close_find()
        elif self._typing == "only":
            self._want(replace(self._wanted, texts=(message.text,) if message.text else ()))
        elif message.text:
            self.action_hit(-1)

    def action_hit(self, by: int) -> None:
        """The next or the previous match, as soon as it is known."""
        log = self._open
        if log is None or log.search is None:
            self.action_find()
            return
        at = self._hit
        if at is None:
            at = log.tail.size + 1 if self._following else self._bottom + 1
        if self._going or not log.search.knows(at, by):
            self._going.append(by)
            return
        found = log.search.before(at) if by < 0 else log.search.after(at)
        if found is None and self._hit is None:
            found = log.search.after(at) if by < 0 else log.search.before(at)
        if found is None:
            self.say(tr("log.no_hit", text=self._needle))
            return
        self._hit = found
        self._go_to(found, "middle")

    def _mark(self) -> None:
        """Make the match that was gone to stand out."""
        line = self._hit_line
        self._log.here = self._view.rows_of(line) if self._view is not None and line is not None else range(0)
        self._log.refresh()

    @property
    def _hit_line(self) -> int | None:
        """The line that was gone to, if it is shown."""
        return self._view.line_with(self._hit) if self._view is not None and self._hit is not None else None

    def copy_text(self) -> str | None:
        """The found line, else what is on the screen."""
        view = self._view
        if view is None:
            return None
        if self._hit_line is not None:
            return view.lines[self._hit_line]
        first, last = view.line_near(self._top), view.line_near(self._bottom)
        return "\n".join(view.lines[first : last + 1]) or None


def _described(path: Path, now: float) -> str:
    """``train_20261127_101500.log  baseline  1.2 MiB  12 min ago``."""
    try:
        stat = path.stat()
    except OSError:
        return path.name
    return f"{path.name}  {path.parent.name}  {byte_size(stat.st_size)}  {ago(stat.st_mtime, now)}"
