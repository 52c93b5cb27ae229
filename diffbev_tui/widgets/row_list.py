"""A list of rows with a cursor: keys, mouse, and only what changed is drawn again."""

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.widgets import Static

from diffbev_tui.lines import Line, Row, Tone
from diffbev_tui.widgets.plain import PlainVerticalScroll

STYLES: dict[Tone, str] = {
    "": "",
    "bold": "bold",
    "dim": "$foreground 60%",
    "good": "$success",
    "bad": "$error",
    "warn": "$warning",
    "accent": "$primary",
}


def content_of(line: Line) -> Content:
    """A row in the colours of the theme."""
    return Content.assemble(*((text, STYLES[tone]) for text, tone in line))


class RowList(PlainVerticalScroll, can_focus=True, inherit_bindings=False):
    """Rows, one of them chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "runbook.key_up", show=False),
        Binding("down,j", "move(1)", "runbook.key_down", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("home", "move(-100000)", show=False),
        Binding("end", "move(100000)", show=False),
        Binding("enter", "open", "runbook.key_open"),
    ]

    class Moved(Message):
        """Another row was chosen by the user."""

        def __init__(self, rows: "RowList", key: str) -> None:
            super().__init__()
            self.rows, self.key = rows, key

        @property
        def control(self) -> "RowList":
            """The list."""
            return self.rows

    class Opened(Moved):
        """The chosen row was opened."""

    class Resized(Message):
        """There is another width to fill."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rows: tuple[Row, ...] = ()
        self._text = Static()
        self._drawn: object = None
        self.key = ""
        self.expected = Size()
        """The size that it will be given, where that is known before it is laid out."""

    def compose(self) -> ComposeResult:
        """All rows in one widget."""
        yield self._text

    @property
    def room(self) -> int:
        """Cells that a row may take: one is for the cursor, one for the scroll bar."""
        return max((self.size or self.expected).width, 12) - 3

    def show(self, rows: Sequence[Row], key: str) -> None:
        """Show ``rows`` with the cursor on ``key``."""
        moved = key != self.key
        self._rows, self.key = tuple(rows), key
        self._draw()
        if moved:
            self.call_after_refresh(self._into_view)

    def _draw(self) -> None:
        focused = self.has_focus
        drawn = (self._rows, self.key, focused, self.app.theme)
        if drawn == self._drawn or not self.is_mounted:
            return
        self._drawn = drawn
        # Held, not queried: focus events still arrive after the children of a list were removed.
        self._text.update(Content("\n").join(self._content(row, focused) for row in self._rows))

    def _content(self, row: Row, focused: bool) -> Content:
        here = bool(row.key) and row.key == self.key
        content = Content.assemble((">" if here else " ", "bold"), content_of(row.line))
        if not here:
            return content
        if focused:
            return Content.styled(content.plain, "$block-cursor-foreground on $block-cursor-background bold")
        return content.stylize("bold on $block-cursor-blurred-background")

    def _into_view(self) -> None:
        index = next((number for number, row in enumerate(self._rows) if row.key == self.key), 0)
        self.scroll_to_region(Region(0, index, 1, 1), animate=False)

    def _choose(self, key: str) -> None:
        if key and key != self.key:
            self.show(self._rows, key)
            self.post_message(self.Moved(self, key))

    def action_move(self, by: int) -> None:
        """Choose a row further up or down."""
        keys = [row.key for row in self._rows if row.key]
        if keys:
            now = keys.index(self.key) if self.key in keys else 0
            self._choose(keys[min(max(now + by, 0), len(keys) - 1)])

    def action_open(self) -> None:
        """Open the chosen row."""
        if self.key:
            self.post_message(self.Opened(self, self.key))

    def on_click(self, event: events.Click) -> None:
        """A click chooses, a double click opens."""
        index = event.get_content_offset_capture(self).y + self.scroll_offset.y
        if 0 <= index < len(self._rows):
            self._choose(self._rows[index].key)
            if event.chain == 2:
                self.action_open()

    def on_focus(self) -> None:
        """The cursor is stronger where keys go."""
        self._draw()

    def on_blur(self) -> None:
        """The cursor is weaker elsewhere."""
        self._draw()

    def on_resize(self) -> None:
        """Ask for rows of the new width."""
        self.post_message(self.Resized())
