"""A log of which loud lines and hits of a search stand out."""

import re
from collections.abc import Sequence

from rich.highlighter import Highlighter
from rich.style import Style
from rich.text import Text
from textual.strip import Strip
from textual.widgets import Log

from diffbev_tui.log.view import ERROR, WARNING

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


class LogLines(Log):
    """Rows as they are given; ``Log`` itself neither folds nor marks."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(highlight=True, id=id)
        self._loud = _Loud()
        self.highlighter = self._loud
        self.here = range(0)
        """Rows of the hit that was gone to."""

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
