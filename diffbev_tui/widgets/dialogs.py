"""Questions over the screen: confirm, and how to leave while a training runs."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from diffbev_tui.i18n import tr


class Choice(ModalScreen[str]):
    """A question with buttons; escape answers with the last, which changes nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n", "leave", "app.key_cancel"),
        Binding("y", "agree", show=False),
        Binding("left,h", "app.focus_previous", show=False),
        Binding("right,l", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, consequence: str, answers: dict[str, str], first: str) -> None:
        """Ask.

        Args:
            question: one sentence.
            consequence: what will happen, and what will not.
            answers: answer to the words on its button; the last one changes nothing.
            first: the answer in focus.
        """
        super().__init__()
        self._question, self._consequence = question, consequence
        self._answers, self._first = answers, first

    def compose(self) -> ComposeResult:
        """Question, consequence, buttons."""
        with Vertical(id="dialog"):
            yield Static(self._question, id="dialog-question", markup=False)
            yield Static(self._consequence, id="dialog-consequence", markup=False)
            with Horizontal(id="dialog-buttons"):
                for answer, words in self._answers.items():
                    yield Button(words, id=f"answer-{answer}", compact=True)

    def on_mount(self) -> None:
        """Put the focus where enter does the expected thing."""
        for button in self.query(f"#answer-{self._first}"):  # none, where the UI is just being closed
            button.focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss((event.button.id or "").removeprefix("answer-"))

    def action_agree(self) -> None:
        """The first answer."""
        self.dismiss(next(iter(self._answers)))

    def action_leave(self) -> None:
        """Change nothing."""
        self.dismiss(list(self._answers)[-1])


def confirmation(question: str, consequence: str) -> Choice:
    """Yes or no; no is in focus."""
    return Choice(question, consequence, {"yes": tr("app.yes"), "no": tr("app.no")}, "no")


def leaving(run: str, read_only: bool) -> Choice:
    """How to leave while ``run`` is in progress."""
    answers = {
        "detach": tr("app.leave_detach"),
        "stop": tr("app.leave_stop"),
        "cancel": tr("app.leave_cancel"),
    }
    if read_only:
        answers.pop("stop")
    return Choice(tr("app.leave_question", run=run), tr("app.leave_consequence"), answers, "detach")
