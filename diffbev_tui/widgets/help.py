"""Help for what is in focus: what this screen is for, and every key that works on it."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from diffbev_tui.i18n import tr
from diffbev_tui.lines import Line, fit, wrap
from diffbev_tui.widgets.plain import Plain, PlainVerticalScroll
from diffbev_tui.widgets.row_list import content_of

_WIDEST = 84
"""Cells; on narrow screens 96 %: as in the styles."""
_AROUND = 7
"""Padding, the scroll bar and a blank before it."""
_KEYS = 10
"""Cells for keys, where none of them needs more."""


class Help(Plain, ModalScreen[None]):
    """Keys are read from the bindings themselves, so that help cannot be wrong.

    One text on an opaque screen: with a widget a line above charts that shine through, it came a quarter
    of a second after its key.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,f1,q", "dismiss", "app.key_close", priority=True),
    ]

    def __init__(self, title: str, text: str, keys: Sequence[tuple[str, str, str]]) -> None:
        """Show ``keys`` (keys, what they do, whose they are) below a text about the screen."""
        super().__init__()
        self._title, self._text, self._keys = title, text, keys
        self._room = 0

    def compose(self) -> ComposeResult:
        """All in one widget."""
        with PlainVerticalScroll(id="help"):
            yield Static()

    def on_mount(self) -> None:
        """Lines of the width that there is."""
        self._lay_out()

    def on_resize(self) -> None:
        """Lines of another width."""
        self._lay_out()

    def _lay_out(self) -> None:
        room = min(_WIDEST, self.app.size.width * 96 // 100) - _AROUND
        if room != self._room:
            self._room = room
            self.query_one(Static).update(Content("\n").join(map(content_of, self._lines(room))))

    def _lines(self, room: int) -> Iterator[Line]:
        yield ((self._title, "bold"),)
        yield from (((row, ""),) for row in wrap(self._text, room))
        here = [(keys, what) for keys, what, owner in self._keys if owner != "DiffBEVApp"]
        anywhere = [(keys, what) for keys, what, owner in self._keys if owner == "DiffBEVApp"]
        for heading, keys_of_it in ((tr("app.help_here"), here), (tr("app.help_anywhere"), anywhere)):
            if keys_of_it:
                yield ()
                yield ((heading, "dim"),)
                yield from _table(keys_of_it, room)
        yield ()
        yield from (((row, "dim"),) for row in wrap(tr("app.help_states"), room))


def _table(rows: Sequence[tuple[str, str]], room: int) -> Iterator[Line]:
    """Keys in a column of their own; what they do continues below itself."""
    left = max(_KEYS, *(cell_len(keys) for keys, _ in rows)) + 2
    for keys, what in rows:
        first, *others = wrap(what, room - left)
        yield (fit(keys, left), "bold"), (first, "")
        yield from (((" " * left + row, ""),) for row in others)
