"""All runs of the workspace in one table: sort, filter, compare with a baseline, overlay, act."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable, Input, Static

from diffbev_engine.core.format import UNKNOWN, byte_size
from diffbev_engine.runs.folder import RunFolder
from diffbev_engine.runs.inspect import RunReport
from diffbev_engine.runs.labels import RunLabels, write_labels
from diffbev_engine.runs.trash import TRASH, Trashed, move_to_trash, size_of_run
from diffbev_tui.i18n import language, tr
from diffbev_tui.lines import cut
from diffbev_tui.messages import Overlay, PollNow, ShowScreen
from diffbev_tui.run_book import MOST, pin, short_names
from diffbev_tui.runs.state import (
    COLUMNS,
    RunRow,
    RunsView,
    columns_for,
    count_of_new,
    name_room,
    refreshed,
    rows,
)
from diffbev_tui.runs.text import Course, detail, read_course
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.ask_text import AskText
from diffbev_tui.widgets.find_line import FindLine, is_typing
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.run_control import RunActed, RunControl

_CELLS_EVERY_S = 5.0
"""A table is slow to repaint; what changes from second to second stands below it."""


class RunsTable(DataTable[Text]):
    """Says in the words of the screen what enter does."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "select_cursor", "runs.key_open")]


class RunsPane(Pane, can_focus=False):
    """The table keeps its order while it is used; new runs are announced, not inserted."""

    WRITES: ClassVar[frozenset[str]] = frozenset({"pin", "tags", "note", "stop_run", "resume_run", "trash"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "runs.key_open", id="runs.open"),
        Binding("space", "overlay", "runs.key_overlay", id="runs.overlay"),
        Binding("b", "best", "runs.key_best", id="runs.best"),
        # First of all, before the next key is handed on: to the line that it opens.
        Binding("slash", "filter", "runs.key_filter", id="runs.filter", priority=True),
        Binding("p", "pin", "runs.key_pin", id="runs.pin"),
        Binding("t", "tags", "runs.key_tags", id="runs.tags"),
        Binding("n", "note", "runs.key_note", id="runs.note"),
        Binding("S", "stop_run", "runs.key_stop", id="runs.stop"),
        Binding("R", "resume_run", "runs.key_resume", id="runs.resume"),
        Binding("d,delete", "trash", "runs.key_trash", id="runs.trash"),
        Binding("less_than_sign", "column(-1)", "runs.key_column_left", show=False, id="runs.column_left"),
        Binding("greater_than_sign", "column(1)", "runs.key_column", show=False, id="runs.column"),
        Binding("r", "reverse", "runs.key_reverse", show=False, id="runs.reverse"),
        Binding("u", "update", "runs.key_update", show=False, id="runs.update"),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
        Binding("escape", "close_filter", show=False),
    ]

    @dataclass
    class CourseRead(Message):
        """The metrics of the chosen run were read."""

        course: Course

    @dataclass
    class Sized(Message):
        """It is known how large the run is that is to be moved away."""

        run: str
        size: int

    @dataclass
    class Moved(Message):
        """A run is in the trash."""

        trashed: Trashed

    @dataclass
    class Labelled(Message):
        """Tags, a note or the baseline were written."""

        done: None

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.view = RunsView()
        self._control = RunControl(self)
        self._listed: tuple[RunRow, ...] = ()
        self._heads: object = None
        self._columns: tuple[str, ...] = COLUMNS
        self._cells_due = 0.0
        self._course: Course | None = None
        self._overlay_seen: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """How it is sorted, the table, the chosen run."""
        yield Static(id="runs-head", markup=False)
        yield RunsTable(id="runs-table", cursor_type="row", zebra_stripes=False)
        yield FindLine(id="runs-filter")
        yield Static(id="runs-detail", markup=False)

    @property
    def _table(self) -> "DataTable[Text]":
        return self.query_one(DataTable)

    @property
    def run(self) -> RunReport | None:
        """The run under the cursor."""
        path = self._path()
        return next((run for run in self.snapshot.runs if run.path == path), None)

    def _path(self) -> str:
        at = self._table.cursor_row
        return self._listed[at].path if 0 <= at < len(self._listed) else ""

    # showing -------------------------------------------------------------------------------------

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Show what is new: the detail at once, cells now and then."""
        if not snapshot.taken:
            return
        others = not self._listed or not self._table.row_count
        changed = self._overlay_seen != self.overlay
        if others:
            self._list(rows(snapshot, self.view, self.overlay))
        elif self._heads != self._head_key():
            self._list(refreshed([row.path for row in self._listed], snapshot, self.overlay))
        elif changed or time.monotonic() >= self._cells_due:
            self._refresh_cells(refreshed([row.path for row in self._listed], snapshot, self.overlay))
        self._show_words()

    def _head_key(self) -> object:
        return language(), self.view, self.room.width

    def on_resize(self) -> None:
        """Show the columns that fit now."""
        if self.ready:
            self.update_snapshot(self.snapshot)

    def _list(self, found: list[RunRow]) -> None:
        """Everything again, the cursor on the run where it was."""
        table, here, width = self._table, self._path(), self.room.width
        arrow = " ▼" if self.view.descending else " ▲"
        heads = {name: tr(f"runs.col_{name}") + (arrow if name == self.view.sort else "") for name in COLUMNS}
        columns = columns_for(found, heads, width, self.view.sort)
        if self._heads != self._head_key() or columns != self._columns:
            self._heads, self._columns = self._head_key(), columns
            table.clear(columns=True)
            for name in columns:
                table.add_column(heads[name], key=name)
        else:
            table.clear()
        for row in found:
            table.add_row(*(_cell(row, name, width) for name in columns), key=row.path)
        self._listed = tuple(found)
        self._overlay_seen, self._cells_due = self.overlay, time.monotonic() + _CELLS_EVERY_S
        place = next((at for at, row in enumerate(found) if row.path == here), 0)
        table.move_cursor(row=place, animate=False)

    def _refresh_cells(self, found: list[RunRow]) -> None:
        """Only what changed; a run that is gone leaves."""
        if [row.path for row in found] != [row.path for row in self._listed]:
            self._list(found)
            return
        for before, row in zip(self._listed, found, strict=True):
            for name in self._columns:
                if before.cell(name) != row.cell(name):
                    self._table.update_cell(row.path, name, _cell(row, name, self.room.width))
        self._listed = tuple(found)
        self._overlay_seen, self._cells_due = self.overlay, time.monotonic() + _CELLS_EVERY_S

    def _show_words(self) -> None:
        snapshot, run = self.snapshot, self.run
        self.set_class(not snapshot.runs, "-empty")
        self.query_one("#runs-head", Static).update(self._head())
        text = Text(tr("runs.empty"), "dim")
        if run is not None:
            paths = [one.path for one in snapshot.runs]
            names = dict(zip(paths, short_names(paths), strict=True))
            width = self.room.width
            text = detail(run, snapshot.book, self._course, snapshot.taken, names, self._hidden(), width)
            if self._course is None or self._course.run != run.path:
                self.run_in_thread("course", partial(read_course, run.path), self.CourseRead)
        self.query_one("#runs-detail", Static).update(text)

    def _hidden(self) -> list[str]:
        """What the columns say of the chosen run that the table has no room for."""
        row = self._listed[self._table.cursor_row]
        found = [(name, row.cell(name)) for name in COLUMNS if name not in self._columns]
        return [
            tr("runs.last", value=cell) if name == "last" else f"{tr(f'runs.col_{name}')} {cell}"
            for name, cell in found
            if cell not in ("", UNKNOWN)
        ]

    def _head(self) -> Text:
        snapshot, view = self.snapshot, self.view
        head = Text(f" {tr('runs.count', count=len(self._listed))}", "bold")
        head.append(f"  {tr('runs.sorted', column=tr(f'runs.col_{view.sort}'))}", "dim")
        if view.wanted:
            head.append(f"  {tr('runs.filtered', text=view.wanted)}", "bold")
        if self.overlay:
            head.append(f"  {tr('runs.overlaid', count=len(self.overlay))}")
        new = count_of_new([row.path for row in self._listed], snapshot, view)
        if new:
            head.append(f"  {tr('runs.new', count=new)}", "bold reverse")
        return head

    def on_runs_pane_course_read(self, message: CourseRead) -> None:
        """Show it, and that of a run that was chosen meanwhile."""
        self._course = message.course
        if self.ready:
            self._show_words()

    def on_data_table_row_highlighted(self) -> None:
        """Another run is chosen."""
        if self.ready:
            self._show_words()

    def retranslate(self) -> None:
        """The same in the other language; what is chosen stays."""
        if self.ready:
            self.update_snapshot(self.snapshot)

    def go_to_run(self, run: str) -> None:
        """Put the cursor on a run."""
        place = next((at for at, row in enumerate(self._listed) if row.path == run), None)
        if place is not None:
            self._table.move_cursor(row=place, animate=False)

    # order and filter ----------------------------------------------------------------------------

    def _look(self, view: RunsView) -> None:
        self.view = view
        self._list(rows(self.snapshot, view, self.overlay))
        self._show_words()

    def action_sort(self, column: str) -> None:
        """By a column, the best first; again: the other way round."""
        again = column == self.view.sort
        self._look(replace(self.view, sort=column, descending=not self.view.descending if again else True))
        self._table.move_cursor(row=0, animate=False)

    def action_best(self) -> None:
        """By the best mIoU, the highest first, whatever the order was."""
        self._look(replace(self.view, sort="best", descending=True))
        self._table.move_cursor(row=0, animate=False)

    def action_column(self, by: int) -> None:
        """By the next column."""
        at = COLUMNS.index(self.view.sort)
        self._look(replace(self.view, sort=COLUMNS[(at + by) % len(COLUMNS)]))

    def action_reverse(self) -> None:
        """The other way round."""
        self._look(replace(self.view, descending=not self.view.descending))

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """A click on a heading sorts by it."""
        self.action_sort(str(event.column_key.value))

    def action_update(self) -> None:
        """List new runs, and sort again."""
        self._look(self.view)

    def action_filter(self) -> None:
        """Type what the runs must have."""
        line = self.query_one(FindLine)
        line.open(tr("runs.filter_hint"), line.value, then=self._table)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """While typing, a slash is a letter."""
        return action != "filter" or not is_typing(self)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the table while typing."""
        self._look(replace(self.view, wanted=event.value))

    def on_find_line_left(self, message: FindLine.Left) -> None:
        """Enter keeps it, Escape does not."""
        if not message.take:
            self.action_close_filter()

    def action_close_filter(self) -> None:
        """All runs."""
        self.query_one(FindLine).value = ""
        self._look(replace(self.view, wanted=""))
        self._table.focus()

    def action_move(self, by: int) -> None:
        """Down or up."""
        self._table.move_cursor(row=self._table.cursor_row + by, animate=False)

    # acting --------------------------------------------------------------------------------------

    def on_data_table_row_selected(self) -> None:
        """Enter, or a click on the chosen row."""
        self.action_open()

    def action_open(self) -> None:
        """Its curves."""
        if self._path():
            self.ask_app(ShowScreen("monitor", self._path()))

    def action_overlay(self) -> None:
        """Overlay the run in the charts, or take it out; then the next row."""
        path = self._path()
        if not path:
            return
        if path in self.overlay:
            self.overlay = tuple(one for one in self.overlay if one != path)
        elif len(self.overlay) >= MOST:
            self.say(tr("runs.overlay_full", most=MOST), "warning")
            return
        else:
            self.overlay = (*self.overlay, path)
        self.ask_app(Overlay(self.overlay))  # which hands it down, but later than the next key may come
        self.action_move(1)

    def action_pin(self) -> None:
        """Compare others with the run, or no longer."""
        path, roots = self._path(), self.roots
        if path and roots is not None and not self.refused():
            run = "" if self.snapshot.book.pinned == path else path
            self.run_in_thread("pin", partial(pin, roots.state_folder, run), self.Labelled)

    def action_tags(self) -> None:
        """Change its tags."""
        self._ask(
            "tags",
            " ".join(self._labels().tags),
            lambda labels, text: replace(labels, tags=tuple(text.split())),
        )

    def action_note(self) -> None:
        """Change its note."""
        self._ask("note", self._labels().note, lambda labels, text: replace(labels, note=text))

    def _labels(self) -> RunLabels:
        return self.snapshot.book.labels(self._path())

    def _ask(self, what: str, now: str, change: Callable[[RunLabels, str], RunLabels]) -> None:
        path, labels = self._path(), self._labels()
        if not path or self.refused():
            return

        def answered(text: str | None) -> None:
            if text is not None:
                write = partial(write_labels, RunFolder(Path(path)).labels, change(labels, text))
                self.run_in_thread("label", write, self.Labelled)

        question = tr(f"runs.ask_{what}", run=Path(path).name)
        self.app.push_screen(AskText(question, tr("runs.ask_keys"), tr(f"runs.hint_{what}"), now), answered)

    def on_runs_pane_labelled(self) -> None:
        """Read it back."""
        self._cells_due = 0.0
        self.ask_app(PollNow())

    def action_stop_run(self) -> None:
        """Stop it with a checkpoint, after a question."""
        self._control.stop(self.run)

    def action_resume_run(self) -> None:
        """Resume it, after a question."""
        self._control.resume(self.run, None)

    def on_run_acted(self, message: RunActed) -> None:
        """Say what became of it."""
        self.say(message.words)
        self._cells_due = 0.0
        self.ask_app(PollNow())

    def action_trash(self) -> None:
        """Move it to the trash, after a question that names its size."""
        path = self._path()
        if path and not self.refused():
            self.run_in_thread("size", partial(size_of_run, Path(path)), partial(self.Sized, path))

    def on_runs_pane_sized(self, message: Sized) -> None:
        """Ask."""
        run = Path(message.run)
        question = tr("runs.trash_question", run=run.name, size=byte_size(message.size))
        move = partial(self.run_in_thread, "trash", partial(move_to_trash, run), self.Moved)
        self.confirm(question, tr("runs.trash_consequence", folder=run.parent / TRASH), move)

    def on_runs_pane_moved(self, message: Moved) -> None:
        """Say where it is."""
        moved = message.trashed
        self.say(tr("runs.trashed", run=moved.run.name, path=moved.path, size=byte_size(moved.size)))
        self._cells_due = 0.0
        self.ask_app(PollNow())

    def copy_text(self) -> str | None:
        """The table as text."""
        heads = "\t".join(tr(f"runs.col_{name}") for name in COLUMNS)
        return "\n".join([heads, *("\t".join(cell.strip() for cell in row.cells) for row in self._listed)])


def _cell(row: RunRow, name: str, width: int) -> Text:
    style = "bold red" if name == "state" and row.bad else ""
    cell = cut(row.cell(name), name_room(width)) if name == "run" else row.cell(name)
    text = Text(cell, style, no_wrap=True)
    if name in ("best", "last", "speed", "delta", "progress", "took"):
        text.justify = "right"
    return text
