"""The line of screens: numbers that switch between them."""

from rich.cells import cell_len
from rich.text import Text
from textual import events
from textual.message import Message

from diffbev_tui.i18n import language, tr
from diffbev_tui.widgets.line import Line


class TabLine(Line):
    """``1 Runbook  2 Monitor …`` with the shown one marked; a click switches too."""

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self._names = names
        self._spans: list[tuple[int, int, str]] = []

    def show(self, shown: str) -> None:
        """Mark ``shown``."""
        line, self._spans = Text(" ", no_wrap=True), []
        for name, text in self._texts(shown).items():
            start = line.cell_len
            line.append(text, "reverse" if name == shown else "")
            self._spans.append((start, line.cell_len, name))
        here = f"   L: {'EN' if language() == 'en' else '中文'}"
        if line.cell_len + cell_len(here) <= self._width:
            line.append(here, "dim")
        self.put(line)

    @property
    def _width(self) -> int:
        return self.size.width or self.app.size.width

    def _texts(self, shown: str) -> dict[str, str]:
        """Number and name of each; where there is no room for all names, the last ones go first."""
        texts = {
            name: f" {number} {tr('app.pane_' + name)} " for number, name in enumerate(self._names, start=1)
        }
        room = self._width - 1
        for number, name in reversed(list(enumerate(self._names, start=1))):
            if sum(map(cell_len, texts.values())) > room and name != shown:
                texts[name] = f" {number} "
        return texts

    def on_click(self, event: events.Click) -> None:
        """Switch to the tab under the mouse."""
        for start, end, name in self._spans:
            if start <= event.x < end:
                self.post_message(self.Chosen(name))
