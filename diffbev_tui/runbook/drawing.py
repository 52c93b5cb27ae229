"""Draws the runbook screen: which widgets show what, on wide screens and on narrow ones."""

from textual.geometry import Size
from textual.widgets import Static

from diffbev_tui.lines import Line
from diffbev_tui.runbook import rows
from diffbev_tui.runbook.next_step import next_line
from diffbev_tui.runbook.rows import lay_out
from diffbev_tui.runbook.selection import Facts, RunbookSelection
from diffbev_tui.runbook.step_detail import StepDetail
from diffbev_tui.runbook.step_tabs import StepTabs
from diffbev_tui.runbook.timeline import timeline_line, with_total
from diffbev_tui.snapshot import Snapshot
from diffbev_tui.widgets.pane import Pane
from diffbev_tui.widgets.row_list import RowList, content_of


class RunbookDrawing:
    """Only what has changed is drawn again."""

    def __init__(self, pane: Pane) -> None:
        self._pane = pane
        self._drawn: dict[str, object] = {}

    @property
    def narrow(self) -> bool:
        """Whether the phases are one line, and details cover the list."""
        return self._pane.screen.has_class("-narrow")

    @property
    def covered(self) -> bool:
        """Whether details cover the list now."""
        return self.narrow and self._pane.has_class("-detail")

    def open_detail(self) -> None:
        """Let the details cover the list."""
        self._pane.add_class("-detail")
        self._pane.query_one("#runbook-detail").focus()

    def close_detail(self) -> bool:
        """Back to the list; whether it was covered."""
        was = self.covered
        self._pane.remove_class("-detail")
        return was

    def draw(self, facts: Facts, selection: RunbookSelection) -> None:
        """Show everything, unless the screen is being put together or taken down."""
        if not self._pane.query("#runbook-steps > Static") or not self._pane.query(
            "#runbook-detail > Static"
        ):
            return
        self._expect_sizes()
        phases = self._pane.query_one("#runbook-phases", RowList)
        entries = rows.phase_rows(facts.view, facts.findings, facts.final_count, phases.room)
        phases.show(entries, selection.entry)
        tabs = rows.tab_pieces(facts.view, facts.findings)
        self._pane.query_one(StepTabs).show(tabs, selection.entry)
        steps = self._pane.query_one("#runbook-steps", RowList)
        lines = selection.lines(facts)
        self.draw_next(facts.snapshot, facts.starting, selection.key)
        steps.show(lay_out(lines, steps.room) or [selection.empty_row()], selection.key)
        title, times = selection.title(facts, len(lines)), facts.snapshot.timeline
        if self.narrow and times is not None:  # the line above has no room
            title = with_total(title, times, self._pane.room.width, facts.snapshot.taken)
        self._put("#runbook-title", title)
        self._pane.query_one(StepDetail).show(selection.key, selection.blocks(facts))

    def draw_next(self, snapshot: Snapshot, starting: tuple[str, ...], key: str) -> None:
        """Show the lines at the top, which are there before the runbook is."""
        self._put("#runbook-next", next_line(snapshot, starting, key, self._pane.room.width))
        self._put(
            "#runbook-timeline", timeline_line(snapshot.timeline, self._pane.room.width, snapshot.taken)
        )

    def _expect_sizes(self) -> None:
        """Before the first layout: what the styles make of this terminal, so that one paint is enough."""
        pane, (width, height) = self._pane, self._pane.app.size
        phases, detail = pane.query_one("#runbook-phases", RowList), pane.query_one(StepDetail)
        if phases.size or detail.size or phases.styles.width is None:
            return
        left = 0 if self.narrow else int(phases.styles.width.value)
        phases.expected = Size(max(left - 1, 0), height)
        pane.query_one("#runbook-steps", RowList).expected = Size(width - left, height)
        detail.expected = Size(width - left, height // 2)

    def _put(self, where: str, line: Line) -> None:
        if self._drawn.get(where) != (line, self._pane.app.theme):
            self._drawn[where] = (line, self._pane.app.theme)
            self._pane.query_one(where, Static).update(content_of(line))
