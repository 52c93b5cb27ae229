"""Help for what is in focus: what this screen is for, and every key that works on it."""

from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from diffbev_tui.i18n import tr


class Help(ModalScreen[None]):
    """Keys are read from the bindings themselves, so that help cannot be wrong."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,q", "dismiss", "app.key_close", priority=True),
    ]

    def __init__(self, title: str, text: str, keys: list[tuple[str, str, str]]) -> None:
        """Show ``keys`` (keys, what they do, whose they are) below a text about the screen."""
        super().__init__()
        self._title, self._text, self._keys = title, text, keys

    def compose(self) -> ComposeResult:
        """Title, text, two groups of keys."""
        with VerticalScroll(id="help"):
            yield Static(self._title, id="help-title", markup=False)
            yield Static(self._text, id="help-text", markup=False)
            here = [(keys, what) for keys, what, owner in self._keys if owner != "DiffBEVApp"]
            anywhere = [(keys, what) for keys, what, owner in self._keys if owner == "DiffBEVApp"]
            for title, rows in ((tr("app.help_here"), here), (tr("app.help_anywhere"), anywhere)):
                if rows:
                    yield Static(title, classes="help-heading", markup=False)
                    yield Static(_table(rows))
            yield Static(tr("app.help_states"), classes="help-heading", markup=False)


def _table(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", min_width=10)
    table.add_column()
    for keys, what in rows:
        table.add_row(keys, what)
    return table
