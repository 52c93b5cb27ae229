"""A line to type what to find; the list above shows what matches."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from diffbev_tui.i18n import tr


class FindStep(Container):
    """Hidden until it is opened; up and down move through what was found."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "seek(-1)", show=False),
        Binding("down", "seek(1)", show=False),
        Binding("escape", "leave", "app.key_cancel"),
    ]

    class Changed(Message):
        """Other text to find."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Move(Message):
        """Another of those found."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by = by

    class Left(Message):
        """Typing has ended."""

        def __init__(self, take: bool) -> None:
            super().__init__()
            self.take = take
            """Whether to go to what is chosen."""

    def compose(self) -> ComposeResult:
        """One line."""
        yield Input(placeholder=tr("runbook.find_hint"), id="runbook-find-text", compact=True)

    def retranslate(self) -> None:
        """The hint in the language of the UI."""
        self.query_one(Input).placeholder = tr("runbook.find_hint")

    def open(self) -> None:
        """Type; what is typed from now on goes here, also what was typed ahead."""
        self.display = True
        line = self.query_one(Input)
        line.value = ""
        self.screen.set_focus(line)  # at once: ``focus`` would wait, and let the list have some keys

    def on_input_changed(self, event: Input.Changed) -> None:
        """Find while typing."""
        event.stop()
        if self.display:
            self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Go there."""
        event.stop()
        self._close(take=True)

    def action_seek(self, by: int) -> None:
        """Another of those found."""
        self.post_message(self.Move(by))

    def action_leave(self) -> None:
        """Find nothing."""
        self._close(take=False)

    def _close(self, *, take: bool) -> None:
        # At once: what is typed ahead goes where the focus is now.
        self.screen.set_focus(self.screen.query_one("#runbook-steps"))
        self.display = False
        self.post_message(self.Left(take))
