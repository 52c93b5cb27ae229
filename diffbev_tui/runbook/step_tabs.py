"""The phases in one line, for narrow screens."""

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from diffbev_tui.lines import Piece
from diffbev_tui.widgets.row_list import STYLES


class StepTabs(Static):
    """``✓0 ✓1 ●4 ○5``; a click chooses."""

    class Chosen(Message):
        """A phase was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._spans: list[tuple[int, int, str]] = []
        self._drawn: object = None

    def show(self, tabs: Sequence[tuple[str, Piece]], chosen: str) -> None:
        """Show the phases with ``chosen`` marked."""
        if (tuple(tabs), chosen) == self._drawn:
            return
        self._drawn = (tuple(tabs), chosen)
        line, self._spans = Content(" "), []
        for key, (text, tone) in tabs:
            start = line.cell_length
            line += Content.styled(text, "bold reverse" if key == chosen else STYLES[tone])
            self._spans.append((start, line.cell_length, key))
        self.update(line)

    def on_click(self, event: events.Click) -> None:
        """Choose the phase under the mouse."""
        for start, end, key in self._spans:
            if start <= event.x < end:
                self.post_message(self.Chosen(key))
