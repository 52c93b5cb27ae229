"""A line to type what to find; the list above shows what matches."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from diffbev_tui.widgets.find_line import FindLine


class FindStep(FindLine):
    """Up and down move through what was found."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "seek(-1)", show=False),
        Binding("down", "seek(1)", show=False),
    ]

    class Move(Message):
        """Another of those found."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    def action_seek(self, by: int) -> None:
        """Another of those found."""
        self.post_message(self.Move(by))
