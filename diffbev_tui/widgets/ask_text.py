"""Asks for one line of text."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static


class AskText(ModalScreen[str]):
    """A question, what the answer does, and a line to type; escape answers with nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "app.key_cancel")]

    def __init__(self, question: str, consequence: str, hint: str, value: str | None = None) -> None:
        """Ask.

        Args:
            question: one sentence.
            consequence: what will happen, and how to leave without it.
            hint: an example answer.
            value: what stands there already; where it is given, nothing is an answer too.
        """
        super().__init__()
        self._question, self._consequence, self._hint = question, consequence, hint
        self._value = value

    def compose(self) -> ComposeResult:
        """Question, consequence, line."""
        with Vertical(id="dialog"):
            yield Static(self._question, id="dialog-question", markup=False)
            yield Static(self._consequence, id="dialog-consequence", markup=False)
            yield Input(self._value or "", placeholder=self._hint, id="dialog-text", compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, once there is something to answer with."""
        if event.value.strip() or self._value is not None:
            self.dismiss(event.value.strip())

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(None)
