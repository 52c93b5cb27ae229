"""A list over the screen, of which one is chosen."""

from collections.abc import Sequence
from typing import ClassVar

from rich.console import Group
from rich.padding import Padding
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option


class ChooseOne(ModalScreen[str]):
    """Dismissed with the answer that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss", "app.key_close")]

    def __init__(self, title: str, options: Sequence[tuple[str, str]]) -> None:
        """Ask; ``options`` are (answer, words)."""
        super().__init__()
        self._title, self._options = title, tuple(options)

    def compose(self) -> ComposeResult:
        """A title and the list."""
        with Vertical(id="alerts"):
            yield Static(self._title, id="alerts-title", markup=False)
            lines = (Option(_indented(words), id=str(at)) for at, (_, words) in enumerate(self._options))
            yield OptionList(*lines, id="alerts-list")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        self.dismiss(self._options[int(event.option.id or 0)][0])


def _indented(words: str) -> Group:
    """Lines that begin with blanks keep them where they wrap."""
    lines = [(line.strip(), len(line) - len(line.lstrip())) for line in words.split("\n")]
    return Group(*(Padding(Text(line), (0, 0, 0, blanks)) for line, blanks in lines))
