"""Everything about the chosen step, scrolled where it is longer than its place."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.widgets import Static

from diffbev_tui.runbook.details import Block, lay_out_blocks
from diffbev_tui.widgets.plain import PlainVerticalScroll
from diffbev_tui.widgets.row_list import RowList, content_of


class StepDetail(PlainVerticalScroll, can_focus=True, inherit_bindings=False):
    """Labelled blocks; output that grows is followed while its end is in view."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", show=False),
        Binding("down,j", "scroll_down", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home", "scroll_home", show=False),
        Binding("end", "scroll_end", show=False),
        Binding("enter", "run", "runbook.key_run"),
    ]

    class Run(Message):
        """Enter was pressed: run what is shown."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._drawn: object = None
        self._about = ""
        self.expected = Size()
        """The size that it will be given, where that is known before it is laid out."""

    def compose(self) -> ComposeResult:
        """All in one widget."""
        yield Static()

    def show(self, about: str, blocks: Sequence[Block]) -> None:
        """Show ``blocks`` about a step or problem; another one starts at the top again."""
        size = self.size or self.expected
        width = max(size.width - 3, 12)
        drawn = (about, tuple(blocks), width, size.height, self.app.theme)
        if drawn == self._drawn or not self.is_mounted:
            return
        another = about != self._about
        self._drawn, self._about = drawn, about
        lines = lay_out_blocks(blocks, width, size.height)
        self.query_one(Static).update(Content("\n").join(map(content_of, lines)))
        if another:
            self.scroll_home(animate=False)

    def action_run(self) -> None:
        """Run what is shown."""
        self.post_message(self.Run())

    def on_resize(self) -> None:
        """Ask for the same in another width."""
        self.post_message(RowList.Resized())
