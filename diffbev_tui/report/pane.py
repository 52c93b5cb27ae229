"""Reports rendered, plots drawn from their numbers, pictures shown in the terminal."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, ScrollableContainer
from textual.message import Message
from textual.widget import MountError
from textual.widgets import Markdown, OptionList, Static
from textual.widgets.option_list import Option

from diffbev_tui.engine import Answer, ask_engine
from diffbev_tui.i18n import tr
from diffbev_tui.report.desktop import open_on_desktop, viewer
from diffbev_tui.report.files import Entry, Reports, find_reports, linked_file, parts_of, read_report
from diffbev_tui.report.plot_view import OpenedPng, PlotView, open_png
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.picture import picture

_ZOOMS = (1.0, 1.5, 2.0, 3.0, 4.0)
_LONGEST_WORD = 12
"""Cells that the end of a wrapped line leaves free, about."""
_REST_S = 0.02
"""Between two parts of a long report: time for keys."""


class ReportPane(Pane, can_focus=False):
    """A list of what there is, and the chosen one."""

    WRITES: ClassVar[frozenset[str]] = frozenset({"write"})
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "maximise", "report.key_maximise"),
        Binding("plus", "zoom(1)", "report.key_closer"),
        Binding("equals_sign", "zoom(1)", show=False),
        Binding("minus", "zoom(-1)", "report.key_further", show=False),
        Binding("j", "move(1)", "report.key_next", show=False),
        Binding("k", "move(-1)", "report.key_previous", show=False),
        Binding("O", "open", "report.key_open"),
        Binding("w", "write", "report.key_write"),
        Binding("v", "as_picture", "report.key_as_picture"),
        Binding("escape", "restore", show=False),
    ]

    @dataclass
    class Found(Message):
        """The workspace was searched."""

        reports: Reports

    @dataclass
    class Opened(Message):
        """A PNG was read."""

        png: OpenedPng

    @dataclass
    class Written(Message):
        """The report of the runbook was written, or not."""

        answer: Answer

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._reports = Reports((), (), (), ())
        self._entry: Entry | None = None
        self._opened: OpenedPng | None = None
        self._as_picture = False
        self._drawn: object = None
        self._zoom = 0

    def compose(self) -> ComposeResult:
        """List and content side by side."""
        with Horizontal():
            yield OptionList(id="report-list")
            with ScrollableContainer(id="report-content"):
                yield Static(tr("report.empty"), id="report-empty")

    def on_resize(self) -> None:
        """Pictures as large as there is room."""
        self.call_after_refresh(self._show)

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Look for reports."""
        if snapshot.roots is not None:
            workspace = snapshot.roots.workspace
            self.run_in_thread("find", partial(find_reports, workspace), self.Found)

    def on_report_pane_found(self, message: Found) -> None:
        """List them."""
        if self.ready:
            self._list(message.reports)

    def _list(self, reports: Reports) -> None:
        options = self.query_one("#report-list", OptionList)
        if reports == self._reports and options.option_count:
            return
        self._reports = reports
        known = {entry.path: entry for entry in reports.entries}
        chosen = known.get(self._entry.path) if self._entry else None
        options.clear_options()
        for name in ("texts", "pages", "plots", "pictures"):
            entries: tuple[Entry, ...] = getattr(reports, name)
            if entries:
                options.add_option(Option(Text(tr(f"report.{name}"), "bold"), disabled=True))
            for entry, label in zip(entries, _labels(entries), strict=True):
                options.add_option(Option(label, id=str(entry.path)))
        first = chosen or next(iter(reports.entries), None)
        if first is not None:
            options.highlighted = options.get_option_index(str(first.path))

    async def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show it."""
        entries = {str(entry.path): entry for entry in self._reports.entries}
        entry = entries.get(event.option.id or "")
        if entry is None:
            return
        if self._entry is None or entry.path != self._entry.path:
            self._zoom, self._as_picture = 0, False
        self._entry = entry
        await self._show()

    def on_option_list_option_selected(self) -> None:
        """Enter or a click on what is shown: large."""
        self.action_maximise()

    async def _show(self) -> None:
        """The chosen one, unless it is shown already as it is now and at this size."""
        entry, content = self._entry, self.query_one("#report-content", ScrollableContainer)
        if entry is None or not self.ready:
            return
        png = self._png(entry) if entry.path.suffix == ".png" else None
        if entry.path.suffix == ".png" and png is None:
            return
        room = (self.size, self.has_class("-maximised"), self._zoom) if png and png.image else None
        if (entry, png, room) == self._drawn:
            return
        new = not isinstance(self._drawn, tuple) or self._drawn[0] != entry
        self._drawn = (entry, png, room)
        self.workers.cancel_group(self, "text")
        with self.app.batch_update():
            await content.remove_children()
            if png is not None:
                await self._mount_png(content, png)
            elif entry.path.suffix == ".html":
                await content.mount(Static(tr("report.page", path=entry.path), markup=False))
            else:
                self._render_text(content, read_report(entry.path))
        if new:
            content.scroll_home(animate=False)

    def _png(self, entry: Entry) -> OpenedPng | None:
        """What the file holds; ``None`` while it is being read in a thread."""
        as_plot = entry in self._reports.plots and not self._as_picture
        png = self._opened
        if png is not None and (png.entry, png.as_plot) == (entry, as_plot):
            return png
        self.run_in_thread("open", partial(open_png, entry, self.snapshot.book, as_plot), self.Opened)
        return None

    async def on_report_pane_opened(self, message: Opened) -> None:
        """Show it, unless another one was chosen meanwhile."""
        self._opened = message.png
        if message.png.entry == self._entry:
            await self._show()

    @work(group="text")
    async def _render_text(self, content: ScrollableContainer, text: str) -> None:
        """A part at a time: every paragraph is a widget, and a long record has hundreds."""
        shown = Markdown(open_links=False)  # empty: appending to a text given here replaces its last block
        await content.mount(shown)
        with suppress(MountError):  # the app is closing
            for part in parts_of(text):
                await shown.append(part)
                await asyncio.sleep(_REST_S)

    async def _mount_png(self, content: ScrollableContainer, png: OpenedPng) -> None:
        await content.mount(Static(str(png.entry.path), classes="report-path", markup=False))
        if png.plot is not None:
            await content.mount(PlotView(png.plot, png.letters, png.entry.written))
        elif png.image is None:
            await content.mount(Static(tr("report.unreadable", why=png.trouble), markup=False))
        else:
            size, zoom = content.size, _ZOOMS[self._zoom]
            height = size.height - 1
            if png.why_picture:
                why = tr(png.why_picture)
                await content.mount(Static(why, classes="report-note", markup=False))
                height -= 2 + cell_len(why) // max(size.width - _LONGEST_WORD, 1)
            large = self.has_class("-maximised")
            columns, rows = max(round((size.width - 2) * zoom), 1), max(round(height * zoom), 1)
            await content.mount(picture(png.image, columns, rows if large else None, self.graphics))

    async def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """A picture or report that is listed is shown; anything else is copied."""
        event.stop()
        target = linked_file(self._entry.path, event.href) if self._entry else None
        options = self.query_one("#report-list", OptionList)
        listed = {entry.path.resolve(): str(entry.path) for entry in self._reports.entries}
        if target in listed:
            options.highlighted = options.get_option_index(listed[target])
        else:
            self.copy(str(target or event.href))

    # keys ----------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Keys that do something for what is shown."""
        if action == "as_picture":
            return self._entry in self._reports.plots
        return action != "zoom" or (self._entry is not None and self._entry.path.suffix == ".png")

    def action_move(self, by: int) -> None:
        """The next one, or the one before."""
        options = self.query_one("#report-list", OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    def action_maximise(self) -> None:
        """The content alone, or the list next to it again."""
        self.set_class(not self.has_class("-maximised"), "-maximised")
        self._zoom = 0
        target = "#report-content" if self.has_class("-maximised") else "#report-list"
        self.query_one(target).focus()
        self.call_after_refresh(self._show)

    def action_restore(self) -> None:
        """The list again."""
        if self.has_class("-maximised"):
            self.action_maximise()

    def action_zoom(self, by: int) -> None:
        """A larger or smaller picture; arrows move over it."""
        if self._opened is not None and self._opened.entry == self._entry and self._opened.image:
            if not self.has_class("-maximised"):
                self.action_maximise()
            self._zoom = min(max(self._zoom + by, 0), len(_ZOOMS) - 1)
            self.call_after_refresh(self._show)

    async def action_as_picture(self) -> None:
        """A plot as the picture that it is in the file, or drawn from its numbers again."""
        if self._entry in self._reports.plots:
            self._as_picture, self._zoom = not self._as_picture, 0
            await self._show()

    def action_open(self) -> None:
        """With what the desktop has for it."""
        if self._entry is None:
            return
        program = None if self.app.is_web else viewer()
        if program is None:
            self.say(tr("report.no_viewer", path=self._entry.path), "warning")
            return
        try:
            open_on_desktop(program, self._entry.path)
        except OSError as error:
            self.say(f"{program}: {error.strerror or error}", "error")
        else:
            self.say(tr("report.opened", path=self._entry.path))

    def action_write(self) -> None:
        """Write the report of the whole runbook."""
        if self.roots is not None and not self.refused():
            self.say(tr("report.writing"))
            self.run_in_thread(
                "write", partial(ask_engine, "runbook", "report", self.roots.workspace), self.Written
            )

    def on_report_pane_written(self, message: Written) -> None:
        """Say where it is, or why it is not."""
        self.say(message.answer.last_line, "error" if message.answer.exit_code else "information")

    def copy_text(self) -> str | None:
        """The path of what is shown."""
        return str(self._entry.path) if self._entry else None

    async def _recompose(self) -> None:
        self._reports, self._drawn = Reports((), (), (), ()), None
        self.workers.cancel_group(self, "text")
        await super()._recompose()


def _labels(entries: tuple[Entry, ...]) -> list[str]:
    """Names of files; with their folder where there are several, and without what all of a kind share."""
    paths = [entry.path for entry in entries]
    names = [path.stem if path.suffix == ".png" else path.name for path in paths]
    inner = [path.parent.parent if path.parent.name in ("plots", "vis") else path.parent for path in paths]
    several = len(set(inner)) > 1
    return [
        f" {folder.name}/{name}" if several else f" {name}" for folder, name in zip(inner, names, strict=True)
    ]
