"""Reports rendered, plots and pictures shown in the terminal."""

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Markdown, OptionList, Static
from textual.widgets.option_list import Option

from diffbev_tui.core.engine import ask_engine
from diffbev_tui.core.reports import Reports, find_reports, read_report
from diffbev_tui.core.snapshot import Snapshot
from diffbev_tui.i18n import tr
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.picture import picture


class ReportPane(Pane, can_focus=False):
    """A list of what there is, and the chosen one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
        Binding("w", "write", "report.key_write"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._reports = Reports((), ())
        self._shown: Path | None = None

    def compose(self) -> ComposeResult:
        """List and content side by side."""
        with Horizontal():
            yield OptionList(id="report-list")
            with VerticalScroll(id="report-content", can_focus=True):
                yield Static(tr("report.empty"), id="report-empty")

    def update_snapshot(self, snapshot: Snapshot) -> None:
        """Look for reports."""
        if snapshot.roots is not None:
            workspace = snapshot.roots.workspace
            self.beside(lambda: find_reports(workspace), self._list)

    def _list(self, reports: Reports) -> None:
        if reports == self._reports:
            return
        self._reports = reports
        options = self.query_one("#report-list", OptionList)
        chosen = options.highlighted
        options.clear_options()
        for path in (*reports.texts, *reports.pictures):
            name = Text(f"{path.parent.name}/{path.name}", no_wrap=True, overflow="ellipsis")
            options.add_option(Option(name, id=str(path)))
        if options.option_count:
            options.highlighted = min(chosen or 0, options.option_count - 1)

    async def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Show it."""
        path = Path(event.option.id or "")
        if path == self._shown:
            return
        self._shown = path
        content = self.query_one("#report-content", VerticalScroll)
        await content.remove_children()
        if path.suffix == ".md":
            await content.mount(Markdown(read_report(path), open_links=False))
        else:
            await content.mount(Static(str(path), classes="report-path", markup=False))
            await self._mount_picture(content, path)

    async def _mount_picture(self, content: VerticalScroll, path: Path) -> None:
        try:
            await content.mount(picture(path, max(20, content.size.width - 2)))
        except (OSError, ValueError) as error:
            await content.mount(Static(tr("report.unreadable", why=error), markup=False))

    def action_down(self) -> None:
        """The next one."""
        self.query_one("#report-list", OptionList).action_cursor_down()

    def action_up(self) -> None:
        """The one before."""
        self.query_one("#report-list", OptionList).action_cursor_up()

    def action_write(self) -> None:
        """Write the record of the whole campaign."""
        if self.ui.read_only:
            self.ui.say(tr("app.read_only_refused"), "warning")
        elif self.ui.roots is not None:
            self.ui.say(tr("report.writing"))
            self._write(self.ui.roots.workspace)

    @work(thread=True, exclusive=True, group="report")
    def _write(self, workspace: Path) -> None:
        answer = ask_engine("runbook", "report", workspace)
        severity = "error" if answer.exit_code else "information"
        self.app.call_from_thread(self.ui.say, answer.last_line, severity)

    def copy_text(self) -> str | None:
        """The path of what is shown."""
        return str(self._shown) if self._shown else None
