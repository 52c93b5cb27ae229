"""A log of which loud lines and hits of a search stand out."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.highlighter import Highlighter
from rich.style import Style
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widgets import Log

from diffbev_tui.log.wanted import ERROR, WARNING

_HERE = Style(bold=True, underline=True)


class _Loud(Highlighter):
    """Colours what the letters E and W say already, and reverses hits."""

    pattern: "re.Pattern[str] | None" = None

    def highlight(self, text: Text) -> None:
        if ERROR.search(text.plain):
            text.stylize("red")
        elif WARNING.search(text.plain):
            text.stylize("yellow")
        if self.pattern is not None:
            for hit in self.pattern.finditer(text.plain):
                text.stylize("reverse", *hit.span())


class LogLines(Log, inherit_bindings=False):
    """Rows as they are given. ``Log`` itself neither folds nor marks; home and end are for the pane."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", show=False),
        Binding("down", "scroll_down", show=False),
        Binding("left", "scroll_left", show=False),
        Binding("right", "scroll_right", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
    ]

    @dataclass
    class Beyond(Message):
        """A reader who is at the first (-1) or last (1) row wants to go on."""

        by: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(highlight=True, id=id)
        self._loud = _Loud()
        self.highlighter = self._loud
        self.here = range(0)
        """Rows of the hit that was gone to."""
        self.following = True
        """Whether the last row is in view, and stays so when there is less room."""

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Note whether the last row is in view."""
        super().watch_scroll_y(old_value, new_value)
        self.following = self.is_vertical_scroll_end

    def on_resize(self) -> None:
        """Keep the last row in view."""
        if self.following:
            self.scroll_end(animate=False, immediate=True, x_axis=False)

    def write_rows(self, rows: Sequence[str], *, follow: bool) -> None:
        """Append rows; an empty one too, which ``Log`` would leave out."""
        self.write_lines((row or " " for row in rows), scroll_end=follow)

    def search(self, pattern: "re.Pattern[str] | None") -> None:
        """Mark what matches."""
        self._loud.pattern = pattern
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The rows of the present hit are marked as a whole."""
        strip = super().render_line(y)
        return strip.apply_style(_HERE) if self.scroll_offset.y + y in self.here else strip

    def action_scroll_up(self) -> None:
        """A row up, or beyond the first."""
        self._go(-1, super().action_scroll_up)

    def action_page_up(self) -> None:
        """A screen up, or beyond the first row."""
        self._go(-1, super().action_page_up)

    def action_scroll_down(self) -> None:
        """A row down, or beyond the last."""
        self._go(1, super().action_scroll_down)

    def action_page_down(self) -> None:
        """A screen down, or beyond the last row."""
        self._go(1, super().action_page_down)

    def _go(self, by: int, scroll: Callable[[], None]) -> None:
        if self.scroll_offset.y <= 0 if by < 0 else self.is_vertical_scroll_end:
            self.post_message(self.Beyond(by))
        else:
            scroll()
